//! Roll-outs over balancers in memory: the order, failures, and the state after a killed run.

use std::sync::Mutex;

use kubitect_config::cluster::{ForwardPort, Target};
use kubitect_lb::{
    Error, Event, HAPROXY_FILE, KEEPALIVED_FILE, Rendered, Report, Service, plan, render, roll_out,
    roll_out_and,
};

use crate::cluster::{cluster, label};
use crate::fake::{
    CHECK_FAILS, Death, PROBE_FAILS, RELOAD_FAILS, RELOAD_IGNORED, State, World, world,
};

/// The files of so many balancers; a forwarded port of this name stands in HAProxy's.
pub fn files(balancers: u8, forwarded: Option<&str>) -> Vec<Rendered> {
    let (mut cluster, facts) = cluster(balancers, 3, 2);
    cluster
        .balancing
        .forward_ports
        .extend(forwarded.map(|name| ForwardPort {
            name: name.parse().unwrap(),
            port: 8080,
            target_port: 30080,
            target: Target::Workers,
        }));
    render(&cluster, &facts).unwrap()
}

pub fn lb(id: u8) -> kubitect_config::value::Label {
    label(&format!("local-k8s-cluster-lb-{id}"))
}

/// Every machine runs with exactly these files, and nothing else lies there.
pub fn assert_settled(world: &World, rendered: &[Rendered], context: &str) {
    for files in rendered {
        let state = &world.machines[&files.node];
        assert!(
            state.leftovers().is_empty(),
            "{context}: {:?}",
            state.leftovers()
        );
        for service in [Service::Haproxy, Service::Keepalived] {
            let wanted = service.text(files).map(str::as_bytes);
            let running = state.running.get(&service).map(Vec::as_slice);
            let on_disk = state.files.get(service.file()).map(Vec::as_slice);
            assert!(
                running == wanted,
                "{context}: {service} runs with another file"
            );
            assert!(
                on_disk == wanted,
                "{context}: another file of {service} lies there"
            );
            assert_eq!(
                state.enabled.contains(&service),
                wanted.is_some(),
                "{context}"
            );
        }
    }
}

pub async fn quietly<R: kubitect_config::Remote>(
    rendered: &[Rendered],
    remotes: &std::collections::BTreeMap<kubitect_config::value::Label, R>,
) -> Result<Report, Error> {
    roll_out(rendered, remotes, &|_| {}).await
}

#[tokio::test]
async fn one_balancer_is_reloaded_once_and_then_left_alone() {
    let rendered = files(1, None);
    let (world, remotes) = world(&rendered);
    assert_eq!(plan(&rendered, &remotes).await.unwrap().len(), 1);

    let report = quietly(&rendered, &remotes).await.unwrap();
    assert_eq!(report.reloaded, [(lb(1), Service::Haproxy)]);
    assert_settled(&world.lock().unwrap(), &rendered, "first");
    assert_eq!(plan(&rendered, &remotes).await.unwrap(), []);

    let before = world.lock().unwrap().machines.clone();
    let events = Mutex::new(Vec::new());
    let report = roll_out(&rendered, &remotes, &|e| events.lock().unwrap().push(e)).await;
    assert_eq!(report.unwrap().unchanged, [(lb(1), Service::Haproxy)]);
    assert_eq!(world.lock().unwrap().reloads.len(), 1);
    assert_eq!(world.lock().unwrap().machines, before);
    let (node, service) = (lb(1), Service::Haproxy);
    assert_eq!(
        *events.lock().unwrap(),
        [
            Event::Started {
                node: node.clone(),
                service,
                index: 1,
                count: 1
            },
            Event::Unchanged { node, service },
            Event::Finished { reloaded: 0 },
        ]
    );
}

#[tokio::test]
async fn the_plan_names_the_lines_and_changes_nothing() {
    let (old, new) = (files(1, None), files(1, Some("web")));
    let (world, remotes) = world(&old);
    quietly(&old, &remotes).await.unwrap();
    let before = world.lock().unwrap().machines.clone();
    let changes = plan(&new, &remotes).await.unwrap();
    assert_eq!(world.lock().unwrap().machines, before);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].file, HAPROXY_FILE);
    assert_eq!(changes[0].removed, [""; 0]);
    assert_eq!(
        changes[0].added,
        [
            "frontend web",
            "bind :8080",
            "default_backend web",
            "backend web",
            "server local-k8s-cluster-worker-1 192.168.113.20:30080 check on-marked-down shutdown-sessions",
            "server local-k8s-cluster-worker-2 192.168.113.21:30080 check on-marked-down shutdown-sessions",
        ]
    );
}

