//! [`Desired`]: what a cluster's configuration asks of its hosts, with all names, addresses, sizes and digests. Pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use kubitect_config::Cluster;
use kubitect_config::cluster::{CpuMode, DiskPool, Host, NetworkMode, Node, VirtType};
use kubitect_config::service_ranges::service_ranges;
use kubitect_config::value::{Label, Name};
use serde::Serialize;

use crate::change::ImageSpec;
use crate::observe::Capability;
use crate::resource::{
    Asked, BASE_POOL, Cpu, Disk, Domain, Format, Forward, Link, Network, Pool, Reservation, Volume,
};

/// The desired state of a cluster's hosts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Desired {
    /// By the host's name.
    pub hosts: BTreeMap<Name, DesiredHost>,
}

/// The desired state of one host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DesiredHost {
    /// The network; none where the machines use an existing bridge.
    pub network: Option<Network>,
    /// The pool of main disks, then those of data disks.
    pub pools: Vec<Pool>,
    /// The base image of all main disks.
    #[serde(skip)]
    pub image: ImageSpec,
    /// The image's SHA-256, if the configuration gives it.
    pub image_sha256: Option<String>,
    /// The machines.
    pub machines: Vec<Machine>,
}

/// The desired state of one machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// The disk with the operating system, an overlay on the base image.
    pub main: Volume,
    /// Further disks.
    pub data: Vec<Volume>,
    /// The pool of the seed.
    pub seed_pool: String,
    /// The volume of the seed.
    pub seed: String,
    /// The virtual machine.
    pub domain: Domain,
}

impl Machine {
    /// The names of its volumes.
    pub(crate) fn volumes(&self) -> impl Iterator<Item = &str> {
        let disks = self.data.iter().chain([&self.main]);
        disks
            .map(|disk| disk.name.as_str())
            .chain([self.seed.as_str()])
    }
}

/// The name of a node's seed: the volume with its cloud-init documents.
pub fn seed_volume(node: &Label) -> String {
    format!("{node}-seed")
}

/// The name of the file with the output of a node's serial console, beside its disks.
pub fn console_volume(node: &Label) -> String {
    format!("{node}-console.log")
}

/// The most addresses that DHCP may lease: more only make dnsmasq slow.
const DYNAMIC_MAX: usize = 4096;

/// The desired state of a cluster's hosts, which have these capabilities.
pub fn desired(cluster: &Cluster, capabilities: &BTreeMap<Name, Capability>) -> Desired {
    let none = Capability::default();
    let hosts = cluster.used_hosts().map(|host| {
        let capability = capabilities.get(&host.name).unwrap_or(&none);
        (host.name.clone(), desired_host(cluster, host, capability))
    });
    Desired {
        hosts: hosts.collect(),
    }
}

fn desired_host(cluster: &Cluster, host: &Host, capability: &Capability) -> DesiredHost {
    let nodes = || cluster.nodes.iter().filter(|node| node.host == host.name);
    let main_pool = Pool::under(&host.main_pool_path, cluster.main_pool_name());
    let mut pools = vec![main_pool.clone()];
    for data_pool in &host.data_pools {
        let wanted = DiskPool::Data(data_pool.name.clone());
        if nodes().any(|node| node.data_disks.iter().any(|disk| disk.pool == wanted)) {
            let name = cluster.data_pool_name(&data_pool.name);
            pools.push(Pool::under(&data_pool.path, name));
        }
    }
    let image = &cluster.guest.image;
    DesiredHost {
        network: network(cluster, host),
        image: ImageSpec {
            cluster: cluster.name.clone(),
            distro: image.distro.clone(),
            pool: Pool::under(&host.main_pool_path, BASE_POOL),
        },
        image_sha256: match &image.checksum {
            Some(kubitect_config::value::Checksum::Sha256(digest)) => Some(digest.clone()),
            _ => None,
        },
        machines: nodes()
            .map(|node| machine(cluster, host, node, &main_pool, &pools, capability))
            .collect(),
        pools,
    }
}

fn network(cluster: &Cluster, host: &Host) -> Option<Network> {
    let network = &cluster.network;
    let forward = match network.mode {
        NetworkMode::Nat => Forward::Nat,
        NetworkMode::Route => Forward::Route,
        NetworkMode::Bridge => return None,
    };
    let reservations = cluster.nodes.iter().filter(|node| node.host == host.name);
    let mut reservations: Vec<_> = reservations
        .filter_map(|node| {
            Some(Reservation {
                mac: node.mac,
                ip: node.ip?,
                name: node.name.clone(),
            })
        })
        .collect();
    reservations.sort();
    Some(Network {
        name: cluster.network_name(),
        cluster: cluster.name.clone(),
        forward,
        bridge: network.bridge.clone(),
        cidr: network.cidr,
        gateway: network.gateway,
        // The VIP can't be reserved, since it belongs to no machine, so it is left out of the DHCP ranges.
        dynamic: dynamic(network.cidr, network.gateway, cluster.balancing.vip),
        service_ranges: service_ranges(&cluster.addons.kubespray)
            .iter()
            .map(|range| (range.first, range.last))
            .collect(),
        reservations,
    })
}

