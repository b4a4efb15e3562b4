//! What a drain of a node would meet: pods that a disruption budget keeps there, and what it ends for good.

use std::collections::BTreeMap;

use kubitect_config::remote::Remote;
use kubitect_config::text;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use serde::Deserialize;

use super::elsewhere::nowhere;
use super::nodes::{Item, List, NodeState, kubectl};
use super::pods::{pod_items, pod_state};
use super::remote::json;
use crate::Error;

/// A node that is to be drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// Its name.
    pub node: Label,
    /// Whether its pods go, whether or not another node takes them.
    pub leaves: bool,
}

/// What draining a node would meet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Met {
    /// Pods that stay until their budgets let them go, each with the reason.
    pub kept: Vec<String>,
    /// Pods that no controller makes again.
    pub ended: Vec<String>,
    /// Pods whose emptyDir volumes are lost.
    pub emptied: Vec<String>,
}

#[derive(Deserialize)]
struct Budget {
    metadata: Named,
    #[serde(default)]
    spec: BudgetSpec,
    #[serde(default)]
    status: BudgetStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: String,
    namespace: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BudgetSpec {
    selector: Option<Selector>,
    unhealthy_pod_eviction_policy: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BudgetStatus {
    disruptions_allowed: i64,
    current_healthy: i64,
    desired_healthy: i64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Selector {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<Expression>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Expression {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl Selector {
    fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let mut same = self.match_labels.iter();
        let mut also = self.match_expressions.iter();
        same.all(|(key, value)| labels.get(key) == Some(value)) && also.all(|it| it.holds(labels))
    }
}

impl Expression {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let is_listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            // One that is newer than this program: the pod counts as selected, and is told of.
            _ => true,
        }
    }
}

impl Budget {
    fn name(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    fn covers(&self, pod: &Item) -> bool {
        let selector = self.spec.selector.as_ref();
        self.metadata.namespace == pod.metadata.namespace
            && selector.is_some_and(|it| it.selects(&pod.metadata.labels))
    }

    /// Why it keeps a pod now; none: it lets it go.
    fn keeps(&self, pod: &Item) -> Option<String> {
        let BudgetStatus {
            disruptions_allowed,
            current_healthy,
            desired_healthy,
        } = self.status;
        let has_enough = desired_healthy > 0 && current_healthy >= desired_healthy;
        let may_go_ill = self.spec.unhealthy_pod_eviction_policy == "AlwaysAllow" || has_enough;
        if disruptions_allowed > 0 || (!pod.is_ready() && may_go_ill) {
            return None;
        }
        Some(format!(
            "budget {}: {current_healthy} healthy, {desired_healthy} have to be",
            self.name()
        ))
    }
}

/// Asks, through one master, what the drains of these nodes would meet; in their order.
pub async fn foresee(remote: &impl Remote, nodes: &[Drained]) -> Result<Vec<Met>, Error> {
    let (states, budgets) = tokio::join!(super::nodes::nodes(remote), budgets(remote));
    let (states, budgets) = (states?, budgets?);
    let pods = side_by_side(nodes.iter().map(|own| pod_items(remote, &own.node))).await;
    let met = nodes.iter().zip(pods);
    met.map(|(own, pods)| Ok(meets(own, &states, &pods?, &budgets)))
        .collect()
}

async fn budgets(remote: &impl Remote) -> Result<Vec<Budget>, Error> {
    let what = "ask for the disruption budgets";
    let arguments = [
        "get",
        "poddisruptionbudgets",
        "--all-namespaces",
        "--output=json",
    ];
    let output = kubectl(remote, what, &arguments).await?;
    let list: List<Budget> = json(what, &output.stdout)?;
    Ok(list.items)
}

/// What the drain of a node with these pods meets.
fn meets(own: &Drained, states: &[NodeState], pods: &[Item], budgets: &[Budget]) -> Met {
    let known: Vec<_> = pods.iter().map(pod_state).collect();
    if !own.leaves && nowhere(&own.node, states, &known).is_some() {
        return Met::default();
    }
    let name = |pod: &Item| pod_state(pod).name;
    // What has not begun, or ends already, no budget keeps.
    let runs = |pod: &&Item| pod.status.phase != "Pending" && !pod.metadata.is_ending();
    let kept = pods.iter().filter(runs).filter_map(|pod| {
        let covering: Vec<_> = budgets.iter().filter(|budget| budget.covers(pod)).collect();
        let why = match &covering[..] {
            [] => None,
            [budget] => budget.keeps(pod),
            several => Some(format!(
                "{} budgets, and no pod with more than one can be evicted",
                several.len()
            )),
        }?;
        Some(text::line(&format!("{} ({why})", name(pod))))
    });
    let ended = pods.iter().filter(|pod| !pod.metadata.is_controlled());
    let emptied = pods.iter().filter(|pod| pod.spec.has_empty_dir());
    Met {
        kept: kept.collect(),
        ended: ended.map(name).collect(),
        emptied: emptied.map(name).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_value, json};

    fn budget(selector: Value, allowed: i64, [current, desired]: [i64; 2], policy: &str) -> Budget {
        let value = json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"selector": selector, "unhealthyPodEvictionPolicy": policy},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": current, "desiredHealthy": desired},
        });
        from_value(value).unwrap()
    }

