//! Section `hosts[]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::NAME;
use crate::cluster::VirtType;
use crate::defaults;

/// A libvirt host.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["name", "connection"]))]
pub(crate) struct Host {
    /// Name by which nodes refer to the host.
    #[schemars(regex(pattern = NAME), extend("examples" = ["localhost", "host1"]))]
    pub name: Option<String>,
    /// Whether nodes that name no host are placed here. Without a default host, the first one is taken.
    #[schemars(extend("default" = false))]
    pub default: Option<bool>,
    /// How the host's libvirt is reached.
    pub connection: Connection,
    /// Folder on the host, absolute, in which the main pool's folder is made. It holds main disks and base images.
    #[schemars(extend("default" = defaults::POOL_PATH))]
    pub main_resource_pool_path: Option<String>,
    /// Further pools on the host, for data disks.
    pub data_resource_pools: Vec<DataResourcePool>,
    /// What guests run on. `auto` takes `kvm` where libvirt offers it, else `qemu` (emulation). Default: the site
    /// file's, else `auto`.
    pub virt_type: Option<VirtType>,
}

/// How a host's libvirt is reached: either by `type` or by `uri`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Connection {
    /// `local` (or `localhost`): this machine. `remote`: over SSH, with `user` and `ip`.
    #[serde(rename = "type")]
    pub kind: Option<ConnectionType>,
    /// Who logs in to a remote host.
    pub user: Option<String>,
    /// Address or name of a remote host.
    #[schemars(extend("examples" = ["10.10.40.143"]))]
    pub ip: Option<String>,
    /// SSH settings of a remote host.
    pub ssh: ConnectionSsh,
    /// A libvirt URI instead of the one that follows from `type`. One that does more than say where libvirt is has to be
    /// listed in the site file.
    #[schemars(extend("examples" = ["qemu+ssh://user@host/system"]))]
    pub uri: Option<String>,
}

/// Where a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ConnectionType {
    /// This machine.
    Local,
    /// This machine.
    Localhost,
    /// Another machine, over SSH.
    Remote,
}

/// SSH settings of a remote host.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct ConnectionSsh {
    /// Private key with which to log in, absolute or beginning with `~/`. Default: what the SSH client finds.
    #[schemars(extend("examples" = ["~/.ssh/id_ed25519"]))]
    pub keyfile: Option<String>,
    /// SSH port.
    #[schemars(range(min = 1, max = 65535), extend("default" = defaults::SSH_PORT))]
    pub port: Option<u16>,
    /// Whether the host's key must be among your known hosts. Without, anybody may pose as the host.
    #[schemars(extend("default" = defaults::SSH_VERIFY))]
    pub verify: Option<bool>,
}

/// A pool for data disks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["name"]))]
pub(crate) struct DataResourcePool {
    /// Name by which data disks refer to the pool; unique on the host. `main` is the pool of the main disks.
    #[schemars(regex(pattern = NAME))]
    pub name: Option<String>,
    /// Folder on the host, absolute, in which the pool's folder is made.
    #[schemars(extend("default" = defaults::POOL_PATH))]
    pub path: Option<String>,
}
