//! [`remark`]: when an edit takes effect that no step of a plan shows.

use super::{Disturbs, Policy, policy};
use crate::edit::{Change, Edit};

/// The edit and when it takes effect, on one line; none if the edit is refused, or if a step of the plan shows it.
pub fn remark(edit: &Edit) -> Option<String> {
    let why = match (policy(edit), &edit.change) {
        (Policy::Refused { .. }, _) => return None,
        (
            Policy::InPlace(
                disturbs
                @ (Disturbs::NewMachinesOnly | Disturbs::NextUpgrade | Disturbs::Leftovers),
            ),
            _,
        ) => disturbs.to_string(),
        (_, Change::KubespraySource) => "counts for Kubespray's next run".to_owned(),
        (
            _,
            Change::HostAdded { .. }
            | Change::HostRemoved { .. }
            | Change::HostConnection { .. }
            | Change::MainPoolPath { .. }
            | Change::DataPoolAdded { .. }
            | Change::DataPoolRemoved { .. }
            | Change::DataPoolPath { .. },
        ) => "nothing that exists is changed by it".to_owned(),
        _ => return None,
    };
    Some(format!("{edit}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::edits;
    use crate::{Cluster, Site};

    fn cluster(change: impl Fn(String) -> String) -> Cluster {
        let text = include_str!("../../../tests/tests/cli/cluster.yaml").replace("[DIR]", "/x");
        crate::parse(&change(text), "x", &Site::default())
            .unwrap()
            .cluster
    }

    #[test]
    fn edits_that_no_step_shows_are_named_with_when_they_count() {
        let addons =
            |addons: &str| cluster(|text| format!("{text}addons:\n  kubespray: {addons}\n"));
        let wanted = addons("{helm_enabled: true, kubelet_max_pods: 50}");
        let edits_of = edits(&addons("{}"), &wanted);
        assert_eq!(edits_of.len(), 2, "{edits_of:?}");
        let remarks: Vec<_> = edits_of.iter().filter_map(remark).collect();
        assert_eq!(
            remarks,
            [
                "addons.kubespray.kubelet_max_pods: (nothing) -> 50: counts for a node from its next upgrade on, and for nodes \
                 that are made from now on"
            ]
        );
        let off: Vec<_> = edits(&wanted, &addons("{kubelet_max_pods: 50}"))
            .iter()
            .filter_map(remark)
            .collect();
        assert!(
            off[0].contains("stays until it is removed by hand"),
            "{off:?}"
        );

        let applied = cluster(|text| text);
        let wanted = cluster(|text| {
            text.replace(
                "    os:",
                "    dns: [9.9.9.9]\n    updateOnBoot: false\n    os:",
            )
        });
        let remarks: Vec<_> = edits(&applied, &wanted).iter().filter_map(remark).collect();
        for (key, remark) in ["dns", "updateOnBoot"].into_iter().zip(&remarks) {
            assert!(
                remark.starts_with(&format!("cluster.nodeTemplate.{key}: ")),
                "{remark}"
            );
            assert!(
                remark.contains("machines that are made from now on"),
                "{remark}"
            );
        }
        assert_eq!(remarks.len(), 2, "{remarks:?}");

        let wanted = cluster(|text| text.replace("distro: debian", "distro: ubuntu24"));
        let edits = edits(&applied, &wanted);
        assert!(!edits.is_empty());
        for edit in &edits {
            let remark = remark(edit).unwrap_or_else(|| panic!("nothing is said of {edit}"));
            assert!(
                remark.contains("machines that are made from now on"),
                "{remark}"
            );
        }
    }
}
