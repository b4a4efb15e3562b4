//! [`Run::snapshot`] saves all that a cluster's etcd holds to a file on this machine; [`Restoring`] restores it.

use std::fmt;
use std::path::Path;

use kubitect_config::Facts;
use kubitect_kubespray::living::restore::{Content, Restore};
use kubitect_kubespray::living::{Startup, snapshot};
use kubitect_provision::blocking::blocking;
use kubitect_provision::fleet::Logins;
use kubitect_provision::observe;
use kubitect_provision::ssh::Keys;

use crate::event::{Ending, Event};
use crate::failure::Failure;
use crate::job::Job;
use crate::pipeline::until_cancelled;
use crate::plan::{Plan, document};
use crate::power::event;
use crate::run::{Run, View};

pub use kubitect_kubespray::living::snapshot::Taken as Snapshot;

impl Run {
    /// Saves what etcd holds, from a master that serves, to `file`; without one, to the cluster's folder of snapshots. A file that
    /// exists is not replaced: it is an error.
    pub async fn snapshot(&mut self, file: Option<&Path>) -> Result<Snapshot, Failure> {
        let job = &self.view.job;
        let named = file.map(snapshot::new_file).transpose()?;
        let leaving = blocking(|| job.leaving());
        let (keys, facts) = blocking(|| job.access_for("save a snapshot of the etcd", &leaving))?;
        let file = named.map_or_else(|| snapshot::file_in(&job.dir.backups()), Ok)?;
        let work = async {
            let machines = logins(job, &keys, facts);
            // One that leaves, too: perhaps only those serve yet.
            let cluster = job.cluster_with(&leaving);
            let master = snapshot::serving_master(&cluster, &machines).await?;
            Ok(snapshot::take(&master, file).await?)
        };
        until_cancelled(&job.options.cancel, work).await
    }
}

fn logins<'a>(job: &'a Job, keys: &'a Keys, facts: Facts) -> Logins<'a> {
    Logins {
        fleet: &job.fleet,
        facts,
        keys,
    }
}

/// The restore of a cluster's etcd from a snapshot; `Display` shows it. While this exists, no other run works on the cluster.
#[must_use = "nothing is restored until it is carried out"]
pub struct Restoring {
    run: Run,
    restore: Restore,
    keys: Keys,
    facts: Facts,
}

kubitect_config::debug_fields!(Restoring, run, restore);

impl Restoring {
    /// Reads the snapshot and observes the masters, which have to be on. Changes nothing.
    pub async fn plan(run: Run, file: &Path) -> Result<Self, Failure> {
        let job = &run.view.job;
        let failed = |e| Failure::because(format!("restore {}", job.cluster.name), e);
        let content = Content::read(file).map_err(failed)?;
        let (keys, facts) = blocking(|| job.access_for("restore the etcd", &[]))?;
        let observed = blocking(|| observe::observe_with_addresses(&job.cluster, &job.hosts))?;
        let nodes = Plan::of(job, job.applied()?.as_ref(), &observed)?.nodes;
        let work = async {
            let machines = logins(job, &keys, facts.clone());
            let restore = Restore::plan(&job.cluster.name, content, &nodes, &machines);
            restore.await.map_err(failed)
        };
        let restore = until_cancelled(&job.options.cancel, work).await?;
        Ok(Self {
            run,
            restore,
            keys,
            facts,
        })
    }

    /// For programs: one object, as of a plan.
    pub fn json(&self) -> serde_json::Value {
        let (phases, rows) = (self.restore.phases(), self.restore.rows());
        let cluster = &self.view().cluster().name;
        document(cluster, &phases, &rows, &self.restore.notes())
    }

    /// The cluster.
    pub fn view(&self) -> &View {
        &self.run
    }

    /// Does it. Needs a runtime with several threads. After a failure or a kill the same command begins again.
    pub async fn carry_out(self) -> Result<(), Failure> {
        let job = &self.run.view.job;
        let options = &job.options;
        let phases = self.restore.phases();
        let begun = |number: usize| {
            options.events.send(Event::Phase {
                number,
                total: phases.len(),
                title: phases[number - 1].clone(),
                next: phases.get(number).cloned(),
            });
        };
        let work = async {
            let startup = Startup {
                machines: &logins(job, &self.keys, self.facts.clone()),
                limit: options.site.timeouts.ready.into(),
                on_step: &|what, step| options.events.machines(event(what, step)),
            };
            let restored = self.restore.carry_out(&startup, &begun).await?;
            let note = |line| options.events.note(line);
            restored.retained().for_each(note);
            restored
                .manual_steps
                .iter()
                .for_each(|step| options.events.warn(step));
            Ok(())
        };
        let work = until_cancelled(&options.cancel, work);
        options.carry_out(&job.cluster.name, Ending::Restored, work)
    }
}

impl fmt::Display for Restoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.restore.fmt(f)
    }
}
