//! [`Observed`]: the state of the hosts as libvirt shows it, and what of it is the cluster's. Plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use kubitect_config::value::{Label, Mac, Name};
use serde::{Deserialize, Serialize};

use crate::names::node_suffix;
use crate::resource::{BASE_POOL, Link, Mark, Reservation};

/// The observed state of all hosts.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Observed {
    /// The hosts that were reached, by name.
    pub hosts: BTreeMap<Name, HostState>,
    /// Why the other hosts could not be reached: their state is not known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub away: BTreeMap<Name, String>,
}

/// The observed state of one host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HostState {
    /// Its capabilities and resources.
    pub capability: Capability,
    /// Its networks.
    pub networks: Vec<NetworkState>,
    /// Its pools.
    pub pools: Vec<PoolState>,
    /// Its domains.
    pub domains: Vec<DomainState>,
    /// Addresses that are leased to running domains of the cluster, or that their guest agents report. Only for domains with neither a
    /// fixed nor a reserved address, and only after [`observe_with_addresses`](crate::observe::observe_with_addresses).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, Vec<(Mac, Ipv4Addr)>>,
}

impl Observed {
    /// The names of the volumes that the matching domains on other hosts have as disks. Hosts may share a folder.
    ///
    /// Two hosts' names may lead to one libvirt: a disk that the same domain has on this host is not on another one.
    pub(crate) fn disks_on_other_hosts(
        &self,
        host: &Name,
        matches: impl Fn(&DomainState) -> bool,
    ) -> BTreeSet<String> {
        let own = self.hosts.get(host);
        let others = self.hosts.iter().filter(|(other, _)| *other != host);
        let domains = others.flat_map(|(_, state)| &state.domains);
        let disks = domains.filter(|domain| matches(domain)).flat_map(|domain| {
            let here = own.and_then(|own| own.domain(&domain.name));
            let here = here.filter(|here| here.mark == domain.mark);
            let is_here = move |disk: &PathBuf| {
                here.is_some_and(|here| here.all_disks().any(|own| own == disk))
            };
            domain.all_disks().filter(move |disk| !is_here(disk))
        });
        let names = disks.filter_map(|disk| disk.file_name()?.to_str());
        names.map(str::to_owned).collect()
    }

    /// The notes of the cluster's machines that exist.
    pub fn notes(&self, cluster: &Label) -> BTreeMap<Label, Option<String>> {
        let domains = self.hosts.values().flat_map(|host| &host.domains);
        let ours = domains.filter_map(|domain| {
            let mark = domain.mark.as_ref()?;
            let node = mark.node.as_ref().filter(|_| mark.cluster == *cluster)?;
            Some((node.clone(), domain.note.clone()))
        });
        ours.collect()
    }
}

impl HostState {
    /// The network of this name.
    pub fn network(&self, name: &str) -> Option<&NetworkState> {
        self.networks.iter().find(|network| network.name == name)
    }

    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Option<&PoolState> {
        self.pools.iter().find(|pool| pool.name == name)
    }

    /// The volume of this name in that pool.
    pub fn volume(&self, pool: &str, name: &str) -> Option<&VolumeState> {
        self.pool(pool)?.volume(name)
    }

    /// The domain of this name.
    pub fn domain(&self, name: &str) -> Option<&DomainState> {
        self.domains.iter().find(|domain| domain.name == name)
    }
}

/// A host's capabilities and resources.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Capability {
    /// The architecture of its processors.
    pub arch: String,
    /// libvirt's domain types on it: `kvm`, `qemu`.
    pub virt: Vec<String>,
    /// Processor models that KVM can give to guests.
    pub cpu_models: Vec<String>,
    /// How many virtual processors a domain can have at most, with any of the types in `virt`, if libvirt reports it.
    pub max_vcpus: Option<u32>,
    /// The number of its processors.
    pub cpus: u32,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// Its available memory, in MiB, if it can be read.
    pub memory_free_mib: Option<u64>,
    /// The address ranges in its routing table, with the interface, if that can be read.
    pub routes: Vec<(Ipv4Net, String)>,
}

