//! Section `hosts`.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::words;
use crate::cluster::{Connection, DataPool, Host, Node};
use crate::defaults;
use crate::raw::{self, ConnectionType};
use crate::report::{At, Report};
use crate::site::Site;
use crate::uri::Uri;
use crate::value::{Invalid, Name};

/// The hosts that are valid in themselves, in the order of the file.
pub(super) fn hosts(raw: &[raw::Host], site: &Site, at: &At, report: &mut Report) -> Vec<Host> {
    if raw.is_empty() {
        report.error(
            at,
            "hosts-missing",
            "there is no host",
            "name the machine that runs libvirt; `- name: localhost` with `connection: {type: local}` is this one",
        );
    }
    let mut seen = HashMap::new();
    let mut default = None;
    let mut hosts = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let at = at.index(index);
        if let Some(name) = &raw.name
            && let Some(first) = seen.insert(name.as_str(), index)
        {
            report.error(
                &at.key("name"),
                "host-duplicate",
                format!("`{name}` is already the name of hosts[{first}]"),
                "give each host a name of its own",
            );
        }
        if raw.default == Some(true)
            && let Some(first) = default.replace(index)
        {
            report.error(
                &at.key("default"),
                "host-default",
                format!("hosts[{first}] is the default host already"),
                "keep `default: true` on one host",
            );
        }
        hosts.extend(host(raw, site, &at, report));
    }
    hosts
}

/// Two hosts are two places: of a machine that both have, each would say that it is the other's.
pub(super) fn apart(hosts: &[Host], nodes: &[Node], at: &At, report: &mut Report) {
    let used: HashSet<&Name> = nodes.iter().map(|node| &node.host).collect();
    let is_same = |one: &Host, other: &Host| {
        one.name != other.name && one.connection.same_place(&other.connection)
    };
    for (index, host) in hosts.iter().enumerate() {
        let mut before = hosts[..index].iter();
        let first = before.position(|other| used.contains(&other.name) && is_same(other, host));
        if let Some(first) = first.filter(|_| used.contains(&host.name)) {
            report.error(
                &at.index(index).key("connection"),
                "host-same",
                format!(
                    "it leads to the same libvirt as that of hosts[{first}], `{}`",
                    hosts[first].name
                ),
                "keep one of the two hosts, and place the machines of both on it",
            );
        }
    }
}

fn host(raw: &raw::Host, site: &Site, at: &At, report: &mut Report) -> Option<Host> {
    let name = name(raw.name.as_deref(), &at.key("name"), "host-name", report);
    let connection = connection(&raw.connection, site, &at.key("connection"), report);
    let main_pool_path = pool_path(
        raw.main_resource_pool_path.as_deref(),
        &at.key("mainResourcePoolPath"),
        report,
    );
    let data_pools = data_pools(
        &raw.data_resource_pools,
        &at.key("dataResourcePools"),
        report,
    );
    Some(Host {
        name: name?,
        connection: connection?,
        virt_type: raw.virt_type.unwrap_or(site.virt_type),
        main_pool_path: main_pool_path?,
        data_pools,
    })
}

/// A required name.
pub(super) fn name(
    raw: Option<&str>,
    at: &At,
    code: &'static str,
    report: &mut Report,
) -> Option<Name> {
    match raw {
        Some(name) => report.parse(at, code, name),
        None => {
            report.missing(at, "give it a name of letters, digits and hyphens");
            None
        }
    }
}

fn pool_path(raw: Option<&str>, at: &At, report: &mut Report) -> Option<PathBuf> {
    let path = raw.unwrap_or(defaults::POOL_PATH);
    report.checked(at, "path", path, words::absolute_path)?;
    if ["/home/", "/root/"]
        .iter()
        .any(|home| path.starts_with(home))
        || path == "/root"
    {
        report.warning(
            at,
            "pool-home",
            "on most hosts QEMU runs as an account of its own, which may not enter somebody's home",
            "use a folder outside, as /var/lib/libvirt/images or /srv, or let that account pass (`chmod o+x` on each folder above)",
        );
    }
    Some(PathBuf::from(path))
}

