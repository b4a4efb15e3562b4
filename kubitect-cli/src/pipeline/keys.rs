//! The keys that machines know, also when their folder was lost.

use kubitect_config::Cluster;
use kubitect_provision::ssh::{self, Keys};

use crate::failure::Failure;
use crate::job::Job;

/// Brings back what is lost of the keys of these machines, which exist; all of them have to run for that.
pub fn bring_back(job: &Job, machines: &Cluster) -> Result<(), Failure> {
    let folder = job.dir.ssh();
    let own = job.private_key()?;
    let failed = |e| {
        let what = "what is set up on machines can't be changed without the keys that they know";
        Failure::because(
            format!(
                "use the keys in {}: they are lost, and {what}",
                folder.display()
            ),
            e,
        )
    };
    let known = Keys::existing(&folder, machines, own.as_deref())
        .map_err(|e| Failure::because("read the cluster's keys", e))?;
    if machines.nodes.is_empty() || known.is_some() {
        return Ok(());
    }
    ssh::recover(&folder, machines, own.as_deref(), &job.hosts).map_err(failed)?;
    job.options.events.note(format!(
        "{}: brought back keys that were lost, from the machines' seeds and by their agents",
        job.cluster.name
    ));
    Ok(())
}