/// A network that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkState {
    /// Its name.
    pub name: String,
    /// Whether it is started.
    pub active: bool,
    /// Its mark, if Kubitect made it.
    pub mark: Option<Mark>,
    /// Its bridge.
    pub bridge: Option<String>,
    /// Its range.
    pub cidr: Option<Ipv4Net>,
    /// Its reservations (`<host>` elements of its DHCP).
    pub reservations: Vec<Reservation>,
}

/// A pool that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolState {
    /// Its name.
    pub name: String,
    /// Whether it is a folder (libvirt's type `dir`).
    pub is_folder: bool,
    /// Its folder.
    pub path: Option<PathBuf>,
    /// Whether it is started.
    pub active: bool,
    /// The free space in it, in bytes; 0 unless it is started.
    pub available: u64,
    /// Its volumes; none unless it is started.
    pub volumes: Vec<VolumeState>,
}

impl PoolState {
    /// The volume of this name.
    pub fn volume(&self, name: &str) -> Option<&VolumeState> {
        self.volumes.iter().find(|volume| volume.name == name)
    }

    /// The paths in its folder that machines of this cluster have as disks.
    pub(crate) fn disks_of<'a>(
        &'a self,
        cluster: &'a Label,
        domains: &'a [DomainState],
    ) -> BTreeSet<&'a Path> {
        let ours = domains.iter().filter(|domain| domain.is_of(cluster));
        ours.flat_map(DomainState::all_disks)
            .map(PathBuf::as_path)
            .filter(|disk| disk.parent().is_some() && disk.parent() == self.path.as_deref())
            .collect()
    }

    /// How many disks of this cluster's machines are missing in it, if it is started and all of them are; else 0. Where all are missing,
    /// its file system is rather not mounted than each disk lost.
    pub(crate) fn missing(&self, cluster: &Label, domains: &[DomainState]) -> usize {
        let disks = self.disks_of(cluster, domains);
        let has = |disk: &&Path| self.volumes.iter().any(|volume| volume.path == **disk);
        match self.active && !disks.iter().any(has) {
            true => disks.len(),
            false => 0,
        }
    }
}

/// A volume that exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeState {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// libvirt's name of its format.
    pub format: String,
    /// Its size in a guest, in bytes.
    pub capacity: u64,
    /// The space that it takes on the host, in bytes.
    pub allocation: u64,
    /// The length of its file, in bytes, if libvirt reports it.
    pub physical: Option<u64>,
    /// Its backing image.
    pub backing: Option<PathBuf>,
}

/// A domain that exists.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DomainState {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub power: PowerState,
    /// Whether it runs without a definition, so that it no longer exists once it is off.
    #[serde(default)]
    pub transient: bool,
    /// Whether it is off with a saved state, from which it is restored at its next start, with the hardware that it had then.
    #[serde(default)]
    pub saved: bool,
    /// libvirt's domain type: `kvm`, `qemu`.
    #[serde(default)]
    pub virt: String,
    /// Its mark, if Kubitect made it.
    pub mark: Option<Mark>,
    /// The machine whose mark it bears under another name: it is a copy of that machine, as `virt-clone` makes it, or that machine
    /// renamed, and not Kubitect's.
    #[serde(default)]
    pub copy_of: Option<Label>,
    /// Its note, see [`crate::machine::note`].
    pub note: Option<String>,
    /// The hardware that it was given and that its system may not use yet: `cpus`, `main` (the main disk), serial numbers of data disks.
    pub given: Vec<String>,
    /// The network interface that Kubitect made: the one with the Ethernet address that is derived from its name, else its first.
    pub nic: Option<Nic>,
    /// Its virtual processors.
    pub vcpus: u32,
    /// How many it can have at most by hot-plug.
    pub max_vcpus: u32,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// The paths of its disks; `<pool>/<volume>` or `<protocol>:<name>` where a disk is named that way, as other programs do.
    pub disks: Vec<PathBuf>,
    /// The paths in the backing chains of its disks, of the running domain and of its definition, if libvirt reports them.
    #[serde(default)]
    pub under: Vec<PathBuf>,
    /// What was added to its definition.
    #[serde(default)]
    pub added: Added,
    /// What the running domain has; the fields above are its definition, which holds from its next start on.
    pub live: Option<Live>,
}

