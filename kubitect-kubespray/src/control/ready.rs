//! Waits until the API servers of masters serve, and until nodes are Ready.

use std::collections::BTreeMap;
use std::time::Duration;

use kubitect_config::remote::Remote;
use kubitect_config::value::{Label, Version};
use kubitect_config::{chain, text};

use super::nodes::{NodeState, api_health, api_version, nodes};
use super::remote::{Health, LIMIT, run_retrying};
use super::wait::{OnWait, wait};
use crate::Error;

/// The kernel's `boot_id` of the connected machine's present boot, which its kubelet reports, too.
pub async fn boot_id(remote: &impl Remote) -> Result<String, Error> {
    let argv = ["cat", "/proc/sys/kernel/random/boot_id"];
    let output = run_retrying(remote, "ask a machine for its boot", &argv, LIMIT).await?;
    Ok(text::line(String::from_utf8_lossy(&output.stdout).trim()))
}

/// Waits until the API server of the connected master serves, with its etcd.
pub async fn wait_serving(
    remote: &impl Remote,
    node: &Label,
    limit: Duration,
    on_wait: OnWait<'_>,
) -> Result<(), Error> {
    let missing = wait(limit, on_wait, async || why_not_serving(remote).await);
    api_not_ready(missing.await, node, limit)
}

/// Waits until these nodes are Ready, each reported since this boot of its machine: for about 40 s after a machine stops,
/// Kubernetes still says that its node is Ready.
pub async fn wait_nodes(
    remote: &impl Remote,
    boots: &BTreeMap<Label, String>,
    limit: Duration,
    on_wait: OnWait<'_>,
) -> Result<(), Error> {
    let missing = wait(limit, on_wait, async || match nodes(remote).await {
        Ok(nodes) => {
            let late = boots.iter().filter_map(|(name, boot)| {
                Some(format!(
                    "{name}: {}",
                    why_not_ready(&nodes, name, None, Some(boot))?
                ))
            });
            let late: Vec<_> = late.collect();
            (!late.is_empty()).then(|| late.join("; "))
        }
        Err(error) => Some(chain(&error)),
    });
    not_ready(missing.await, boots.keys(), limit)
}

/// Waits until the API server of the connected master serves with this version.
pub async fn wait_api(
    remote: &impl Remote,
    node: &Label,
    version: &Version,
    limit: Duration,
    on_wait: OnWait<'_>,
) -> Result<(), Error> {
    let missing = wait(limit, on_wait, async || match api_version(remote).await {
        Ok(current) if current != version.to_string() => {
            Some(format!("it runs {current}, not {version}"))
        }
        Ok(_) => why_not_serving(remote).await,
        Err(error) => Some(chain(&error)),
    });
    api_not_ready(missing.await, node, limit)
}

/// The error of a wait for an API server, if something is still missing.
fn api_not_ready(missing: Option<String>, node: &Label, limit: Duration) -> Result<(), Error> {
    let Some(missing) = missing else {
        return Ok(());
    };
    Err(Error::ApiNotReady {
        node: node.to_string(),
        limit,
        missing,
    })
}

/// The error of a wait for nodes, if something is still missing.
fn not_ready<'a>(
    missing: Option<String>,
    nodes: impl IntoIterator<Item = &'a Label>,
    limit: Duration,
) -> Result<(), Error> {
    let Some(missing) = missing else {
        return Ok(());
    };
    let names: Vec<_> = nodes.into_iter().map(Label::as_str).collect();
    Err(Error::NotReady {
        node: names.join(", "),
        limit,
        missing,
    })
}

/// Why the API server of the connected master does not serve; `None` if it does.
pub(super) async fn why_not_serving(remote: &impl Remote) -> Option<String> {
    match api_health(remote).await {
        Ok(Health::Healthy) => None,
        Ok(Health::Unhealthy(why)) => Some(why),
        Err(error) => Some(chain(&error)),
    }
}

/// Waits until a node is Ready: if given, with this version, and reported since this boot of its machine (see [`wait_nodes`]).
pub async fn wait_ready(
    remote: &impl Remote,
    node: &Label,
    version: Option<&Version>,
    boot: Option<&str>,
    limit: Duration,
    on_wait: OnWait<'_>,
) -> Result<(), Error> {
    let missing = wait(limit, on_wait, async || match nodes(remote).await {
        Ok(nodes) => why_not_ready(&nodes, node, version, boot),
        Err(error) => Some(chain(&error)),
    });
    not_ready(missing.await, [node], limit)
}

/// Why a node is not Ready as [`wait_ready`] wants it; `None` if it is.
fn why_not_ready(
    nodes: &[NodeState],
    name: &Label,
    version: Option<&Version>,
    boot: Option<&str>,
) -> Option<String> {
    let Some(state) = nodes.iter().find(|state| state.name == name.as_str()) else {
        return Some("it has not joined".to_owned());
    };
    match (&state.health, version) {
        (Health::Unhealthy(why), _) => Some(why.clone()),
        (_, Some(wanted)) if state.version != wanted.to_string() => {
            Some(format!("it runs {}, not {wanted}", state.version))
        }
        _ if boot.is_some_and(|boot| boot != state.boot) => {
            Some("its kubelet has not reported since the machine started".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_back_only_in_the_present_boot_of_its_machine() {
        let state = |health, boot: &str| NodeState {
            name: "demo-worker-1".to_owned(),
            health,
            cordoned: true,
            version: "v1.23.7".to_owned(),
            boot: boot.to_owned(),
            labels: BTreeMap::new(),
            taints: Vec::new(),
            cpu: String::new(),
            memory: String::new(),
        };
        let name: Label = "demo-worker-1".parse().unwrap();
        let of = |states: &[NodeState]| {
            why_not_ready(states, &name, None, Some("now")).unwrap_or_default()
        };
        assert_eq!(of(&[]), "it has not joined");
        assert_eq!(
            of(&[state(Health::Unhealthy("late".to_owned()), "now")]),
            "late"
        );
        assert!(of(&[state(Health::Healthy, "before")]).contains("since the machine started"));
        assert_eq!(of(&[state(Health::Healthy, "now")]), "");
    }
}
