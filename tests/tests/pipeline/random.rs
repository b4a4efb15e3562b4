//! Random clusters and hosts, and what happens to them.

use std::path::Path;

use kubitect_provision::observe::{
    DomainState, HostState, NetworkState, PoolState, PowerState, VolumeState,
};
use proptest::prelude::*;

use crate::world::World;

/// A random cluster: the values of its configuration.
#[derive(Debug, Clone)]
pub struct Wanted {
    masters: usize,
    /// By id; none: no such worker.
    workers: Vec<Option<Worker>>,
    main_disk: u32,
    cpu: u32,
}

#[derive(Debug, Clone)]
pub struct Worker {
    /// Sizes, by the disk's number; none: there is no such disk.
    disks: Vec<Option<u32>>,
    cpu: u32,
    ram: u32,
}

/// The values that a finished cluster can't change.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    mode: &'static str,
    two_hosts: bool,
}

pub fn fixed() -> impl Strategy<Value = Fixed> {
    let mode = prop_oneof![Just("nat"), Just("route"), Just("bridge")];
    (mode, proptest::bool::ANY).prop_map(|(mode, two_hosts)| Fixed { mode, two_hosts })
}

/// A random cluster with disks of these sizes: those of a later one must not be smaller.
pub fn wanted(sizes: std::ops::Range<u32>) -> impl Strategy<Value = Wanted> {
    let disk = proptest::option::of(sizes.clone());
    let worker = (
        proptest::collection::vec(disk, 0..4),
        prop_oneof![3 => Just(2_u32), 1 => 1..12_u32],
        prop_oneof![3 => Just(4_u32), 1 => 2..6_u32],
    );
    let worker = worker.prop_map(|(disks, cpu, ram)| Worker { disks, cpu, ram });
    (
        prop_oneof![Just(1_usize), Just(3)],
        proptest::collection::vec(proptest::option::weighted(0.8, worker), 0..5),
        sizes,
        2_u32..5,
    )
        .prop_map(|(masters, workers, main_disk, cpu)| Wanted {
            masters,
            workers,
            main_disk,
            cpu,
        })
}

pub fn yaml(fixed: Fixed, wanted: &Wanted) -> String {
    let Fixed { mode, two_hosts } = fixed;
    let mut yaml = String::from("hosts:\n");
    for host in ["one", "two"] {
        yaml.push_str(&format!(
            "  - name: {host}\n    connection:\n      uri: \"test:///{host}\"\n    mainResourcePoolPath: /pools\n    \
             dataResourcePools:\n      - name: fast\n        path: /fast\n"
        ));
    }
    let bridge = if mode == "bridge" {
        "\n    bridge: br0"
    } else {
        ""
    };
    let default = format!(
        "      default:\n        mainDiskSize: {}\n        cpu: {}\n",
        wanted.main_disk, wanted.cpu
    );
    yaml.push_str(&format!(
        "cluster:\n  name: demo\n  network:\n    mode: {mode}\n    cidr: 10.9.0.0/24{bridge}\n  nodeTemplate:\n    \
         user: k8s\n    os:\n      distro: debian\n  nodes:\n    loadBalancer:\n      instances:\n        \
         - id: 1\n          host: one\n          ip: 10.9.0.100\n    master:\n{default}      instances:\n"
    ));
    for id in 1..=wanted.masters {
        yaml.push_str(&format!(
            "        - id: {id}\n          host: one\n          ip: 10.9.0.1{id}\n"
        ));
    }
    let workers = || {
        let all = wanted.workers.iter().enumerate();
        all.filter_map(|(id, worker)| Some((id, worker.as_ref()?)))
    };
    if workers().next().is_some() {
        yaml.push_str(&format!("    worker:\n{default}      instances:\n"));
    }
    for (id, worker) in workers() {
        // libvirt's own network does not reach other hosts.
        let host = if two_hosts && mode == "bridge" && id % 2 == 1 {
            "two"
        } else {
            "one"
        };
        yaml.push_str(&format!(
            "        - id: {id}\n          host: {host}\n          cpu: {}\n          ram: {}\n",
            worker.cpu, worker.ram
        ));
        if id % 3 != 0 || mode == "bridge" {
            yaml.push_str(&format!("          ip: 10.9.0.2{id}\n"));
        }
        if worker.disks.iter().flatten().next().is_some() {
            yaml.push_str("          dataDisks:\n");
        }
        for (disk, size) in worker.disks.iter().enumerate() {
            let Some(size) = size else { continue };
            let pool = if disk % 2 == 0 { "fast" } else { "main" };
            yaml.push_str(&format!(
                "            - name: d{disk}\n              pool: {pool}\n              size: {size}\n"
            ));
        }
    }
    yaml.push_str(
        "kubernetes:\n  version: v1.23.7\n  networkPlugin: calico\n  kubespray:\n    version: v2.19.0\n",
    );
    yaml
}