/// A network interface of a domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nic {
    /// Its Ethernet address.
    pub mac: Mac,
    /// What it is connected to, if that is of a kind that Kubitect makes.
    pub link: Option<Link>,
}

/// What a person or another program added to a domain. It stays.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Added {
    /// Further network interfaces.
    pub nics: Vec<Nic>,
    /// Other devices, as text for a person.
    pub devices: Vec<String>,
    /// Other parts of its definition, as text for a person.
    pub settings: Vec<String>,
    /// Whether its memory is laid out in NUMA cells.
    pub cells: bool,
    /// The number of processors that their topology is laid out for, if it is.
    pub topology: Option<u32>,
}

/// What a running domain has.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Live {
    /// Its virtual processors.
    pub vcpus: u32,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// The memory that its balloon leaves to it now, in MiB, if libvirt reports it.
    #[serde(default)]
    pub balloon_mib: Option<u64>,
    /// The paths of its disks.
    pub disks: Vec<PathBuf>,
    /// The network interface that Kubitect made, as [`DomainState::nic`].
    pub nic: Option<Nic>,
    /// What was added to it.
    #[serde(default)]
    pub added: Added,
    /// How many more disks can be hot-plugged, if that can be told.
    #[serde(default)]
    pub free_ports: Option<u32>,
}

impl Live {
    /// Its network interface with this Ethernet address.
    pub(crate) fn nic_of(&self, mac: Mac) -> Option<&Nic> {
        let mut nics = self.nic.iter().chain(&self.added.nics);
        nics.find(|nic| nic.mac == mac)
    }
}

impl DomainState {
    /// Its Ethernet address; without an interface, the one that is derived from its name.
    pub(crate) fn mac(&self) -> Mac {
        let nic = self.nic.as_ref();
        nic.map_or_else(|| Mac::derived(&self.name), |nic| nic.mac)
    }

    /// Its network interface with this Ethernet address.
    pub(crate) fn nic_of(&self, mac: Mac) -> Option<&Nic> {
        let mut nics = self.nic.iter().chain(&self.added.nics);
        nics.find(|nic| nic.mac == mac)
    }

    /// Whether this volume of that pool is one of its disks, or in the backing chain of one, now or from its next start on.
    pub(crate) fn uses(&self, pool: &str, volume: &VolumeState) -> bool {
        let named = Path::new(pool).join(&volume.name);
        self.all_disks()
            .chain(&self.under)
            .any(|disk| *disk == volume.path || *disk == named)
    }

    /// The paths of its disks, of its definition and of the running domain; most are in both, and come twice.
    pub(crate) fn all_disks(&self) -> impl Iterator<Item = &PathBuf> {
        let live = self.live.iter().flat_map(|live| &live.disks);
        self.disks.iter().chain(live)
    }

    /// Whether another program made it, with a name like those of the cluster's machines.
    pub(crate) fn is_namesake(&self, cluster: &Label) -> bool {
        let is_foreign = self.mark.is_none() && self.copy_of.is_none();
        is_foreign && node_suffix(cluster.as_str(), &self.name).is_some()
    }

    /// Whether it is of this cluster.
    pub(crate) fn is_of(&self, cluster: &Label) -> bool {
        self.mark
            .as_ref()
            .is_some_and(|mark| mark.cluster == *cluster)
    }
}

/// Whether a domain runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PowerState {
    /// It does.
    Running,
    /// It is paused, by a person or by libvirt after an error.
    Paused,
    /// It is off, or on its way there.
    #[default]
    Off,
    /// It is off because its guest or QEMU broke down.
    Crashed,
}

impl PowerState {
    /// Whether it has its power.
    pub fn is_on(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// Whether the pool of this name is that of base images or has the name prefix of a cluster.
pub(crate) fn is_relevant_pool(pool: &str, cluster: &Label) -> bool {
    let rest = pool.strip_prefix(cluster.as_str());
    pool == BASE_POOL
        || rest.is_some_and(|rest| rest.starts_with('-') && rest.ends_with("-resource-pool"))
}

/// The range of an address with this netmask.
pub(crate) fn range(address: Ipv4Addr, netmask: Ipv4Addr) -> Option<Ipv4Net> {
    Ipv4Net::with_netmask(address, netmask)
        .ok()
        .map(|net| net.trunc())
}
