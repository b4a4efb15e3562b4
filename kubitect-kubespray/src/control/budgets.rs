//! Forecast of a drain: which pods a PodDisruptionBudget keeps on the node, and which pods or data the drain deletes for good.

use std::collections::BTreeMap;

use kubitect_config::remote::Remote;
use kubitect_config::text;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use serde::Deserialize;

use super::nodes::{Item, List, NodeState, kubectl};
use super::pods::{pod_items, pod_state};
use super::remote::parse_json;
use super::scheduling::why_unschedulable;
use crate::Error;

/// A node that will be drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// Its name.
    pub node: Label,
    /// Whether the node leaves Kubernetes: its pods are then evicted even if no other node takes them.
    pub leaves: bool,
}

/// What draining a node would do to its pods, each as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DrainForecast {
    /// Pods that a disruption budget does not let be evicted now, each with the reason.
    pub blocked: Vec<String>,
    /// Pods without a controller: the drain deletes them, and nothing creates them again.
    pub unmanaged: Vec<String>,
    /// Pods with emptyDir volumes, whose data the drain deletes.
    pub with_empty_dir: Vec<String>,
}

#[derive(Deserialize)]
struct Budget {
    metadata: ObjectName,
    #[serde(default)]
    spec: BudgetSpec,
    #[serde(default)]
    status: BudgetStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ObjectName {
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
        same.all(|(key, value)| labels.get(key) == Some(value)) && also.all(|it| it.matches(labels))
    }
}

impl Expression {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let is_listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            // An operator newer than this program. The pod counts as selected, so that a block is reported rather than missed.
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

    /// Why the API server would refuse to evict the pod now; `None` if it would not. The same rule as in Kubernetes: a pod that
    /// is not Ready may be evicted if the policy is `AlwaysAllow`, or if enough pods of the budget are healthy without it.
    fn blocks(&self, pod: &Item) -> Option<String> {
        let BudgetStatus {
            disruptions_allowed,
            current_healthy,
            desired_healthy,
        } = self.status;
        let has_enough = desired_healthy > 0 && current_healthy >= desired_healthy;
        let evicts_unready = self.spec.unhealthy_pod_eviction_policy == "AlwaysAllow" || has_enough;
        if disruptions_allowed > 0 || (!pod.is_ready() && evicts_unready) {
            return None;
        }
        Some(format!(
            "budget {}: {current_healthy} healthy, {desired_healthy} have to be",
            self.name()
        ))
    }
}

/// The forecast of each drain, in the order of `drains`; asked through one master.
pub async fn forecast(remote: &impl Remote, drains: &[Drain]) -> Result<Vec<DrainForecast>, Error> {
    let (states, budgets) = tokio::join!(super::nodes::nodes(remote), budgets(remote));
    let (states, budgets) = (states?, budgets?);
    let pods = side_by_side(drains.iter().map(|drain| pod_items(remote, &drain.node))).await;
    let drains = drains.iter().zip(pods);
    drains
        .map(|(drain, pods)| Ok(forecast_drain(drain, &states, &pods?, &budgets)))
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
    let list: List<Budget> = parse_json(what, &output.stdout)?;
    Ok(list.items)
}

