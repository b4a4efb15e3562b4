//! Edits of the machines.

use super::{Change, Edits, matched, node_path, text};
use crate::cluster::{DataDisk, Effect, Node, Taint};
use crate::value::Label;

pub(super) fn nodes(was: &[Node], wanted: &[Node], edits: &mut Edits) {
    for pair in matched(was, wanted, |node| (node.role, &node.id)) {
        match pair {
            (Some(was), Some(wanted)) => node(was, wanted, edits),
            (Some(was), None) => edits.push(
                node_path(was),
                Some(text::node(was)),
                None,
                Change::NodeRemoved {
                    role: was.role,
                    node: was.name.clone(),
                },
            ),
            (None, Some(wanted)) => edits.push(
                node_path(wanted),
                None,
                Some(text::node(wanted)),
                Change::NodeAdded {
                    role: wanted.role,
                    node: wanted.name.clone(),
                },
            ),
            (None, None) => {}
        }
    }
}

fn node(was: &Node, wanted: &Node, edits: &mut Edits) {
    let Node {
        // Equal: the two are matched by role and id, and the name is made from these and the cluster's name.
        role: _,
        id: _,
        name,
        host,
        ip,
        mac,
        cpu,
        ram,
        main_disk,
        data_disks,
        labels,
        taints,
        priority,
    } = was;
    let path = |key: &str| format!("{}.{key}", node_path(was));
    let node = || name.clone();
    edits.value(
        path("host"),
        host,
        &wanted.host,
        Change::NodeHost { node: node() },
    );
    edits.option(path("ip"), ip, &wanted.ip, Change::NodeIp { node: node() });
    edits.value(
        path("mac"),
        mac,
        &wanted.mac,
        Change::NodeMac { node: node() },
    );
    edits.value(
        path("cpu"),
        cpu,
        &wanted.cpu,
        Change::Cpu {
            node: node(),
            from: *cpu,
            to: wanted.cpu,
        },
    );
    edits.value(
        path("ram"),
        ram,
        &wanted.ram,
        Change::Ram {
            node: node(),
            from: *ram,
            to: wanted.ram,
        },
    );
    edits.value(
        path("mainDiskSize"),
        main_disk,
        &wanted.main_disk,
        Change::MainDisk {
            node: node(),
            from: *main_disk,
            to: wanted.main_disk,
        },
    );
    for pair in matched(data_disks, &wanted.data_disks, |disk| &disk.name) {
        disk(&path("dataDisks"), name, pair, edits);
    }
    let keys = labels.keys();
    let new = wanted
        .labels
        .keys()
        .filter(|key| !labels.contains_key(*key));
    for key in keys.chain(new) {
        edits.field(
            format!("{}[{key}]", path("labels")),
            &labels.get(key),
            &wanted.labels.get(key),
            |value| value.map(|value| format!("\"{value}\"")),
            Change::NodeLabel {
                node: node(),
                key: key.clone(),
            },
        );
    }
    // In Kubernetes, a taint's identity is its key and its effect.
    let identity = |taint: &Taint| -> (String, Effect) { (taint.key.clone(), taint.effect) };
    for (was, wanted) in matched(taints, &wanted.taints, identity) {
        let Some(key) = was.or(wanted).map(|taint| taint.key.clone()) else {
            continue;
        };
        edits.field(
            format!("{}[{key}]", path("taints")),
            &was,
            &wanted,
            |taint| taint.map(Taint::to_string),
            Change::NodeTaint {
                node: node(),
                key,
                evicts: wanted.is_some_and(|taint| taint.effect == Effect::NoExecute),
            },
        );
    }
    edits.option(
        path("priority"),
        priority,
        &wanted.priority,
        Change::Priority { node: node() },
    );
}

fn disk(
    disks: &str,
    node: &Label,
    pair: (Option<&DataDisk>, Option<&DataDisk>),
    edits: &mut Edits,
) {
    let path = |disk: &DataDisk| format!("{disks}[name={}]", disk.name);
    let node = node.clone();
    match pair {
        (Some(was), Some(wanted)) => {
            let DataDisk { name, pool, size } = was;
            edits.field(
                format!("{}.pool", path(was)),
                pool,
                &wanted.pool,
                |pool| Some(text::pool(pool)),
                Change::DataDiskPool {
                    node: node.clone(),
                    disk: name.clone(),
                },
            );
            edits.value(
                format!("{}.size", path(was)),
                size,
                &wanted.size,
                Change::DataDisk {
                    node,
                    disk: name.clone(),
                    from: *size,
                    to: wanted.size,
                },
            );
        }
        (Some(was), None) => {
            let disk = was.name.clone();
            let change = Change::DataDiskRemoved { node, disk };
            edits.push(path(was), Some(text::disk(was)), None, change);
        }
        (None, Some(wanted)) => {
            let disk = wanted.name.clone();
            let change = Change::DataDiskAdded { node, disk };
            edits.push(path(wanted), None, Some(text::disk(wanted)), change);
        }
        (None, None) => {}
    }
}