#[tokio::test]
async fn backups_come_first_and_the_holder_of_the_address_last() {
    let rendered = files(3, None);
    let (world, remotes) = world(&rendered);
    quietly(&rendered, &remotes).await.unwrap();
    assert_settled(&world.lock().unwrap(), &rendered, "three");
    // No balancer held it, so the one with the highest priority started first and took it.
    assert_eq!(world.lock().unwrap().holder, Some(lb(1)));

    world.lock().unwrap().reloads.clear();
    let changed = files(3, Some("web"));
    let report = quietly(&changed, &remotes).await.unwrap();
    let order: Vec<_> = [2, 3, 1].map(|id| (lb(id), Service::Haproxy)).into();
    assert_eq!(report.reloaded, order);
    assert_eq!(world.lock().unwrap().reloads, order);
    assert_eq!(report.unchanged.len(), 3);
    assert_eq!(report.holder, Some(lb(1)));
}

/// Otherwise it would hear no other one and take the address: those that run have to have it as a peer before.
#[tokio::test]
async fn a_new_balancers_keepalived_starts_last() {
    let (two, three) = (files(2, None), files(3, None));
    let (world, remotes) = world(&three);
    quietly(&two, &remotes).await.unwrap();
    world.lock().unwrap().holder = Some(lb(2));
    world.lock().unwrap().reloads.clear();
    quietly(&three, &remotes).await.unwrap();
    let reloads = world.lock().unwrap().reloads.clone();
    let keepalived = [1, 2, 3].map(|id| (lb(id), Service::Keepalived));
    assert_eq!(reloads[0], (lb(3), Service::Haproxy));
    assert_eq!(reloads[1..], keepalived);
    assert_eq!(world.lock().unwrap().holder, Some(lb(2)));
}

/// As long as a balancer that leaves announces the address, none of those that replace it takes it.
#[tokio::test]
async fn who_leaves_lets_the_address_go_when_all_others_serve() {
    let rendered = files(2, None);
    let (world, remotes) = world(&rendered);
    world.lock().unwrap().holder = Some(lb(9));
    let mut served = 0;
    let once_serving = async || {
        let mut world = world.lock().unwrap();
        served = world.reloads.len();
        world.holder = Some(lb(1));
    };
    let report = roll_out_and(&rendered, &remotes, &|_| {}, once_serving)
        .await
        .unwrap();
    assert_eq!((served, report.holder), (4, Some(lb(1))));
}

/// A file is refused, can't be loaded, or does not serve: the previous file stays in use, and the next balancer is not touched.
#[tokio::test]
async fn whatever_fails_what_was_there_serves_on() {
    let good = files(3, None);
    for word in [CHECK_FAILS, RELOAD_FAILS, PROBE_FAILS, RELOAD_IGNORED] {
        let (world, remotes) = world(&good);
        quietly(&good, &remotes).await.unwrap();
        let before = world.lock().unwrap().machines.clone();
        world.lock().unwrap().reloads.clear();

        let events = Mutex::new(Vec::new());
        let bad = files(3, Some(word));
        let error = roll_out(&bad, &remotes, &|e| events.lock().unwrap().push(e)).await;
        let error = error.unwrap_err();
        match (word, &error) {
            (CHECK_FAILS, Error::Rejected { node, said, .. }) => {
                assert_eq!(*node, lb(2));
                assert!(said.contains("haproxy.cfg:7"), "{said}");
            }
            (RELOAD_FAILS, Error::Command { node, said, .. }) => {
                assert_eq!(*node, lb(2));
                assert!(said.contains("Job for haproxy.service failed"), "{said}");
            }
            (PROBE_FAILS | RELOAD_IGNORED, Error::NotServing { node, .. }) => {
                assert_eq!(*node, lb(2));
            }
            _ => panic!("{word}: {error:?}"),
        }
        let world = world.lock().unwrap();
        assert_eq!(world.machines, before, "{word}");
        let events = events.lock().unwrap();
        let (node, service) = (lb(2), Service::Haproxy);
        let put_back = events.contains(&Event::PutBack { node, service });
        assert_eq!(put_back, word != CHECK_FAILS, "{word}: {events:?}");
        assert!(
            matches!(events.last(), Some(Event::Failed { .. })),
            "{events:?}"
        );
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_put_back_is_an_error_of_its_own_and_mended_by_the_next_run() {
    let (good, bad) = (files(1, None), files(1, Some(PROBE_FAILS)));
    let (world, remotes) = world(&good);
    quietly(&good, &remotes).await.unwrap();
    world.lock().unwrap().state_of(1).cannot_go_back = true;
    let error = quietly(&bad, &remotes).await.unwrap_err();
    let Error::PutBack {
        node, why, source, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*node, lb(1));
    assert!(why.contains("does not serve"), "{why}");
    assert!(
        source.to_string().contains("read-only file system"),
        "{source}"
    );

    world.lock().unwrap().state_of(1).cannot_go_back = false;
    // The same bad file again: now the good one, which was linked beside, is put back.
    quietly(&bad, &remotes).await.unwrap_err();
    assert_settled(&world.lock().unwrap(), &good, "put back by the second run");
}

#[tokio::test]
async fn a_first_keepalived_that_fails_leaves_none() {
    let mut rendered = files(2, None);
    let (world, remotes) = world(&rendered);
    let keepalived = rendered[0].keepalived.as_mut().unwrap();
    keepalived.push_str(RELOAD_FAILS);
    quietly(&rendered, &remotes).await.unwrap_err();
    let mut world = world.lock().unwrap();
    let state = world.state_of(1);
    assert_eq!(state.files.get(KEEPALIVED_FILE), None);
    assert_eq!(state.running.get(&Service::Keepalived), None);
    assert!(state.leftovers().is_empty(), "{state:?}");
}

#[tokio::test]
async fn a_stopped_service_is_started_though_its_file_is_in_place() {
    let rendered = files(1, None);
    let (world, remotes) = world(&rendered);
    quietly(&rendered, &remotes).await.unwrap();
    world.lock().unwrap().state_of(1).running.clear();
    let report = quietly(&rendered, &remotes).await.unwrap();
    assert_eq!(report.reloaded, [(lb(1), Service::Haproxy)]);
    assert_settled(&world.lock().unwrap(), &rendered, "started");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let rendered = files(2, None);
    let (world, mut remotes) = world(&rendered);
    world.lock().unwrap().state_of(1).installed.clear();
    let error = quietly(&rendered, &remotes).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotInstalled { node, program: "haproxy" } if *node == lb(1)),
        "{error:?}"
    );
    *world.lock().unwrap().state_of(1) = State::fresh();
    world.lock().unwrap().state_of(2).root = false;
    let error = quietly(&rendered, &remotes).await.unwrap_err();
    assert!(
        error.to_string().contains("a password is required"),
        "{error}"
    );
    remotes.remove(&lb(2));
    let error = quietly(&rendered, &remotes).await.unwrap_err();
    assert!(
        matches!(&error, Error::NoRemote { node } if *node == lb(2)),
        "{error:?}"
    );
}

