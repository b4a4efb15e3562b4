//! [`forecast`]: what would stop the drains of a plan, and what they would delete, asked of Kubernetes before anything is done. A
//! drain that a disruption budget stops would stop every later run at the same pod.

use std::time::Duration;

use kubitect_config::remote::Machines;
use kubitect_config::value::Label;
use kubitect_config::waiting::first_success;
use kubitect_config::{Cluster, chain, text};

use super::rows;
use super::stage::{Stage, Task};
use crate::control::{self, Drain, DrainForecast};

/// How long all questions together may take.
const LIMIT: Duration = Duration::from_secs(20);

/// How many pods a message names.
const NAMED: usize = 3;

/// A warning about the drain of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The node.
    pub node: Label,
    /// What will happen.
    pub message: String,
    /// What the person can do about it.
    pub help: String,
}

/// The nodes that these tasks and restarts drain, each once.
pub fn vacated<'a>(
    cluster: &Cluster,
    tasks: impl IntoIterator<Item = &'a Task>,
    restarts: impl IntoIterator<Item = &'a Label>,
) -> Vec<Drain> {
    let mut all: Vec<Drain> = Vec::new();
    let mut add = |node: &Label, leaves: bool| {
        let moves = leaves || rows::pods_move(cluster, node.as_str());
        if moves && !all.iter().any(|drain| drain.node == *node) {
            let node = node.clone();
            all.push(Drain { node, leaves });
        }
    };
    for task in tasks {
        match &task.stage {
            Stage::Upgrade { node, .. } => add(node, false),
            // A node that does not answer is left out: its pods are not waited for.
            Stage::Leave {
                nodes,
                reachable: true,
            } => nodes.iter().for_each(|node| add(node, true)),
            _ => {}
        }
    }
    restarts.into_iter().for_each(|node| add(node, false));
    all
}

/// The warnings about the drains of these nodes, by the first of these masters that answers. If none answers, that is the one
/// warning.
pub async fn forecast(
    drained: &[Drain],
    masters: &[&Label],
    machines: &dyn Machines,
) -> Vec<Forecast> {
    let Some(first) = drained.first() else {
        return Vec::new();
    };
    let ask = |name| async move {
        let master = machines.connect(name).await.map_err(|e| chain(&*e))?;
        let forecasts = control::forecast(&master, drained).await;
        forecasts.map_err(|e| chain(&e))
    };
    let answer = first_success(masters.iter().copied().map(ask));
    let why = match tokio::time::timeout(LIMIT, answer).await {
        Ok(Ok(forecasts)) => {
            let drains = drained.iter().zip(forecasts);
            let all = drains.flat_map(|(drain, forecast)| warnings(&drain.node, &forecast));
            return all.collect();
        }
        Ok(Err(reasons)) => reasons.first().cloned().unwrap_or_default(),
        Err(_) => format!("no answer within {} s", LIMIT.as_secs()),
    };
    vec![Forecast {
        node: first.node.clone(),
        message: text::line(&format!(
            "no master says whether disruption budgets keep pods on nodes that are drained: {why}"
        )),
        help: "where one does, the run waits for its pods, and stops there when the time is over"
            .to_owned(),
    }]
}

/// The warnings about the drain of one node.
fn warnings(node: &Label, forecast: &DrainForecast) -> Vec<Forecast> {
    let DrainForecast {
        blocked,
        unmanaged,
        with_empty_dir,
    } = forecast;
    let warning = |pods: &[String], message: String, help: &str| {
        (!pods.is_empty()).then(|| Forecast {
            node: node.clone(),
            message,
            help: help.to_owned(),
        })
    };
    let blocked = warning(
        blocked,
        format!(
            "draining {node} stops at pods that a disruption budget keeps: {}",
            named(blocked)
        ),
        "the run waits for them, and stops there when the time is over: scale up what they belong to, or relax the budget, before you \
         apply",
    );
    let unmanaged = warning(
        unmanaged,
        format!(
            "draining {node} ends pods that no controller makes again: {}",
            named(unmanaged)
        ),
        "make them again yourself after it, elsewhere, or before it",
    );
    let with_empty_dir = warning(
        with_empty_dir,
        format!(
            "draining {node} deletes what is in the emptyDir volumes of {}",
            named(with_empty_dir)
        ),
        "save it before you apply, if it is needed",
    );
    [blocked, unmanaged, with_empty_dir]
        .into_iter()
        .flatten()
        .collect()
}

/// The names of the first pods, and how many more there are.
fn named(pods: &[String]) -> String {
    let (first, rest) = pods.split_at(pods.len().min(NAMED));
    let first = first.join(", ");
    match rest.len() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
