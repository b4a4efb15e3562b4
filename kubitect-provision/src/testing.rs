//! A small cluster for this crate's own tests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kubitect_config::Cluster;
use kubitect_config::cluster::{
    Addons, Balancing, Connection, CpuMode, Guest, Host, Image, Kubernetes, Kubespray, Network,
    NetworkMode, Node, Pip, Role, VirtType,
};
use kubitect_config::value::GiB;

/// A balancer and a master with fixed addresses, and a worker without one. The master's Ethernet address is one that YAML 1.1
/// reads as a number unless it is quoted.
pub fn cluster() -> Cluster {
    Cluster {
        name: "demo".parse().unwrap(),
        hosts: vec![Host {
            name: "localhost".parse().unwrap(),
            connection: Connection::Local,
            virt_type: VirtType::Qemu,
            main_pool_path: PathBuf::from("/var/lib/libvirt/images"),
            data_pools: Vec::new(),
        }],
        network: Network {
            mode: NetworkMode::Nat,
            cidr: "192.168.113.0/24".parse().unwrap(),
            gateway: "192.168.113.1".parse().unwrap(),
            bridge: None,
        },
        guest: Guest {
            user: "k8s".to_owned(),
            image: Image {
                distro: "ubuntu22".to_owned(),
                source: "/images/ubuntu.qcow2".to_owned(),
                checksum: None,
            },
            interface: "ens3".to_owned(),
            private_key: None,
            add_to_known_hosts: true,
            cpu_mode: CpuMode::Custom,
            dns: Vec::new(),
            update_on_boot: true,
        },
        balancing: Balancing {
            vip: None,
            virtual_router_id: 51,
            forward_ports: Vec::new(),
        },
        nodes: vec![
            node(
                Role::LoadBalancer,
                "1",
                Some("192.168.113.100"),
                "52:54:00:00:00:0a",
            ),
            node(
                Role::Master,
                "1",
                Some("192.168.113.10"),
                "52:54:00:12:34:56",
            ),
            node(Role::Worker, "1", None, "52:54:00:00:00:0c"),
        ],
        kubernetes: Kubernetes {
            version: "v1.23.7".parse().unwrap(),
            network_plugin: "calico".to_owned(),
            dns_mode: "coredns".to_owned(),
            container_manager: "containerd".to_owned(),
            kubespray: Kubespray {
                version: "v2.19.0".parse().unwrap(),
                url: "https://example.org/kubespray".to_owned(),
                any_commit: false,
                python: None,
                forks: 20,
                pip: Pip::default(),
            },
            auto_renew_certificates: false,
            merge_kubeconfig: false,
        },
        addons: Addons::default(),
        proxy: None,
    }
}

/// A node of that cluster.
pub fn node(role: Role, id: &str, ip: Option<&str>, mac: &str) -> Node {
    Node {
        role,
        id: id.parse().unwrap(),
        name: format!("demo-{}-{id}", role.infix()).parse().unwrap(),
        host: "localhost".parse().unwrap(),
        ip: ip.map(|ip| ip.parse().unwrap()),
        mac: mac.parse().unwrap(),
        cpu: 2,
        ram: GiB(4),
        main_disk: GiB(32),
        data_disks: Vec::new(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
        priority: (role == Role::LoadBalancer).then_some(10),
    }
}
