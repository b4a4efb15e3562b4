//! All machines of a cluster shut down and started.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::observe::{HostState, PowerState};
use kubitect_provision::{Error, Event, power};

use crate::world::{DEMO, World};

const SOON: Duration = Duration::from_secs(1);

fn made() -> World {
    let world = World::new(DEMO, &HostState::default());
    world.apply().unwrap();
    world
}

/// Shuts all machines down. Returns the lines of its events.
fn shut_down(world: &World, cancelled: bool) -> (Result<(), Error>, Vec<String>) {
    let said = Mutex::new(Vec::new());
    let say = |event: Event| said.lock().unwrap().push(event.to_string());
    let (cluster, cancelled) = (&world.cluster, AtomicBool::new(cancelled));
    let (name, hosts) = (&cluster.name, world.hosts());
    let result = power::shut_down(name, &cluster.nodes, &hosts, SOON, &cancelled, &say);
    (result, said.into_inner().unwrap())
}

fn power(world: &World, name: &str) -> PowerState {
    let domains = world.fake().domains().unwrap();
    let own = domains.iter().find(|domain| domain.name == name);
    own.unwrap().power
}

#[test]
fn all_go_off_and_come_back_as_they_were() {
    let world = made();
    let before = world.fake().domains().unwrap();
    world
        .fake()
        .change_domain("demo-worker-1", |domain| domain.power = PowerState::Paused);
    for _ in 0..2 {
        let (result, said) = shut_down(&world, false);
        result.unwrap();
        for node in &world.cluster.nodes {
            assert_eq!(power(&world, node.name.as_str()), PowerState::Off);
            let done = format!("shut down {}: done", node.name);
            assert!(said.contains(&done), "{said:?}");
        }
    }
    let nodes = &world.cluster.nodes;
    let never = AtomicBool::new(false);
    for _ in 0..2 {
        let started = power::start(nodes, &world.hosts(), &never, &|_| {});
        assert!(started.iter().all(Result::is_ok), "{started:?}");
        assert_eq!(world.fake().domains().unwrap(), before);
    }
}

#[test]
fn all_are_waited_for_and_each_that_stays_on_is_named() {
    let world = made();
    for name in ["demo-worker-1", "demo-master-1"] {
        world.fake().ignore_shutdown(name);
    }
    let (result, said) = shut_down(&world, false);
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with("shut down 2 machines: "), "{error}");
    for node in &world.cluster.nodes {
        let name = node.name.as_str();
        let stays = ["demo-worker-1", "demo-master-1"].contains(&name);
        assert_eq!(error.contains(&format!("see {name} off")), stays, "{error}");
        let on = power(&world, name) == PowerState::Running;
        assert_eq!(on, stays, "{name}");
    }
    let failed = said.iter().filter(|line| line.contains(": failed: "));
    assert_eq!(failed.count(), 2, "{said:?}");
}

#[test]
fn one_that_can_t_be_started_keeps_no_other_off() {
    let world = made();
    shut_down(&world, false).0.unwrap();
    world.fake().refuse_start("demo-master-1", true);
    let never = AtomicBool::new(false);
    let nodes = &world.cluster.nodes;
    let started = power::start(nodes, &world.hosts(), &never, &|_| {});
    for (node, started) in nodes.iter().zip(started) {
        let name = node.name.as_str();
        let on = power(&world, name) == PowerState::Running;
        assert_eq!(on, name != "demo-master-1", "{name}");
        assert_eq!(on, started.is_ok(), "{started:?}");
    }
}

#[test]
fn a_cancelled_run_asks_no_machine() {
    let world = made();
    let before = world.fake().domains().unwrap();
    let (result, _) = shut_down(&world, true);
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    assert_eq!(world.fake().domains().unwrap(), before);
}

/// A timeout of 1 s means 1 s and the time to read the console, not the time that libvirt takes.
#[test]
fn a_host_that_hangs_makes_no_wait_longer() {
    let world = made();
    world.fake().set_call_time(Duration::from_secs(8));
    let began = Instant::now();
    let error = shut_down(&world, false).0.unwrap_err().to_string();
    assert!(began.elapsed() < Duration::from_secs(20), "{error}");
    assert!(error.contains("its host does not answer"), "{error}");
}

#[test]
fn a_run_that_is_cancelled_does_not_wait_for_a_host_that_hangs() {
    let world = made();
    world.fake().set_call_time(Duration::from_secs(30));
    let (began, cancelled) = (Instant::now(), AtomicBool::new(false));
    let (cluster, hosts, hour) = (&world.cluster, world.hosts(), Duration::from_secs(3600));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            cancelled.store(true, Ordering::Relaxed);
        });
        power::shut_down(
            &cluster.name,
            &cluster.nodes,
            &hosts,
            hour,
            &cancelled,
            &|_| (),
        )
    });
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
}
