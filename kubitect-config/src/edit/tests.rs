//! Every kind of edit, each made from a cluster in which everything is used.

use std::collections::BTreeSet;

use crate::cluster::*;
use crate::value::{Checksum, GiB, Invalid};
use crate::{Site, parse};

use super::*;

fn cluster(text: &str) -> Cluster {
    parse(text, "cluster.yaml", &Site::default())
        .unwrap()
        .cluster
}

/// A cluster in which everything is used that a file can say.
pub(crate) fn base() -> Cluster {
    cluster(
        r#"
hosts:
  - name: one
    connection: { type: local }
    dataResourcePools: [{ name: fast, path: /fast }, { name: slow, path: /slow }]
  - name: two
    connection: { type: remote, user: admin, ip: 10.0.0.2 }
    dataResourcePools: [{ name: big, path: /big }]
cluster:
  name: demo
  network: { mode: nat, cidr: 192.168.113.0/24 }
  nodes:
    loadBalancer:
      vip: 192.168.113.200
      virtualRouterId: 7
      forwardPorts: [{ name: http, port: 80 }]
      instances: [{ id: 1 }, { id: 2 }]
    master:
      instances: [{ id: 1, ip: 192.168.113.11 }, { id: 2 }, { id: 3 }]
    worker:
      default: { labels: { zone: a }, taints: ["rack=1:NoSchedule"] }
      instances:
        - { id: 1, dataDisks: [{ name: rook, pool: fast, size: 10 }, { name: logs, size: 5 }] }
        - { id: 2 }
kubernetes:
  version: v1.23.7
  kubespray: { version: v2.19.0 }
addons:
  kubespray: { metrics_server_enabled: true, registry: { user: me, password: hunter2 } }
"#,
    )
}

fn label<T: std::str::FromStr<Err = Invalid>>(text: &str) -> T {
    text.parse().unwrap()
}

fn node<'a>(cluster: &'a mut Cluster, name: &str) -> &'a mut Node {
    let mut nodes = cluster.nodes.iter_mut();
    nodes.find(|node| node.name.as_str() == name).unwrap()
}

fn new_node(cluster: &mut Cluster, like: &str, id: &str) {
    let mut new = node(cluster, like).clone();
    new.name = label(&format!("demo-{}-{id}", new.role.infix()));
    new.id = label(id);
    cluster.nodes.push(new);
}

