//! Machines that work: restarted, and told of what they were given.

use kubitect_config::Facts;
use kubitect_config::cluster::Role;
use kubitect_config::value::Label;
use kubitect_kubespray::control;
use kubitect_kubespray::living::Kubernetes;
use kubitect_provision::change::{Change, Part, Step};
use kubitect_provision::ssh;

use super::machines::{COMMAND, Hands, connect, no_login, ready};
use crate::failure::Failure;

/// Whether libvirt refused what a machine should have been given while it runs.
pub fn is_refused(hands: Hands<'_>, change: &Change) -> Result<bool, Failure> {
    let now = kubitect_provision::plan::plan(&hands.job.cluster, &hands.job.hosts)
        .map_err(|e| Failure::because("look at the machines again", e))?;
    let restarts = now.part(Part::Restart).changes;
    Ok(restarts.iter().any(|again| again.name == change.name))
}

/// Restarts one machine with its new definition. Where Kubernetes runs on it, its pods and connections go elsewhere first, and
/// come back after.
pub async fn restart(
    hands: Hands<'_>,
    facts: &Facts,
    change: &Change,
    kubernetes: Option<&mut Kubernetes<'_>>,
) -> Result<(), Failure> {
    let mut nodes = hands.job.cluster.nodes.iter();
    let node = nodes.find(|node| node.name.as_str() == change.name);
    let Some(node) = node else {
        return Err(Failure::failed(format!(
            "{}: it is not in the configuration",
            change.title()
        )));
    };
    let again = async || {
        hands
            .provision(std::slice::from_ref(change))?
            .map_err(|e| Failure::because(change.title(), e))?;
        fail::fail_point!("cli::restarted");
        Ok::<_, Failure>(())
    };
    let wait = async || ready(hands.job, &[node], facts, hands.keys, hands.reporter).await;
    let Some(kubernetes) = kubernetes else {
        again().await?;
        return wait().await;
    };
    if node.role == Role::Master {
        kubernetes.spare(&node.name, "restart").await?;
    }
    if let Err(error) = kubernetes.out_of_service(&node.name).await {
        kubernetes.mend(&node.name).await;
        return Err(error.into());
    }
    if let Err(error) = again().await {
        kubernetes.mend(&node.name).await;
        return Err(error);
    }
    wait().await?;
    let boot = boot(hands, facts, &node.name).await?;
    kubernetes
        .back_in_service(&node.name, None, Some(&boot))
        .await?;
    Ok(kubernetes.note_released(&node.name)?)
}

/// By which name the kernel of a machine, and with it the kubelet, knows its present boot.
async fn boot(hands: Hands<'_>, facts: &Facts, name: &Label) -> Result<String, Failure> {
    let session = connect(hands.job, facts, hands.keys, name).await;
    let argv = ["sudo", "-n", "cat", "/proc/sys/kernel/random/boot_id"];
    let id = session
        .map_err(no_login(name))?
        .run_ok(&argv, COMMAND)
        .await
        .map_err(|e| Failure::because(format!("ask {name} for its boot"), e))?;
    Ok(String::from_utf8_lossy(&id).trim().to_owned())
}

/// Has a machine take into use what it was given, be it by an interrupted run, and its kubelet look at it.
pub async fn take_in_use(
    hands: Hands<'_>,
    facts: &Facts,
    change: &Change,
    kubelet: bool,
) -> Result<(), Failure> {
    let Step::TakeInUse { node, given } = &change.step else {
        return Ok(());
    };
    let what = format!("have {node} use what it was given");
    let session = connect(hands.job, facts, hands.keys, node).await;
    let session = session.map_err(no_login(node))?;
    ssh::take_in_use(session.as_ref(), given)
        .await
        .map_err(|e| Failure::because(&what, e))?;
    fail::fail_point!("cli::taken-in-use");
    if kubelet {
        control::restart_kubelet(&session)
            .await
            .map_err(|e| Failure::because(format!("tell the kubelet of {node}"), e))?;
    }
    hands
        .provision(std::slice::from_ref(change))?
        .map_err(|e| Failure::because(&what, e))
}
