//! [`Observed`]: what is on the hosts, and which of it is ours. Plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use kubitect_config::value::{Label, Mac, Name};
use serde::{Deserialize, Serialize};

use crate::names::of_node;
use crate::resource::{BASE_POOL, Link, Mark, Reservation};

/// What is on all hosts.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Observed {
    /// By the host's name.
    pub hosts: BTreeMap<Name, HostState>,
    /// Why others were not seen: what is on them is not known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub away: BTreeMap<Name, String>,
}

/// What is on one host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HostState {
    /// What it can do.
    pub capability: Capability,
    /// Its networks.
    pub networks: Vec<NetworkState>,
    /// Its pools.
    pub pools: Vec<PoolState>,
    /// Its domains.
    pub domains: Vec<DomainState>,
    /// Addresses that are leased to running domains of the cluster, or that their agents claim: only of those whose address is
    /// neither fixed nor reserved, and only after [`look`](crate::observe::look).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<String, Vec<(Mac, Ipv4Addr)>>,
}

impl Observed {
    /// The names of the volumes that machines on other hosts than this one have, those that count. Hosts may share a folder.
    ///
    /// Two names may lead to one libvirt: a disk that the same machine has on this host is not elsewhere.
    pub(crate) fn disks_elsewhere(
        &self,
        host: &Name,
        counts: impl Fn(&DomainState) -> bool,
    ) -> BTreeSet<String> {
        let own = self.hosts.get(host);
        let others = self.hosts.iter().filter(|(other, _)| *other != host);
        let domains = others.flat_map(|(_, there)| &there.domains);
        let disks = domains.filter(|domain| counts(domain)).flat_map(|domain| {
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

    /// What was noted of each of the cluster's machines that exist.
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

/// What a host can do and has to give.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Capability {
    /// The architecture of its processors.
    pub arch: String,
    /// libvirt's domain types on it: `kvm`, `qemu`.
    pub virt: Vec<String>,
    /// Processor models that KVM can give to guests.
    pub cpu_models: Vec<String>,
    /// How many processors a guest can have, whichever of `virt` runs it, where libvirt tells.
    pub max_vcpus: Option<u32>,
    /// Its processors.
    pub cpus: u32,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// Its memory that nobody needs, in MiB, where it can be told.
    pub memory_free_mib: Option<u64>,
    /// Address ranges that it routes already, with the interface, where they can be seen.
    pub routes: Vec<(Ipv4Net, String)>,
}

/// A network that is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkState {
    /// Its name.
    pub name: String,
    /// Whether it is started.
    pub active: bool,
    /// Our mark, if it is ours.
    pub mark: Option<Mark>,
    /// Its bridge.
    pub bridge: Option<String>,
    /// Its range.
    pub cidr: Option<Ipv4Net>,
    /// Addresses that it keeps for one machine each.
    pub reservations: Vec<Reservation>,
}

/// A pool that is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolState {
    /// Its name.
    pub name: String,
    /// Whether it is a plain folder.
    pub is_folder: bool,
    /// Its folder.
    pub path: Option<PathBuf>,
    /// Whether it is started.
    pub active: bool,
    /// What is free in it, in bytes; 0 unless started.
    pub available: u64,
    /// Its volumes; none unless started.
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

    /// How many disks of this cluster's machines should lie in it, if it is started and not one of them does: then its file
    /// system is rather not mounted than each of them lost. Else 0.
    pub(crate) fn missing(&self, cluster: &Label, domains: &[DomainState]) -> usize {
        let disks = self.disks_of(cluster, domains);
        let has = |disk: &&Path| self.volumes.iter().any(|volume| volume.path == **disk);
        match self.active && !disks.iter().any(has) {
            true => disks.len(),
            false => 0,
        }
    }
}

/// A volume that is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeState {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: PathBuf,
    /// libvirt's name of its format.
    pub format: String,
    /// What a guest sees, in bytes.
    pub capacity: u64,
    /// What it takes on the host's disk, in bytes.
    pub allocation: u64,
    /// How long its file is, in bytes, where libvirt tells.
    pub physical: Option<u64>,
    /// The image under it.
    pub backing: Option<PathBuf>,
}