/// The DHCP ranges: the last addresses of the network, without the gateway and the VIP.
fn dynamic(cidr: Ipv4Net, gateway: Ipv4Addr, vip: Option<Ipv4Addr>) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let mut ranges: Vec<(Ipv4Addr, Ipv4Addr)> = Vec::new();
    let top = u32::from(cidr.broadcast()).saturating_sub(1);
    let bottom = u32::from(cidr.network()).saturating_add(1);
    let free = (bottom..=top)
        .rev()
        .map(Ipv4Addr::from)
        .filter(|address| *address != gateway && Some(*address) != vip)
        .take(DYNAMIC_MAX);
    for address in free {
        match ranges.last_mut() {
            Some((start, _)) if u32::from(address) + 1 == u32::from(*start) => *start = address,
            _ => ranges.push((address, address)),
        }
    }
    ranges.reverse();
    ranges
}

fn machine(
    cluster: &Cluster,
    host: &Host,
    node: &Node,
    main_pool: &Pool,
    pools: &[Pool],
    capability: &Capability,
) -> Machine {
    let main = Volume {
        pool: main_pool.name.clone(),
        name: node.main_volume(),
        capacity: node.main_disk.bytes(),
        format: Format::Qcow2,
        backing: None,
    };
    let mut disks = vec![disk(main_pool, &main, "kubitect-main")];
    let mut data = Vec::new();
    for data_disk in &node.data_disks {
        let name = match &data_disk.pool {
            DiskPool::Main => main_pool.name.clone(),
            DiskPool::Data(pool) => cluster.data_pool_name(pool),
        };
        let volume = Volume {
            pool: name,
            name: node.data_volume(data_disk),
            capacity: data_disk.size.bytes(),
            format: Format::Qcow2,
            backing: None,
        };
        // Validation refuses a pool that the host does not have, so the pool is always found.
        if let Some(pool) = pools.iter().find(|pool| pool.name == volume.pool) {
            disks.push(disk(pool, &volume, data_disk.name.as_str()));
            data.push(volume);
        }
    }
    let seed = seed_volume(&node.name);
    disks.push(Disk {
        path: main_pool.volume(&seed),
        format: Format::Raw,
        serial: "kubitect-seed".to_owned(),
        readonly: true,
    });
    let virt = virt(host.virt_type, capability);
    let distro = &cluster.guest.image.distro;
    let cpu_of = |mode| cpu(mode, &virt, distro, capability);
    let cpu = cpu_of(cluster.guest.cpu_mode);
    let equivalent_modes = CpuMode::ALL.into_iter();
    let equivalent_modes = equivalent_modes
        .filter(|mode| cpu_of(*mode) == cpu)
        .collect();
    Machine {
        domain: Domain {
            name: node.name.clone(),
            cluster: cluster.name.clone(),
            asked: Asked {
                virt: host.virt_type,
                cpu: cluster.guest.cpu_mode,
            },
            cpu,
            equivalent_modes,
            virt,
            arch: capability.arch.clone(),
            vcpus: node.cpu,
            max_vcpus: max_vcpus(node.cpu, capability.max_vcpus),
            memory_mib: node.ram.mib(),
            disks,
            mac: node.mac,
            link: link(cluster),
            address: node.ip,
            console: main_pool.volume(&console_volume(&node.name)),
            note: None,
            detached: Vec::new(),
        },
        main,
        data,
        seed_pool: main_pool.name.clone(),
        seed,
    }
}

fn disk(pool: &Pool, volume: &Volume, serial: &str) -> Disk {
    Disk {
        path: pool.volume(&volume.name),
        format: volume.format,
        serial: disk_serial(serial),
        readonly: false,
    }
}

/// A disk's serial number, at most 20 bytes (virtio's limit). A longer name is cut and ends in a digest of the whole name, so that two
/// long names with the same beginning have different serial numbers. Labels are ASCII.
fn disk_serial(name: &str) -> String {
    if name.len() <= 20 {
        return name.to_owned();
    }
    let front = name.get(..11).unwrap_or_default();
    let digest = kubitect_config::digest::sha256(name.as_bytes());
    format!("{front}-{}", &digest[..8])
}

fn link(cluster: &Cluster) -> Link {
    match (cluster.network.mode, &cluster.network.bridge) {
        (NetworkMode::Bridge, Some(bridge)) => Link::Bridge(bridge.clone()),
        _ => Link::Network(cluster.network_name()),
    }
}