/// A random cluster's configuration.
pub fn configuration() -> impl Strategy<Value = String> {
    (fixed(), wanted(2..5)).prop_map(|(fixed, wanted)| yaml(fixed, &wanted))
}

/// A change of a finished cluster that Kubitect did not make.
#[derive(Debug, Clone, Copy)]
pub enum Blow {
    Stop,
    Pause,
    LoseMainDisk,
    LoseDataDisks,
    Processors,
    Memory,
    Plug,
    StopNetwork,
    StopPools,
}

pub fn blows() -> impl Strategy<Value = Vec<(usize, Blow)>> {
    let blow = prop_oneof![
        Just(Blow::Stop),
        Just(Blow::Pause),
        Just(Blow::LoseMainDisk),
        Just(Blow::LoseDataDisks),
        Just(Blow::Processors),
        Just(Blow::Memory),
        Just(Blow::Plug),
        Just(Blow::StopNetwork),
        Just(Blow::StopPools),
    ];
    proptest::collection::vec((0_usize..8, blow), 0..4)
}

pub fn strike(world: &World, node: usize, blow: Blow) {
    let node = &world.cluster.nodes[node % world.cluster.nodes.len()];
    let (fake, name) = (&world.fakes[&node.host], node.name.as_str());
    let main = "/pools/demo-main-resource-pool";
    match blow {
        Blow::Stop => fake.stop(name),
        Blow::Pause => fake.change_domain(name, |domain| {
            if domain.live.is_some() {
                domain.power = PowerState::Paused;
            }
        }),
        Blow::LoseMainDisk => fake.lose_file(main, &node.main_volume()),
        Blow::LoseDataDisks => {
            for disk in &node.data_disks {
                let name = node.data_volume(disk);
                fake.lose_file(main, &name);
                // One disk stays: where all are missing, the file system is taken for not mounted, and the person has to act.
                let others = world.cluster.nodes.iter().filter(|n| n.host == node.host);
                let others = others
                    .flat_map(|node| node.data_disks.iter().map(|disk| node.data_volume(disk)));
                let fast = Path::new("/fast/demo-fast-data-resource-pool");
                let is_there = |name: &String| fake.capacity(&fast.join(name)).is_some();
                if others.filter(is_there).any(|other| other != name) {
                    fake.lose_file(fast, &name);
                }
            }
        }
        Blow::Processors => fake.change_domain(name, |domain| domain.vcpus += 1),
        Blow::Memory => fake.change_domain(name, |domain| domain.memory_mib /= 2),
        Blow::Plug => fake.change_domain(name, |domain| domain.nic = None),
        Blow::StopNetwork => fake.stop("demo-network"),
        Blow::StopPools => {
            fake.stop("demo-main-resource-pool");
            fake.stop("demo-fast-data-resource-pool");
        }
    }
}

/// What others have on a host.
pub fn others() -> impl Strategy<Value = HostState> {
    let flags = (
        proptest::bool::ANY,
        proptest::bool::ANY,
        proptest::bool::ANY,
        proptest::bool::ANY,
    );
    flags.prop_map(|(network, pool, domain, active)| {
        let mut state = HostState::default();
        if network {
            state.networks.push(NetworkState {
                name: "default".into(),
                active,
                mark: None,
                bridge: Some("virbr0".into()),
                cidr: Some("192.168.122.0/24".parse().unwrap()),
                reservations: Vec::new(),
            });
        }
        if pool {
            state.pools.push(PoolState {
                name: "default".into(),
                is_folder: true,
                path: Some("/var/lib/libvirt/images".into()),
                active,
                available: 1 << 30,
                volumes: vec![VolumeState {
                    name: "demo-master-1-main-disk".into(),
                    path: "/var/lib/libvirt/images/demo-master-1-main-disk".into(),
                    format: "qcow2".into(),
                    capacity: 1 << 30,
                    allocation: 1 << 29,
                    physical: None,
                    backing: None,
                }],
            });
        }
        if domain {
            state.domains.push(DomainState {
                name: "demo-of-somebody".into(),
                power: if active {
                    PowerState::Running
                } else {
                    PowerState::Off
                },
                note: None,
                vcpus: 1,
                max_vcpus: 1,
                memory_mib: 512,
                disks: vec!["/var/lib/libvirt/images/demo-master-1-main-disk".into()],
                ..DomainState::default()
            });
        }
        state
    })
}
