//! What the drains of a plan would meet is asked before anything is done: a run that stops half-way at a pod that a disruption
//! budget keeps would stop there at each try.

use std::time::Duration;

use kubitect_config::remote::Machines;
use kubitect_config::value::Label;
use kubitect_config::waiting::first_success;
use kubitect_config::{Cluster, chain, text};

use super::rows;
use super::stage::{Stage, Task};
use crate::control::{self, Drained, Met};

/// How long asking may take in all.
const LIMIT: Duration = Duration::from_secs(20);

/// How many pods are named.
const NAMED: usize = 3;

/// What a person should know of a node before it is drained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// The node.
    pub node: Label,
    /// What is to be expected.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// The nodes that these tasks and restarts of nodes drain, each once.
pub fn vacated<'a>(
    cluster: &Cluster,
    tasks: impl IntoIterator<Item = &'a Task>,
    restarts: impl IntoIterator<Item = &'a Label>,
) -> Vec<Drained> {
    let mut all: Vec<Drained> = Vec::new();
    let mut add = |node: &Label, leaves: bool| {
        let moves = leaves || rows::pods_move(cluster, node.as_str());
        if moves && !all.iter().any(|own| own.node == *node) {
            let node = node.clone();
            all.push(Drained { node, leaves });
        }
    };
    for task in tasks {
        match &task.stage {
            Stage::Upgrade { node, .. } => add(node, false),
            // Of one whose kubelet does not answer, nobody waits for pods.
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

/// Asks the first of these masters that answers what the drains of these nodes would meet. That none can be asked is said, too.
pub async fn foresee(
    drained: &[Drained],
    masters: &[&Label],
    machines: &dyn Machines,
) -> Vec<Foreseen> {
    let Some(first) = drained.first() else {
        return Vec::new();
    };
    let ask = |name| async move {
        let master = machines.connect(name).await.map_err(|e| chain(&*e))?;
        let met = control::foresee(&master, drained).await;
        met.map_err(|e| chain(&e))
    };
    let answer = first_success(masters.iter().copied().map(ask));
    let why = match tokio::time::timeout(LIMIT, answer).await {
        Ok(Ok(met)) => {
            let met = drained.iter().zip(met);
            return met.flat_map(|(own, met)| said(&own.node, &met)).collect();
        }
        Ok(Err(reasons)) => reasons.first().cloned().unwrap_or_default(),
        Err(_) => format!("no answer within {} s", LIMIT.as_secs()),
    };
    vec![Foreseen {
        node: first.node.clone(),
        message: text::line(&format!(
            "no master says whether disruption budgets keep pods on nodes that are drained: {why}"
        )),
        help: "where one does, the run waits for its pods, and stops there when the time is over"
            .to_owned(),
    }]
}

/// What is to be said of a node with this before it.
fn said(node: &Label, met: &Met) -> Vec<Foreseen> {
    let Met {
        kept,
        ended,
        emptied,
    } = met;
    let of = |pods: &[String], message: String, help: &str| {
        (!pods.is_empty()).then(|| Foreseen {
            node: node.clone(),
            message,
            help: help.to_owned(),
        })
    };
    let kept = of(
        kept,
        format!(
            "draining {node} stops at pods that a disruption budget keeps: {}",
            named(kept)
        ),
        "the run waits for them, and stops there when the time is over: scale up what they belong to, or relax the budget, before you \
         apply",
    );
    let ended = of(
        ended,
        format!(
            "draining {node} ends pods that no controller makes again: {}",
            named(ended)
        ),
        "make them again yourself after it, elsewhere, or before it",
    );
    let emptied = of(
        emptied,
        format!(
            "draining {node} deletes what is in the emptyDir volumes of {}",
            named(emptied)
        ),
        "save it before you apply, if it is needed",
    );
    [kept, ended, emptied].into_iter().flatten().collect()
}

/// The first of them, and how many more there are.
fn named(pods: &[String]) -> String {
    let (first, rest) = pods.split_at(pods.len().min(NAMED));
    let first = first.join(", ");
    match rest.len() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
