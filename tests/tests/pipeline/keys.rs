//! A lost folder of keys is recovered from the seeds, and through the machines' guest agents.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use kubitect_provision::fake::When;
use kubitect_provision::observe::HostState;
use kubitect_provision::ssh::Keys;
use kubitect_provision::{Inputs, apply, cloud_init, recover};

use crate::world::{DEMO, World};

/// The demo's machines, created with the keys in `folder`.
fn made(folder: &Path) -> (World, Keys) {
    let world = World::new(DEMO, &HostState::default());
    let keys = Keys::ensure(folder, &world.cluster, None).unwrap();
    let seeds = world.cluster.nodes.iter().map(|node| {
        let machine = keys.machine(&node.name).unwrap();
        let documents = cloud_init::documents(&world.cluster, node, &machine);
        let seed = cloud_init::seed::image(&documents).unwrap();
        (node.name.clone(), seed)
    });
    let inputs = Inputs {
        seeds: seeds.collect(),
        image: Some(world.image.clone()),
        journal: None,
    };
    let plan = world.plan().unwrap();
    let cancelled = AtomicBool::new(false);
    apply(&plan, &world.hosts(), &inputs, &cancelled, &|_| {}).unwrap();
    (world, keys)
}

/// Fails unless all machines accept this key, and no other.
fn opens(world: &World, keys: &Keys) {
    for node in &world.cluster.nodes {
        let authorized = keys.machine(&node.name).unwrap().authorized;
        let accepted = world.fake().authorized_keys(node.name.as_str());
        let accepted: Vec<_> = accepted.iter().map(String::as_str).collect();
        assert_eq!(accepted, [format!("k8s {authorized}")], "{}", node.name);
    }
}

#[test]
fn lost_keys_come_back_from_the_seeds_and_by_the_agents() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".ssh");
    let (world, before) = made(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    let after = recover(&folder, &world.cluster, None, &world.hosts());
    let after = after.unwrap().expect("all keys are there");
    for node in &world.cluster.nodes {
        let line = before.host_key_line(&node.name);
        assert_eq!(after.host_key_line(&node.name), line, "{}", node.name);
    }
    opens(&world, &after);
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().collect();
    assert_eq!(
        left.len(),
        3,
        "the key's two halves and the hosts': {left:?}"
    );

    // With nothing lost, nothing changes.
    let second = recover(&folder, &world.cluster, None, &world.hosts());
    assert_eq!(second.unwrap().unwrap().private_key(), after.private_key());
    opens(&world, &after);
}

#[test]
fn interrupted_it_goes_on_with_the_same_key() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".ssh");
    let (world, _) = made(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    for call in 0..world.cluster.nodes.len() {
        world.fake().fail_at(call, When::After);
        assert!(recover(&folder, &world.cluster, None, &world.hosts()).is_err());
        assert!(
            !folder.join("id_ed25519").exists(),
            "a key that not all machines know is not taken for theirs"
        );
        world.revive();
    }
    let keys = recover(&folder, &world.cluster, None, &world.hosts());
    opens(&world, &keys.unwrap().unwrap());
}

#[test]
fn a_machine_that_is_off_is_named() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".ssh");
    let (world, _) = made(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    world.fake().stop("demo-master-2");
    let error = recover(&folder, &world.cluster, None, &world.hosts()).unwrap_err();
    assert!(error.to_string().contains("demo-master-2"), "{error}");
}
