//! What is wanted of Kubernetes → the playbooks that do it, their arguments, and how the masters stand in the inventory.
//!
//! Positions matter to Kubespray more than it says. Up to v2.29 it takes as first control plane the one that the API names
//! first, which is by name, and up to v2.27 only the first of the inventory hands on the key with which others join; from
//! v2.30 on it takes the first of the inventory. Removing goes through the first of the inventory. So masters stand in
//! the order of their names, one that joins comes last, and those that leave come last: then all of it is one machine.

use kubitect_config::Cluster;
use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::Release;
use kubitect_config::value::Label;
use serde_json::{Map, Value, json};

/// What is wanted. On a living cluster, of one that runs: the configuration's Kubernetes version and Kubespray release are
/// those that the nodes have, or, of an upgrade, are to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A whole cluster.
    Create,
    /// Workers that are new in the inventory.
    AddWorkers(Vec<Label>),
    /// A master that is new in the inventory; every other there has joined, and every etcd member answers.
    AddMaster(Label),
    /// Every master is told of the members that etcd has now, one after another, and gets the certificates that another
    /// first master issues. Wanted once, after masters have joined or left and before a single node is upgraded.
    AfterMembers,
    /// Nodes are reset, and leave Kubernetes; they are still in the inventory. Masters have left etcd already (by
    /// [`crate::control::remove_member`], which removes exactly the one that is meant) and leave one by one.
    Remove {
        /// Their names.
        nodes: Vec<Label>,
        /// Whether they answer, and so can be drained and cleaned. Those that don't go first: cleaning asks all hosts.
        reachable: bool,
    },
    /// One node gets the inventory's Kubernetes version. The masters go first, in the order of [`masters`]; from v2.30 on each
    /// of them has to be Ready. A node that is cordoned is not drained, and stays cordoned.
    Upgrade(Label),
    /// Addons that the configuration switches on, or changes. Kubespray takes none away.
    Addons,
}

/// One playbook and what it is run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Relative to the release's root.
    pub playbook: String,
    /// The hosts and groups that it is limited to; empty: none are left out.
    pub limit: Vec<String>,
    /// The tags of the tasks that are run; empty: all.
    pub tags: Vec<String>,
    /// Extra variables. As JSON, because text is not a boolean to Kubespray's assertions.
    pub variables: Map<String, Value>,
}

/// Masters and etcd members, to which changes of the membership are limited.
const CONTROL_PLANE: [&str; 2] = ["etcd", "kube_control_plane"];

/// The tags of all that is installed into a running Kubernetes, and of the downloads that it needs.
const ADDONS: [&str; 4] = [
    "download",
    "apps",
    "ingress-controller",
    "external-provisioner",
];

/// How long to wait for pods of a machine that does not answer: they are never heard of again.
const DEAD_DRAIN: &str = "60s";

impl Run {
    fn new(playbook: &str) -> Self {
        Self {
            playbook: playbook.to_owned(),
            limit: Vec::new(),
            tags: Vec::new(),
            variables: Map::new(),
        }
    }

    fn limited_to<T: ToString>(mut self, hosts: &[T]) -> Self {
        self.limit = hosts.iter().map(ToString::to_string).collect();
        self
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.variables.insert(name.to_owned(), value);
        self
    }

    /// The arguments of `ansible-playbook`, the inventory aside.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if !self.limit.is_empty() {
            arguments.push(format!("--limit={}", self.limit.join(",")));
        }
        if !self.tags.is_empty() {
            arguments.push(format!("--tags={}", self.tags.join(",")));
        }
        if !self.variables.is_empty() {
            let variables = Value::Object(self.variables.clone());
            arguments.push(format!("--extra-vars={variables}"));
        }
        arguments.push(self.playbook.clone());
        arguments
    }
}