/// A change of [`base`], and the edits that it is, a line each.
pub(crate) type Case = (fn(&mut Cluster), &'static str);

#[rustfmt::skip] // One case a line or two, so that the table reads as one.
pub(crate) const CASES: &[Case] = &[
    (|c| c.name = label("other"), "cluster.name: demo -> other"),

    (|c| { let mut new = c.hosts[1].clone(); new.name = label("three"); c.hosts.push(new); },
     "hosts[name=three]: (nothing) -> admin@10.0.0.2:22, key verified"),
    (|c| { c.hosts.pop(); }, "hosts[name=two]: admin@10.0.0.2:22, key verified -> (nothing)"),
    (|c| { c.hosts.remove(0); }, "hosts[name=one]: local -> (nothing)"),
    (|c| c.hosts[0].connection = Connection::Uri("qemu:///system".to_owned()),
     "hosts[name=one].connection: local -> qemu:///system"),
    (|c| c.hosts[1].connection = Connection::Remote {
        user: "admin".to_owned(), address: "10.0.0.2".to_owned(), port: 22, keyfile: Some("/key".into()), verify: true },
     "hosts[name=two].connection: admin@10.0.0.2:22, key verified -> admin@10.0.0.2:22 with /key, key verified"),
    (|c| c.hosts[0].virt_type = VirtType::Qemu, "hosts[name=one].virtType: auto -> qemu"),
    (|c| c.hosts[1].virt_type = VirtType::Kvm, "hosts[name=two].virtType: auto -> kvm"),
    (|c| c.hosts[0].main_pool_path = "/other".into(),
     "hosts[name=one].mainResourcePoolPath: /var/lib/libvirt/images/ -> /other"),
    (|c| c.hosts[1].main_pool_path = "/other".into(),
     "hosts[name=two].mainResourcePoolPath: /var/lib/libvirt/images/ -> /other"),
    (|c| c.hosts[0].data_pools.push(DataPool { name: label("new"), path: "/new".into() }),
     "hosts[name=one].dataResourcePools[name=new]: (nothing) -> /new"),
    (|c| { c.hosts[0].data_pools.remove(0); }, "hosts[name=one].dataResourcePools[name=fast]: /fast -> (nothing)"),
    (|c| { c.hosts[0].data_pools.remove(1); }, "hosts[name=one].dataResourcePools[name=slow]: /slow -> (nothing)"),
    (|c| c.hosts[0].data_pools[1].path = "/s".into(), "hosts[name=one].dataResourcePools[name=slow].path: /slow -> /s"),
    (|c| c.hosts[1].data_pools[0].path = "/b".into(), "hosts[name=two].dataResourcePools[name=big].path: /big -> /b"),

    (|c| c.network.mode = NetworkMode::Route, "cluster.network.mode: nat -> route"),
    (|c| c.network.cidr = "192.168.0.0/16".parse().unwrap(), "cluster.network.cidr: 192.168.113.0/24 -> 192.168.0.0/16"),
    (|c| c.network.gateway = [192, 168, 113, 9].into(), "cluster.network.gateway: 192.168.113.1 -> 192.168.113.9"),
    (|c| c.network.bridge = Some("br0".to_owned()), "cluster.network.bridge: (nothing) -> br0"),

    (|c| c.guest.user = "me".to_owned(), "cluster.nodeTemplate.user: k8s -> me"),
    (|c| c.guest.image.distro = "debian12".to_owned(), "cluster.nodeTemplate.os.distro: ubuntu22 -> debian12"),
    (|c| c.guest.image.source = "https://me:hunter2@mirror/image".to_owned(),
     "cluster.nodeTemplate.os.source: https://cloud-images.ubuntu.com/jammy/current/jammy-server-cloudimg-amd64.img -> \
      https://(not shown)@mirror/image"),
    (|c| c.guest.image.checksum = Some(Checksum::Sha256("0".repeat(64))),
     "cluster.nodeTemplate.os.checksum: https://cloud-images.ubuntu.com/jammy/current/SHA256SUMS -> \
      sha256:0000000000000000000000000000000000000000000000000000000000000000"),
    (|c| c.guest.interface = "eth0".to_owned(), "cluster.nodeTemplate.os.networkInterface: ens3 -> eth0"),
    (|c| c.guest.private_key = Some("~/key".into()), "cluster.nodeTemplate.ssh.privateKeyPath: (nothing) -> ~/key"),
    (|c| c.guest.add_to_known_hosts = false, "cluster.nodeTemplate.ssh.addToKnownHosts: true -> false"),
    (|c| c.guest.cpu_mode = CpuMode::HostPassthrough, "cluster.nodeTemplate.cpuMode: custom -> host-passthrough"),
    (|c| c.guest.dns = vec![[1, 1, 1, 1].into(), [9, 9, 9, 9].into()],
     "cluster.nodeTemplate.dns: (nothing) -> 1.1.1.1, 9.9.9.9"),
    (|c| c.proxy = Some(Proxy { http: Some("http://me:hunter2@proxy:3128".to_owned()), https: None, no: vec![], own: vec![] }),
     "site: proxy.http: (nothing) -> http://(not shown)@proxy:3128"),
    (|c| c.guest.update_on_boot = false, "cluster.nodeTemplate.updateOnBoot: true -> false"),

    (|c| c.balancing.vip = Some([192, 168, 113, 201].into()),
     "cluster.nodes.loadBalancer.vip: 192.168.113.200 -> 192.168.113.201"),
    (|c| c.balancing.vip = None, "cluster.nodes.loadBalancer.vip: 192.168.113.200 -> (nothing)"),
    (|c| c.balancing.virtual_router_id = 8, "cluster.nodes.loadBalancer.virtualRouterId: 7 -> 8"),
    (|c| c.balancing.forward_ports[0].target_port = 8080,
     "cluster.nodes.loadBalancer.forwardPorts[name=http]: 80 to 80 of workers -> 80 to 8080 of workers"),
    (|c| c.balancing.forward_ports.push(ForwardPort { name: label("api"), port: 1, target_port: 2, target: Target::All }),
     "cluster.nodes.loadBalancer.forwardPorts[name=api]: (nothing) -> 1 to 2 of all"),
    (|c| c.balancing.forward_ports.clear(),
     "cluster.nodes.loadBalancer.forwardPorts[name=http]: 80 to 80 of workers -> (nothing)"),
    (|c| c.nodes.retain(|node| node.role != Role::LoadBalancer),
     "cluster.nodes.loadBalancer: the API is known by the address of all balancers (192.168.113.200) -> the API is \
      known by the address of demo-master-1\n\
      cluster.nodes.loadBalancer.instances[id=1]: demo-lb-1 on one: 2 CPUs, 4 GiB, main disk 32 GiB -> (nothing)\n\
      cluster.nodes.loadBalancer.instances[id=2]: demo-lb-2 on one: 2 CPUs, 4 GiB, main disk 32 GiB -> (nothing)"),

    (|c| new_node(c, "demo-lb-1", "3"),
     "cluster.nodes.loadBalancer.instances[id=3]: (nothing) -> demo-lb-3 on one: 2 CPUs, 4 GiB, main disk 32 GiB"),
    (|c| new_node(c, "demo-master-2", "4"),
     "cluster.nodes.master.instances[id=4]: (nothing) -> demo-master-4 on one: 2 CPUs, 4 GiB, main disk 32 GiB"),
    (|c| new_node(c, "demo-worker-2", "3"),
     "cluster.nodes.worker.instances[id=3]: (nothing) -> demo-worker-3 on one: 2 CPUs, 4 GiB, main disk 32 GiB"),
    (|c| { c.nodes.remove(0); },
     "cluster.nodes.loadBalancer.instances[id=1]: demo-lb-1 on one: 2 CPUs, 4 GiB, main disk 32 GiB -> (nothing)"),
    (|c| c.nodes.retain(|node| node.name.as_str() != "demo-master-1"),
     "cluster.nodes.master.instances[id=1]: demo-master-1 on one: 2 CPUs, 4 GiB, main disk 32 GiB -> (nothing)"),
    (|c| { c.nodes.pop(); },
     "cluster.nodes.worker.instances[id=2]: demo-worker-2 on one: 2 CPUs, 4 GiB, main disk 32 GiB -> (nothing)"),
    // The same id in another role is another machine.
    (|c| { let mut new = c.nodes.pop().unwrap(); new.role = Role::Master; new.id = label("9"); c.nodes.push(new); },
     "cluster.nodes.worker.instances[id=2]: demo-worker-2 on one: 2 CPUs, 4 GiB, main disk 32 GiB -> (nothing)\n\
      cluster.nodes.master.instances[id=9]: (nothing) -> demo-worker-2 on one: 2 CPUs, 4 GiB, main disk 32 GiB"),
    (|c| node(c, "demo-worker-1").host = label("two"), "cluster.nodes.worker.instances[id=1].host: one -> two"),
    (|c| node(c, "demo-master-1").ip = None, "cluster.nodes.master.instances[id=1].ip: 192.168.113.11 -> (nothing)"),
    (|c| node(c, "demo-master-2").ip = Some([192, 168, 113, 12].into()),
     "cluster.nodes.master.instances[id=2].ip: (nothing) -> 192.168.113.12"),
    (|c| { let old = node(c, "demo-lb-1"); old.mac = "52:54:00:00:00:01".parse().unwrap(); },
     "cluster.nodes.loadBalancer.instances[id=1].mac: 52:54:00:35:6f:a1 -> 52:54:00:00:00:01"),
    (|c| node(c, "demo-worker-1").cpu = 3, "cluster.nodes.worker.instances[id=1].cpu: 2 -> 3"),
    (|c| node(c, "demo-worker-1").cpu = 1, "cluster.nodes.worker.instances[id=1].cpu: 2 -> 1"),
    (|c| node(c, "demo-worker-1").ram = GiB(5), "cluster.nodes.worker.instances[id=1].ram: 4 GiB -> 5 GiB"),
    (|c| node(c, "demo-worker-1").main_disk = GiB(40),
     "cluster.nodes.worker.instances[id=1].mainDiskSize: 32 GiB -> 40 GiB"),
    (|c| node(c, "demo-worker-1").main_disk = GiB(31),
     "cluster.nodes.worker.instances[id=1].mainDiskSize: 32 GiB -> 31 GiB"),
    (|c| node(c, "demo-worker-2").data_disks.push(DataDisk { name: label("new"), pool: DiskPool::Main, size: GiB(7) }),
     "cluster.nodes.worker.instances[id=2].dataDisks[name=new]: (nothing) -> 7 GiB in main"),
    (|c| { node(c, "demo-worker-1").data_disks.remove(0); },
     "cluster.nodes.worker.instances[id=1].dataDisks[name=rook]: 10 GiB in fast -> (nothing)"),
    (|c| node(c, "demo-worker-1").data_disks[0].size = GiB(20),
     "cluster.nodes.worker.instances[id=1].dataDisks[name=rook].size: 10 GiB -> 20 GiB"),
    (|c| node(c, "demo-worker-1").data_disks[0].size = GiB(9),
     "cluster.nodes.worker.instances[id=1].dataDisks[name=rook].size: 10 GiB -> 9 GiB"),
    (|c| node(c, "demo-worker-1").data_disks[0].pool = DiskPool::Data(label("slow")),
     "cluster.nodes.worker.instances[id=1].dataDisks[name=rook].pool: fast -> slow"),
    (|c| { node(c, "demo-worker-1").labels.insert("zone".to_owned(), String::new()); },
     "cluster.nodes.worker.instances[id=1].labels[zone]: \"a\" -> \"\""),
    (|c| { node(c, "demo-worker-1").labels.insert("gpu".to_owned(), "yes".to_owned()); },
     "cluster.nodes.worker.instances[id=1].labels[gpu]: (nothing) -> \"yes\""),
    (|c| node(c, "demo-worker-1").labels.clear(),
     "cluster.nodes.worker.instances[id=1].labels[zone]: \"a\" -> (nothing)"),
    (|c| node(c, "demo-worker-1").taints[0].value = "2".to_owned(),
     "cluster.nodes.worker.instances[id=1].taints[rack]: rack=1:NoSchedule -> rack=2:NoSchedule"),
    (|c| node(c, "demo-worker-1").taints[0].effect = Effect::NoExecute,
     "cluster.nodes.worker.instances[id=1].taints[rack]: rack=1:NoSchedule -> (nothing)\n\
      cluster.nodes.worker.instances[id=1].taints[rack]: (nothing) -> rack=1:NoExecute"),
    (|c| node(c, "demo-lb-2").priority = Some(250), "cluster.nodes.loadBalancer.instances[id=2].priority: 199 -> 250"),

    (|c| c.kubernetes.version = "v1.23.6".parse().unwrap(), "kubernetes.version: v1.23.7 -> v1.23.6"),
    (|c| c.kubernetes.version = "v1.24.1".parse().unwrap(), "kubernetes.version: v1.23.7 -> v1.24.1"),
    (|c| c.kubernetes.kubespray.version = "v2.21.0".parse().unwrap(), "kubernetes.kubespray.version: v2.19.0 -> v2.21.0"),
    (|c| {
        c.kubernetes.version = "v1.25.6".parse().unwrap();
        c.kubernetes.kubespray.version = "v2.21.0".parse().unwrap();
     },
     "kubernetes.version: v1.23.7 -> v1.25.6\nkubernetes.kubespray.version: v2.19.0 -> v2.21.0"),
    (|c| c.kubernetes.network_plugin = "cilium".to_owned(), "kubernetes.networkPlugin: calico -> cilium"),
    (|c| c.kubernetes.dns_mode = "coredns_dual".to_owned(), "kubernetes.dnsMode: coredns -> coredns_dual"),
    (|c| c.kubernetes.container_manager = "crio".to_owned(), "kubernetes.manager: containerd -> crio"),
    (|c| c.kubernetes.kubespray.url = "/mirror".to_owned(),
     "kubernetes.kubespray.url: https://github.com/kubernetes-sigs/kubespray.git -> /mirror"),
    (|c| c.kubernetes.kubespray.python = Some("/python".into()), "site: kubespray.python: (nothing) -> /python"),
    (|c| c.kubernetes.kubespray.forks = 3, "site: kubespray.forks: 20 -> 3"),
    (|c| c.kubernetes.kubespray.pip.index_url = Some("https://me:hunter2@pypi/simple".to_owned()),
     "site: pip.indexUrl: (nothing) -> https://(not shown)@pypi/simple"),
    (|c| c.kubernetes.kubespray.pip.find_links = Some("/wheels".to_owned()),
     "site: pip.findLinks: (nothing) -> /wheels"),
    (|c| c.kubernetes.auto_renew_certificates = true, "kubernetes.other.autoRenewCertificates: false -> true"),
    (|c| c.kubernetes.merge_kubeconfig = true, "kubernetes.other.mergeKubeconfig: false -> true"),

    (|c| { c.addons.kubespray.insert("helm_enabled".into(), true.into()); },
     "addons.kubespray.helm_enabled: (nothing) -> true"),
    (|c| { c.addons.kubespray.insert("metrics_server_enabled".into(), false.into()); },
     "addons.kubespray.metrics_server_enabled: true -> false"),
    (|c| { c.addons.kubespray.remove("metrics_server_enabled"); },
     "addons.kubespray.metrics_server_enabled: true -> (nothing)"),
    (|c| { c.addons.kubespray.insert("kube_pods_subnet".into(), "10.0.0.0/16".into()); },
     "addons.kubespray.kube_pods_subnet: (nothing) -> 10.0.0.0/16"),
    (|c| { c.addons.kubespray["registry"]["password"] = "other".into(); },
     "addons.kubespray.registry: (not shown) -> (not shown)"),
    (|c| { c.addons.kubespray.insert("http_proxy".into(), "http://me:hunter2@proxy:80".into()); },
     "addons.kubespray.http_proxy: (nothing) -> (not shown)"),
    (|c| { c.addons.kubespray.insert("cilium_ipsec_key".into(), "hunter2".into()); },
     "addons.kubespray.cilium_ipsec_key: (nothing) -> (not shown)"),
    (|c| { c.addons.kubespray.insert("alert_webhook".into(), "https://chat.example/hunter2".into()); },
     "addons.kubespray.alert_webhook: (nothing) -> (not shown)"),
    (|c| c.addons.rook = Some(Rook { version: None, node_selector: [("rook".to_owned(), "true".to_owned())].into() }),
     "addons.rook: (nothing) -> the newest on nodes with rook=true"),
];

fn changed(change: fn(&mut Cluster)) -> Cluster {
    let mut cluster = base();
    change(&mut cluster);
    cluster
}

/// The edits of all cases.
pub(crate) fn all_edits() -> Vec<Edit> {
    let edits = |case: &Case| edits(&base(), &changed(case.0));
    CASES.iter().flat_map(edits).collect()
}

#[test]
fn an_edit_says_where_what_was_and_what_is_wanted() {
    for (change, wanted) in CASES {
        let edits = edits(&base(), &changed(*change));
        let lines: Vec<String> = edits.iter().map(ToString::to_string).collect();
        assert_eq!(lines.join("\n"), *wanted);
    }
}

#[test]
fn every_kind_of_change_has_a_case() {
    let kind = |edit: &Edit| {
        let change = serde_json::to_value(&edit.change).unwrap();
        let kind = change["kind"].as_str().unwrap();
        kind[..1].to_uppercase() + &kind[1..]
    };
    let kinds: BTreeSet<String> = all_edits().iter().map(kind).collect();
    // As the enum is written: its variants are indented once.
    let variants: BTreeSet<String> = include_str!("change.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| line.trim_end_matches([',', '{', ' ']).to_owned())
        .collect();
    assert!(variants.len() > 40, "{variants:?}");
    assert_eq!(kinds, variants);
}

#[test]
fn only_equal_clusters_have_no_edits_and_the_way_back_is_the_same_way() {
    let clusters: Vec<Cluster> = CASES.iter().map(|case| changed(case.0)).collect();
    for from in &clusters {
        for to in &clusters {
            let (forth, back) = (edits(from, to), edits(to, from));
            assert_eq!(forth.is_empty(), from == to, "{forth:?}");
            let turned = |edit: &Edit| (edit.path.clone(), edit.wanted.clone(), edit.was.clone());
            let mut turned: Vec<_> = back.iter().map(turned).collect();
            let mut forth: Vec<_> = forth
                .into_iter()
                .map(|edit| (edit.path, edit.was, edit.wanted))
                .collect();
            turned.sort();
            forth.sort();
            assert_eq!(forth, turned);
        }
    }
}

#[test]
fn order_means_nothing() {
    let mut turned = base();
    turned.hosts.reverse();
    turned.nodes.reverse();
    for host in &mut turned.hosts {
        host.data_pools.reverse();
    }
    for node in &mut turned.nodes {
        node.data_disks.reverse();
        node.taints.reverse();
    }
    assert_ne!(turned, base());
    // With a VIP, the API's address is that of all balancers, in whatever order.
    assert_eq!(edits(&base(), &turned), Vec::new());
}

#[test]
fn the_address_of_the_api_moves_with_the_machine_that_has_it() {
    let single = |balancers: &str, master: &str| {
        cluster(&format!(
            "hosts: [{{ name: one, connection: {{ type: local }} }}]
cluster:
  name: demo
  network: {{ mode: nat, cidr: 192.168.113.0/24 }}
  nodes:
    loadBalancer: {{ instances: [{balancers}] }}
    master: {{ instances: [{{ id: {master} }}] }}
kubernetes: {{ version: v1.23.7 }}"
        ))
    };
    let moves = |from: &Cluster, to: &Cluster| {
        let edits = edits(from, to);
        let moves = edits.iter().filter(|edit| edit.change == Change::Endpoint);
        moves
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let wanted = "the API is known by the address of";
    let applied = format!("cluster.nodes.loadBalancer: {wanted}");
    let (bare, balanced) = (single("", "1"), single("{ id: 1 }", "1"));
    for (from, to, edit) in [
        (&bare, &bare, String::new()),
        (
            &bare,
            &balanced,
            format!("{applied} demo-master-1 -> {wanted} demo-lb-1"),
        ),
        (
            &bare,
            &single("", "2"),
            format!("{applied} demo-master-1 -> {wanted} demo-master-2"),
        ),
        (
            &balanced,
            &single("{ id: 2 }", "1"),
            format!("{applied} demo-lb-1 -> {wanted} demo-lb-2"),
        ),
        (
            &balanced,
            &bare,
            format!("{applied} demo-lb-1 -> {wanted} demo-master-1"),
        ),
        // Behind a balancer, masters come and go.
        (&balanced, &single("{ id: 1 }", "2"), String::new()),
    ] {
        assert_eq!(moves(from, to), edit);
    }
}

#[test]
fn no_secret_is_shown() {
    for case in CASES {
        for edit in edits(&base(), &changed(case.0)) {
            let all = format!("{edit}{}", serde_json::to_string(&edit).unwrap());
            assert!(!all.contains("hunter2"), "{all}");
        }
    }
}
