//! What is wanted of Kubernetes → the playbooks that do it, and their arguments.

use kubitect_config::release::Release;
use kubitect_config::value::Label;
use serde_json::{Map, Value, json};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A whole cluster; also what sets up masters that are new at the end of the inventory.
    Create,
    /// Workers that are new in the inventory.
    AddWorkers(Vec<Label>),
    /// Nodes that are still in the inventory.
    Remove {
        /// Their names.
        nodes: Vec<Label>,
        /// Whether they answer, and so can be drained and cleaned.
        reachable: bool,
    },
    /// The inventory's Kubernetes version, on these nodes or, if there are none, on all.
    Upgrade(Vec<Label>),
}

/// One playbook and what it is run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Relative to the release's root.
    pub playbook: String,
    /// The hosts that it is limited to; empty: none are left out.
    pub limit: Vec<String>,
    /// Extra variables. As JSON, because text is not a boolean to Kubespray's assertions.
    pub variables: Map<String, Value>,
}

impl Run {
    fn new(playbook: &str) -> Self {
        Self {
            playbook: playbook.to_owned(),
            limit: Vec::new(),
            variables: Map::new(),
        }
    }

    fn limited_to(mut self, nodes: &[Label]) -> Self {
        self.limit = nodes.iter().map(ToString::to_string).collect();
        self
    }

    /// The arguments of `ansible-playbook`, the inventory aside.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        if !self.limit.is_empty() {
            arguments.push(format!("--limit={}", self.limit.join(",")));
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
pub fn runs(goal: &Goal, release: &Release) -> Vec<Run> {
    // Plays that leave hosts out still need facts of all.
    let facts = || Run::new(&release.facts_playbook);
    match goal {
        Goal::Create => vec![Run::new("cluster.yml")],
        Goal::AddWorkers(nodes) if nodes.is_empty() => Vec::new(),
        Goal::AddWorkers(nodes) => vec![facts(), Run::new("scale.yml").limited_to(nodes)],
        // Without `node`, releases before v2.28 drain and reset every worker.
        Goal::Remove { nodes, .. } if nodes.is_empty() => Vec::new(),
        Goal::Remove { nodes, reachable } => {
            let mut run = Run::new("remove-node.yml");
            let names: Vec<_> = nodes.iter().map(Label::as_str).collect();
            run.variables
                .insert("node".to_owned(), json!(names.join(",")));
            run.variables
                .insert("skip_confirmation".to_owned(), json!(true));
            if !reachable {
                run.variables.insert("reset_nodes".to_owned(), json!(false));
                run.variables
                    .insert("allow_ungraceful_removal".to_owned(), json!(true));
            }
            vec![run]
        }
        Goal::Upgrade(nodes) if nodes.is_empty() => vec![Run::new("upgrade-cluster.yml")],
        Goal::Upgrade(nodes) => vec![facts(), Run::new("upgrade-cluster.yml").limited_to(nodes)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_config::release;

    fn lines(goal: Goal, tag: &str) -> Vec<String> {
        let release = release::find(&tag.parse().unwrap()).unwrap();
        runs(&goal, release)
            .iter()
            .map(|run| run.arguments().join(" "))
            .collect()
    }

    fn names(names: &[&str]) -> Vec<Label> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn creating_runs_the_whole_playbook() {
        assert_eq!(lines(Goal::Create, "v2.19.0"), ["cluster.yml"]);
    }

    #[test]
    fn workers_are_added_with_facts_of_all_and_plays_on_them() {
        let goal = || Goal::AddWorkers(names(&["c-worker-4", "c-worker-5"]));
        assert_eq!(
            lines(goal(), "v2.21.0"),
            ["facts.yml", "--limit=c-worker-4,c-worker-5 scale.yml"]
        );
        assert_eq!(
            lines(goal(), "v2.31.0"),
            [
                "playbooks/facts.yml",
                "--limit=c-worker-4,c-worker-5 scale.yml"
            ]
        );
    }

    #[test]
    fn removing_always_names_the_nodes() {
        let goal = |reachable| Goal::Remove {
            nodes: names(&["c-worker-1", "c-worker-2"]),
            reachable,
        };
        assert_eq!(
            lines(goal(true), "v2.19.0"),
            [
                r#"--extra-vars={"node":"c-worker-1,c-worker-2","skip_confirmation":true} remove-node.yml"#
            ]
        );
        assert_eq!(
            lines(goal(false), "v2.31.0"),
            [
                r#"--extra-vars={"node":"c-worker-1,c-worker-2","skip_confirmation":true,"reset_nodes":false,"allow_ungraceful_removal":true} remove-node.yml"#
            ]
        );
    }

    #[test]
    fn no_goal_without_nodes_touches_all_of_them() {
        let none = Goal::Remove {
            nodes: Vec::new(),
            reachable: true,
        };
        assert!(lines(none, "v2.19.0").is_empty());
        assert!(lines(Goal::AddWorkers(Vec::new()), "v2.19.0").is_empty());
    }
}
