//! The steps of a plan's phases, a row each.

use kubitect_config::row::Row;
use kubitect_kubespray::living::rows::{self, RowContext};

use crate::phase::{Make, Phase};

/// What a phase does, a row for each thing.
pub(super) fn phase_rows(phase: &Phase, context: &mut RowContext<'_>) -> Vec<Row> {
    let (cluster, host) = (context.cluster, context.host);
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
        // No row of its own: the row of the machine that is removed stands for it.
        Phase::GiveUpAddress(_) => Vec::new(),
        Phase::Balance { balancers, .. } => balancers
            .iter()
            .map(|(name, serves)| {
                kubitect_lb::row(cluster, context.applied, name, *serves, host(name))
            })
            .collect(),
        Phase::Kubernetes(task) => task.rows(context),
    }
}
