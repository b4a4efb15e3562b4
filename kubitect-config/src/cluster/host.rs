//! The hosts: Linux machines with libvirt, which carry the cluster's machines.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::uri::Uri;
use crate::value::Name;

/// A libvirt host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Host {
    /// The name by which nodes refer to it.
    pub name: Name,
    /// How to reach its libvirt.
    pub connection: Connection,
    /// Accelerated or emulated machines: the host's own value, else the site's, else `auto`.
    pub virt_type: VirtType,
    /// Folder (absolute, on the host) in which the folder of the main pool is made.
    pub main_pool_path: PathBuf,
    /// Further pools, for data disks.
    pub data_pools: Vec<DataPool>,
}

/// How libvirt on a host is reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// On this machine: `qemu:///system`.
    Local,
    /// Over SSH: `qemu+ssh://user@address:port/system`.
    Remote {
        /// Who logs in.
        user: String,
        /// Name or address of the host.
        address: String,
        /// SSH port.
        port: u16,
        /// Private key, as configured (the caller resolves `~/`); none: the keys that the SSH client finds.
        keyfile: Option<PathBuf>,
        /// Whether the host's key must be in `known_hosts` already.
        verify: bool,
    },
    /// Any libvirt URI.
    Uri(String),
}

impl Connection {
    /// Whether its libvirt runs on this machine (`local`, or a URI without another host's name): then the host's files, routes
    /// and memory are this machine's.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Remote { .. } => false,
            Self::Uri(uri) => Uri::read(uri).is_ok_and(|uri| {
                uri.host.is_none() && matches!(uri.transport.as_deref(), None | Some("unix"))
            }),
        }
    }

    /// Whether two connections lead to the same libvirt; user, key and transport may differ.
    pub fn same_libvirt(&self, other: &Self) -> bool {
        self == other
            || self
                .endpoint()
                .is_some_and(|endpoint| Some(endpoint) == other.endpoint())
    }

    /// The libvirt that it leads to; none if that can't be compared: libvirt's `test` driver makes another host for each
    /// connection, and where a transport that runs a program (`ext`) leads, only the program knows.
    fn endpoint(&self) -> Option<Endpoint> {
        const SSH: u16 = 22;
        let qemu = |host, port| Endpoint {
            driver: "qemu".to_owned(),
            host,
            port,
            path: "/system".to_owned(),
            socket: None,
        };
        match self {
            Self::Local => Some(qemu(None, 0)),
            Self::Remote { address, port, .. } => Some(qemu(Some(address.clone()), *port)),
            Self::Uri(uri) => {
                let uri = Uri::read(uri).ok().filter(|uri| uri.driver != "test")?;
                let port = match &uri.host {
                    Some(_) if uri.is_ssh() => uri.port.unwrap_or(SSH),
                    None if !self.is_local() => return None,
                    _ => uri.port.unwrap_or(0),
                };
                let socket = uri.parameter("socket").map(str::to_owned);
                let socket = socket.filter(|socket| !SOCKETS.contains(&socket.as_str()));
                Some(Endpoint {
                    driver: uri.driver,
                    host: uri.host,
                    port,
                    path: uri.path,
                    socket,
                })
            }
        }
    }
}

/// The default paths of libvirt's sockets. A URI that names one of them leads to the same libvirt as a URI without a socket.
const SOCKETS: [&str; 4] = [
    "/run/libvirt/libvirt-sock",
    "/run/libvirt/virtqemud-sock",
    "/var/run/libvirt/libvirt-sock",
    "/var/run/libvirt/virtqemud-sock",
];

/// What identifies a libvirt.
#[derive(PartialEq)]
struct Endpoint {
    driver: String,
    host: Option<String>,
    port: u16,
    path: String,
    socket: Option<String>,
}

/// What QEMU runs guests with.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum VirtType {
    /// KVM where libvirt offers it, else emulation.
    #[default]
    Auto,
    /// Hardware virtualisation.
    Kvm,
    /// Emulation.
    Qemu,
}

impl VirtType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Kvm, Self::Qemu];
}

/// A pool for data disks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DataPool {
    /// The name by which data disks refer to it; never `main`.
    pub name: Name,
    /// Folder (absolute, on the host) in which the pool's own folder is made.
    pub path: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(address: &str, keyfile: Option<&str>) -> Connection {
        Connection::Remote {
            user: "me".to_owned(),
            address: address.to_owned(),
            port: 22,
            keyfile: keyfile.map(PathBuf::from),
            verify: true,
        }
    }

    #[test]
    fn this_machine_is_this_machine_however_it_is_written() {
        let uri = |text: &str| Connection::Uri(text.to_owned());
        for local in [
            Connection::Local,
            uri("qemu:///system"),
            uri("qemu+unix:///system"),
            uri("qemu:///system?socket=/run/libvirt/libvirt-sock"),
        ] {
            assert!(local.is_local(), "{local:?}");
            assert!(local.same_libvirt(&Connection::Local), "{local:?}");
            assert!(!local.same_libvirt(&uri("qemu:///session")), "{local:?}");
            let other = uri("qemu+unix:///system?socket=/run/other/libvirt-sock");
            assert!(!local.same_libvirt(&other), "{local:?}");
        }
        let elsewhere = [
            "qemu+ssh://a/system",
            "qemu+tcp://a/system",
            "qemu+ext:///system?command=x",
        ];
        for other in elsewhere.map(uri).into_iter().chain([remote("a", None)]) {
            assert!(!other.is_local(), "{other:?}");
            assert!(!other.same_libvirt(&Connection::Local), "{other:?}");
        }
        assert!(remote("a", None).same_libvirt(&remote("a", Some("/k"))));
        assert!(remote("a", None).same_libvirt(&uri("qemu+ssh://you@a/system?keyfile=/k")));
        assert!(!remote("a", None).same_libvirt(&remote("b", None)));
        assert!(!remote("a", None).same_libvirt(&uri("qemu+ssh://a:2222/system")));
        assert!(!uri("test:///a").same_libvirt(&uri("test:///b")));
    }
}