    fn pod(name: &str, more: Value) -> Item {
        let mut value = json!({
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": "web", "tier": "front"},
                "ownerReferences": [{"kind": "ReplicaSet", "controller": true}]},
            "spec": {},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        for (part, fields) in more.as_object().unwrap() {
            for (key, field) in fields.as_object().unwrap() {
                value[part][key] = field.clone();
            }
        }
        from_value(value).unwrap()
    }

    fn met(pods: &[Item], budgets: &[Budget]) -> Met {
        let own = Drained {
            node: "w1".parse().unwrap(),
            leaves: true,
        };
        meets(&own, &[], pods, budgets)
    }

    #[test]
    fn a_budget_that_lets_no_pod_go_keeps_those_that_it_selects() {
        let web = || [pod("a", json!({}))];
        let app = || json!({"matchLabels": {"app": "web"}});
        let kept = |selector: Value, allowed| {
            let budget = budget(selector, allowed, [1, 1], "");
            met(&web(), &[budget]).kept
        };
        assert_eq!(
            kept(app(), 0),
            ["shop/a (budget shop/web: 1 healthy, 1 have to be)"]
        );
        assert_eq!(kept(app(), 1), [""; 0]);
        assert_eq!(kept(json!({"matchLabels": {"app": "db"}}), 0), [""; 0]);
        // One without a selector selects nothing, an empty one everything.
        assert_eq!(kept(Value::Null, 0), [""; 0]);
        assert_eq!(kept(json!({}), 0).len(), 1);
        for (operator, values, count) in [
            ("In", json!(["web", "x"]), 1),
            ("In", json!(["x"]), 0),
            ("NotIn", json!(["x"]), 1),
            ("NotIn", json!(["web"]), 0),
            ("Exists", json!([]), 1),
            ("DoesNotExist", json!([]), 0),
            ("Newer", json!([]), 1),
        ] {
            let own = json!({"key": "app", "operator": operator, "values": values});
            let selector = json!({"matchExpressions": [own]});
            assert_eq!(kept(selector, 0).len(), count, "{operator}");
        }
        let elsewhere = pod("a", json!({"metadata": {"namespace": "other"}}));
        let all = budget(json!({}), 0, [1, 1], "");
        assert_eq!(met(&[elsewhere], &[all]).kept, [""; 0]);
        let two = [budget(app(), 5, [9, 1], ""), budget(app(), 5, [9, 1], "")];
        assert!(met(&web(), &two).kept[0].contains("2 budgets"));
    }

    #[test]
    fn pods_that_are_not_well_go_where_the_budget_says_so() {
        let ill = |phase: &str| {
            let conditions = json!([{"type": "Ready", "status": "False"}]);
            [pod(
                "a",
                json!({"status": {"phase": phase, "conditions": conditions}}),
            )]
        };
        let kept = |pods: &[Item], healthy, policy| {
            let budget = budget(json!({}), 0, healthy, policy);
            met(pods, &[budget]).kept.len()
        };
        assert_eq!(kept(&ill("Running"), [0, 1], ""), 1);
        assert_eq!(kept(&ill("Running"), [1, 1], ""), 0);
        assert_eq!(kept(&ill("Running"), [0, 1], "AlwaysAllow"), 0);
        assert_eq!(kept(&ill("Pending"), [0, 1], ""), 0);
        let ending = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(kept(&[pod("a", ending)], [1, 1], ""), 0);
    }

    #[test]
    fn what_ends_for_good_is_named() {
        let bare = pod(
            "bare\u{1b}[2J",
            json!({"metadata": {"ownerReferences": []}}),
        );
        let owned =
            json!({"metadata": {"ownerReferences": [{"kind": "Node", "controller": false}]}});
        let scratch = json!({"spec": {"volumes": [{"name": "x", "emptyDir": {}}, {"name": "y"}]}});
        let pods = [bare, pod("owned", owned), pod("scratch", scratch)];
        let met = met(&pods, &[]);
        assert_eq!(met.ended, ["shop/bare\\u{1b}[2J", "shop/owned"]);
        assert_eq!(met.emptied, ["shop/scratch"]);
        assert_eq!(met.kept, [""; 0]);
        // Where no other node takes them, they stay.
        let own = Drained {
            node: "w1".parse().unwrap(),
            leaves: false,
        };
        assert_eq!(meets(&own, &[], &pods, &[]), Met::default());
    }
}