/// The process dies within every single call in turn, before or after its effect, while a good or a bad file is rolled
/// out; then it is run again, with the same, the former or a third file.
#[tokio::test]
async fn killed_anywhere_and_repeated_it_ends_well() {
    let old = files(2, None);
    let new = files(2, Some("web"));
    let third = files(2, Some("other"));
    let mut points = 0;
    for first in [
        files(2, Some("web")),
        files(2, Some(PROBE_FAILS)),
        files(2, Some(CHECK_FAILS)),
    ] {
        for effective in [false, true] {
            for call in 0.. {
                let mut finished = false;
                for then in [&new, &old, &third] {
                    let (world, remotes) = world(&old);
                    quietly(&old, &remotes).await.unwrap();
                    world.lock().unwrap().calls = 0;
                    world.lock().unwrap().dies_at = Some(Death { call, effective });
                    let _ = quietly(&first, &remotes).await;
                    finished = world.lock().unwrap().calls <= call;
                    assert_never_without(&world.lock().unwrap(), &[&old, &first]);

                    world.lock().unwrap().dies_at = None;
                    let context = format!("killed in call {call}, effective: {effective}");
                    quietly(then, &remotes).await.expect(&context);
                    assert_settled(&world.lock().unwrap(), then, &context);
                    points += 1;
                }
                if finished {
                    break;
                }
            }
        }
    }
    println!("{points} runs killed and repeated");
    assert!(points > 300, "{points}");
}

/// The first roll-out to fresh machines, killed within every call in turn.
#[tokio::test]
async fn killed_at_first_and_repeated_it_ends_well() {
    let wanted = files(2, None);
    for effective in [false, true] {
        for call in 0.. {
            let (world, remotes) = world(&wanted);
            world.lock().unwrap().dies_at = Some(Death { call, effective });
            let killed = quietly(&wanted, &remotes).await;
            world.lock().unwrap().dies_at = None;
            let context = format!("killed in call {call}, effective: {effective}");
            quietly(&wanted, &remotes).await.expect(&context);
            assert_settled(&world.lock().unwrap(), &wanted, &context);
            assert_eq!(plan(&wanted, &remotes).await.unwrap(), [], "{context}");
            if killed.is_ok() {
                break;
            }
        }
    }
}

/// At every moment each service runs, and its file is complete and one of these.
fn assert_never_without(world: &World, known: &[&[Rendered]]) {
    for (node, state) in &world.machines {
        for service in [Service::Haproxy, Service::Keepalived] {
            let texts: Vec<&[u8]> = known
                .iter()
                .flat_map(|files| files.iter())
                .filter(|files| files.node == *node)
                .filter_map(|files| service.text(files).map(str::as_bytes))
                .collect();
            assert!(
                texts.contains(&state.running[&service].as_slice()),
                "{node}: {service}"
            );
            assert!(
                texts.contains(&state.files[service.file()].as_slice()),
                "{node}: {service}"
            );
        }
    }
}

impl World {
    pub fn state_of(&mut self, id: u8) -> &mut State {
        self.machines.get_mut(&lb(id)).unwrap()
    }
}
