//! Many machines: the calls to libvirt grow in proportion to them, and hosts are worked on side by side.

use std::sync::Arc;

use kubitect_provision::fake::Meeting;
use kubitect_provision::observe::{self, HostState};
use kubitect_provision::{Error, Hosts, gather, status};
use tests::many::{cluster, hosts};

use crate::world::World;

/// A cluster on `count` hosts.
fn many(count: usize, text: &str) -> World {
    let names = hosts(count);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    World::new_on(&names, text, &HostState::default())
}

/// Fails unless all hosts are asked at the same time.
fn together(world: &World, what: &str, ask: impl FnOnce(&Hosts) -> Result<(), Error>) {
    let meeting = Arc::new(Meeting::of(world.fakes.len()));
    for fake in world.fakes.values() {
        fake.meet(&meeting);
    }
    ask(&world.hosts()).unwrap();
    assert_eq!(meeting.most(), world.fakes.len(), "{what}");
}

#[test]
fn all_hosts_are_asked_at_the_same_time() {
    let world = many(5, &cluster(5, 2));
    world.apply().unwrap();
    let own = &world.cluster;
    let mut open = own.clone();
    open.nodes.iter_mut().for_each(|node| node.ip = None);
    together(&world, "look", |hosts| {
        observe::observe_with_addresses(own, hosts).map(drop)
    });
    together(&world, "machines", |hosts| {
        let (_, unreached) = status::machines(own, hosts);
        assert_eq!(unreached, [""; 0]);
        Ok(())
    });
    together(&world, "known", |hosts| {
        gather::complete_facts(&open, hosts).map(drop)
    });
}

/// The number of calls to create, plan, observe and remove the cluster.
fn calls(count: usize, each: usize) -> [u64; 4] {
    let world = many(count, &cluster(count, each));
    let so_far = || world.fakes.values().map(|fake| fake.calls()).sum::<u64>();
    world.apply().unwrap();
    let made = so_far();
    assert!(world.plan().unwrap().is_empty());
    let planned = so_far();
    // As `status` observes the machines.
    let (observed, _) = status::machines(&world.cluster, &world.hosts());
    assert_eq!(observed.len(), count * each);
    let looked = so_far();
    world.destroy().unwrap();
    [made, planned - made, looked - planned, so_far() - looked]
}

#[test]
fn calls_grow_with_the_machines_and_not_with_their_square() {
    let few = calls(2, 10);
    let many = calls(2, 100);
    println!(
        "calls to make, plan, look at and remove 20 machines: {few:?}; 200 machines: {many:?}"
    );
    for (few, many) in few.iter().zip(many) {
        assert!(many <= 11 * few, "{few} calls became {many}");
    }
}

/// Each host's pools, whose volumes are most of what a host is asked for, are listed once for a plan.
#[test]
fn a_look_lists_pools_once() {
    let world = many(1, &cluster(1, 40));
    world.apply().unwrap();
    let fake = world.fake();
    let before = fake.calls();
    let hosts = world.hosts();
    let observed = observe::observe(&world.cluster.name, &hosts).unwrap();
    let calls = fake.calls() - before;
    let host = observed.hosts.values().next().unwrap();
    let volumes: usize = host.pools.iter().map(|pool| pool.volumes.len()).sum();
    let once = volumes + 3 * host.pools.len() + 5 * host.domains.len();
    let most = (once + 20) as u64;
    assert!(
        volumes > 40 && calls <= most,
        "{calls} calls, {most} expected"
    );
}

/// A guest agent that hangs, or a machine that goes off just then, hides no other machine.
#[test]
fn a_machine_whose_addresses_nobody_tells_hides_no_other() {
    let world = many(1, &cluster(1, 3));
    world.apply().unwrap();
    let mut open = world.cluster.clone();
    open.nodes.iter_mut().for_each(|node| node.ip = None);
    let (mute, other) = (&open.nodes[0], &open.nodes[1]);
    world.fake().hide_addresses(mute.name.as_str());
    let ip = "10.66.0.77".parse().unwrap();
    world.fake().lease(other.name.as_str(), other.mac, ip);
    let observed = observe::observe_with_addresses(&open, &world.hosts()).unwrap();
    let found = &observed.hosts.values().next().unwrap().addresses;
    assert_eq!(found[mute.name.as_str()], []);
    assert_eq!(found[other.name.as_str()], [(other.mac, ip)]);
}
