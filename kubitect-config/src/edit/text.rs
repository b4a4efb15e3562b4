//! The texts of an edit: values as they are written in the configuration, without secrets.

use crate::yaml::Value;
use serde::Serialize;

use crate::address::{self, HIDDEN};
use crate::cluster::{Connection, DataDisk, DiskPool, ForwardPort, Node, Rook};
use crate::secrets::may_be_shown;

/// The word by which the configuration writes a value of an enumeration.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        // Enums without data always serialise.
        Err(_) => String::new(),
    }
}

/// How a host is reached.
pub(super) fn connection(connection: &Connection) -> String {
    match connection {
        Connection::Local => "local".to_owned(),
        Connection::Remote {
            user,
            address,
            port,
            keyfile,
            verify,
        } => {
            let key = keyfile
                .as_ref()
                .map_or_else(String::new, |path| format!(" with {}", path.display()));
            let verified = if *verify {
                ", key verified"
            } else {
                ", key not verified"
            };
            format!("{user}@{address}:{port}{key}{verified}")
        }
        Connection::Uri(uri) => address::shown(uri),
    }
}

/// A machine.
pub(super) fn node(node: &Node) -> String {
    format!(
        "{} on {}: {} CPUs, {}, main disk {}",
        node.name, node.host, node.cpu, node.ram, node.main_disk
    )
}

/// A data disk.
pub(super) fn disk(disk: &DataDisk) -> String {
    format!("{} in {}", disk.size, pool(&disk.pool))
}

/// The pool of a data disk.
pub(super) fn pool(pool: &DiskPool) -> String {
    match pool {
        DiskPool::Main => "main".to_owned(),
        DiskPool::Data(pool) => pool.to_string(),
    }
}

/// A forwarded port.
pub(super) fn port(port: &ForwardPort) -> String {
    let ForwardPort {
        name: _,
        port,
        target_port,
        target,
    } = port;
    format!("{port} to {target_port} of {}", word(target))
}

/// Rook.
pub(super) fn rook(rook: &Rook) -> String {
    let Rook {
        version,
        node_selector,
    } = rook;
    let version = version
        .as_ref()
        .map_or_else(|| "the newest".to_owned(), ToString::to_string);
    let nodes = node_selector
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>();
    if nodes.is_empty() {
        return version;
    }
    format!("{version} on nodes with {}", nodes.join(", "))
}

/// A variable's value on one line. Only a value that can't be a secret is shown: a variable's name does not say reliably whether it
/// holds one, and plans are written to logs.
pub(super) fn variable(key: &str, value: &Value) -> String {
    if !may_be_shown(key, value) {
        return HIDDEN.to_owned();
    }
    on_one_line(value)
}

/// A value, or a variable's name, on one line.
pub(super) fn on_one_line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // JSON is YAML on one line. A value that JSON can't have (a mapping whose keys are not text) is shown as `Debug` has it.
        other => serde_json::to_string(other).unwrap_or_else(|_| format!("{other:?}")),
    }
}
