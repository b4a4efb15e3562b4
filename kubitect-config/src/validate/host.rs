//! Section `hosts`: names, connections and pools of the hosts.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::formats;
use crate::cluster::{Connection, DataPool, Host, Node};
use crate::defaults;
use crate::raw::{self, ConnectionType};
use crate::report::{KeyPath, Report};
use crate::site::Site;
use crate::uri::Uri;
use crate::value::{Invalid, Name};

/// The hosts that are valid by themselves, in the order of the file.
pub(super) fn hosts(
    raw: &[raw::Host],
    site: &Site,
    path: &KeyPath,
    report: &mut Report,
) -> Vec<Host> {
    if raw.is_empty() {
        report.error(
            path,
            "hosts-missing",
            "there is no host",
            "name the machine that runs libvirt; `- name: localhost` with `connection: {type: local}` is this one",
        );
    }
    let mut names = HashMap::new();
    let mut default = None;
    let mut hosts = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let path = path.index(index);
        if let Some(name) = &raw.name
            && let Some(first) = names.insert(name.as_str(), index)
        {
            report.error(
                &path.key("name"),
                "host-duplicate",
                format!("`{name}` is already the name of hosts[{first}]"),
                "give each host a name of its own",
            );
        }
        if raw.default == Some(true)
            && let Some(first) = default.replace(index)
        {
            report.error(
                &path.key("default"),
                "host-default",
                format!("hosts[{first}] is the default host already"),
                "keep `default: true` on one host",
            );
        }
        hosts.extend(host(raw, site, &path, report));
    }
    hosts
}

/// No two used hosts may lead to the same libvirt: the machines of one would look like foreign ones on the other.
pub(super) fn distinct(hosts: &[Host], nodes: &[Node], path: &KeyPath, report: &mut Report) {
    let used: HashSet<&Name> = nodes.iter().map(|node| &node.host).collect();
    let is_same = |host: &Host, other: &Host| {
        host.name != other.name && host.connection.same_libvirt(&other.connection)
    };
    for (index, host) in hosts.iter().enumerate() {
        let mut before = hosts[..index].iter();
        let first = before.position(|other| used.contains(&other.name) && is_same(other, host));
        if let Some(first) = first.filter(|_| used.contains(&host.name)) {
            report.error(
                &path.index(index).key("connection"),
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

fn host(raw: &raw::Host, site: &Site, path: &KeyPath, report: &mut Report) -> Option<Host> {
    let name = name(raw.name.as_deref(), &path.key("name"), "host-name", report);
    let connection = connection(&raw.connection, site, &path.key("connection"), report);
    let main_pool_path = pool_folder(
        raw.main_resource_pool_path.as_deref(),
        &path.key("mainResourcePoolPath"),
        report,
    );
    let data_pools = data_pools(
        &raw.data_resource_pools,
        &path.key("dataResourcePools"),
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

/// A required name of a host, pool, disk or port.
pub(super) fn name(
    raw: Option<&str>,
    path: &KeyPath,
    code: &'static str,
    report: &mut Report,
) -> Option<Name> {
    match raw {
        Some(name) => report.parse(path, code, name),
        None => {
            report.missing(path, "give it a name of letters, digits and hyphens");
            None
        }
    }
}

fn pool_folder(raw: Option<&str>, path: &KeyPath, report: &mut Report) -> Option<PathBuf> {
    let folder = raw.unwrap_or(defaults::POOL_PATH);
    report.checked(path, "path", folder, formats::absolute_path)?;
    if ["/home/", "/root/"]
        .iter()
        .any(|home| folder.starts_with(home))
        || folder == "/root"
    {
        report.warning(
            path,
            "pool-home",
            "on most hosts QEMU runs as an account of its own, which may not enter somebody's home",
            "use a folder outside, as /var/lib/libvirt/images or /srv, or let that account pass (`chmod o+x` on each folder above)",
        );
    }
    Some(PathBuf::from(folder))
}

fn data_pools(raw: &[raw::DataResourcePool], path: &KeyPath, report: &mut Report) -> Vec<DataPool> {
    let mut names = HashMap::new();
    let mut pools = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let path = path.index(index);
        let name_path = path.key("name");
        let name = name(raw.name.as_deref(), &name_path, "pool-name", report);
        let folder = pool_folder(raw.path.as_deref(), &path.key("path"), report);
        let (Some(name), Some(folder)) = (name, folder) else {
            continue;
        };
        if name.as_str() == defaults::DATA_DISK_POOL {
            report.error(
                &name_path,
                "pool-name",
                "`main` is the pool of the main disks",
                "call this pool otherwise; `mainResourcePoolPath` says where `main` lies",
            );
        }
        if let Some(first) = names.insert(name.clone(), index) {
            report.error(
                &name_path,
                "pool-duplicate",
                format!("`{name}` is already the name of dataResourcePools[{first}] of this host"),
                "give each pool of a host a name of its own",
            );
        }
        pools.push(DataPool { name, path: folder });
    }
    pools
}

fn connection(
    raw: &raw::Connection,
    site: &Site,
    path: &KeyPath,
    report: &mut Report,
) -> Option<Connection> {
    let ssh_path = path.key("ssh");
    if let Some(keyfile) = &raw.ssh.keyfile {
        report.checked(&ssh_path.key("keyfile"), "path", keyfile, formats::path);
    }
    if let Some(uri) = &raw.uri {
        let path = path.key("uri");
        if site.libvirt_uris.contains(uri) {
            return Some(Connection::Uri(uri.clone()));
        }
        report.checked(&path, "uri", uri, formats::libvirt_uri)?;
        unsafe_uri(uri, &path, report);
        return Some(Connection::Uri(uri.clone()));
    }
    match raw.kind {
        None => {
            report.missing(
                &path.key("type"),
                "use `type: local` for this machine, `type: remote` with `user` and `ip`, or a libvirt `uri`",
            );
            None
        }
        Some(ConnectionType::Local | ConnectionType::Localhost) => Some(Connection::Local),
        Some(ConnectionType::Remote) => {
            let user = required(
                raw.user.as_deref(),
                &path.key("user"),
                formats::host_login,
                report,
            );
            let address = required(
                raw.ip.as_deref(),
                &path.key("ip"),
                formats::host_name,
                report,
            );
            let verify = raw.ssh.verify.unwrap_or(defaults::SSH_VERIFY);
            if !verify {
                report.warning(
                    &ssh_path.key("verify"),
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

/// The message for a connection whose host is not verified.
const UNVERIFIED: &str = "the host is not verified: whoever answers at its address is sent the machines' private host keys";

/// Warns of a URI over which the host is not verified.
fn unsafe_uri(text: &str, path: &KeyPath, report: &mut Report) {
    let Ok(uri) = Uri::parse(text) else {
        return;
    };
    if uri.parameter("no_verify") == Some("1") {
        let help = "leave `no_verify` out, and let this machine know the host's key or certificate";
        report.warning(path, "host-unverified", UNVERIFIED, help);
    }
    if uri.transport.as_deref() == Some("tcp") {
        let help = "use qemu+ssh:// or qemu+tls://; over tcp, nothing is encrypted either";
        report.warning(path, "host-unverified", UNVERIFIED, help);
    }
}

fn required(
    raw: Option<&str>,
    path: &KeyPath,
    rule: fn(&str) -> Result<(), Invalid>,
    report: &mut Report,
) -> Option<String> {
    let Some(text) = raw else {
        report.missing(path, "a remote host needs `user` and `ip`");
        return None;
    };
    report.checked(path, "connection", text, rule)?;
    Some(text.to_owned())
}
