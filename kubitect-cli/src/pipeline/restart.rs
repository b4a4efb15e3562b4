//! Machines that work: restarted one at a time, told of what they were given, and sent away.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kubitect_config::cluster::Role;
use kubitect_config::value::Label;
use kubitect_config::{Facts, chain};
use kubitect_kubespray::control;
use kubitect_kubespray::living::Kubernetes;
use kubitect_provision::change::{Change, Part, Step};
use kubitect_provision::plan::Plan as Machines;
use kubitect_provision::ssh::{self, Keys};

use super::machines::{COMMAND, connect, inputs, no_login, provision, ready};
use crate::failure::Failure;
use crate::job::Job;
use crate::plan::Plan;
use crate::report::Reporter;

/// What restarts are done with.
pub struct Tools<'a> {
    /// The cluster under work.
    pub job: &'a Job,
    /// What is known of its machines.
    pub facts: &'a Facts,
    /// Their keys.
    pub keys: &'a Keys,
    /// Whether no further step is wanted.
    pub cancelled: &'a Arc<AtomicBool>,
    /// Who is told.
    pub reporter: &'a Arc<Reporter>,
}

/// The restarts that are due: those of the plan, and those of machines that should have been given processors while they run
/// and that libvirt refused them to.
pub fn due(job: &Job, plan: &Plan) -> Result<Vec<Change>, Failure> {
    let mut due = plan.machines.part(Part::Restart).changes;
    let given: Vec<_> = plan.machines.gives_processors().collect();
    if !given.is_empty() {
        let now = kubitect_provision::plan::plan(&job.cluster, &job.hosts)
            .map_err(|e| Failure::because("look at the machines again", e))?;
        let mut more = now.part(Part::Restart).changes;
        more.retain(|change| given.iter().any(|name| name.as_str() == change.name));
        due.extend(more);
    }
    Ok(due)
}

/// Restarts one machine with its new definition: its pods and connections go elsewhere first, and come back after.
pub async fn restart(
    tools: &Tools<'_>,
    change: &Change,
    kubernetes: &mut Kubernetes<'_>,
) -> Result<(), Failure> {
    let Tools {
        job,
        facts,
        keys,
        cancelled,
        reporter,
    } = *tools;
    let Some(node) = job
        .cluster
        .nodes
        .iter()
        .find(|node| node.name.as_str() == change.name)
    else {
        return Err(Failure::failed(format!(
            "{}: it is not in the configuration",
            change.title()
        )));
    };
    // What Kubernetes is not set up on has nothing to lose.
    let serves = kubernetes.has_joined(&node.name);
    if serves {
        if node.role == Role::Master {
            kubernetes.spare(&node.name, "restart").await?;
        }
        if let Err(error) = kubernetes.out_of_service(&node.name).await {
            kubernetes.mend(&node.name).await;
            return Err(error.into());
        }
    }
    let plan = Machines {
        cluster: job.cluster.name.clone(),
        changes: vec![change.clone()],
    };
    let inputs = inputs(job, &plan, keys, cancelled, reporter)?;
    let restarted =
        tokio::task::block_in_place(|| provision(&plan, &job.hosts, inputs, cancelled, reporter));
    if let Err(error) = restarted {
        if serves {
            kubernetes.mend(&node.name).await;
        }
        return Err(Failure::because(change.title(), error));
    }
    fail::fail_point!("cli::restarted");
    ready(job, &[node], facts, keys, reporter).await?;
    if serves {
        let boot = boot(job, facts, keys, &node.name).await?;
        kubernetes
            .back_in_service(&node.name, None, Some(&boot))
            .await?;
        kubernetes.change_note(&node.name, |note| note.busy = false)?;
    }
    Ok(())
}

/// By which name the kernel of a machine, and with it the kubelet, knows its present boot.
async fn boot(job: &Job, facts: &Facts, keys: &Keys, name: &Label) -> Result<String, Failure> {
    let session = connect(job, facts, keys, name)
        .await
        .map_err(no_login(name))?;
    let id = session
        .run_ok(
            &["sudo", "-n", "cat", "/proc/sys/kernel/random/boot_id"],
            COMMAND,
        )
        .await
        .map_err(|e| Failure::because(format!("ask {name} for its boot"), e))?;
    Ok(String::from_utf8_lossy(&id).trim().to_owned())
}

/// Has machines take into use what they were given, be it by an interrupted run; kubelets are told of it.
pub async fn grown(plan: &Plan, tools: &Tools<'_>) -> Result<(), Failure> {
    let Tools {
        job,
        facts,
        keys,
        cancelled,
        reporter,
    } = *tools;
    for change in plan.machines.part(Part::Use).changes {
        let Step::TakeInUse { node, given } = &change.step else {
            continue;
        };
        let what = format!("have {node} use what it was given");
        let session = connect(job, facts, keys, node)
            .await
            .map_err(no_login(node))?;
        ssh::take_in_use(session.as_ref(), given)
            .await
            .map_err(|e| Failure::because(&what, e))?;
        fail::fail_point!("cli::taken-in-use");
        let mut seen = plan.seen.iter();
        if seen.any(|seen| seen.node.name == *node && seen.finished().is_some()) {
            control::restart_kubelet(&session)
                .await
                .map_err(|e| Failure::because(format!("tell the kubelet of {node}"), e))?;
        }
        let noted = Machines {
            cluster: job.cluster.name.clone(),
            changes: vec![change.clone()],
        };
        let inputs = inputs(job, &noted, keys, cancelled, reporter)?;
        tokio::task::block_in_place(|| provision(&noted, &job.hosts, inputs, cancelled, reporter))
            .map_err(|e| Failure::because(&what, e))?;
    }
    Ok(())
}

/// Has balancers that leave give the virtual address to another at once, where they can still be asked.
pub async fn let_address_go(job: &Job, plan: &Plan, keys: &Keys, reporter: &Reporter) {
    if job.cluster.balancing.vip.is_none() {
        return;
    }
    for leaving in plan
        .leaving
        .iter()
        .filter(|leaving| leaving.role == Role::LoadBalancer)
    {
        let key = keys.host_key_line(&leaving.name).unwrap_or_default();
        let facts = Facts {
            user: job.cluster.guest.user.clone(),
            private_key: keys.private_key_path().to_owned(),
            known_hosts: keys.known_hosts_path(),
            nodes: leaving.facts(key).into_iter().collect(),
        };
        let stop = ["sudo", "-n", "systemctl", "stop", "keepalived"];
        let stopped = match connect(job, &facts, keys, &leaving.name).await {
            Ok(session) => session
                .run_ok(&stop, COMMAND)
                .await
                .map(drop)
                .map_err(|e| e.to_string()),
            Err(error) => Err(chain(&error)),
        };
        if let Err(why) = stopped {
            reporter.line(format!(
                "warning: {} could not be asked to give the virtual address to another ({why}); the others take it when it is \
                 gone",
                leaving.name
            ));
        }
    }
}
