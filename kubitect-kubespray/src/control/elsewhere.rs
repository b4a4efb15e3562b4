//! Whether the pods of a node that is to be drained have somewhere to go. Pure.

use kubitect_config::value::Label;
use serde::Deserialize;

use super::nodes::NodeState;
use super::remote::Health;

/// A pod that draining its node would move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodState {
    /// As `namespace/name`.
    pub name: String,
    /// The taints that it bears.
    pub tolerations: Vec<Toleration>,
}

/// A toleration, as the API has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Toleration {
    /// The taint's key; empty: any.
    pub key: String,
    /// `Exists`, or `Equal` (or nothing).
    pub operator: String,
    /// The taint's value, for `Equal`.
    pub value: String,
    /// The taint's effect; empty: any.
    pub effect: String,
}

impl Toleration {
    fn bears(&self, key: &str, value: &str, effect: &str) -> bool {
        let effect = self.effect.is_empty() || self.effect == effect;
        let exists = self.operator == "Exists";
        let key = self.key == key || (self.key.is_empty() && exists);
        effect && key && (exists || self.value == value)
    }
}

/// Whether a node takes new pods with these tolerations, as far as its state and its taints say. Selectors, affinities and
/// the room on a node are not looked at.
fn takes(node: &NodeState, tolerations: &[Toleration]) -> bool {
    let borne = |taint: &String| {
        let (rest, effect) = taint.rsplit_once(':').unwrap_or((taint, ""));
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        let keeps_out = ["NoSchedule", "NoExecute"].contains(&effect);
        !keeps_out || tolerations.iter().any(|t| t.bears(key, value, effect))
    };
    !node.cordoned && node.health == Health::Well && node.taints.iter().all(borne)
}

/// Why the pods of a node could not go elsewhere; none if they can. A node without pods counts as one with a plain pod.
pub fn nowhere(node: &Label, nodes: &[NodeState], pods: &[PodState]) -> Option<String> {
    let others = || nodes.iter().filter(|other| other.name != node.as_str());
    let stays = |tolerations: &[Toleration]| !others().any(|other| takes(other, tolerations));
    if pods.is_empty() {
        return stays(&[]).then(|| "no other node takes pods".to_owned());
    }
    let mut stay = pods.iter().filter(|pod| stays(&pod.tolerations));
    let first = stay.next()?;
    let more = match stay.count() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    Some(format!("no other node takes {}{more}", first.name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn node(name: &str, taints: &[&str]) -> NodeState {
        NodeState {
            name: name.to_owned(),
            health: Health::Well,
            cordoned: false,
            version: String::new(),
            boot: String::new(),
            labels: BTreeMap::new(),
            taints: taints.iter().map(ToString::to_string).collect(),
            cpu: String::new(),
            memory: String::new(),
        }
    }

    fn pod(name: &str, tolerations: &[[&str; 4]]) -> PodState {
        let one = |[key, operator, value, effect]: &[&str; 4]| Toleration {
            key: (*key).to_owned(),
            operator: (*operator).to_owned(),
            value: (*value).to_owned(),
            effect: (*effect).to_owned(),
        };
        PodState {
            name: name.to_owned(),
            tolerations: tolerations.iter().map(one).collect(),
        }
    }

    const MASTER: &str = "node-role.kubernetes.io/control-plane:NoSchedule";

    #[test]
    fn a_node_that_is_tainted_cordoned_or_ill_is_nowhere_to_go() {
        let name: Label = "w1".parse().unwrap();
        let w1 = || node("w1", &[]);
        let plain = [pod("default/a", &[])];
        let at = |others: Vec<NodeState>, pods: &[PodState]| {
            let nodes: Vec<_> = [vec![w1()], others].concat();
            nowhere(&name, &nodes, pods)
        };
        assert!(at(vec![], &plain).is_some());
        assert!(at(vec![], &[]).is_some());
        assert!(at(vec![node("m1", &[MASTER])], &[]).is_some());
        assert_eq!(
            at(vec![node("m1", &[MASTER])], &plain).as_deref(),
            Some("no other node takes default/a")
        );
        let (mut cordoned, mut ill) = (node("w2", &[]), node("w3", &[]));
        cordoned.cordoned = true;
        ill.health = Health::Ill("gone".to_owned());
        assert!(at(vec![cordoned, ill], &plain).is_some());
        assert_eq!(at(vec![node("w2", &[])], &plain), None);
        assert_eq!(
            at(vec![node("w2", &["a=b:PreferNoSchedule"])], &plain),
            None
        );
    }

    #[test]
    fn a_pod_goes_where_it_bears_the_taints() {
        let name: Label = "w1".parse().unwrap();
        let at = |taints: &[&str], tolerations: &[[&str; 4]]| {
            let nodes = [node("w1", &[]), node("w2", taints)];
            nowhere(&name, &nodes, &[pod("x/y", tolerations)]).is_none()
        };
        assert!(at(&[MASTER], &[["", "Exists", "", ""]]));
        let key = "node-role.kubernetes.io/control-plane";
        assert!(at(&[MASTER], &[[key, "Exists", "", "NoSchedule"]]));
        assert!(!at(&[MASTER], &[[key, "Exists", "", "NoExecute"]]));
        assert!(at(&[MASTER], &[[key, "", "", ""]]));
        assert!(at(&["only=db:NoSchedule"], &[["only", "Equal", "db", ""]]));
        assert!(!at(&["only=db:NoSchedule"], &[["only", "", "web", ""]]));
        let two = ["only=db:NoSchedule", "gpu:NoExecute"];
        assert!(!at(&two, &[["only", "", "db", ""]]));
        assert!(at(
            &two,
            &[["only", "", "db", ""], ["gpu", "Exists", "", ""]]
        ));
        // One of two stays: then both do.
        let nodes = [node("w1", &[]), node("m1", &[MASTER])];
        let pods = [
            pod("kube-system/dns", &[[key, "Exists", "", ""]]),
            pod("a/b", &[]),
            pod("a/c", &[]),
        ];
        assert_eq!(
            nowhere(&name, &nodes, &pods).as_deref(),
            Some("no other node takes a/b and 1 more")
        );
    }
}
