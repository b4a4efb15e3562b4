//! Random clusters are changed into others, with random faults on machines, and kills at random points of the runs.

use std::cell::Cell;
use std::collections::BTreeSet;

use kubitect_provision::hypervisor::Hypervisor;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use tests::points::POINTS;

use crate::driver::is_short;
use crate::machine::servers;
use crate::shape::{Shape, Worker};
use crate::stage::{Stage, scratch};
use crate::state::endpoint;

/// A fault or change of a machine that Kubitect did not make.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Stop,
    LoseDisk,
    LoseDefinition,
}

/// Two clusters, of which the first can be changed into the second: no disk shrinks, and no version goes back.
fn shapes() -> impl Strategy<Value = (Shape, Shape)> {
    let masters = prop_oneof![1 => Just(1_usize), 3 => Just(3), 1 => Just(5)]
        .prop_flat_map(|count| proptest::sample::subsequence(vec![1_u32, 2, 3, 4, 5], count));
    let shape = move |grown: u32| {
        let worker = (
            2_u32..4,
            2_u32..4,
            8..9 + grown,
            proptest::option::of(1..2 + grown),
            proptest::option::of(prop_oneof![Just("db"), Just("web")]),
            any::<bool>(),
        );
        let worker = worker.prop_map(|(cpu, ram, main_disk, disk, label, taint)| Worker {
            id: 0,
            cpu,
            ram,
            main_disk,
            disks: disk.map(|size| ("data", size)).into_iter().collect(),
            label,
            taint,
        });
        let workers = proptest::collection::vec(proptest::option::weighted(0.7, worker), 4);
        let flags = (any::<bool>(), any::<bool>(), 2_u32..4, 2_u32..4, 1_u32..3);
        (masters.clone(), workers, flags).prop_map(|(masters, workers, flags)| {
            let (forwards, addon, master_cpu, master_ram, balancers) = flags;
            let workers = workers.into_iter().zip(1..);
            let named = |(worker, id): (Option<Worker>, u32)| Some(Worker { id, ..worker? });
            Shape {
                balancers,
                masters,
                workers: workers.filter_map(named).collect(),
                master_cpu,
                master_ram,
                release: ["v1.23.7", "v2.19.0"],
                plugin: "calico",
                manager: "containerd",
                variables: &[],
                forwards,
                addon,
                other: &[],
            }
        })
    };
    let releases = [
        ["v1.23.7", "v2.19.0"],
        ["v1.24.6", "v2.20.0"],
        ["v1.25.6", "v2.21.0"],
    ];
    let releases =
        prop_oneof![2 => Just(releases[0]), 1 => Just(releases[1]), 1 => Just(releases[2])];
    (shape(0), shape(1), releases).prop_map(|(first, mut second, release)| {
        second.release = release;
        // An installed addon stays: Kubespray removes none.
        second.addon |= first.addon;
        for worker in &mut second.workers {
            let before = first.workers.iter().find(|other| other.id == worker.id);
            if let (Some([(_, was)]), Some((_, size))) =
                (before.map(|w| &w.disks[..]), worker.disks.first_mut())
            {
                *size = (*size).max(*was);
            }
        }
        (first, second)
    })
}

fn damage_machine(stage: &Stage, shape: &Shape, number: usize, damage: Damage) {
    let masters = shape.masters.iter().map(|id| format!("demo-master-{id}"));
    let workers = shape
        .workers
        .iter()
        .map(|worker| format!("demo-worker-{}", worker.id));
    // A majority of the masters stays: without one the cluster can't be repaired.
    let mut names: Vec<_> = workers.chain(["demo-lb-1".to_owned()]).collect();
    if shape.masters.len() > 1 || matches!(damage, Damage::Stop) {
        names.extend(masters.take(1));
    }
    let name = &names[number % names.len()];
    let host = &stage.place().host;
    match damage {
        Damage::Stop => host.stop(name),
        Damage::LoseDisk => host.lose_file(
            "/pools/demo-main-resource-pool",
            &format!("{name}-main-disk"),
        ),
        Damage::LoseDefinition => host.remove_domain(&name.parse().unwrap()).unwrap(),
    }
}