/// A domain that is there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DomainState {
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub power: PowerState,
    /// Whether its definition is gone while it runs, so that it goes with its power.
    #[serde(default)]
    pub transient: bool,
    /// Whether it was saved as it ran and is off: it goes on from there when it is started, with what it had then.
    #[serde(default)]
    pub saved: bool,
    /// libvirt's domain type: `kvm`, `qemu`.
    #[serde(default)]
    pub virt: String,
    /// Our mark, if it is ours.
    pub mark: Option<Mark>,
    /// The machine whose mark it bears though it has another name: a copy of that one, as `virt-clone` makes it, or that one
    /// renamed. It is none of ours.
    #[serde(default)]
    pub copy_of: Option<Label>,
    /// What was noted of it with [`crate::machine::note`].
    pub note: Option<String>,
    /// What it was given and its system may not use yet: `cpus`, `main` (the main disk), serial numbers of data disks.
    pub given: Vec<String>,
    /// The network interface that was made for it: the one with the Ethernet address that is derived from its name, else its first.
    pub nic: Option<Nic>,
    /// Its virtual processors.
    pub vcpus: u32,
    /// Up to how many it can be given while it runs.
    pub max_vcpus: u32,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// The paths of its disks; `<pool>/<volume>` or `<protocol>:<name>` where a disk is named that way, as other programs do.
    pub disks: Vec<PathBuf>,
    /// The paths of what lies under its disks, now and from its next start on, where libvirt tells.
    #[serde(default)]
    pub under: Vec<PathBuf>,
    /// What else it has.
    #[serde(default)]
    pub added: Added,
    /// What it has while it is on; the fields above are what it has when it is switched on the next time.
    pub live: Option<Live>,
}

/// A network interface of a domain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Nic {
    /// Its Ethernet address.
    pub mac: Mac,
    /// What it is plugged into, if that is of a kind that we make.
    pub link: Option<Link>,
}

/// What Kubitect would not have given to a domain: it was added by a person or another program, and stays.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Added {
    /// Further network interfaces.
    pub nics: Vec<Nic>,
    /// Other devices, in words.
    pub devices: Vec<String>,
    /// Other parts of its definition, in words.
    pub settings: Vec<String>,
    /// Whether its memory is laid out in NUMA cells.
    pub cells: bool,
    /// The number of processors that their topology is laid out for, if it is.
    pub topology: Option<u32>,
}

/// What a domain has while it is on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Live {
    /// Its virtual processors.
    pub vcpus: u32,
    /// Its memory, in MiB.
    pub memory_mib: u64,
    /// What its balloon leaves it of that now, where libvirt tells.
    #[serde(default)]
    pub balloon_mib: Option<u64>,
    /// The paths of its disks.
    pub disks: Vec<PathBuf>,
    /// The network interface that was made for it, as [`DomainState::nic`].
    pub nic: Option<Nic>,
    /// What else it has.
    #[serde(default)]
    pub added: Added,
    /// How many disks it can still be given while it runs, where that can be told.
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
    /// Its Ethernet address; where its interface is gone, the one that was derived for it.
    pub(crate) fn mac(&self) -> Mac {
        let nic = self.nic.as_ref();
        nic.map_or_else(|| Mac::derived(&self.name), |nic| nic.mac)
    }

    /// Its network interface with this Ethernet address.
    pub(crate) fn nic_of(&self, mac: Mac) -> Option<&Nic> {
        let mut nics = self.nic.iter().chain(&self.added.nics);
        nics.find(|nic| nic.mac == mac)
    }

    /// Whether this volume of that pool is one of its disks or lies under one, now or from its next start on.
    pub(crate) fn uses(&self, pool: &str, volume: &VolumeState) -> bool {
        let named = Path::new(pool).join(&volume.name);
        self.all_disks()
            .chain(&self.under)
            .any(|disk| *disk == volume.path || *disk == named)
    }

    /// The paths of its disks, now and from its next start on; most of them twice.
    pub(crate) fn all_disks(&self) -> impl Iterator<Item = &PathBuf> {
        let live = self.live.iter().flat_map(|live| &live.disks);
        self.disks.iter().chain(live)
    }

    /// Whether another program made it and gave it a name like those of the cluster's machines.
    pub(crate) fn is_namesake(&self, cluster: &Label) -> bool {
        let is_foreign = self.mark.is_none() && self.copy_of.is_none();
        is_foreign && of_node(cluster.as_str(), &self.name).is_some()
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
pub(crate) fn concerns(pool: &str, cluster: &Label) -> bool {
    let rest = pool.strip_prefix(cluster.as_str());
    pool == BASE_POOL
        || rest.is_some_and(|rest| rest.starts_with('-') && rest.ends_with("-resource-pool"))
}

/// The whole range that an address with this netmask lies in.
pub(crate) fn range(address: Ipv4Addr, netmask: Ipv4Addr) -> Option<Ipv4Net> {
    Ipv4Net::with_netmask(address, netmask)
        .ok()
        .map(|net| net.trunc())
}
