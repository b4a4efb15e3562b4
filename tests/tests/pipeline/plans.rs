//! Plans as a person reads them, and what they refuse.

use kubitect_provision::change::Part;
use kubitect_provision::observe::{HostState, NetworkState, PoolState};
use kubitect_provision::{Error, plan_destroy};

use crate::world::{DEMO, TINY, World};

fn network(name: &str, cidr: &str) -> NetworkState {
    NetworkState {
        name: name.into(),
        active: true,
        mark: None,
        bridge: Some("virbr0".into()),
        cidr: Some(cidr.parse().unwrap()),
        reservations: Vec::new(),
    }
}

fn pool(name: &str, path: &str) -> PoolState {
    PoolState {
        name: name.into(),
        is_folder: true,
        path: Some(path.into()),
        active: true,
        available: 1 << 40,
        volumes: Vec::new(),
    }
}

#[test]
fn a_new_cluster() {
    let world = World::new(DEMO, &HostState::default());
    insta::assert_snapshot!(world.plan().unwrap());
}

#[test]
fn a_finished_cluster_has_nothing_to_do() {
    let world = World::new(DEMO, &HostState::default());
    world.apply().unwrap();
    let plan = world.plan().unwrap();
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.to_string(), "demo: nothing to do\n");
}

#[test]
fn what_a_host_offers_later_makes_no_other_machines() {
    let world = World::new(DEMO, &HostState::default());
    world.apply().unwrap();
    let before = world.inventory();
    assert!(before.contains("demo-master-1"));
    for offer in [&["qemu"][..], &["kvm", "qemu"], &[]] {
        world.fake().offer(offer);
        let plan = world.plan().unwrap();
        assert!(plan.is_empty(), "{offer:?}: {plan}");
    }
    // What is asked for is another matter.
    for asked in ["    cpuMode: host-model\n", ""] {
        let (host, mode) = match asked {
            "" => ("  - name: box\n    virtType: qemu\n", ""),
            mode => ("  - name: box\n", mode),
        };
        let other = DEMO
            .replace("  - name: box\n", host)
            .replace("    user: k8s\n", &format!("    user: k8s\n{mode}"));
        assert_ne!(other, DEMO);
        let plan = world.with(&other).plan().unwrap();
        assert_eq!(plan.part(Part::Restart).changes.len(), 6, "{plan}");
    }
}

