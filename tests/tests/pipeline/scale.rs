//! Many machines: libvirt is asked in proportion to them, and hosts are worked on side by side.

use std::fmt::Write;

use kubitect_provision::observe::HostState;

use crate::world::World;

/// So many hosts with so many workers each.
fn cluster(hosts: usize, each: usize) -> String {
    let mut text = "hosts:\n".to_owned();
    for host in 0..hosts {
        let _ = writeln!(
            text,
            "  - {{name: h{host}, connection: {{type: local}}, mainResourcePoolPath: /pools}}"
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

/// The calls that making, looking at and removing the cluster take.
fn calls(hosts: usize, each: usize) -> [u64; 3] {
    let names: Vec<_> = (0..hosts).map(|host| format!("h{host}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let world = World::new_on(&names, &cluster(hosts, each), &HostState::default());
    let so_far = || world.fakes.values().map(|fake| fake.calls()).sum::<u64>();
    world.apply().unwrap();
    let made = so_far();
    assert!(world.plan().unwrap().is_empty());
    let planned = so_far();
    world.destroy().unwrap();
    [made, planned - made, so_far() - planned]
}

#[test]
fn calls_grow_with_the_machines_and_not_with_their_square() {
    let few = calls(2, 10);
    let many = calls(2, 100);
    println!("calls to make, plan and remove 20 machines: {few:?}; 200 machines: {many:?}");
    for (few, many) in few.iter().zip(many) {
        assert!(many <= 11 * few, "{few} calls became {many}");
    }
}