/// The forecast for a node with these pods. It is empty if the pods stay: a node that remains in Kubernetes is not drained while no
/// other node takes its pods.
fn forecast_drain(
    drain: &Drain,
    states: &[NodeState],
    pods: &[Item],
    budgets: &[Budget],
) -> DrainForecast {
    let states_of_pods: Vec<_> = pods.iter().map(pod_state).collect();
    if !drain.leaves && why_unschedulable(&drain.node, states, &states_of_pods).is_some() {
        return DrainForecast::default();
    }
    let name = |pod: &Item| pod_state(pod).name;
    // The API server evicts pods that are pending or already being deleted whatever their budgets say.
    let is_running = |pod: &&Item| pod.status.phase != "Pending" && !pod.metadata.is_ending();
    let blocked = pods.iter().filter(is_running).filter_map(|pod| {
        let covering: Vec<_> = budgets.iter().filter(|budget| budget.covers(pod)).collect();
        let why = match &covering[..] {
            [] => None,
            [budget] => budget.blocks(pod),
            several => Some(format!(
                "{} budgets, and no pod with more than one can be evicted",
                several.len()
            )),
        }?;
        Some(text::line(&format!("{} ({why})", name(pod))))
    });
    let unmanaged = pods.iter().filter(|pod| !pod.metadata.is_controlled());
    let with_empty_dir = pods.iter().filter(|pod| pod.spec.has_empty_dir());
    DrainForecast {
        blocked: blocked.collect(),
        unmanaged: unmanaged.map(name).collect(),
        with_empty_dir: with_empty_dir.map(name).collect(),
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

    fn met(pods: &[Item], budgets: &[Budget]) -> DrainForecast {
        let drain = Drain {
            node: "w1".parse().unwrap(),
            leaves: true,
        };
        forecast_drain(&drain, &[], pods, budgets)
    }

    #[test]
    fn a_budget_that_lets_no_pod_go_keeps_those_that_it_selects() {
        let web = || [pod("a", json!({}))];
        let app = || json!({"matchLabels": {"app": "web"}});
        let blocked = |selector: Value, allowed| {
            let budget = budget(selector, allowed, [1, 1], "");
            met(&web(), &[budget]).blocked
        };
        assert_eq!(
            blocked(app(), 0),
            ["shop/a (budget shop/web: 1 healthy, 1 have to be)"]
        );
        assert_eq!(blocked(app(), 1), [""; 0]);
        assert_eq!(blocked(json!({"matchLabels": {"app": "db"}}), 0), [""; 0]);
        // A budget without a selector selects no pod, one with an empty selector every pod.
        assert_eq!(blocked(Value::Null, 0), [""; 0]);
        assert_eq!(blocked(json!({}), 0).len(), 1);
        for (operator, values, count) in [
            ("In", json!(["web", "x"]), 1),
            ("In", json!(["x"]), 0),
            ("NotIn", json!(["x"]), 1),
            ("NotIn", json!(["web"]), 0),
            ("Exists", json!([]), 1),
            ("DoesNotExist", json!([]), 0),
            ("Newer", json!([]), 1),
        ] {
            let drain = json!({"key": "app", "operator": operator, "values": values});
            let selector = json!({"matchExpressions": [drain]});
            assert_eq!(blocked(selector, 0).len(), count, "{operator}");
        }
        let elsewhere = pod("a", json!({"metadata": {"namespace": "other"}}));
        let all = budget(json!({}), 0, [1, 1], "");
        assert_eq!(met(&[elsewhere], &[all]).blocked, [""; 0]);
        let two = [budget(app(), 5, [9, 1], ""), budget(app(), 5, [9, 1], "")];
        assert!(met(&web(), &two).blocked[0].contains("2 budgets"));
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
        let blocked = |pods: &[Item], healthy, policy| {
            let budget = budget(json!({}), 0, healthy, policy);
            met(pods, &[budget]).blocked.len()
        };
        assert_eq!(blocked(&ill("Running"), [0, 1], ""), 1);
        assert_eq!(blocked(&ill("Running"), [1, 1], ""), 0);
        assert_eq!(blocked(&ill("Running"), [0, 1], "AlwaysAllow"), 0);
        assert_eq!(blocked(&ill("Pending"), [0, 1], ""), 0);
        let ending = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        assert_eq!(blocked(&[pod("a", ending)], [1, 1], ""), 0);
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
        assert_eq!(met.unmanaged, ["shop/bare\\u{1b}[2J", "shop/owned"]);
        assert_eq!(met.with_empty_dir, ["shop/scratch"]);
        assert_eq!(met.blocked, [""; 0]);
        // No other node takes the pods, so the node is not drained.
        let drain = Drain {
            node: "w1".parse().unwrap(),
            leaves: false,
        };
        assert_eq!(
            forecast_drain(&drain, &[], &pods, &[]),
            DrainForecast::default()
        );
    }
}
