//! Edits of the machines.

use super::{Change, Edits, at_node, matched, text};
use crate::cluster::{DataDisk, Effect, Node, Taint};
use crate::value::Label;

pub(super) fn nodes(was: &[Node], wanted: &[Node], edits: &mut Edits) {
    for pair in matched(was, wanted, |node| (node.role, &node.id)) {
        match pair {
            (Some(was), Some(wanted)) => node(was, wanted, edits),
            (Some(was), None) => edits.push(
                at_node(was),
                Some(text::node(was)),
                None,
                Change::NodeRemoved {
                    role: was.role,
                    node: was.name.clone(),
                },
            ),
            (None, Some(wanted)) => edits.push(
                at_node(wanted),
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
        // Role and id are what the two are matched by, and with the cluster's name they make the name.
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
    let at = |key: &str| format!("{}.{key}", at_node(was));
    let node = || name.clone();
    edits.value(
        at("host"),
        host,
        &wanted.host,
        Change::NodeHost { node: node() },
    );
    edits.option(at("ip"), ip, &wanted.ip, Change::NodeIp { node: node() });
    edits.value(
        at("mac"),
        mac,
        &wanted.mac,
        Change::NodeMac { node: node() },
    );
    edits.value(
        at("cpu"),
        cpu,
        &wanted.cpu,
        Change::Cpu {
            node: node(),
            from: *cpu,
            to: wanted.cpu,
        },
    );
    edits.value(
        at("ram"),
        ram,
        &wanted.ram,
        Change::Ram {
            node: node(),
            from: *ram,
            to: wanted.ram,
        },
    );
    edits.value(
        at("mainDiskSize"),
        main_disk,
        &wanted.main_disk,
        Change::MainDisk {
            node: node(),
            from: *main_disk,
            to: wanted.main_disk,
        },
    );
    for pair in matched(data_disks, &wanted.data_disks, |disk| &disk.name) {
        disk(&at("dataDisks"), name, pair, edits);
    }
    let keys = labels.keys();
    let new = wanted
        .labels
        .keys()
        .filter(|key| !labels.contains_key(*key));
    for key in keys.chain(new) {
        edits.field(
            format!("{}[{key}]", at("labels")),
            &labels.get(key),
            &wanted.labels.get(key),
            |value| value.map(|value| format!("\"{value}\"")),
            Change::NodeLabel {
                node: node(),
                key: key.clone(),
            },
        );
    }
    // Kubernetes knows a taint by its key and its effect.
    let known_by = |taint: &Taint| -> (String, Effect) { (taint.key.clone(), taint.effect) };
    for (was, wanted) in matched(taints, &wanted.taints, known_by) {
        let Some(key) = was.or(wanted).map(|taint| taint.key.clone()) else {
            continue;
        };
        edits.field(
            format!("{}[{key}]", at("taints")),
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
        at("priority"),
        priority,
        &wanted.priority,
        Change::Priority { node: node() },
    );
}

fn disk(at: &str, node: &Label, pair: (Option<&DataDisk>, Option<&DataDisk>), edits: &mut Edits) {
    let at = |disk: &DataDisk| format!("{at}[name={}]", disk.name);
    let node = node.clone();
    match pair {
        (Some(was), Some(wanted)) => {
            let DataDisk { name, pool, size } = was;
            edits.field(
                format!("{}.pool", at(was)),
                pool,
                &wanted.pool,
                |pool| Some(text::pool(pool)),
                Change::DataDiskPool {
                    node: node.clone(),
                    disk: name.clone(),
                },
            );
            edits.value(
                format!("{}.size", at(was)),
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
            edits.push(at(was), Some(text::disk(was)), None, change);
        }
        (None, Some(wanted)) => {
            let disk = wanted.name.clone();
            let change = Change::DataDiskAdded { node, disk };
            edits.push(at(wanted), None, Some(text::disk(wanted)), change);
        }
        (None, None) => {}
    }
}
