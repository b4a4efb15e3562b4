//! Runs of two folders on one host.

use std::sync::Barrier;

use super::*;
use crate::fake::{FakeHost, When};
use crate::home::Home;
use crate::observe::HostState;

struct World {
    fakes: Vec<Arc<FakeHost>>,
    hosts: Hosts,
    cluster: Label,
    folders: [tempfile::TempDir; 2],
}

impl World {
    fn of(hosts: usize) -> Self {
        let fakes: Vec<_> = (0..hosts)
            .map(|_| Arc::new(FakeHost::new(HostState::default())))
            .collect();
        let named = fakes.iter().zip('a'..).map(|(fake, name)| {
            let fake: Arc<dyn Hypervisor> = fake.clone();
            (name.to_string().parse().unwrap(), fake)
        });
        Self {
            hosts: Hosts::from_hypervisors(named.collect()),
            fakes,
            cluster: "demo".parse().unwrap(),
            folders: [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()],
        }
    }

    /// This process as the holder of one of the folders.
    fn holder(&self, folder: usize) -> Holder {
        let home = Home::open(self.folders[folder].path(), None).unwrap();
        let dir = home.cluster(&self.cluster);
        std::fs::create_dir_all(dir.root()).unwrap();
        Holder::this(&dir)
    }

    fn take(&self, folder: usize) -> Result<HostLocks, Error> {
        HostLocks::take(&self.cluster, &self.hosts, &self.holder(folder), false)
    }

    fn locks(&self) -> usize {
        self.fakes.iter().map(|fake| fake.locks().len()).sum()
    }
}

#[test]
fn a_cluster_is_held_by_one_folder_at_a_time_on_all_its_hosts() {
    let world = World::of(3);
    let own = world.take(0).unwrap();
    assert_eq!(world.locks(), 3);
    let error = world.take(1).unwrap_err().to_string();
    for part in ["`demo` on host a", "is at work on it", "wait for it to end"] {
        assert!(error.contains(part), "{error}");
    }
    // Not even who says that it may be taken over gets one that is at work.
    let forced = HostLocks::take(&world.cluster, &world.hosts, &world.holder(1), true);
    assert!(forced.unwrap_err().to_string().contains("is at work"));
    own.check(&world.cluster).unwrap();
    let other = other_run(&world.cluster, &world.hosts, &world.holder(1)).unwrap();
    assert_eq!(other.process(), std::process::id());
    assert_eq!(
        other_run(&world.cluster, &world.hosts, &world.holder(0)),
        None
    );
    drop(own);
    assert_eq!(world.locks(), 0);
    drop(world.take(1).unwrap());
    assert_eq!(world.locks(), 0);
}

#[test]
fn who_is_refused_on_one_host_holds_none() {
    let world = World::of(2);
    let other = world.holder(1).text("1").unwrap();
    world.fakes[1].put_lock("kubitect-lock-demo", &other);
    let error = world.take(0).unwrap_err().to_string();
    assert!(error.contains("on host b"), "{error}");
    assert_eq!(world.fakes[0].locks().len(), 0);
    assert_eq!(world.fakes[1].locks().len(), 1);
    // What can't be asked holds nobody up who only looks.
    world.fakes[0].fail_at(0, When::Before);
    assert!(world.take(0).is_err());
    assert_eq!(
        other_run(&world.cluster, &world.hosts, &world.holder(0)).map(|own| own.process()),
        Some(std::process::id())
    );
}

#[test]
fn of_two_at_once_one_is_refused_whatever_a_killed_run_left() {
    for left in [false, true] {
        for _ in 0..50 {
            let world = World::of(1);
            if left {
                let text = world.holder(0).text("1").unwrap();
                let own = format!("\"process\":{}", std::process::id());
                let dead = text.replace(&own, &format!("\"process\":{}", u32::MAX));
                assert_ne!(dead, text);
                world.fakes[0].put_lock("kubitect-lock-demo", &dead);
            }
            let (begin, end) = (Barrier::new(2), Barrier::new(2));
            let had = std::thread::scope(|scope| {
                let runs = [0, 1].map(|folder| {
                    let (world, begin, end) = (&world, &begin, &end);
                    scope.spawn(move || {
                        begin.wait();
                        let lock = world.take(folder);
                        end.wait();
                        lock.is_ok()
                    })
                });
                runs.map(|run| usize::from(run.join().unwrap()))
            });
            assert_eq!(had.iter().sum::<usize>(), 1);
            assert_eq!(world.locks(), 0);
        }
    }
}

#[test]
fn what_another_machine_left_is_taken_over_only_where_a_person_says_so() {
    let world = World::of(1);
    let put_lock = |holder: &str| world.fakes[0].put_lock("kubitect-lock-demo", holder);
    let own = world.holder(1).text("1").unwrap();
    let boot = world.holder(1).text("1").unwrap();
    let boot = serde_json::from_str::<serde_json::Value>(&boot).unwrap()["boot"].clone();
    let elsewhere = own.replace(boot.as_str().unwrap(), "another");
    let elsewhere = elsewhere.replace("\"machine\":\"", "\"machine\":\"not-");
    let newer = "{\"version\":2}";
    for (holder, part) in [(elsewhere.as_str(), "process "), (newer, "newer Kubitect")] {
        put_lock(holder);
        let error = world.take(0).unwrap_err().to_string();
        for part in [part, "can't be seen from here", "--take-over"] {
            assert!(error.contains(part), "{error}");
        }
        let taken = HostLocks::take(&world.cluster, &world.hosts, &world.holder(0), true);
        drop(taken.unwrap());
        assert_eq!(world.locks(), 0);
    }
    // A network of somebody else's is none that could be taken over.
    put_lock("");
    let forced = HostLocks::take(&world.cluster, &world.hosts, &world.holder(0), true);
    let error = forced.unwrap_err().to_string();
    assert!(error.contains("network kubitect-lock-demo"), "{error}");
    assert_eq!(world.locks(), 1);
}

#[test]
fn a_run_whose_cluster_was_taken_over_says_so() {
    let world = World::of(1);
    let own = world.take(0).unwrap();
    let id = world.fakes[0].locks()["kubitect-lock-demo"].id.clone();
    world
        .hosts
        .iter()
        .for_each(|(_, host)| host.unlock("kubitect-lock-demo", &id).unwrap());
    assert!(
        own.check(&world.cluster)
            .unwrap_err()
            .to_string()
            .contains("by nobody")
    );
    let other = world.take(1).unwrap();
    let error = own.check(&world.cluster).unwrap_err().to_string();
    assert!(
        error.contains("taken over on host a") && error.contains("nothing more is changed"),
        "{error}"
    );
    // What it gives back is its own, and that is gone.
    drop(own);
    assert_eq!(world.locks(), 1);
    drop(other);
    assert_eq!(world.locks(), 0);
}
