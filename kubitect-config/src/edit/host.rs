//! Edits of `hosts`.

use super::{Change, Edits, matched, text};
use crate::cluster::{DataPool, DiskPool, Host, Node};
use crate::value::Label;

/// Edits of all hosts. `nodes` are the applied machines: what a host carries decides which of its edits are possible.
pub(super) fn hosts(was: &[Host], wanted: &[Host], nodes: &[Node], edits: &mut Edits) {
    for pair in matched(was, wanted, |host| &host.name) {
        match pair {
            (Some(was), Some(wanted)) => host(was, wanted, nodes, edits),
            (Some(was), None) => edits.push(
                host_path(was),
                Some(text::connection(&was.connection)),
                None,
                Change::HostRemoved {
                    host: was.name.clone(),
                    carries: carried_machines(was, nodes),
                },
            ),
            (None, Some(wanted)) => edits.push(
                host_path(wanted),
                None,
                Some(text::connection(&wanted.connection)),
                Change::HostAdded {
                    host: wanted.name.clone(),
                },
            ),
            (None, None) => {}
        }
    }
}

fn host_path(host: &Host) -> String {
    format!("hosts[name={}]", host.name)
}

/// The names of the machines that a host carries.
fn carried_machines(host: &Host, nodes: &[Node]) -> Vec<Label> {
    let nodes = nodes.iter().filter(|node| node.host == host.name);
    nodes.map(|node| node.name.clone()).collect()
}

fn host(was: &Host, wanted: &Host, nodes: &[Node], edits: &mut Edits) {
    let Host {
        name,
        connection,
        virt_type,
        main_pool_path,
        data_pools,
    } = was;
    let path = host_path(was);
    let carries = carried_machines(was, nodes);
    edits.field(
        format!("{path}.connection"),
        connection,
        &wanted.connection,
        |connection| Some(text::connection(connection)),
        Change::HostConnection {
            host: name.clone(),
            carries: carries.clone(),
        },
    );
    edits.field(
        format!("{path}.virtType"),
        virt_type,
        &wanted.virt_type,
        |virt_type| Some(text::word(virt_type)),
        Change::VirtType {
            host: name.clone(),
            carries: carries.clone(),
        },
    );
    edits.field(
        format!("{path}.mainResourcePoolPath"),
        main_pool_path,
        &wanted.main_pool_path,
        |path| Some(path.display().to_string()),
        Change::MainPoolPath {
            host: name.clone(),
            carries,
        },
    );
    for pair in matched(data_pools, &wanted.data_pools, |pool| &pool.name) {
        pool(was, pair, nodes, edits);
    }
}

fn pool(
    host: &Host,
    pair: (Option<&DataPool>, Option<&DataPool>),
    nodes: &[Node],
    edits: &mut Edits,
) {
    let pool_path =
        |pool: &DataPool| format!("{}.dataResourcePools[name={}]", host_path(host), pool.name);
    let shown = |pool: &DataPool| Some(pool.path.display().to_string());
    let host_name = host.name.clone();
    match pair {
        (Some(was), Some(wanted)) => {
            let DataPool { name, path } = was;
            edits.field(
                format!("{}.path", pool_path(was)),
                path,
                &wanted.path,
                |path| Some(path.display().to_string()),
                Change::DataPoolPath {
                    carries: carried_machines(host, nodes),
                    host: host_name,
                    pool: name.clone(),
                },
            );
        }
        (Some(was), None) => {
            let has_disk_in_pool = |node: &&Node| {
                let mut disks = node.data_disks.iter();
                node.host == host.name
                    && disks.any(|disk| disk.pool == DiskPool::Data(was.name.clone()))
            };
            let carries = nodes.iter().filter(has_disk_in_pool);
            let change = Change::DataPoolRemoved {
                carries: carries.map(|node| node.name.clone()).collect(),
                host: host_name,
                pool: was.name.clone(),
            };
            edits.push(pool_path(was), shown(was), None, change);
        }
        (None, Some(wanted)) => {
            let change = Change::DataPoolAdded {
                host: host_name,
                pool: wanted.name.clone(),
            };
            edits.push(pool_path(wanted), None, shown(wanted), change);
        }
        (None, None) => {}
    }
}
