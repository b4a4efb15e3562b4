//! Whether a balancer serves: after a restart, in FAULT, and where two have the virtual address.

use std::sync::Mutex;
use std::time::Duration;

use kubitect_lb::{Error, Event, Service, holds, roll_out, wait_serving};

use crate::fake::world;
use crate::rollout::{assert_settled, files, lb, quietly};
use tests::hangs::Hangs;

/// A balancer that was restarted counts only once it serves with its files, and both of its services run.
#[tokio::test]
async fn a_restarted_balancer_is_waited_for_until_it_serves() {
    let within = Duration::from_millis(50);
    let wanted = files(2, None);
    let (world, remotes) = world(&wanted);
    quietly(&wanted, &remotes).await.unwrap();
    let (own, remote) = (&wanted[0], &remotes[&wanted[0].node]);
    wait_serving(own, remote, within).await.unwrap();
    let mut held = 0;
    for files in &wanted {
        held += u32::from(holds(files, &remotes[&files.node]).await.unwrap());
    }
    assert_eq!(held, 1);
    let running = world.lock().unwrap().machines[&own.node].running.clone();
    let without = |service: Option<Service>| {
        let mut world = world.lock().unwrap();
        let state = world.machines.get_mut(&own.node).unwrap();
        state.running = running.clone();
        if let Some(service) = service {
            state.running.remove(&service);
        }
    };
    for service in [Service::Haproxy, Service::Keepalived] {
        without(Some(service));
        let error = wait_serving(own, remote, within).await.unwrap_err();
        assert!(error.to_string().contains(service.name()), "{error}");
    }
    without(None);
    wait_serving(own, remote, within).await.unwrap();
    // It serves, but not with its files.
    let others = files(2, Some("web"));
    wait_serving(&others[0], remote, within).await.unwrap_err();
}

/// A timeout of 30 s means 30 s, also where each call could take longer.
#[tokio::test]
async fn a_machine_that_hangs_is_given_up_when_the_time_is_over() {
    let within = Duration::from_millis(50);
    let wanted = files(2, None);
    let waited = wait_serving(&wanted[0], &Hangs, within);
    let waited = tokio::time::timeout(Duration::from_secs(20), waited).await;
    let error = waited.unwrap().unwrap_err().to_string();
    assert!(error.contains("its machine did not answer"), "{error}");
}

/// A backup whose keepalived is in FAULT runs, but can't take the address: it does not serve.
#[tokio::test]
async fn a_keepalived_in_fault_does_not_serve() {
    let wanted = files(2, None);
    let (world, remotes) = world(&wanted);
    world.lock().unwrap().faults.insert(lb(2));
    let error = quietly(&wanted, &remotes).await.unwrap_err();
    let Error::NotServing {
        node,
        service: Service::Keepalived,
        said,
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*node, lb(2));
    assert!(said.contains("FAULT"), "{said}");
    world.lock().unwrap().faults.clear();
    quietly(&wanted, &remotes).await.unwrap();
    assert_settled(&world.lock().unwrap(), &wanted, "mended");

    // The same for one that gets into FAULT later, before the holder is restarted.
    world.lock().unwrap().faults.insert(lb(2));
    let (own, remote) = (&wanted[1], &remotes[&lb(2)]);
    let error = wait_serving(own, remote, Duration::from_millis(50)).await;
    assert!(error.unwrap_err().to_string().contains("FAULT"));
    quietly(&wanted, &remotes).await.unwrap_err();
    assert_eq!(world.lock().unwrap().state_of(2).running.len(), 2);
}

/// Where VRRP does not pass between the balancers, both have the address: such a roll-out has failed.
#[tokio::test]
async fn two_holders_are_no_holder() {
    let wanted = files(2, None);
    let (world, remotes) = world(&wanted);
    quietly(&wanted, &remotes).await.unwrap();
    world.lock().unwrap().split = true;
    let events = Mutex::new(Vec::new());
    let error = roll_out(&wanted, &remotes, &|e| events.lock().unwrap().push(e)).await;
    let error = error.unwrap_err().to_string();
    for part in [
        lb(1).as_str(),
        lb(2).as_str(),
        "at the same time",
        "IP protocol 112",
    ] {
        assert!(error.contains(part), "no `{part}` in {error}");
    }
    // The reason of the wait is reported during it, and once.
    let events = events.into_inner().unwrap();
    let waits = |event: &Event| matches!(event, Event::Said { line } if line.contains("waiting for the virtual address"));
    assert_eq!(events.iter().filter(|e| waits(e)).count(), 1, "{events:?}");
    world.lock().unwrap().split = false;
    let report = quietly(&wanted, &remotes).await.unwrap();
    assert_eq!((report.reloaded.len(), report.holder), (0, Some(lb(1))));
    // A balancer that hears another one than the holder does not know when to take the address.
    world
        .lock()
        .unwrap()
        .addresses
        .insert(lb(1), "192.168.113.77".parse().unwrap());
    let error = quietly(&wanted, &remotes).await.unwrap_err().to_string();
    assert!(error.contains("it does not hear"), "{error}");
    world.lock().unwrap().holder = None;
    let error = quietly(&wanted, &remotes).await.unwrap_err().to_string();
    assert!(error.contains("no balancer has it"), "{error}");
}
