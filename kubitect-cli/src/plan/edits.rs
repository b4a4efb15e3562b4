//! The edits of a file in its plan: one that can't be carried out refuses the plan, one that no step shows gets a note.

use kubitect_config::Cluster;
use kubitect_config::edit::Edit;
use kubitect_config::policy::{UnfinishedRun, refused, remark};
use kubitect_config::value::Label;
use kubitect_kubespray::living::unknown_disk;

use super::Plan;

impl Plan {
    /// The same, with its edits: refused if one of them can't be carried out.
    pub fn with(mut self, edits: &[Edit]) -> Self {
        let created: Vec<_> = self.machines.created().collect();
        let exists = !self.creates();
        let brought_back = self.machines.recovered().filter(|_| exists);
        let brought_back: Vec<_> = brought_back.collect();
        let unknown = |node: &Label| brought_back.contains(&node).then(|| unknown_disk(node));
        self.refused = refused(edits, &created, unknown, &self.refused);
        self.notes.splice(0..0, edits.iter().filter_map(remark));
        self
    }

    /// Checks the plan against an unfinished run. `begun` is the cluster that it was to make, `existing` are the machines that it
    /// has made. What they can't be changed to is refused; what they don't get until they are created again is a note.
    pub(super) fn check_unfinished<'a>(
        &mut self,
        wanted: &Cluster,
        begun: &Cluster,
        applied: Option<&Cluster>,
        existing: impl Iterator<Item = &'a Label>,
    ) {
        let created: Vec<_> = self.machines.created().collect();
        let unfinished = UnfinishedRun {
            cluster: begun,
            applied,
            existing: existing.filter(|name| !created.contains(name)).collect(),
            kubernetes: self.nodes.iter().any(|own| own.note.is_some()),
        };
        let (refused, notes) = unfinished.judge(wanted);
        self.refused.splice(0..0, refused);
        self.notes.splice(0..0, notes);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kubitect_config::cluster::Role;
    use kubitect_config::edit::edits;
    use kubitect_config::{RefusalKind, Site};
    use kubitect_kubespray::living::Note;
    use kubitect_provision::plan::Plan as Machines;

    use super::*;

    fn cluster(change: impl Fn(String) -> String) -> Cluster {
        let text = include_str!("../../../tests/tests/cli/cluster.yaml").replace("[DIR]", "/x");
        let parsed = kubitect_config::parse(&change(text), "x", &Site::default());
        parsed.unwrap().cluster
    }

    #[test]
    fn one_cause_is_refused_once() {
        let applied = cluster(|text| text);
        let refusals = |wanted: &Cluster| {
            let edits = edits(&applied, wanted);
            let machines = Machines {
                cluster: wanted.name.clone(),
                changes: Vec::new(),
            };
            let hop = applied.kubernetes.hop();
            let masters = applied.role(Role::Master).map(|node| node.name.clone());
            let members = masters.collect();
            let noted = applied.nodes.iter().map(|node| {
                let note = Note::of(&applied, node, &hop, &members, true).unwrap();
                (node.name.clone(), Some(note.text().unwrap()))
            });
            let (noted, files) = (noted.collect(), BTreeMap::new());
            let plan = Plan::new(wanted, machines, Vec::new(), &noted, &files, Some(&applied));
            plan.unwrap().with(&edits).refused().to_vec()
        };
        // The edit and the notes of the machines have the same cause.
        let plugin = refusals(&cluster(|text| {
            text.replace("kubernetes:\n", "kubernetes:\n  networkPlugin: flannel\n")
        }));
        assert_eq!(plugin.len(), 1, "{plugin:?}");
        assert_eq!(plugin[0].kind, RefusalKind::Edit);
        assert_eq!(plugin[0].path.as_deref(), Some("kubernetes.networkPlugin"));
        assert_eq!(plugin[0].to.as_deref(), Some("flannel"));
        // The range, and the gateway that follows from it.
        let mut network = applied.clone();
        network.network.cidr = "10.77.0.0/25".parse().unwrap();
        network.network.gateway = "10.77.0.2".parse().unwrap();
        let network = refusals(&network);
        assert_eq!(network.len(), 1, "{network:?}");
        assert_eq!(network[0].others, ["cluster.network.gateway"]);
        let sentence = network[0].to_string();
        assert!(
            sentence.contains(" (and cluster.network.gateway): "),
            "{sentence}"
        );
        // A default of many machines.
        let mut smaller = applied.clone();
        smaller
            .nodes
            .iter_mut()
            .for_each(|node| node.main_disk.0 -= 1);
        let smaller = refusals(&smaller);
        assert_eq!(smaller.len(), 1, "{smaller:?}");
        assert_eq!(smaller[0].machines.len(), applied.nodes.len());
        // The edit, and the way of releases.
        let mut back = applied.clone();
        back.kubernetes.version = "v1.33.1".parse().unwrap();
        let back = refusals(&back);
        assert_eq!(back.len(), 1, "{back:?}");
        assert_eq!(back[0].kind, RefusalKind::Versions);
        assert_eq!(back[0].path.as_deref(), Some("kubernetes.version"));
    }
}