#[test]
fn a_pool_with_disks_of_a_cluster_of_the_same_prefix_is_refused() {
    let disk = |yaml: &str, pool: &str| {
        yaml.replace(
            "        - id: 1\n          ip: 192.168.113.20\n",
            "        - id: 1\n",
        )
        .replace("name: fast\n", &format!("name: {pool}\n"))
        .replace("pool: fast\n", &format!("pool: {pool}\n"))
    };
    let (short, long) = (
        disk(DEMO, "fast-ssd"),
        disk(DEMO, "ssd")
            .replace("name: demo\n", "name: demo-fast\n")
            .replace("192.168.113.", "192.168.114."),
    );
    for (first, second, owner) in [(&short, &long, "demo"), (&long, &short, "demo-fast")] {
        let world = World::new(first, &HostState::default());
        world.apply().unwrap();
        let before = world.inventory();
        let error = world.with(second).apply().unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        for part in [
            "pool demo-fast-ssd-data-resource-pool",
            &format!("disks of cluster {owner},"),
        ] {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert_eq!(world.inventory(), before);
        assert!(world.plan().unwrap().is_empty(), "its own cluster goes on");
    }
}

#[test]
fn a_destroyed_cluster() {
    let world = World::new(DEMO, &HostState::default());
    world.apply().unwrap();
    let plan = plan_destroy(&world.cluster.name, &world.hosts()).unwrap();
    insta::assert_snapshot!(plan);
}

#[test]
fn json_has_the_promised_shape() {
    let world = World::new(TINY, &HostState::default());
    let json = serde_json::to_value(world.plan().unwrap()).unwrap();
    assert_eq!(json["cluster"], "demo-fast");
    for change in json["changes"].as_array().unwrap() {
        let mut keys: Vec<_> = change.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        assert_eq!(
            keys,
            ["action", "details", "disruption", "host", "kind", "name"]
        );
        assert_eq!(change["disruption"], "none");
    }
}

#[test]
fn what_was_stopped_is_started() {
    let world = World::new(DEMO, &HostState::default());
    world.apply().unwrap();
    let before = world.inventory();
    for name in ["demo-master-2", "demo-network", "demo-main-resource-pool"] {
        world.fake().stop(name);
    }
    insta::assert_snapshot!(world.plan().unwrap());
    world.apply().unwrap();
    assert_eq!(world.inventory(), before);
}

#[test]
fn foreign_things_with_our_names_are_errors_that_name_them() {
    let taken = HostState {
        networks: vec![network("demo-network", "10.0.0.0/24")],
        ..HostState::default()
    };
    let elsewhere = HostState {
        pools: vec![pool("demo-main-resource-pool", "/somewhere/else")],
        ..HostState::default()
    };
    let folder = HostState {
        pools: vec![pool("music", "/pools/demo-main-resource-pool")],
        ..HostState::default()
    };
    for (existing, name) in [
        (taken, "network demo-network"),
        (elsewhere, "pool demo-main-resource-pool"),
        (folder, "pool music"),
    ] {
        let world = World::new(DEMO, &existing);
        let before = world.inventory();
        let error = world.apply().unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        // Destroying does not touch it either, except for a pool that is ours by name and path.
        world.destroy().unwrap();
        assert_eq!(world.inventory(), before);
    }
}

#[test]
fn an_address_range_that_clashes_is_an_error() {
    let mut existing = HostState {
        networks: vec![network("default", "192.168.0.0/16")],
        ..HostState::default()
    };
    let error = World::new(DEMO, &existing).plan().unwrap_err().to_string();
    assert!(
        error.contains("libvirt's network default (192.168.0.0/16)"),
        "{error}"
    );
    existing.networks.clear();
    existing.capability.routes = vec![("192.168.113.0/24".parse().unwrap(), "eth1".into())];
    let error = World::new(DEMO, &existing).plan().unwrap_err().to_string();
    assert!(
        error.contains("route to 192.168.113.0/24 by eth1"),
        "{error}"
    );
    // A wider route is no conflict.
    existing.capability.routes = vec![("192.168.0.0/16".parse().unwrap(), "tun0".into())];
    World::new(DEMO, &existing).plan().unwrap();
}

#[test]
fn what_was_not_brought_is_missed_before_anything_is_touched() {
    let world = World::new(DEMO, &HostState::default());
    let before = world.inventory();
    let plan = world.plan().unwrap();
    let nothing = kubitect_provision::Inputs::default();
    let never = std::sync::atomic::AtomicBool::new(false);
    let result = kubitect_provision::apply(&plan, &world.hosts(), &nothing, &never, &|_| {});
    assert!(matches!(result, Err(Error::MissingInput { .. })));
    assert_eq!(world.inventory(), before);
}

#[test]
fn an_image_with_another_digest_is_refused_and_removed() {
    let mut world = World::new(DEMO, &HostState::default());
    world.image.sha256 = "0".repeat(64);
    let error = world.apply().unwrap_err();
    assert!(matches!(error, Error::Checksum { .. }), "{error}");
    assert!(
        !world.inventory().contains("0000000000000000"),
        "no trace of the image"
    );
}

#[test]
fn a_leased_address_stays_reserved() {
    use kubitect_config::{Facts, NodeFacts};
    let world = World::new(DEMO, &HostState::default());
    world.apply().unwrap();
    let node = world.cluster.nodes.last().unwrap();
    world.fake().lease(
        node.name.as_str(),
        node.mac,
        "192.168.113.77".parse().unwrap(),
    );
    let ip = kubitect_provision::machine::address(&world.cluster, &world.hosts(), node)
        .unwrap()
        .unwrap();
    let facts = Facts {
        user: "k8s".into(),
        private_key: "/dev/null".into(),
        known_hosts: "/dev/null".into(),
        nodes: vec![NodeFacts {
            name: node.name.clone(),
            role: node.role,
            id: node.id.clone(),
            host: node.host.clone(),
            ip,
            mac: node.mac,
            host_key: String::new(),
        }],
    };
    kubitect_provision::machine::reserve(&world.cluster, &world.hosts(), &facts).unwrap();
    assert!(world.inventory().contains("192.168.113.77"));
    let plan = world.plan().unwrap();
    assert!(plan.is_empty(), "{plan}");
}

#[test]
fn cancelling_stops_between_two_changes() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let world = World::new(TINY, &HostState::default());
    let plan = world.plan().unwrap();
    let inputs = kubitect_provision::Inputs {
        seeds: plan
            .needs_seeds()
            .map(|node| (node.clone(), crate::world::seed("")))
            .collect(),
        image: Some(world.image.clone()),
        journal: None,
    };
    let cancelled = AtomicBool::new(false);
    let result = kubitect_provision::apply(&plan, &world.hosts(), &inputs, &cancelled, &|event| {
        if matches!(event, kubitect_provision::Event::Finished { .. }) {
            cancelled.store(true, Ordering::Relaxed);
        }
    });
    assert!(matches!(result, Err(Error::Cancelled)));
    let rest = world.plan().unwrap();
    assert_eq!(rest.changes.len(), plan.changes.len() - 1);
    world.carry_out(&rest).unwrap();
    assert!(world.plan().unwrap().is_empty());
}
