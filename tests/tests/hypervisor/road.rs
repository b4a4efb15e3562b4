//! From nothing to running machines and back, whole and interrupted.

use std::sync::Barrier;
use std::time::Instant;

use kubitect_config::cluster::Connection;
use kubitect_config::value::GiB;
use kubitect_config::{Facts, NodeFacts};
use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::libvirt::Libvirt;
use kubitect_provision::observe::PowerState;
use kubitect_provision::{Error, machine, plan};

use crate::lab::{Lab, seed};

/// Of several that lock at once, over connections of their own, one does; and what is removed is the lock of this number only.
#[test]
fn a_lock_is_had_by_one() {
    let _lab = Lab::new();
    let name = "kubitect-lock-road";
    let connected = || {
        let host = "localhost".parse().unwrap();
        Libvirt::connect(&host, &Connection::Local).unwrap()
    };
    let (barrier, runs) = (Barrier::new(4), [0, 1, 2, 3]);
    let seen = std::thread::scope(|scope| {
        let threads = runs.map(|run| {
            let (barrier, connected) = (&barrier, &connected);
            scope.spawn(move || {
                let host = connected();
                barrier.wait();
                host.lock(name, &format!("run <{run}> & \"more\"")).unwrap()
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    assert!(seen.iter().all(|lock| *lock == seen[0]), "{seen:?}");
    assert!(seen[0].holder.ends_with("& \"more\""), "{seen:?}");
    let host = connected();
    host.unlock(name, &seen[0].id).unwrap();
    let next = host.lock(name, "the next one").unwrap();
    host.unlock(name, &seen[0].id).unwrap();
    assert_eq!(host.lock_state(name).unwrap(), Some(next.clone()));
    host.unlock(name, &next.id).unwrap();
    assert_eq!(host.lock_state(name).unwrap(), None);
}

/// All in one test: the libvirt is one, too.
#[test]
fn the_whole_road() {
    let lab = Lab::new();
    let one = lab.cluster("road-one", 1, 1);
    let two = lab.cluster("road-two", 2, 1);
    let hosts = lab.hosts();
    let before = lab.inventory();

    let started = Instant::now();
    lab.apply(&one, &hosts).unwrap();
    println!(
        "two machines made and started in {:.1} s",
        started.elapsed().as_secs_f32()
    );
    let started = Instant::now();
    let next = plan(&one, &hosts).unwrap();
    println!("empty plan in {:.3} s", started.elapsed().as_secs_f32());
    assert!(next.is_empty(), "{next}");
    for node in &one.nodes {
        assert_eq!(
            machine::power_state(&hosts, node).unwrap(),
            Some(PowerState::Running)
        );
        let mut bytes = Vec::new();
        let pool = one.main_pool_name();
        lab.real
            .download(&pool, &format!("{}-seed", node.name), 0, &mut bytes)
            .unwrap();
        assert!(
            bytes.starts_with(&seed(&node.name)),
            "the seed of {} arrived",
            node.name
        );
        // Nothing boots from empty disks, but the console is there to be read.
        machine::console_tail(&hosts, &one, node, 10).unwrap();
    }
    let finished = lab.inventory();

    // A lease made permanent is not undone by a later plan.
    let worker = one.nodes.last().unwrap();
    let facts = Facts {
        user: "k8s".into(),
        private_key: "/dev/null".into(),
        known_hosts: "/dev/null".into(),
        nodes: vec![NodeFacts {
            name: worker.name.clone(),
            role: worker.role,
            id: worker.id.clone(),
            host: worker.host.clone(),
            ip: "10.66.1.77".parse().unwrap(),
            mac: worker.mac,
            host_key: String::new(),
        }],
    };
    machine::reserve(&one, &hosts, &facts).unwrap();
    machine::reserve(&one, &hosts, &facts).unwrap();
    assert!(lab.inventory().contains("10.66.1.77"));
    assert!(plan(&one, &hosts).unwrap().is_empty());

    // What was stopped is started.
    machine::power_off(&hosts, worker).unwrap();
    let start = plan(&one, &hosts).unwrap();
    assert_eq!(start.changes.len(), 1, "{start}");
    lab.apply(&one, &hosts).unwrap();
    assert!(plan(&one, &hosts).unwrap().is_empty());

    // What can't be done is refused by name.
    let mut smaller = one.clone();
    smaller.nodes[0].main_disk = GiB(3);
    let error = lab.apply(&smaller, &hosts).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("road-one-master-1"), "{error}");
    // A range that is taken is refused, too.
    let error = plan(&lab.cluster("road-three", 1, 1), &hosts).unwrap_err();
    assert!(matches!(error, Error::RangeTaken { .. }), "{error}");

    // Two clusters share one image; the last one takes it with it.
    lab.apply(&two, &hosts).unwrap();
    lab.destroy(&one, &hosts).unwrap();
    assert!(plan(&two, &hosts).unwrap().is_empty());
    lab.destroy(&two, &hosts).unwrap();
    assert_eq!(lab.inventory(), before);

    // Interrupted at points spread over the run, before and after the verb's effect.
    let mut points = 0;
    for left in [1, 3, 5, 6, 7, 9, 10, 12, 14, 15, 16] {
        let after = left % 2 == 0;
        assert!(
            lab.apply(&one, &lab.failing(left, after)).is_err(),
            "point {left}"
        );
        lab.apply(&one, &hosts)
            .unwrap_or_else(|error| panic!("after point {left}: {error:?}"));
        assert!(plan(&one, &hosts).unwrap().is_empty(), "after point {left}");
        assert_eq!(lab.inventory(), finished, "after point {left}");
        assert!(
            lab.destroy(&one, &lab.failing(left.min(12), !after))
                .is_err(),
            "point {left}"
        );
        lab.destroy(&one, &hosts)
            .unwrap_or_else(|error| panic!("after point {left}: {error:?}"));
        assert_eq!(lab.inventory(), before, "after point {left}");
        points += 2;
    }
    println!("{points} points of interruption");
}