fn data_pools(raw: &[raw::DataResourcePool], at: &At, report: &mut Report) -> Vec<DataPool> {
    let mut seen = HashMap::new();
    let mut pools = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let at = at.index(index);
        let at_name = at.key("name");
        let name = name(raw.name.as_deref(), &at_name, "pool-name", report);
        let path = pool_path(raw.path.as_deref(), &at.key("path"), report);
        let (Some(name), Some(path)) = (name, path) else {
            continue;
        };
        if name.as_str() == defaults::DATA_DISK_POOL {
            report.error(
                &at_name,
                "pool-name",
                "`main` is the pool of the main disks",
                "call this pool otherwise; `mainResourcePoolPath` says where `main` lies",
            );
        }
        if let Some(first) = seen.insert(name.clone(), index) {
            report.error(
                &at_name,
                "pool-duplicate",
                format!("`{name}` is already the name of dataResourcePools[{first}] of this host"),
                "give each pool of a host a name of its own",
            );
        }
        pools.push(DataPool { name, path });
    }
    pools
}

fn connection(
    raw: &raw::Connection,
    site: &Site,
    at: &At,
    report: &mut Report,
) -> Option<Connection> {
    let at_ssh = at.key("ssh");
    if let Some(keyfile) = &raw.ssh.keyfile {
        report.checked(&at_ssh.key("keyfile"), "path", keyfile, words::path);
    }
    if let Some(uri) = &raw.uri {
        let at = at.key("uri");
        if site.libvirt_uris.contains(uri) {
            return Some(Connection::Uri(uri.clone()));
        }
        report.checked(&at, "uri", uri, words::libvirt_uri)?;
        unsafe_uri(uri, &at, report);
        return Some(Connection::Uri(uri.clone()));
    }
    match raw.kind {
        None => {
            report.missing(
                &at.key("type"),
                "use `type: local` for this machine, `type: remote` with `user` and `ip`, or a libvirt `uri`",
            );
            None
        }
        Some(ConnectionType::Local | ConnectionType::Localhost) => Some(Connection::Local),
        Some(ConnectionType::Remote) => {
            let user = required(
                raw.user.as_deref(),
                &at.key("user"),
                words::host_login,
                report,
            );
            let address = required(raw.ip.as_deref(), &at.key("ip"), words::host_name, report);
            let verify = raw.ssh.verify.unwrap_or(defaults::SSH_VERIFY);
            if !verify {
                report.warning(
                    &at_ssh.key("verify"),
                    "host-unverified",
                    UNVERIFIED,
                    "leave `verify` out, and log in once by `ssh` to compare and add the host's key",
                );
            }
            Some(Connection::Remote {
                user: user?,
                address: address?,
                port: raw.ssh.port.unwrap_or(defaults::SSH_PORT),
                keyfile: raw.ssh.keyfile.as_ref().map(PathBuf::from),
                verify,
            })
        }
    }
}

/// What a connection to a host that is not verified is worth.
const UNVERIFIED: &str = "the host is not verified: whoever answers at its address is sent the machines' private host keys";

/// Warns of a URI that leads to a host that nobody verifies.
fn unsafe_uri(text: &str, at: &At, report: &mut Report) {
    let Ok(uri) = Uri::parse(text) else {
        return;
    };
    if uri.parameter("no_verify") == Some("1") {
        let help = "leave `no_verify` out, and let this machine know the host's key or certificate";
        report.warning(at, "host-unverified", UNVERIFIED, help);
    }
    if uri.transport.as_deref() == Some("tcp") {
        let help = "use qemu+ssh:// or qemu+tls://; over tcp, nothing is encrypted either";
        report.warning(at, "host-unverified", UNVERIFIED, help);
    }
}

fn required(
    raw: Option<&str>,
    at: &At,
    rule: fn(&str) -> Result<(), Invalid>,
    report: &mut Report,
) -> Option<String> {
    let Some(text) = raw else {
        report.missing(at, "a remote host needs `user` and `ip`");
        return None;
    };
    report.checked(at, "connection", text, rule)?;
    Some(text.to_owned())
}
