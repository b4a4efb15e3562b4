//! Whether the pods of a node could run on other nodes, by taints and tolerations. Pure.

use kubitect_config::value::Label;
use serde::Deserialize;

use super::nodes::NodeState;
use super::remote::Health;

/// A pod that draining its node would move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodState {
    /// As `namespace/name`.
    pub name: String,
    /// The taints that it tolerates.
    pub tolerations: Vec<Toleration>,
}

/// A toleration, with the fields of the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Toleration {
    /// The taint's key; empty matches any key.
    pub key: String,
    /// `Exists` or `Equal`; empty means `Equal`.
    pub operator: String,
    /// The taint's value, compared for `Equal`.
    pub value: String,
    /// The taint's effect; empty matches any effect.
    pub effect: String,
}

impl Toleration {
    fn tolerates(&self, key: &str, value: &str, effect: &str) -> bool {
        let effect = self.effect.is_empty() || self.effect == effect;
        let exists = self.operator == "Exists";
        let key = self.key == key || (self.key.is_empty() && exists);
        effect && key && (exists || self.value == value)
    }
}

/// Taints that say what a node's own state says: that it is cordoned, or not Ready. Kubernetes' controllers remove them some time
/// after that has ended (<https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>), so the state itself is asked.
const OF_STATE: [&str; 3] = [
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
];

/// Whether a node takes new pods with these tolerations: it is Ready, not cordoned, and they tolerate its taints. Node selectors,
/// affinities and free resources are not considered.
fn accepts(node: &NodeState, tolerations: &[Toleration]) -> bool {
    let is_tolerated = |taint: &String| {
        let (rest, effect) = taint.rsplit_once(':').unwrap_or((taint, ""));
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        let keeps_out = ["NoSchedule", "NoExecute"].contains(&effect) && !OF_STATE.contains(&key);
        !keeps_out || tolerations.iter().any(|t| t.tolerates(key, value, effect))
    };
    !node.cordoned && node.health == Health::Healthy && node.taints.iter().all(is_tolerated)
}

/// Why the pods of a node could not run on another node; `None` if they could. A node without pods is judged as if it had one pod
/// without tolerations.
pub fn why_unschedulable(node: &Label, nodes: &[NodeState], pods: &[PodState]) -> Option<String> {
    let others = || nodes.iter().filter(|other| other.name != node.as_str());
    let is_stuck = |tolerations: &[Toleration]| !others().any(|other| accepts(other, tolerations));
    if pods.is_empty() {
        return is_stuck(&[]).then(|| "no other node takes pods".to_owned());
    }
    let mut stuck = pods.iter().filter(|pod| is_stuck(&pod.tolerations));
    let first = stuck.next()?;
    let more = match stuck.count() {
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
            health: Health::Healthy,
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
        let toleration = |[key, operator, value, effect]: &[&str; 4]| Toleration {
            key: (*key).to_owned(),
            operator: (*operator).to_owned(),
            value: (*value).to_owned(),
            effect: (*effect).to_owned(),
        };
        PodState {
            name: name.to_owned(),
            tolerations: tolerations.iter().map(toleration).collect(),
        }
    }

    const MASTER: &str = "node-role.kubernetes.io/control-plane:NoSchedule";

    #[test]
    fn a_node_that_is_tainted_cordoned_or_ill_is_nowhere_to_go() {
        let name: Label = "w1".parse().unwrap();
        let w1 = || node("w1", &[]);
        let plain = [pod("default/a", &[])];
        let why = |others: Vec<NodeState>, pods: &[PodState]| {
            let nodes: Vec<_> = [vec![w1()], others].concat();
            why_unschedulable(&name, &nodes, pods)
        };
        assert!(why(vec![], &plain).is_some());
        assert!(why(vec![], &[]).is_some());
        assert!(why(vec![node("m1", &[MASTER])], &[]).is_some());
        assert_eq!(
            why(vec![node("m1", &[MASTER])], &plain).as_deref(),
            Some("no other node takes default/a")
        );
        let (mut cordoned, mut ill) = (node("w2", &[]), node("w3", &[]));
        cordoned.cordoned = true;
        ill.health = Health::Unhealthy("gone".to_owned());
        assert!(why(vec![cordoned, ill], &plain).is_some());
        // The taints of a cordoned node and of one that is not Ready stay a while after it is neither.
        let late = OF_STATE.map(|key| format!("{key}:NoSchedule"));
        let late = late.each_ref().map(String::as_str);
        assert_eq!(why(vec![node("w2", &late)], &plain), None);
        assert_eq!(why(vec![node("w2", &[])], &plain), None);
        assert_eq!(
            why(vec![node("w2", &["a=b:PreferNoSchedule"])], &plain),
            None
        );
    }

    #[test]
    fn a_pod_goes_where_it_bears_the_taints() {
        let name: Label = "w1".parse().unwrap();
        let why = |taints: &[&str], tolerations: &[[&str; 4]]| {
            let nodes = [node("w1", &[]), node("w2", taints)];
            why_unschedulable(&name, &nodes, &[pod("x/y", tolerations)]).is_none()
        };
        assert!(why(&[MASTER], &[["", "Exists", "", ""]]));
        let key = "node-role.kubernetes.io/control-plane";
        assert!(why(&[MASTER], &[[key, "Exists", "", "NoSchedule"]]));
        assert!(!why(&[MASTER], &[[key, "Exists", "", "NoExecute"]]));
        assert!(why(&[MASTER], &[[key, "", "", ""]]));
        assert!(why(&["only=db:NoSchedule"], &[["only", "Equal", "db", ""]]));
        assert!(!why(&["only=db:NoSchedule"], &[["only", "", "web", ""]]));
        let two = ["only=db:NoSchedule", "gpu:NoExecute"];
        assert!(!why(&two, &[["only", "", "db", ""]]));
        assert!(why(
            &two,
            &[["only", "", "db", ""], ["gpu", "Exists", "", ""]]
        ));
        // Two of the three pods fit nowhere else.
        let nodes = [node("w1", &[]), node("m1", &[MASTER])];
        let pods = [
            pod("kube-system/dns", &[[key, "Exists", "", ""]]),
            pod("a/b", &[]),
            pod("a/c", &[]),
        ];
        assert_eq!(
            why_unschedulable(&name, &nodes, &pods).as_deref(),
            Some("no other node takes a/b and 1 more")
        );
    }
}
