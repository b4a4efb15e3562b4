//! What a finished cluster leaves on this machine: the kubeconfig, and the person's own files.

use kubitect_config::Facts;
use kubitect_config::cluster::Role;
use kubitect_kubespray::kubeconfig;
use kubitect_provision::ssh::Keys;
use kubitect_provision::{gather, ssh};

use super::keys;
use super::machines::{COMMAND, connect};
use crate::failure::Failure;
use crate::home::{self, write_whole};
use crate::job::Job;
use crate::personal;
use crate::report::Reporter;

/// Fetches the administrator's kubeconfig from a master, names it after the cluster and points it at the balancer.
pub async fn fetch_kubeconfig(job: &Job, facts: &Facts, keys: &Keys) -> Result<(), Failure> {
    let failed = |e| Failure::because("bring the kubeconfig home", e);
    let master = job.cluster.role(Role::Master).next();
    let master =
        master.ok_or_else(|| Failure::failed("bring the kubeconfig home: there is no master"))?;
    let session = connect(job, facts, keys, &master.name).await?;
    let conf = session
        .run_ok(
            &["sudo", "-n", "cat", kubitect_kubespray::ADMIN_CONF],
            COMMAND,
        )
        .await
        .map_err(|e| Failure::because("read the kubeconfig", e))?;
    let conf = String::from_utf8(conf).map_err(|e| Failure::because("read the kubeconfig", e))?;
    let server = kubitect_kubespray::api_server(&job.cluster, facts).map_err(failed)?;
    let ours = kubeconfig::retarget(&conf, &job.cluster.name, &server).map_err(failed)?;
    write_whole(&job.dir.kubeconfig(), ours.as_bytes(), 0o600)
}

/// Brings what a finished cluster leaves on this machine up to date, as far as it is missing or asked for newly. A
/// machine is asked only if the kubeconfig is not here.
pub async fn hand_over(job: &Job, reporter: &Reporter) -> Result<(), Failure> {
    let conf = job.dir.kubeconfig();
    let fetch = !conf.exists();
    if fetch || job.cluster.guest.add_to_known_hosts {
        let lost = keys::bring_back(job, &job.cluster, reporter).err();
        match reach(job)? {
            Some((keys, facts)) => {
                if fetch {
                    fetch_kubeconfig(job, &facts, &keys).await?;
                    reporter.line(format!("{}: brought the kubeconfig home", job.cluster.name));
                }
                add_to_known_hosts(job, &facts)?;
            }
            None => reporter.line(format!(
                "warning: the machines' keys in {} or their addresses are not known any more, so neither the kubeconfig \
                 can be fetched nor your known_hosts brought up to date{}",
                job.dir.ssh().display(),
                lost.map(|why| format!(" ({why})")).unwrap_or_default()
            )),
        }
    }
    if job.cluster.kubernetes.merge_kubeconfig
        && let Some(ours) = personal::read_if_there(&conf)?
    {
        personal::merge(&personal::path()?, &ours)?;
    }
    Ok(())
}

/// What machines that are set up are reached with; nothing if that is lost. No key is made: they would not know it.
pub fn reach(job: &Job) -> Result<Option<(Keys, Facts)>, Failure> {
    let failed = |e| Failure::because(format!("reach the machines of {}", job.cluster.name), e);
    let own = job.private_key()?;
    let keys = Keys::existing(&job.dir.ssh(), &job.cluster, own.as_deref()).map_err(failed)?;
    let facts = gather::known(&job.cluster, &job.hosts).map_err(failed)?;
    let Some((keys, mut facts)) = keys.zip(facts) else {
        return Ok(None);
    };
    for node in &mut facts.nodes {
        node.host_key = keys.host_key_line(&node.name).unwrap_or_default();
    }
    Ok(Some((keys, facts)))
}

pub fn add_to_known_hosts(job: &Job, facts: &Facts) -> Result<(), Failure> {
    if job.cluster.guest.add_to_known_hosts {
        let path = home::user_home()?.join(".ssh/known_hosts");
        ssh::known_hosts::add(&path, &job.cluster.name, facts)
            .map_err(|e| Failure::because("add the machines to your known_hosts", e))?;
    }
    Ok(())
}