/// libvirt's domain type: as configured, else KVM if the host offers it, else emulation.
fn virt(wanted: VirtType, capability: &Capability) -> String {
    let offered = |kind: &str| capability.virt.iter().any(|offered| offered == kind);
    match wanted {
        VirtType::Kvm => "kvm",
        VirtType::Qemu => "qemu",
        VirtType::Auto if offered("kvm") => "kvm",
        VirtType::Auto if offered("qemu") => "qemu",
        VirtType::Auto => capability.virt.first().map_or("qemu", String::as_str),
    }
    .to_owned()
}

/// The most processors that a machine can have without a virtual IOMMU.
const MAX_VCPUS: u32 = 255;

/// The maximum of processors to which a machine can be hot-plugged: twice as many as it has and at least eight, within the limit of the
/// host's libvirt. Unused ones cost next to nothing.
fn max_vcpus(vcpus: u32, host: Option<u32>) -> u32 {
    let room = vcpus.saturating_mul(2).clamp(8, MAX_VCPUS);
    room.min(host.unwrap_or(room)).max(vcpus)
}

/// The processor that a guest sees.
///
/// `custom` is a baseline: x86-64-v2 (libvirt calls it Nehalem) if KVM can give it to guests, since newer distros need it, else
/// `qemu64`. Under emulation it is x86-64-v2 only for the distros that need it, since `qemu64` is faster. Emulation can't offer the
/// host's own processor, so the modes that ask for that become `maximum`.
fn cpu(mode: CpuMode, virt: &str, distro: &str, capability: &Capability) -> Cpu {
    let needs_v2 = ["rocky", "centos"]
        .iter()
        .any(|name| distro.starts_with(name));
    match mode {
        CpuMode::Custom if capability.arch == "x86_64" => {
            let v2 = match virt {
                "kvm" => capability.cpu_models.iter().any(|model| model == "Nehalem"),
                _ => needs_v2,
            };
            Cpu {
                mode,
                model: Some(if v2 { "Nehalem" } else { "qemu64" }.to_owned()),
            }
        }
        CpuMode::HostModel | CpuMode::HostPassthrough if virt == "kvm" => Cpu { mode, model: None },
        _ => Cpu {
            mode: CpuMode::Maximum,
            model: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_whose_names_begin_alike_have_serials_of_their_own() {
        assert_eq!(disk_serial("rook"), "rook");
        assert_eq!(disk_serial("twenty-bytes-long-20"), "twenty-bytes-long-20");
        let (one, two) = (
            disk_serial("postgres-data-of-team-1"),
            disk_serial("postgres-data-of-team-2"),
        );
        assert_eq!((one.len(), two.len()), (20, 20));
        assert_ne!(one, two);
        assert!(one.starts_with("postgres-da-"), "{one}");
    }

    #[test]
    fn there_is_room_for_twice_the_processors_as_far_as_libvirt_takes_part() {
        for (vcpus, host, room) in [
            (2, None, 8),
            (40, None, 80),
            (40, Some(64), 64),
            (128, None, 255),
            (255, Some(4096), 255),
            (300, None, 300),
        ] {
            assert_eq!(max_vcpus(vcpus, host), room, "{vcpus} {host:?}");
        }
    }

    #[test]
    fn what_addons_give_out_is_not_leased_and_changes_no_living_network() {
        let mut cluster = crate::testing::cluster();
        let host = cluster.hosts[0].clone();
        let plain = network(&cluster, &host).unwrap();
        let variables = "{metallb_enabled: true, metallb_config: {address_pools: {a: {ip_range: \
                         [192.168.113.240-192.168.113.250, 192.168.113.2/31]}}}}";
        cluster.addons.kubespray =
            kubitect_config::yaml::read_as(variables, kubitect_config::yaml::Limits::OWN).unwrap();
        let pools = network(&cluster, &host).unwrap();
        assert_eq!(plain.mark(), pools.mark());
        let ip = |last: u8| Ipv4Addr::new(192, 168, 113, last);
        assert_eq!(plain.dhcp_ranges(), [(ip(2), ip(254))]);
        assert_eq!(pools.dhcp_ranges(), [(ip(4), ip(239)), (ip(251), ip(254))]);
    }

    #[test]
    fn leased_addresses_leave_out_gateway_and_virtual_address() {
        let net = "192.168.113.0/24".parse().unwrap();
        let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        assert_eq!(
            dynamic(net, ip("192.168.113.1"), Some(ip("192.168.113.200"))),
            [
                (ip("192.168.113.2"), ip("192.168.113.199")),
                (ip("192.168.113.201"), ip("192.168.113.254")),
            ]
        );
        let wide = dynamic("10.0.0.0/8".parse().unwrap(), ip("10.0.0.1"), None);
        assert_eq!(wide, [(ip("10.255.239.255"), ip("10.255.255.254"))]);
    }
}
