//! [`Change`]: every kind of difference that two clusters can have.

use serde::Serialize;

use crate::cluster::Role;
use crate::release::{Cilium, Hop};
use crate::value::{GiB, Label, Name};

/// What kind of difference an [`Edit`](super::Edit) is. The edit has the old and the new value as texts; the variants here have the
/// typed values that [`policy`](crate::policy::policy()) and a planner need.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "kind"
)]
pub enum Change {
    /// The cluster's name.
    ClusterName,

    /// A host is new.
    HostAdded {
        /// The host.
        host: Name,
    },
    /// A host is gone.
    HostRemoved {
        /// The host.
        host: Name,
        /// The applied machines that it carries.
        carries: Vec<Label>,
    },
    /// How a host is reached. The new connection must lead to the same host: a planner that finds none of `carries` behind it must
    /// stop, as it would make these machines a second time.
    HostConnection {
        /// The host.
        host: Name,
        /// The applied machines that it carries.
        carries: Vec<Label>,
    },
    /// Accelerated or emulated machines.
    VirtType {
        /// The host.
        host: Name,
        /// The applied machines that it carries.
        carries: Vec<Label>,
    },
    /// The folder of a host's main pool.
    MainPoolPath {
        /// The host.
        host: Name,
        /// The applied machines that it carries.
        carries: Vec<Label>,
    },
    /// A host has a further pool.
    DataPoolAdded {
        /// The host.
        host: Name,
        /// The pool.
        pool: Name,
    },
    /// A host's pool is gone.
    DataPoolRemoved {
        /// The host.
        host: Name,
        /// The pool.
        pool: Name,
        /// The applied machines that have a disk in it.
        carries: Vec<Label>,
    },
    /// The folder of a host's data pool.
    DataPoolPath {
        /// The host.
        host: Name,
        /// The pool.
        pool: Name,
        /// The applied machines of the host: if there are any, libvirt has the pool already.
        carries: Vec<Label>,
    },

    /// The network: its mode, range, gateway or bridge.
    Network,

    /// The account on each machine.
    User,
    /// The operating system's image.
    Image,
    /// The name of the machines' network interface.
    Interface,
    /// The private key that opens the machines.
    PrivateKey,
    /// Whether the machines' keys are written into the user's own known hosts.
    KnownHosts,
    /// The CPU mode.
    CpuMode,
    /// The machines' name servers.
    Dns,
    /// Whether packages are brought up to date at the first boot.
    UpdateOnBoot,

    /// The address that moves between balancers.
    Vip,
    /// The address at which nodes reach the API: the first balancer is added, the last one is removed, or the only balancer
    /// (without a balancer: the only master) is replaced by another. (A change of the VIP itself is [`Change::Vip`].)
    Endpoint,
    /// VRRP's virtual router id.
    RouterId {
        /// Whether the balancers have a VIP, before and after.
        vip: bool,
    },
    /// A forwarded port is added, removed or leads to another target.
    ForwardPort {
        /// Its name.
        name: Name,
    },

    /// A machine is new.
    NodeAdded {
        /// Its role.
        role: Role,
        /// Its name.
        node: Label,
    },
    /// A machine is gone from the configuration.
    NodeRemoved {
        /// Its role.
        role: Role,
        /// Its name.
        node: Label,
    },
    /// The host that carries a machine.
    NodeHost {
        /// The machine.
        node: Label,
    },
    /// A machine's fixed address.
    NodeIp {
        /// The machine.
        node: Label,
    },
    /// A machine's Ethernet address.
    NodeMac {
        /// The machine.
        node: Label,
    },
    /// A machine's virtual processors.
    Cpu {
        /// The machine.
        node: Label,
        /// The applied number.
        from: u32,
        /// The wanted number.
        to: u32,
    },
    /// A machine's memory.
    Ram {
        /// The machine.
        node: Label,
        /// The applied size.
        from: GiB,
        /// The wanted size.
        to: GiB,
    },
    /// The size of a machine's main disk.
    MainDisk {
        /// The machine.
        node: Label,
        /// The applied size.
        from: GiB,
        /// The wanted size.
        to: GiB,
    },
    /// A machine's further disk is new.
    DataDiskAdded {
        /// The machine.
        node: Label,
        /// The disk.
        disk: Name,
    },
    /// A machine's disk is gone.
    DataDiskRemoved {
        /// The machine.
        node: Label,
        /// The disk.
        disk: Name,
    },
    /// The size of a machine's data disk.
    DataDisk {
        /// The machine.
        node: Label,
        /// The disk.
        disk: Name,
        /// The applied size.
        from: GiB,
        /// The wanted size.
        to: GiB,
    },
    /// The pool of a machine's data disk.
    DataDiskPool {
        /// The machine.
        node: Label,
        /// The disk.
        disk: Name,
    },
    /// A label of a node is added, removed or has another value.
    NodeLabel {
        /// The node.
        node: Label,
        /// The label.
        key: String,
    },
    /// A taint of a node is added, removed or has another value.
    NodeTaint {
        /// The node.
        node: Label,
        /// The taint's key.
        key: String,
        /// Whether it evicts pods that do not tolerate it.
        evicts: bool,
    },
    /// A balancer's priority.
    Priority {
        /// The balancer.
        node: Label,
    },

    /// The version of Kubernetes, of Kubespray or of both. Where both differ, there are two edits with this same change.
    Versions {
        /// Whether the cluster has cilium, and who says its version.
        cilium: Cilium,
        /// The applied versions.
        from: Hop,
        /// The wanted versions.
        to: Hop,
    },
    /// The network plugin.
    NetworkPlugin,
    /// The DNS mode.
    DnsMode,
    /// The container manager.
    ContainerManager,
    /// Whether the control plane renews its certificates by itself.
    CertificateRenewal,
    /// Whether the kubeconfig is merged into the user's own.
    MergeKubeconfig,
    /// Where Kubespray, its Python or its packages come from.
    KubespraySource,

    /// The HTTP proxy of machines.
    Proxy,

    /// A variable of `addons.kubespray`.
    AddonVariable {
        /// The variable.
        key: String,
        /// Whether it is removed from the file, or set to `false` or null.
        off: bool,
    },
    /// Rook.
    Rook,
}

impl Change {
    /// The machine that the change is about; none if it is not about a single machine.
    pub fn node(&self) -> Option<&Label> {
        match self {
            Self::NodeAdded { node, .. }
            | Self::NodeRemoved { node, .. }
            | Self::NodeHost { node }
            | Self::NodeIp { node }
            | Self::NodeMac { node }
            | Self::Cpu { node, .. }
            | Self::Ram { node, .. }
            | Self::MainDisk { node, .. }
            | Self::DataDiskAdded { node, .. }
            | Self::DataDiskRemoved { node, .. }
            | Self::DataDisk { node, .. }
            | Self::DataDiskPool { node, .. }
            | Self::NodeLabel { node, .. }
            | Self::NodeTaint { node, .. }
            | Self::Priority { node } => Some(node),
            _ => None,
        }
    }
}
