//! Clusters to render balancers for.

use std::net::Ipv4Addr;

use kubitect_config::cluster::{
    Addons, Balancing, Cluster, Connection, CpuMode, ForwardPort, Guest, Host, Image, Kubernetes,
    Kubespray, Network, NetworkMode, Node, Pip, Role, Target, VirtType,
};
use kubitect_config::value::{GiB, Label, Mac};
use kubitect_config::{Facts, NodeFacts};

pub fn label(text: &str) -> Label {
    text.parse().unwrap()
}

/// A cluster like `examples/multi-master.yaml` with this many machines of each role, and its facts.
///
/// Several balancers share 192.168.113.99; the first one has the highest priority.
pub fn cluster(balancers: u8, masters: u8, workers: u8) -> (Cluster, Facts) {
    let nodes: Vec<Node> = (0..balancers)
        .map(|i| node(Role::LoadBalancer, i, 100 + i))
        .chain((0..masters).map(|i| node(Role::Master, i, 10 + i)))
        .chain((0..workers).map(|i| node(Role::Worker, i, 20 + i)))
        .collect();
    let facts = facts(&nodes);
    let cluster = Cluster {
        name: label("local-k8s-cluster"),
        hosts: vec![Host {
            name: "localhost".parse().unwrap(),
            connection: Connection::Local,
            virt_type: VirtType::Auto,
            main_pool_path: "/var/lib/libvirt/images".into(),
            data_pools: Vec::new(),
        }],
        network: Network {
            mode: NetworkMode::Nat,
            cidr: "192.168.113.0/24".parse().unwrap(),
            gateway: Ipv4Addr::new(192, 168, 113, 1),
            bridge: None,
        },
        guest: Guest {
            user: "k8s".into(),
            image: Image {
                distro: "ubuntu22".into(),
                source: "/images/ubuntu.qcow2".into(),
                checksum: None,
            },
            interface: "eth0".into(),
            private_key: None,
            add_to_known_hosts: true,
            cpu_mode: CpuMode::Custom,
            dns: Vec::new(),
            update_on_boot: true,
        },
        balancing: Balancing {
            vip: (balancers > 1).then_some(Ipv4Addr::new(192, 168, 113, 99)),
            virtual_router_id: 51,
            forward_ports: Vec::new(),
        },
        nodes,
        kubernetes: Kubernetes {
            version: "v1.23.7".parse().unwrap(),
            network_plugin: "calico".into(),
            dns_mode: "coredns".into(),
            container_manager: "containerd".into(),
            kubespray: Kubespray {
                version: "v2.19.0".parse().unwrap(),
                url: "https://github.com/kubernetes-sigs/kubespray".into(),
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
    };
    (cluster, facts)
}

/// One forwarded port for every target.
pub fn forward_ports() -> Vec<ForwardPort> {
    let port = |name: &str, port, target_port, target| ForwardPort {
        name: name.parse().unwrap(),
        port,
        target_port,
        target,
    };
    vec![
        port("http", 80, 30080, Target::Workers),
        port("etcd-metrics", 2381, 2381, Target::Masters),
        port("kubelet", 10250, 10250, Target::All),
    ]
}

fn node(role: Role, index: u8, last: u8) -> Node {
    let id = label(&(index + 1).to_string());
    let name = label(&format!("local-k8s-cluster-{}-{id}", role.infix()));
    Node {
        role,
        mac: Mac::derived(name.as_str()),
        id,
        name,
        host: "localhost".parse().unwrap(),
        ip: Some(Ipv4Addr::new(192, 168, 113, last)),
        cpu: 2,
        ram: GiB(4),
        main_disk: GiB(32),
        data_disks: Vec::new(),
        labels: Default::default(),
        taints: Vec::new(),
        priority: (role == Role::LoadBalancer).then_some(200 - 10 * index),
    }
}

fn facts(nodes: &[Node]) -> Facts {
    Facts {
        user: "k8s".into(),
        private_key: "/keys/id_ed25519".into(),
        known_hosts: "/keys/known_hosts".into(),
        nodes: nodes
            .iter()
            .map(|node| NodeFacts {
                name: node.name.clone(),
                role: node.role,
                id: node.id.clone(),
                host: node.host.clone(),
                ip: node.ip.unwrap(),
                mac: node.mac,
                host_key: "ssh-ed25519 AAAA".into(),
            })
            .collect(),
    }
}
