//! Memory that a person takes from a machine while it runs.

use kubitect_provision::balloon;
use kubitect_provision::observe::{HostState, observe};

use crate::world::{DEMO, World};

/// `virsh setmem demo-worker-1 1G --live`: a note says so, no restart follows, and the machine counts with the memory that it
/// has.
#[test]
fn a_balloon_that_was_set_is_said_and_restarts_nothing() {
    let world = World::new(DEMO, &HostState::default());
    world.apply().unwrap();
    let remarks = || {
        let observed = observe(&world.cluster.name, &world.hosts()).unwrap();
        balloon::remarks(&world.cluster, &observed)
    };
    assert_eq!(remarks(), [""; 0]);
    let set = |mib: u64| {
        world.fake().change_domain("demo-worker-1", |domain| {
            domain.live.as_mut().unwrap().balloon_mib = Some(mib);
        });
    };
    set(1024);
    assert!(world.plan().unwrap().is_empty());
    let said = remarks();
    assert_eq!(said.len(), 1);
    for part in [
        "demo-worker-1 has 1024 of its 4096 MiB",
        "virsh setmem demo-worker-1 4096M --live",
    ] {
        assert!(said[0].contains(part), "{said:?}");
    }
    set(4096);
    assert_eq!(remarks(), [""; 0]);
}
