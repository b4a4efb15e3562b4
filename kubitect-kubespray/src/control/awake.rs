//! Waiting for a cluster: its masters' API servers serve, and its nodes are Ready.

use std::collections::BTreeMap;
use std::time::Duration;

use kubitect_config::remote::Remote;
use kubitect_config::value::{Label, Version};
use kubitect_config::{chain, text};

use super::nodes::{NodeState, api_health, api_version, nodes};
use super::remote::{Health, PATIENCE, succeed};
use super::wait::{Waits, wait};
use crate::Error;

/// By which name the kernel of the machine at the other end, and with it the kubelet, knows its present boot.
pub async fn boot(remote: &impl Remote) -> Result<String, Error> {
    let argv = ["cat", "/proc/sys/kernel/random/boot_id"];
    let output = succeed(remote, "ask a machine for its boot", &argv, PATIENCE).await?;
    Ok(text::line(String::from_utf8_lossy(&output.stdout).trim()))
}

/// Waits until the API server of the master at the other end serves, and etcd behind it; `waits` hears why it does not, whenever
/// that changes.
pub async fn wait_serving(
    remote: &impl Remote,
    node: &Label,
    limit: Duration,
    waits: Waits<'_>,
) -> Result<(), Error> {
    let missing = wait(limit, waits, async || lacks(remote).await);
    api_not_ready(missing.await, node, limit)
}

/// Waits until these nodes are Ready, each in this boot of its machine: for some 40 s after its last word a node that is gone is
/// still called Ready. `waits` hears which are not, whenever that changes.
pub async fn wait_nodes(
    remote: &impl Remote,
    boots: &BTreeMap<Label, String>,
    limit: Duration,
    waits: Waits<'_>,
) -> Result<(), Error> {
    let missing = wait(limit, waits, async || match nodes(remote).await {
        Ok(nodes) => {
            let late = boots.iter().filter_map(|(name, boot)| {
                Some(format!(
                    "{name}: {}",
                    missing(&nodes, name, None, Some(boot))?
                ))
            });
            let late: Vec<_> = late.collect();
            (!late.is_empty()).then(|| late.join("; "))
        }
        Err(error) => Some(chain(&error)),
    });
    not_ready(missing.await, boots.keys(), limit)
}

/// Waits until the API server of the master at the other end serves, with this version.
pub async fn wait_api(
    remote: &impl Remote,
    node: &Label,
    version: &Version,
    limit: Duration,
    waits: Waits<'_>,
) -> Result<(), Error> {
    let missing = wait(limit, waits, async || match api_version(remote).await {
        Ok(runs) if runs != version.to_string() => Some(format!("it runs {runs}, not {version}")),
        Ok(_) => lacks(remote).await,
        Err(error) => Some(chain(&error)),
    });
    api_not_ready(missing.await, node, limit)
}

/// What a wait for an API server has ended with.
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

/// What a wait for nodes has ended with.
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

/// Why the API server of the master at the other end does not serve; none: it does.
pub(super) async fn lacks(remote: &impl Remote) -> Option<String> {
    match api_health(remote).await {
        Ok(Health::Well) => None,
        Ok(Health::Ill(why)) => Some(why),
        Err(error) => Some(chain(&error)),
    }
}

/// Waits until a node is Ready; with this version, and in this boot of its machine, if they are given: for some 40 s after
/// its last word a node that is gone is still called Ready.
pub async fn wait_ready(
    remote: &impl Remote,
    node: &Label,
    version: Option<&Version>,
    boot: Option<&str>,
    limit: Duration,
    waits: Waits<'_>,
) -> Result<(), Error> {
    let missing = wait(limit, waits, async || match nodes(remote).await {
        Ok(nodes) => missing(&nodes, node, version, boot),
        Err(error) => Some(chain(&error)),
    });
    not_ready(missing.await, [node], limit)
}

/// What a node lacks to be Ready, with this version and in this boot of its machine, as far as they are given.
fn missing(
    nodes: &[NodeState],
    name: &Label,
    version: Option<&Version>,
    boot: Option<&str>,
) -> Option<String> {
    let Some(state) = nodes.iter().find(|state| state.name == name.as_str()) else {
        return Some("it has not joined".to_owned());
    };
    match (&state.health, version) {
        (Health::Ill(why), _) => Some(why.clone()),
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
        let of =
            |states: &[NodeState]| missing(states, &name, None, Some("now")).unwrap_or_default();
        assert_eq!(of(&[]), "it has not joined");
        assert_eq!(of(&[state(Health::Ill("late".to_owned()), "now")]), "late");
        assert!(of(&[state(Health::Well, "before")]).contains("since the machine started"));
        assert_eq!(of(&[state(Health::Well, "now")]), "");
    }
}
