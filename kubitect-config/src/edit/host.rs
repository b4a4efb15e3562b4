//! Edits of `hosts`.

use super::{Change, Edits, matched, text};
use crate::cluster::{DataPool, DiskPool, Host, Node};
use crate::value::Label;

/// `nodes` are the applied ones.
pub(super) fn hosts(was: &[Host], wanted: &[Host], nodes: &[Node], edits: &mut Edits) {
    for pair in matched(was, wanted, |host| &host.name) {
        match pair {
            (Some(was), Some(wanted)) => host(was, wanted, nodes, edits),
            (Some(was), None) => edits.push(
                at(was),
                Some(text::connection(&was.connection)),
                None,
                Change::HostRemoved {
                    host: was.name.clone(),
                    carries: carried(was, nodes),
                },
            ),
            (None, Some(wanted)) => edits.push(
                at(wanted),
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

fn at(host: &Host) -> String {
    format!("hosts[name={}]", host.name)
}

/// The names of the machines that a host carries.
fn carried(host: &Host, nodes: &[Node]) -> Vec<Label> {
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
    let at = at(was);
    let carries = carried(was, nodes);
    edits.field(
        format!("{at}.connection"),
        connection,
        &wanted.connection,
        |connection| Some(text::connection(connection)),
        Change::HostConnection {
            host: name.clone(),
            carries: carries.clone(),
        },
    );
    edits.field(
        format!("{at}.virtType"),
        virt_type,
        &wanted.virt_type,
        |virt_type| Some(text::word(virt_type)),
        Change::VirtType {
            host: name.clone(),
            carries: carries.clone(),
        },
    );
    edits.field(
        format!("{at}.mainResourcePoolPath"),
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
    let at = |pool: &DataPool| format!("{}.dataResourcePools[name={}]", at(host), pool.name);
    let shown = |pool: &DataPool| Some(pool.path.display().to_string());
    let on_host = host.name.clone();
    match pair {
        (Some(was), Some(wanted)) => {
            let DataPool { name, path } = was;
            edits.field(
                format!("{}.path", at(was)),
                path,
                &wanted.path,
                |path| Some(path.display().to_string()),
                Change::DataPoolPath {
                    carries: carried(host, nodes),
                    host: on_host,
                    pool: name.clone(),
                },
            );
        }
        (Some(was), None) => {
            let lies_there = |node: &&Node| {
                let mut disks = node.data_disks.iter();
                node.host == host.name
                    && disks.any(|disk| disk.pool == DiskPool::Data(was.name.clone()))
            };
            let carries = nodes.iter().filter(lies_there);
            let change = Change::DataPoolRemoved {
                carries: carries.map(|node| node.name.clone()).collect(),
                host: on_host,
                pool: was.name.clone(),
            };
            edits.push(at(was), shown(was), None, change);
        }
        (None, Some(wanted)) => {
            let change = Change::DataPoolAdded {
                host: on_host,
                pool: wanted.name.clone(),
            };
            edits.push(at(wanted), None, shown(wanted), change);
        }
        (None, None) => {}
    }
}