/// The playbooks that reach a goal, in order. A goal that names no node where it has to needs none.
pub fn runs(goal: &Goal, cluster: &Cluster, release: &Release) -> Vec<Run> {
    // Plays that leave hosts out still need facts of all.
    let facts = || Run::new(&release.facts_playbook);
    let mut runs = match goal {
        Goal::Create => vec![Run::new("cluster.yml")],
        Goal::AddWorkers(nodes) if nodes.is_empty() => Vec::new(),
        Goal::AddWorkers(nodes) => vec![facts(), Run::new("scale.yml").limited_to(nodes)],
        Goal::AddMaster(_) => vec![
            facts(),
            Run::new("cluster.yml")
                .limited_to(&CONTROL_PLANE)
                .with("etcd_retries", json!(10)),
        ],
        // One API server at a time, and no pod has to move for it.
        Goal::AfterMembers => vec![
            facts(),
            Run::new("upgrade-cluster.yml")
                .limited_to(&CONTROL_PLANE)
                .with("drain_nodes", json!(false)),
        ],
        // Without `node`, releases before v2.28 drain and reset every worker.
        Goal::Remove { nodes, .. } if nodes.is_empty() => Vec::new(),
        Goal::Remove { nodes, reachable } => {
            let names: Vec<_> = nodes.iter().map(Label::as_str).collect();
            let mut run = Run::new("remove-node.yml")
                .with("node", json!(names.join(",")))
                .with("skip_confirmation", json!(true));
            if !reachable {
                run = run
                    .with("reset_nodes", json!(false))
                    .with("allow_ungraceful_removal", json!(true))
                    .with("drain_timeout", json!(DEAD_DRAIN));
            }
            vec![run]
        }
        Goal::Upgrade(node) => vec![
            facts(),
            Run::new("upgrade-cluster.yml").limited_to(std::slice::from_ref(node)),
        ],
        Goal::Addons => {
            let mut run = Run::new("cluster.yml").limited_to(&CONTROL_PLANE[1..]);
            run.tags = ADDONS.map(str::to_owned).to_vec();
            vec![facts(), run]
        }
    };
    // Members come and go one at a time, so that there is an even number of them in between.
    if etcd(goal, cluster).len().is_multiple_of(2) {
        for run in &mut runs {
            run.variables
                .insert("ignore_assert_errors".to_owned(), json!(true));
        }
    }
    runs
}

/// The masters in the order in which they stand in the inventory, and in which they are upgraded.
pub fn masters<'a>(goal: &Goal, cluster: &'a Cluster) -> Vec<&'a Node> {
    let mut masters: Vec<_> = cluster.role(Role::Master).collect();
    masters.sort_by_key(|node| {
        let last = match goal {
            Goal::AddMaster(new) => node.name == *new,
            Goal::Remove { nodes, .. } => nodes.contains(&node.name),
            Goal::Create
            | Goal::AddWorkers(_)
            | Goal::AfterMembers
            | Goal::Upgrade(_)
            | Goal::Addons => false,
        };
        (last, node.name.clone())
    });
    masters
}