/// Whether the cluster is what its file says.
pub fn check(stage: &Stage, shape: &Shape) -> Result<(), TestCaseError> {
    let masters: BTreeSet<_> = shape
        .masters
        .iter()
        .map(|id| format!("demo-master-{id}"))
        .collect();
    let workers = shape
        .workers
        .iter()
        .map(|w| (format!("demo-worker-{}", w.id), w));
    let balancers = (1..=shape.balancers).map(|id| format!("demo-lb-{id}"));
    let mut all: BTreeSet<_> = masters.iter().cloned().chain(balancers.clone()).collect();
    all.extend(workers.clone().map(|(name, _)| name));
    stage.place().with(|state, host| {
        let ours = host
            .domains()
            .unwrap()
            .into_iter()
            .filter(|d| d.mark.is_some());
        let ours: BTreeSet<_> = ours.map(|domain| domain.name).collect();
        prop_assert_eq!(&ours, &all);
        let nodes: BTreeSet<_> = state.kube.nodes.keys().cloned().collect();
        let wanted: BTreeSet<_> = all
            .iter()
            .filter(|name| !name.contains("-lb-"))
            .cloned()
            .collect();
        prop_assert_eq!(nodes, wanted);
        for (name, node) in &state.kube.nodes {
            prop_assert!(
                state.is_ready(host, name) && !node.cordoned,
                "{} {:?}",
                name,
                node
            );
            prop_assert_eq!(&node.version, shape.release[0], "{}", name);
            let guest = &state.guests[name];
            prop_assert_eq!((node.cpus, node.ram), (guest.cpus, guest.ram), "{}", name);
        }
        for (name, worker) in workers {
            let (node, guest) = (&state.kube.nodes[&name], &state.guests[&name]);
            prop_assert_eq!(
                (node.cpus, node.ram),
                (worker.cpu, u64::from(worker.ram) << 10),
                "{}",
                &name
            );
            prop_assert_eq!(node.labels.get("tier").map(String::as_str), worker.label);
            prop_assert_eq!(node.taints.contains("only=db:NoSchedule"), worker.taint);
            let mut sizes: Vec<_> = worker
                .disks
                .iter()
                .map(|(_, size)| u64::from(*size) << 30)
                .collect();
            sizes.push(u64::from(worker.main_disk) << 30);
            let mut systems: Vec<_> = guest.systems.values().map(|(_, size)| *size).collect();
            sizes.sort_unstable();
            systems.sort_unstable();
            prop_assert_eq!(systems, sizes, "the file systems of {}", &name);
        }
        let members: BTreeSet<_> = state
            .kube
            .members
            .iter()
            .map(|member| member.name.clone())
            .collect();
        let named: BTreeSet<_> = shape
            .masters
            .iter()
            .map(|id| format!("etcd-{id}"))
            .collect();
        prop_assert_eq!(members, named);
        // Every API server uses exactly the members, and so would one that joins.
        let endpoints: BTreeSet<_> = state.kube.members.iter().map(|m| endpoint(&m.ip)).collect();
        for name in &masters {
            prop_assert_eq!(
                state.guests[name].api.as_ref(),
                Some(&endpoints),
                "{}",
                name
            );
        }
        prop_assert_eq!(&state.kube.published, &endpoints);
        for member in &state.kube.members {
            prop_assert!(state.is_well(host, member), "{:?}", member);
        }
        for name in &masters {
            prop_assert!(state.serves(host, name));
        }
        for name in balancers {
            let guest = &state.guests[&name];
            let behind: BTreeSet<_> = servers(guest, kubitect_lb::API).into_iter().collect();
            prop_assert_eq!(&behind, &masters, "behind {}", &name);
            prop_assert!(guest.drained.is_empty(), "{:?}", guest.drained);
        }
        prop_assert!(state.holder.is_some());
        let has_variables = shape.addon || !shape.variables.is_empty();
        prop_assert_eq!(state.kube.addons.is_some(), has_variables);
        Ok(())
    })
}

