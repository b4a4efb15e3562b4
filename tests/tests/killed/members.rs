//! Masters join and leave: no API server is left without a member of etcd, and old data do not prevent a join.

use std::collections::BTreeSet;

use crate::driver::side_by_side;
use crate::living::check;
use crate::shape::Shape;
use crate::stage::{Stage, scratch};
use crate::state::{Member, Pod, endpoint};

/// Releases that write the members into all API servers at different times: in each run; in upgrades; not even in upgrades; in
/// upgrades again.
const RELEASES: [[&str; 2]; 5] = [
    ["v1.23.7", "v2.19.0"],
    ["v1.28.6", "v2.24.0"],
    ["v1.29.10", "v2.26.1"],
    ["v1.30.4", "v2.27.0"],
    ["v1.34.3", "v2.31.0"],
];

/// A cluster of one balancer and these masters, with a release of Kubernetes and one of Kubespray.
pub fn shape(masters: &[u32], release: [&'static str; 2]) -> Shape {
    Shape {
        masters: masters.to_vec(),
        balancers: 1,
        release,
        ..Shape::base()
    }
}

/// Applies without a fault, and then the plan is empty.
pub fn apply_fully(stage: &Stage, shape: &Shape) -> String {
    let run = stage.done(shape);
    assert_eq!(stage.plan(shape), None);
    check(stage, shape).unwrap();
    run.said
}

/// Whether the plan says that nothing answers while the API servers get the members of etcd.
fn is_outage(said: &str) -> bool {
    said.lines()
        .any(|line| line.contains("~ etcd") && line.contains("[outage]"))
}

fn made(scratch: &std::path::Path, shape: &Shape) -> Stage {
    let stage = Stage::new(scratch);
    apply_fully(&stage, shape);
    stage
}

pub fn all() {
    let scratch = scratch();
    let path = scratch.path();
    for release in RELEASES {
        for (before, after) in [
            (&[1][..], &[2][..]),
            (&[1, 2, 3], &[4, 5, 6]),
            (&[1, 2, 3], &[4]),
            (&[1, 2, 3], &[1]),
            (&[1, 2, 3], &[1, 4, 5]),
            (&[1], &[1, 2, 3]),
        ] {
            let stage = made(path, &shape(before, release));
            let said = apply_fully(&stage, &shape(after, release));
            assert!(!is_outage(&said), "{said}");
            println!(
                "masters {before:?} became {after:?} with Kubespray {}",
                release[1]
            );
            stage.end();
        }
    }
    one_master_after_another(path);
    api_servers_that_know_the_first_master_alone(path);
    died_just_now(path);
    half_left(path);
    announced_and_not_started(path);
    old_data_of_the_second(path);
    begun_and_not_wanted(path);
    begun_to_leave_while_others_join(path);
    a_member_that_is_nobodys(path);
    health_refused_for_a_moment(path);
}

/// Three masters are replaced, each by its own apply: with v2.26 the third one lost the API.
fn one_master_after_another(path: &std::path::Path) {
    let release = RELEASES[2];
    let stage = made(path, &shape(&[1, 2, 3], release));
    for masters in [[2, 3, 4], [3, 4, 5], [4, 5, 6]] {
        apply_fully(&stage, &shape(&masters, release));
    }
    stage.end();
}

/// The state in which Kubespray v2.26 left a cluster of one master that had become three: without the first master the API would
/// be lost. An apply repairs it.
fn api_servers_that_know_the_first_master_alone(path: &std::path::Path) {
    let wanted = shape(&[1, 2, 3], RELEASES[2]);
    let stage = made(path, &wanted);
    stage.place().with(|state, _| {
        let first = BTreeSet::from([endpoint("10.9.0.11")]);
        for guest in state
            .guests
            .values_mut()
            .filter(|guest| guest.api.is_some())
        {
            guest.api = Some(first.clone());
        }
        state.kube.published = first;
    });
    let host = stage.place().host;
    host.lose_file("/pools/demo-main-resource-pool", "demo-master-1-main-disk");
    let said = apply_fully(&stage, &wanted);
    assert!(
        said.contains("demo-master-2: its API server uses 2 etcd members"),
        "{said}"
    );
    stage.end();
}

/// A master's disk is lost, a worker that is no longer wanted has died, and Kubernetes has noticed neither yet: nothing reports
/// that their pods have ended, and that is not waited for.
fn died_just_now(path: &std::path::Path) {
    let mut wanted = shape(&[1, 2, 3], RELEASES[4]);
    let stage = made(path, &wanted);
    wanted.workers.remove(0);
    let dead = ["demo-master-3", "demo-worker-1"];
    stage.place().with(|state, _| {
        state.unnoticed = true;
        for node in dead.map(str::to_owned) {
            let pod = Pod {
                node: node.clone(),
                ..Pod::default()
            };
            state.kube.pods.insert(format!("of-{node}"), pod);
        }
    });
    let host = stage.place().host;
    host.lose_file("/pools/demo-main-resource-pool", "demo-master-3-main-disk");
    host.stop("demo-worker-1");
    apply_fully(&stage, &wanted);
    stage.place().with(|state, _| {
        for (pod, own) in &state.kube.pods {
            assert_eq!(own.node, "demo-worker-2", "{pod}");
        }
    });
    stage.end();
}

/// A master has left etcd, its machine was not cleaned yet, and then it is wanted again.
fn half_left(path: &std::path::Path) {
    let (three, one) = (shape(&[1, 2, 3], RELEASES[4]), shape(&[1], RELEASES[4]));
    for times in [0, 1] {
        let stage = made(path, &three);
        let run = stage.apply(&one, Some(("kubespray::left-etcd", times)));
        assert_eq!(run.code, None, "{}", run.said);
        let said = apply_fully(&stage, &three);
        assert!(
            said.contains("the data of a former etcd member are set aside"),
            "{said}"
        );
        stage.end();
    }
}

/// A second member is announced to a single one and does not start: etcd takes no writes any more until it starts. The run that
/// failed starts it; after a kill the next run does.
fn announced_and_not_started(path: &std::path::Path) {
    let (one, three) = (shape(&[1], RELEASES[4]), shape(&[1, 2, 3], RELEASES[4]));
    let stage = made(path, &one);
    stage.break_in("cluster.yml", "demo-master-2", "announced");
    let run = stage.apply(&three, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    assert!(
        run.said.contains("etcd waits for it as its second member"),
        "{}",
        run.said
    );
    stage.place().with(|state, host| {
        assert_eq!(state.kube.members.len(), 2);
        assert!(state.has_quorum(host));
        // As a kill in the playbook would have left it.
        state.guests.get_mut("demo-master-2").unwrap().member = None;
        assert!(!state.has_quorum(host));
    });
    let said = apply_fully(&stage, &three);
    assert!(
        said.contains("etcd waits for it as its second member"),
        "{said}"
    );
    stage.end();
}

/// The second member does not start with the data on its machine. They are set aside only where it was announced as one of two:
/// then the other one has all that was ever written.
fn old_data_of_the_second(path: &std::path::Path) {
    let (one, three) = (shape(&[1], RELEASES[4]), shape(&[1, 2, 3], RELEASES[4]));
    for announced in [2, 3] {
        let stage = made(path, &one);
        stage.break_in("cluster.yml", "demo-master-2", "announced");
        let run = stage.apply(&three, None);
        assert_eq!(run.code, Some(1), "{}", run.said);
        let env = "/etc/etcd.env";
        let members = (1..=announced).map(|id| format!("etcd-{id}=https://10.9.0.1{id}:2380"));
        let members = members.collect::<Vec<_>>().join(",");
        stage.place().with(|state, host| {
            let guest = state.guests.get_mut("demo-master-2").unwrap();
            guest.member = Some(u64::MAX);
            let text = format!("ETCD_NAME=etcd-2\nETCD_INITIAL_CLUSTER={members}\n");
            guest.files.insert(env.to_owned(), text);
            assert!(!state.has_quorum(host));
        });
        if announced == 2 {
            let said = apply_fully(&stage, &three);
            assert!(said.contains("are set aside"), "{said}");
        } else {
            let run = stage.apply(&three, None);
            assert_eq!(run.code, Some(1), "{}", run.said);
            assert!(!run.said.contains("are set aside"), "{}", run.said);
            let why = "start etcd's second member: it was announced and does not serve";
            assert!(run.said.contains(why), "{}", run.said);
        }
        stage.end();
    }
}

/// A master that had begun to join is not in the next file: it leaves etcd before anything else is done, also where etcd waits
/// for its start.
fn begun_and_not_wanted(path: &std::path::Path) {
    let steps = [
        ("announced", &RELEASES[4..]),
        ("api", &RELEASES[..1]),
        ("registered", &RELEASES[2..3]),
        ("marked", &RELEASES[2..3]),
        ("marked", &RELEASES[4..]),
    ];
    let files = [&[1][..], &[3], &[1, 3, 4]];
    let cases = steps.into_iter().flat_map(|(step, releases)| {
        let cases = files.iter().map(move |after| (step, *after));
        cases.flat_map(move |(step, after)| releases.iter().map(move |at| (step, after, *at)))
    });
    let done = side_by_side(cases.collect(), |(step, after, release)| {
        let stage = made(path, &shape(&[1], release));
        stage.break_in("cluster.yml", "demo-master-2", step);
        let run = stage.apply(&shape(&[1, 2, 3], release), None);
        assert_eq!(run.code, Some(1), "{step}: {}", run.said);
        if step == "announced" {
            // As a kill in the playbook would have left it.
            stage.place().with(|state, host| {
                state.guests.get_mut("demo-master-2").unwrap().member = None;
                assert!(!state.has_quorum(host));
            });
        }
        let said = apply_fully(&stage, &shape(after, release));
        assert_eq!(is_outage(&said), after == [1], "{said}");
        stage.end();
    });
    println!("{} times a master that had begun to join left", done.len());
}

/// A master that had begun to leave, and may still be a member, leaves before others join.
fn begun_to_leave_while_others_join(path: &std::path::Path) {
    let points = [
        ("kubespray::noted", 2),
        ("kubespray::left-etcd", 0),
        ("kubespray::noted", 4),
        ("kubespray::left-etcd", 1),
    ];
    for (release, (point, times)) in RELEASES.into_iter().zip(points.into_iter().cycle()) {
        let stage = made(path, &shape(&[1, 2, 3], release));
        let run = stage.apply(&shape(&[1], release), Some((point, times)));
        assert_eq!(run.code, None, "{}", run.said);
        apply_fully(&stage, &shape(&[1, 4, 5], release));
        stage.end();
    }
}

/// Where etcd has a member that is none of the cluster's masters, no master is announced: it would not start.
fn a_member_that_is_nobodys(path: &std::path::Path) {
    let (three, five) = (
        shape(&[1, 2, 3], RELEASES[4]),
        shape(&[1, 2, 3, 4, 5], RELEASES[4]),
    );
    let stage = made(path, &three);
    stage.place().with(|state, _| {
        state.kube.members.push(Member {
            id: 0xabc,
            name: "other".to_owned(),
            ip: "10.9.0.77".to_owned(),
        });
    });
    let run = stage.apply(&five, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    // The whole commands that a person types on the master: etcdctl needs its certificates, and an id in hexadecimal digits.
    let typed = "`sudo env $(sudo grep ^ETCDCTL_ /etc/etcd.env) ETCDCTL_API=3 /usr/local/bin/etcdctl member remove abc`";
    for said in ["etcd lists a member at https://10.9.0.77:2380", typed] {
        assert!(run.said.contains(said), "{}", run.said);
    }
    stage.place().with(|state, _| {
        let other = state.kube.members.pop().unwrap();
        assert_eq!((state.kube.members.len(), &*other.name), (3, "other"));
    });
    apply_fully(&stage, &five);
    stage.end();
}

/// Files that a killed playbook has removed from masters, and services that it has stopped, are restored.
pub fn taken_away() {
    let scratch = scratch();
    certificates_that_are_gone(scratch.path());
    certificates_of_masters_half_way(scratch.path());
    stopped_services(scratch.path());
}

/// A run was killed between two tasks, of which the first one removes the certificate of a master's API server, or its key: it is
/// created again, also on the only master. Releases v2.22 to v2.26 get a list of names for which none is removed.
fn certificates_that_are_gone(path: &std::path::Path) {
    let said = "the certificate of its API server was gone";
    let cases = [
        (&[1, 2, 3][..], &[1, 2, 3, 4, 5][..], "demo-master-2"),
        (&[1], &[1, 2, 3], "demo-master-1"),
    ];
    for (before, after, host) in cases {
        for (step, release) in [("certificate", RELEASES[3]), ("key", RELEASES[4])] {
            let stage = made(path, &shape(before, release));
            let wanted = shape(after, release);
            stage.break_in("cluster.yml", host, step);
            let run = stage.apply(&wanted, None);
            assert_eq!(run.code, Some(1), "{}", run.said);
            let run = apply_fully(&stage, &wanted);
            assert!(run.contains(&format!("{host}: {said}")), "{run}");
            stage.end();
        }
    }
}

/// The same on masters that are not noted as joined: in a creation that is continued, in which full names are new to the
/// certificates, and in a join that is continued.
fn certificates_of_masters_half_way(path: &std::path::Path) {
    let release = RELEASES[3];
    let cases = [
        (None, ["demo-worker-1", "demo-master-1"], "certificate"),
        (None, ["demo-worker-1", "demo-master-3"], "key"),
        (Some(&[1][..]), ["demo-master-2"; 2], "certificate"),
        (Some(&[1]), ["demo-master-2"; 2], "key"),
    ];
    side_by_side(cases.to_vec(), |(before, hosts, step)| {
        let stage = Stage::new(path);
        if let Some(before) = before {
            apply_fully(&stage, &shape(before, release));
        }
        let wanted = shape(&[1, 2, 3], release);
        for (host, step) in hosts.into_iter().zip(["registered", step]) {
            stage.break_in("cluster.yml", host, step);
            let run = stage.apply(&wanted, None);
            assert_eq!(run.code, Some(1), "{host}, {step}: {}", run.said);
        }
        let run = apply_fully(&stage, &wanted);
        let said = format!("{}: the certificate of its API server was gone", hosts[1]);
        assert!(run.contains(&said), "{run}");
        stage.end();
    });
}

/// A run was killed after a playbook had stopped etcd or the kubelet on the only master: it is started again.
fn stopped_services(path: &std::path::Path) {
    for unit in ["etcd", "kubelet"] {
        let stage = made(path, &shape(&[1], RELEASES[4]));
        stage.place().with(|state, _| {
            let guest = state.guests.get_mut("demo-master-1").unwrap();
            guest.stopped.insert(unit.to_owned());
        });
        let said = apply_fully(&stage, &shape(&[1, 2, 3], RELEASES[4]));
        let started = format!("demo-master-1: {unit} was stopped, and is started");
        assert!(said.contains(&started), "{said}");
        stage.end();
    }
}

/// etcd was unhealthy at the moment at which Kubespray checked it: the etcd of the joining machine started a cluster of its own.
fn health_refused_for_a_moment(path: &std::path::Path) {
    for (before, after, host) in [
        (&[1, 2, 3][..], &[1, 2, 3, 4, 5][..], "demo-master-4"),
        (&[1], &[1, 2, 3], "demo-master-2"),
    ] {
        let stage = made(path, &shape(before, RELEASES[3]));
        let wanted = shape(after, RELEASES[3]);
        stage.break_in("cluster.yml", host, "health");
        let run = stage.apply(&wanted, None);
        assert_eq!(run.code, Some(1), "{}", run.said);
        let said = apply_fully(&stage, &wanted);
        assert!(said.contains("are set aside"), "{said}");
        stage.end();
    }
}
