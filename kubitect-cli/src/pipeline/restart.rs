//! Machines that work: restarted, and told of what they were given.

use std::time::Duration;

use kubitect_config::Facts;
use kubitect_config::cluster::Role;
use kubitect_config::value::Label;
use kubitect_kubespray::control;
use kubitect_kubespray::living::Kubernetes;
use kubitect_lb::Rendered;
use kubitect_provision::change::{Change, Part, Step};
use kubitect_provision::ssh;

use super::machines::{COMMAND, Hands, connect, no_login, ready};
use crate::failure::Failure;
use crate::phase::RestartBalancer;

/// Whether libvirt refused what a machine should have been given while it runs; that it has it, is said.
pub fn is_refused(hands: Hands<'_>, change: &Change) -> Result<bool, Failure> {
    let now = kubitect_provision::plan::plan(&hands.job.cluster, &hands.job.hosts)
        .map_err(|e| Failure::because("look at the machines again", e))?;
    let restarts = now.part(Part::Restart).changes;
    let refused = restarts.iter().any(|again| again.name == change.name);
    if !refused {
        let name = &change.name;
        let events = &hands.job.options.events;
        events.note(format!("{name}: has its processors, and is not restarted"));
    }
    Ok(refused)
}

/// Restarts balancers one after another: who holds the virtual address last, so that it moves once, and each only when the one
/// before is proven to serve.
pub async fn restart_balancers(
    hands: Hands<'_>,
    facts: &Facts,
    balancers: &[RestartBalancer],
) -> Result<(), Failure> {
    let failed = |e| Failure::because("restart the balancers", e);
    let rendered = kubitect_lb::render(&hands.job.cluster, facts).map_err(failed)?;
    let mut last = Vec::new();
    let mut ordered = Vec::new();
    for own in balancers {
        let files = rendered
            .iter()
            .find(|files| files.node.as_str() == own.change.name);
        let files = files.ok_or_else(|| {
            Failure::failed(format!(
                "{}: it is not in the configuration",
                own.change.title()
            ))
        })?;
        // One that does not let us in holds nothing that anybody could reach.
        let holds = match connect(hands.job, facts, hands.keys, &files.node).await {
            Ok(session) => kubitect_lb::holds(files, &session).await.unwrap_or(false),
            Err(_) => false,
        };
        match holds {
            true => last.push((own, files)),
            false => ordered.push((own, files)),
        }
    }
    ordered.extend(last);
    // Those that stay on, one that a run which was killed has restarted among them, have to serve meanwhile.
    let restarted = |files: &&Rendered| ordered.iter().any(|(_, other)| other.node == files.node);
    for files in rendered.iter().filter(|files| !restarted(files)) {
        serves(hands, facts, files).await?;
    }
    for (own, files) in ordered {
        if own.if_refused && !is_refused(hands, &own.change)? {
            continue;
        }
        restart(hands, facts, &own.change, None).await?;
        serves(hands, facts, files).await?;
        let events = &hands.job.options.events;
        events.note(format!("{}: serves again", files.node));
    }
    Ok(())
}

/// How long a balancer that was restarted may take until it serves, once its machine lets us in.
const SERVES: Duration = Duration::from_secs(120);

/// Waits until a balancer serves: before that, no other is restarted.
async fn serves(hands: Hands<'_>, facts: &Facts, files: &Rendered) -> Result<(), Failure> {
    let node = &files.node;
    let session = connect(hands.job, facts, hands.keys, node).await;
    let session = session.map_err(no_login(node))?;
    kubitect_lb::wait_serving(files, &session, SERVES)
        .await
        .map_err(|e| {
            let what = format!("wait for {node} to serve: no other balancer is restarted before");
            Failure::because(what, e)
        })
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
    let wait = async || ready(hands.job, &[node], facts, hands.keys).await;
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