/// One case: the cluster is created, gets a fault, is changed with kills on the way, and removed.
fn case(
    stage: &Stage,
    (first, second): &(Shape, Shape),
    damages: &[(usize, Damage)],
    kills: &[(usize, usize)],
) -> Result<(), TestCaseError> {
    let nothing = stage.picture();
    let run = stage.apply_as_shown(first);
    prop_assert_eq!(run.code, Some(0), "{}", run.said);
    prop_assert_eq!(stage.plan(first), None);
    check(stage, first)?;
    for (number, damage) in damages {
        damage_machine(stage, first, *number, *damage);
    }
    let before = stage.picture();
    for (point, times) in kills {
        let run = stage.apply(second, Some((POINTS[*point].0, *times)));
        if run.code == Some(2) && run.said.contains("can't be made") {
            // What can't be done is refused before anything is changed.
            prop_assert_eq!(
                before.differences(&stage.picture()),
                [""; 0],
                "{}",
                run.said
            );
            return Err(TestCaseError::reject(run.said));
        }
        prop_assert!(matches!(run.code, None | Some(0)), "{}", run.said);
    }
    let run = stage.apply_as_shown(second);
    if run.code == Some(2) && kills.is_empty() {
        prop_assert_eq!(
            before.differences(&stage.picture()),
            [""; 0],
            "{}",
            run.said
        );
        return Err(TestCaseError::reject(run.said));
    }
    prop_assert_eq!(run.code, Some(0), "{}", run.said);
    prop_assert_eq!(stage.plan(second), None);
    check(stage, second)?;
    let picture = stage.picture();
    prop_assert_eq!(&picture.foreign, &nothing.foreign);
    prop_assert_eq!(picture.leftovers, [""; 0]);
    let run = stage.destroy(None);
    prop_assert_eq!(run.code, Some(0), "{}", run.said);
    let end = stage.picture();
    prop_assert_eq!(end.foreign, nothing.foreign);
    prop_assert_eq!(end.leftovers, [""; 0]);
    Ok(())
}

/// Runs so many random cases, or always the same 24 (8 in the short form); false if one fails.
pub fn all(asked: Option<u32>) -> bool {
    let cases = asked.unwrap_or(if is_short() { 8 } else { 24 });
    let scratch = scratch();
    let damage = prop_oneof![
        Just(Damage::Stop),
        Just(Damage::LoseDisk),
        Just(Damage::LoseDefinition)
    ];
    let damages = proptest::collection::vec((0_usize..6, damage), 0..2);
    let kills = proptest::collection::vec((0..POINTS.len(), 0_usize..8), 0..4);
    let mut runner = TestRunner::new(Config {
        cases,
        rng_seed: asked.map_or(RngSeed::Fixed(24), |_| RngSeed::Random),
        max_shrink_iters: 40,
        failure_persistence: None,
        ..Config::default()
    });
    // All masters are replaced: new ones join through balancers that lead to those that leave.
    for (before, after) in [(vec![4], vec![5]), (vec![1, 2, 3], vec![4])] {
        let shape = |masters| Shape {
            masters,
            balancers: 1,
            ..Shape::base()
        };
        let stage = Stage::new(scratch.path());
        case(&stage, &(shape(before), shape(after)), &[], &[]).unwrap();
        stage.end();
    }
    // A worker that is no longer wanted does not exist any more, and only Kubernetes still lists it.
    let mut without = Shape::base();
    without.workers.remove(0);
    let stage = Stage::new(scratch.path());
    let lost = [(0, Damage::LoseDefinition)];
    case(&stage, &(Shape::base(), without), &lost, &[]).unwrap();
    stage.end();
    // The balancer that has the virtual address leaves, and gives it up.
    let stage = Stage::new(scratch.path());
    let (mut both, mut first) = (Shape::base(), Shape::base());
    (both.balancers, first.balancers) = (2, 1);
    for shape in [&first, &both] {
        stage.done(shape);
    }
    stage.place().host.stop("demo-lb-1");
    stage
        .place()
        .with(|state, _| assert_eq!(state.holder.as_deref(), Some("demo-lb-2")));
    stage.done(&first);
    check(&stage, &first).unwrap();
    stage.end();
    let refused = Cell::new(0);
    let result = runner.run(&(shapes(), damages, kills), |(shapes, damages, kills)| {
        let stage = Stage::new(scratch.path());
        let result = case(&stage, &shapes, &damages, &kills);
        if matches!(result, Err(TestCaseError::Reject(_))) {
            refused.set(refused.get() + 1);
        }
        stage.end();
        result
    });
    match result {
        Ok(()) => println!(
            "{} random clusters became others; {} changes besides were refused, and nothing touched",
            cases,
            refused.get()
        ),
        Err(ref error) => println!("{error}"),
    }
    result.is_ok()
}