/// The masters in the inventory's group of etcd members.
pub(crate) fn etcd<'a>(goal: &Goal, cluster: &'a Cluster) -> Vec<&'a Node> {
    let mut members = masters(goal, cluster);
    if let Goal::Remove { nodes, .. } = goal {
        members.retain(|node| !nodes.contains(&node.name));
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_config::release;

    /// A cluster of so many masters, in the file in descending order.
    fn cluster(masters: usize) -> Cluster {
        // Written with an odd number; in between there is one less.
        let instances: String = (1..=masters | 1)
            .rev()
            .map(|id| format!("        - {{id: {id}}}\n"))
            .collect();
        let text = format!(
            "hosts:\n  - name: h\n    connection: {{type: local}}\n\
             cluster:\n  name: c\n  network: {{mode: nat, cidr: 192.168.113.0/24}}\n  \
             nodeTemplate: {{user: k8s, os: {{distro: ubuntu}}}}\n  \
             nodes:\n    loadBalancer: {{instances: [{{id: 1, ip: 192.168.113.9}}]}}\n    \
             master:\n      instances:\n{instances}    \
             worker: {{instances: [{{id: 1}}]}}\n\
             kubernetes: {{version: v1.23.7, networkPlugin: calico, kubespray: {{version: v2.19.0}}}}\n"
        );
        let parsed = kubitect_config::parse(&text, "c.yaml", &kubitect_config::Site::default());
        let mut cluster = match parsed {
            Ok(parsed) => parsed.cluster,
            Err(error) => panic!("{error}: {:?}", error.problems()),
        };
        let surplus = format!("c-master-{}", masters + 1);
        cluster.nodes.retain(|node| node.name.as_str() != surplus);
        assert_eq!(cluster.role(Role::Master).count(), masters);
        cluster
    }

    fn lines(goal: Goal, masters: usize, tag: &str) -> Vec<String> {
        let release = release::find(&tag.parse().unwrap()).unwrap();
        runs(&goal, &cluster(masters), release)
            .iter()
            .map(|run| run.arguments().join(" "))
            .collect()
    }

    fn names(names: &[&str]) -> Vec<Label> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn remove(nodes: &[&str], reachable: bool) -> Goal {
        Goal::Remove {
            nodes: names(nodes),
            reachable,
        }
    }

    #[test]
    fn creating_runs_the_whole_playbook() {
        assert_eq!(lines(Goal::Create, 3, "v2.19.0"), ["cluster.yml"]);
    }

    #[test]
    fn workers_are_added_with_facts_of_all_and_plays_on_them() {
        let goal = || Goal::AddWorkers(names(&["c-worker-4", "c-worker-5"]));
        assert_eq!(
            lines(goal(), 3, "v2.21.0"),
            ["facts.yml", "--limit=c-worker-4,c-worker-5 scale.yml"]
        );
        assert_eq!(
            lines(goal(), 3, "v2.31.0"),
            [
                "playbooks/facts.yml",
                "--limit=c-worker-4,c-worker-5 scale.yml"
            ]
        );
    }

    #[test]
    fn masters_join_one_by_one_and_an_even_number_in_between_is_no_error() {
        let goal = || Goal::AddMaster(names(&["c-master-4"]).remove(0));
        let limit = "--limit=etcd,kube_control_plane";
        let facts = "playbooks/facts.yml";
        let even = r#"--extra-vars={"ignore_assert_errors":true}"#;
        let evenly = r#"--extra-vars={"etcd_retries":10,"ignore_assert_errors":true}"#;
        assert_eq!(
            lines(goal(), 4, "v2.31.0"),
            [
                format!("{even} {facts}"),
                format!("{limit} {evenly} cluster.yml")
            ]
        );
        assert_eq!(
            lines(goal(), 5, "v2.31.0")[1],
            format!(r#"{limit} --extra-vars={{"etcd_retries":10}} cluster.yml"#)
        );
        assert_eq!(
            lines(Goal::AfterMembers, 5, "v2.31.0"),
            [
                facts.to_owned(),
                format!(r#"{limit} --extra-vars={{"drain_nodes":false}} upgrade-cluster.yml"#)
            ]
        );
    }

    #[test]
    fn removing_always_names_the_nodes() {
        let goal = |reachable| remove(&["c-worker-1", "c-worker-2"], reachable);
        assert_eq!(
            lines(goal(true), 3, "v2.19.0"),
            [
                r#"--extra-vars={"node":"c-worker-1,c-worker-2","skip_confirmation":true} remove-node.yml"#
            ]
        );
        assert_eq!(
            lines(goal(false), 3, "v2.31.0"),
            [
                r#"--extra-vars={"node":"c-worker-1,c-worker-2","skip_confirmation":true,"reset_nodes":false,"allow_ungraceful_removal":true,"drain_timeout":"60s"} remove-node.yml"#
            ]
        );
        assert_eq!(
            lines(remove(&["c-master-1"], true), 3, "v2.31.0"),
            [
                r#"--extra-vars={"node":"c-master-1","skip_confirmation":true,"ignore_assert_errors":true} remove-node.yml"#
            ]
        );
    }

    #[test]
    fn upgrades_are_limited_to_one_node_and_addons_to_their_tags() {
        assert_eq!(
            lines(
                Goal::Upgrade(names(&["c-worker-1"]).remove(0)),
                3,
                "v2.24.3"
            ),
            [
                "playbooks/facts.yml",
                "--limit=c-worker-1 upgrade-cluster.yml"
            ]
        );
        assert_eq!(
            lines(Goal::Addons, 3, "v2.19.0"),
            [
                "facts.yml",
                "--limit=kube_control_plane --tags=download,apps,ingress-controller,external-provisioner cluster.yml"
            ]
        );
    }

    #[test]
    fn no_goal_without_nodes_touches_all_of_them() {
        assert!(lines(remove(&[], true), 3, "v2.19.0").is_empty());
        assert!(lines(Goal::AddWorkers(Vec::new()), 3, "v2.19.0").is_empty());
    }

    #[test]
    fn masters_stand_by_name_a_new_one_and_leaving_ones_last() {
        let cluster = cluster(4);
        let order = |nodes: Vec<&Node>| {
            let ids: Vec<_> = nodes.iter().map(|node| node.id.as_str()).collect();
            ids.join(" ")
        };
        let new = Goal::AddMaster(names(&["c-master-1"]).remove(0));
        let leaving = remove(&["c-master-1"], true);
        assert_eq!(order(masters(&Goal::Create, &cluster)), "1 2 3 4");
        assert_eq!(order(masters(&new, &cluster)), "2 3 4 1");
        assert_eq!(order(masters(&leaving, &cluster)), "2 3 4 1");
        assert_eq!(order(etcd(&new, &cluster)), "2 3 4 1");
        // It has left etcd already.
        assert_eq!(order(etcd(&leaving, &cluster)), "2 3 4");
    }
}
