//! Clusters of many machines on many hosts.

use std::fmt::Write;

/// The file of a cluster with `each` machines on each of `hosts` hosts; one is the master, all others are workers.
pub fn cluster(hosts: usize, each: usize) -> String {
    let mut text = "hosts:\n".to_owned();
    for host in 0..hosts {
        let _ = writeln!(
            text,
            "  - {{name: h{host}, connection: {{uri: \"test:///h{host}\"}}, mainResourcePoolPath: /pools}}"
        );
    }
    text += "cluster:\n  name: large\n  network: {mode: bridge, bridge: br0, cidr: 10.64.0.0/12, gateway: 10.64.0.1}\n  nodes:\n    master: {instances: [{id: 1, host: h0, ip: 10.65.0.1}]}\n    worker:\n      instances:\n";
    for n in 0..hosts * each - 1 {
        let (host, high, low) = (n % hosts, n / 200, n % 200 + 1);
        let _ = writeln!(
            text,
            "        - {{id: {n}, host: h{host}, ip: 10.66.{high}.{low}}}"
        );
    }
    text + "kubernetes: {version: v1.23.7, networkPlugin: calico, kubespray: {version: v2.19.0}}\naddons: {kubespray: {kube_pods_subnet: 10.128.0.0/14}}\n"
}

/// The names of its hosts.
pub fn hosts(hosts: usize) -> Vec<String> {
    (0..hosts).map(|host| format!("h{host}")).collect()
}
