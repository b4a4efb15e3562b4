//! The steps of a plan's phases, a row each.

use kubitect_config::row::Row;
use kubitect_kubespray::living::rows::{self, Given};

use crate::phase::{Make, Phase};

/// What a phase does, a row for each thing.
pub(super) fn phase_rows(phase: &Phase, given: &mut Given<'_>) -> Vec<Row> {
    let (cluster, host) = (given.cluster, given.host);
    match phase {
        Phase::Make(Make { changes, .. }) | Phase::Remove(changes) => {
            changes.iter().map(Row::from).collect()
        }
        Phase::Use { change, .. } => vec![Row::from(change)],
        Phase::Restart {
            change,
            has_kubelet,
            ..
        } => vec![rows::restart(Row::from(change), *has_kubelet, cluster)],
        Phase::RestartBalancers(balancers) => {
            let changes = balancers.iter().map(|own| &own.change);
            changes
                .map(|change| rows::restart(Row::from(change), false, cluster))
                .collect()
        }
        // Its row is the one of the machine that goes.
        Phase::GiveUpAddress(_) => Vec::new(),
        Phase::Balance { balancers, .. } => balancers
            .iter()
            .map(|(name, serves)| {
                kubitect_lb::row(cluster, given.applied, name, *serves, host(name))
            })
            .collect(),
        Phase::Kubernetes(task) => task.rows(given),
    }
}
