//! A cluster that was switched off comes back: its masters' API servers serve, and its nodes are Ready.

use std::collections::BTreeMap;
use std::time::Duration;

use kubitect_config::remote::Remote;
use kubitect_config::value::Label;
use kubitect_config::{chain, text};
use tokio::time::Instant;

use super::nodes::{NodeState, api_health, nodes};
use super::remote::{Health, PATIENCE, succeed};
use crate::Error;

/// Between two looks at what is awaited.
const LOOK: Duration = Duration::from_secs(2);

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
    waits: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), Error> {
    let missing = wait(limit, LOOK, waits, async || {
        match api_health(remote).await {
            Ok(Health::Well) => None,
            Ok(Health::Ill(why)) => Some(why),
            Err(error) => Some(chain(&error)),
        }
    });
    match missing.await {
        None => Ok(()),
        Some(missing) => Err(Error::ApiNotReady {
            node: node.to_string(),
            limit,
            missing,
        }),
    }
}

/// Waits until these nodes are Ready, each in this boot of its machine: for some 40 s after its last word a node that is gone is
/// still called Ready. `waits` hears which are not, whenever that changes.
pub async fn wait_nodes(
    remote: &impl Remote,
    boots: &BTreeMap<Label, String>,
    limit: Duration,
    waits: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), Error> {
    let missing = wait(limit, LOOK, waits, async || match nodes(remote).await {
        Ok(nodes) => {
            let late = boots.iter().filter_map(|(name, boot)| {
                Some(format!("{name}: {}", missing(&nodes, name, boot)?))
            });
            let late: Vec<_> = late.collect();
            (!late.is_empty()).then(|| late.join("; "))
        }
        Err(error) => Some(chain(&error)),
    });
    match missing.await {
        None => Ok(()),
        Some(missing) => Err(Error::NotReady {
            node: boots
                .keys()
                .map(Label::as_str)
                .collect::<Vec<_>>()
                .join(", "),
            limit,
            missing,
        }),
    }
}

/// What a node lacks to be Ready in this boot of its machine.
fn missing(nodes: &[NodeState], name: &Label, boot: &str) -> Option<String> {
    let Some(state) = nodes.iter().find(|state| state.name == name.as_str()) else {
        return Some("it has not joined".to_owned());
    };
    match &state.health {
        Health::Ill(why) => Some(why.clone()),
        Health::Well if state.boot != boot => {
            Some("its kubelet has not reported since the machine started".to_owned())
        }
        Health::Well => None,
    }
}

/// Looks until nothing is missing; what is missing still when the time is over.
async fn wait(
    limit: Duration,
    pause: Duration,
    waits: &(dyn Fn(&str) + Send + Sync),
    mut look: impl AsyncFnMut() -> Option<String>,
) -> Option<String> {
    let end = Instant::now() + limit;
    let mut said = String::new();
    loop {
        let missing = look().await?;
        if Instant::now() + pause >= end {
            return Some(missing);
        }
        if missing != said {
            waits(&missing);
            said = missing;
        }
        tokio::time::sleep(pause).await;
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
        let of = |states: &[NodeState]| missing(states, &name, "now").unwrap_or_default();
        assert_eq!(of(&[]), "it has not joined");
        assert_eq!(of(&[state(Health::Ill("late".to_owned()), "now")]), "late");
        assert!(of(&[state(Health::Well, "before")]).contains("since the machine started"));
        assert_eq!(of(&[state(Health::Well, "now")]), "");
    }

    #[tokio::test]
    async fn what_is_waited_for_is_said_once_and_its_end_is_in_time() {
        let said = std::sync::Mutex::new(Vec::new());
        let waits = |why: &str| said.lock().unwrap().push(why.to_owned());
        let mut looks = ["a", "a", "b"].into_iter();
        let (hour, milli) = (Duration::from_secs(3600), Duration::from_millis(1));
        let left = wait(hour, milli, &waits, async || {
            looks.next().map(str::to_owned)
        });
        assert_eq!(left.await, None);
        let left = wait(milli, hour, &waits, async || Some("c".to_owned()));
        assert_eq!(left.await.as_deref(), Some("c"));
        assert_eq!(*said.lock().unwrap(), ["a", "b"]);
    }
}
