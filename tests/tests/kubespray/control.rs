//! What a master is asked and told: against a control plane on this machine, and against recorded answers.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kubitect_config::cluster::{Effect, Node, Role, Taint};
use kubitect_config::remote::{BoxError, BoxFuture, Machines, Output, Remote};
use kubitect_config::value::Label;
use kubitect_kubespray::control::{self, Health, NodeState};
use kubitect_kubespray::{Error, status};

use crate::etcd::ENVIRONMENT;
use crate::fixture::{RELEASE, cluster, example, facts};
use crate::world::{Recorded, World};

const SOON: Duration = Duration::from_secs(60);

/// Two nodes that are Ready, and pods on one of them, of which a budget protects one.
const OBJECTS: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "c-worker-1", "labels": {"a": "1"}}, "status": STATUS},
  {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "c-worker-2"}},
  {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "goes", "namespace": "default"}, "spec": {"nodeName": "c-worker-1", "containers": [],
    "tolerations": [{"key": "gpu", "operator": "Exists"}]}},
  {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "daemon", "namespace": "default", "ownerReferences": [
    {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u", "controller": true}]}, "spec": {"nodeName": "c-worker-1", "containers": []}},
  {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "namespace": "default"}},
  {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stays", "namespace": "default", "labels": {"app": "db"}}, "spec": {"nodeName": "c-worker-1", "containers": []}},
  {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "db", "namespace": "default"},
   "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "db"}}}}
]}"#;

const STATUS: &str = r#"{"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.23.7", "bootID": "first"},
  "capacity": {"cpu": "3", "memory": "5120000Ki"}}"#;

fn name(text: &str) -> Label {
    text.parse().unwrap()
}

fn taint(value: &str, effect: Effect) -> Taint {
    Taint {
        key: "only".to_owned(),
        value: value.to_owned(),
        effect,
    }
}

async fn node(world: &World, name: &str) -> NodeState {
    let nodes = control::nodes(world).await.unwrap();
    nodes.into_iter().find(|node| node.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_asked_and_told() {
    let world = World::of(1);
    world.kubectl(
        &["create", "--validate=false", "--filename=-"],
        &OBJECTS.replace("STATUS", STATUS),
    );
    let worker = name("c-worker-1");
    let state = node(&world, "c-worker-1").await;
    assert_eq!(state.health, Health::Healthy);
    assert!(!state.cordoned);
    assert_eq!(
        (&*state.version, &*state.cpu, &*state.memory),
        ("v1.23.7", "3", "5120000Ki")
    );
    assert!(matches!(
        node(&world, "c-worker-2").await.health,
        Health::Unhealthy(_)
    ));
    assert_eq!(control::api_health(&world).await.unwrap(), Health::Healthy);

    let version = "v1.23.7".parse().unwrap();
    assert_eq!(control::api_version(&world).await.unwrap(), "v1.23.7");
    control::wait_ready(
        &world,
        &worker,
        Some(&version),
        Some("first"),
        SOON,
        &|_| (),
    )
    .await
    .unwrap();
    let soon = Duration::from_secs(3);
    let stale = control::wait_ready(&world, &worker, None, Some("second"), soon, &|_| ()).await;
    let stale = stale.unwrap_err().to_string();
    assert!(stale.contains("since the machine started"), "{stale}");
    let other = "v1.24.6".parse().unwrap();
    let late = control::wait_ready(&world, &worker, Some(&other), None, soon, &|_| ()).await;
    let late = late.unwrap_err().to_string();
    assert!(late.contains("it runs v1.23.7, not v1.24.6"), "{late}");

    // Twice each: what is done already is no error.
    for _ in 0..2 {
        let set = BTreeMap::from([
            ("a".to_owned(), "2".to_owned()),
            ("b".to_owned(), String::new()),
        ]);
        control::label(&world, &worker, &set, &["gone".to_owned()])
            .await
            .unwrap();
        let taints = [
            taint("db", Effect::NoSchedule),
            taint("", Effect::NoExecute),
        ];
        control::taint(&world, &worker, &taints).await.unwrap();
    }
    let state = node(&world, "c-worker-1").await;
    assert_eq!((&*state.labels["a"], &*state.labels["b"]), ("2", ""));
    assert_eq!(state.taints, ["only=db:NoSchedule", "only:NoExecute"]);
    for _ in 0..2 {
        control::label(&world, &worker, &BTreeMap::new(), &["a".to_owned()])
            .await
            .unwrap();
        let taints = [
            taint("db", Effect::NoSchedule),
            taint("x", Effect::PreferNoSchedule),
        ];
        control::untaint(&world, &worker, &taints).await.unwrap();
    }
    let state = node(&world, "c-worker-1").await;
    assert!(!state.labels.contains_key("a") && state.labels.contains_key("b"));
    assert_eq!(state.taints, ["only:NoExecute"]);

    let pods = control::pods(&world, &worker).await.unwrap();
    let names: Vec<_> = pods.iter().map(|pod| &*pod.name).collect();
    assert_eq!(names, ["default/goes", "default/stays"]);
    assert_eq!(pods[0].tolerations[0].key, "gpu");

    // The budget keeps one pod, which is named with the reason; without it all go but the daemon's.
    match control::drain(&world, &worker, Duration::from_secs(3), &|_| ()).await {
        Err(Error::Drain { node, pods, .. }) => {
            assert_eq!(node, "c-worker-1");
            assert_eq!(pods.len(), 1, "{pods:?}");
            assert!(pods[0].starts_with("default/stays: "), "{pods:?}");
            assert!(pods[0].contains("disruption budget"), "{pods:?}");
        }
        other => panic!("{other:?}"),
    }
    world.kubectl(&["delete", "pdb", "db"], "");
    for _ in 0..2 {
        control::drain(&world, &worker, SOON, &|_| ())
            .await
            .unwrap();
    }
    let pods = world.kubectl(&["get", "pods", "--output=name"], "");
    assert_eq!(pods, "pod/daemon\n");
    assert!(node(&world, "c-worker-1").await.cordoned);
    for _ in 0..2 {
        control::uncordon(&world, &worker).await.unwrap();
    }
    assert!(!node(&world, "c-worker-1").await.cordoned);
    for _ in 0..2 {
        control::cordon(&world, &worker).await.unwrap();
    }
    assert!(node(&world, "c-worker-1").await.cordoned);

    for _ in 0..2 {
        control::delete_node(&world, &worker).await.unwrap();
    }
    let nodes = control::nodes(&world).await.unwrap();
    assert_eq!(nodes.len(), 1);
    let error = control::cordon(&world, &worker)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cordon c-worker-1") && error.contains("not found"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_found_with_their_ends() {
    let world = World::of(1);
    let found = control::certificates(&world).await.unwrap();
    let mut names: Vec<_> = found
        .iter()
        .map(|certificate| certificate.path.rsplit('/').next().unwrap())
        .collect();
    names.dedup();
    assert!(
        names.contains(&"ca.crt") && names.contains(&"etcd.pem"),
        "{names:?}"
    );
    assert!(!names.contains(&"etcd-key.pem"));
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let days = |name: &str| {
        let one = found.iter().find(|c| c.path.ends_with(name)).unwrap();
        (one.ends.timestamp() - now.as_secs() as i64) / 86_400
    };
    assert!((364..=365).contains(&days("etcd.pem")), "{found:?}");
    assert!((3649..=3650).contains(&days("ca.crt")), "{found:?}");
    assert!(found.is_sorted_by_key(|certificate| certificate.ends));
}

/// A cause below a cause.
#[derive(Debug)]
struct Cause(&'static str, Option<Box<Cause>>);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

/// A master with one answer to each command.
#[derive(Clone, Copy)]
struct Says(fn(&[&str]) -> Result<Output, BoxError>);

/// A master to which the connection is lost.
const LOST: Says = Says(|_| {
    let below = Cause("no route to host", None);
    Err(Cause("the connection was lost", Some(Box::new(below))).into())
});

/// A master whose etcd has no majority, and whose API does not serve.
const ALONE: Says = Says(|argv| {
    let (status, stdout) = match argv.contains(&"cat") {
        true => (0, ENVIRONMENT),
        false => (1, "[]"),
    };
    let (stdout, stderr) = (stdout.into(), Vec::new());
    Ok(Output {
        status,
        stdout,
        stderr,
    })
});

impl Remote for Says {
    fn run<'a>(&'a self, argv: &'a [&'a str], _: Duration) -> BoxFuture<'a, Output> {
        Box::pin(async { (self.0)(argv) })
    }

    fn put<'a>(&'a self, _: &'a str, _: &'a [u8], _: u32, _: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async { Err("nothing is put here".into()) })
    }
}

impl Machines for Says {
    fn connect<'a>(&'a self, _: &'a Label) -> BoxFuture<'a, Arc<dyn Remote>> {
        Box::pin(async { Ok(Arc::new(*self) as Arc<dyn Remote>) })
    }

    fn note(&self, _: &Node, _: &str) -> Result<(), BoxError> {
        Ok(())
    }
}

/// What a wait ends with, what it says meanwhile, and a problem of status have the whole chain of causes.
#[tokio::test]
async fn no_cause_is_lost_in_waits_and_status() {
    const CAUSES: &str = "the connection was lost: no route to host";
    let (master, soon) = (name("c-master-1"), Duration::from_millis(50));
    let said = std::sync::Mutex::new(Vec::new());
    let waits = |why: &str| said.lock().unwrap().push(why.to_owned());
    let ready = control::wait_ready(&LOST, &master, None, None, soon, &waits).await;
    let ready = ready.unwrap_err();
    assert!(matches!(ready, Error::NotReady { .. }), "{ready:?}");
    let serves = control::wait_serving(&LOST, &master, soon, &waits).await;
    let limit = Duration::from_secs(3);
    let later = control::wait_serving(&LOST, &master, limit, &waits).await;
    for error in [ready, serves.unwrap_err(), later.unwrap_err()] {
        assert!(error.to_string().contains(CAUSES), "{error}");
    }
    let said = said.into_inner().unwrap();
    assert!(said.len() == 1 && said[0].contains(CAUSES), "{said:?}");

    let cluster = cluster(&example(RELEASE));
    let masters: Vec<_> = cluster.role(Role::Master).collect();
    let facts = facts(&cluster, std::path::Path::new("/x"));
    let status = status(&cluster, &facts, &masters, &LOST).await;
    for master in masters {
        let problem = format!("the API of {} does not serve: ", master.name);
        let problem = status.problems.iter().find(|own| own.starts_with(&problem));
        let problem = problem.unwrap_or_else(|| panic!("{:#?}", status.problems));
        assert!(
            problem.contains(CAUSES) && !problem.contains('\n'),
            "{problem}"
        );
    }
}

/// Half of the members may be those of masters that leave.
#[tokio::test]
async fn without_a_majority_the_members_of_masters_that_leave_are_asked_too() {
    let whole = cluster(&example(RELEASE));
    let masters: Vec<_> = whole.role(Role::Master).collect();
    let facts = facts(&whole, std::path::Path::new("/x"));
    let mut cluster = whole.clone();
    cluster.nodes.retain(|node| node.name != masters[0].name);
    let status = status(&cluster, &facts, &masters, &ALONE).await;
    let names: Vec<_> = status.etcd.iter().map(|member| &*member.name).collect();
    assert_eq!(names, ["etcd-1", "etcd-2", "etcd-3"]);
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_told_at_once() {
    let refused = "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?\n";
    let master = Recorded::new(&[(1, "", refused), (1, "", refused), (0, "", "")]);
    control::cordon(&master, &name("c-worker-1")).await.unwrap();
    let wrong = "Error from server (NotFound): nodes \"c-worker-1\" not found\n";
    let master = Recorded::new(&[(1, "", wrong)]);
    let error = control::cordon(&master, &name("c-worker-1"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains(wrong.trim()), "{error}");
    assert_eq!(master.asked.into_inner().unwrap().len(), 1);
    let error = control::nodes(&Recorded::default()).await.unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "the master has gone");
    let error = control::nodes(&Recorded::new(&[(0, "Password:", "")]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("answer"), "{error}");
}

#[tokio::test]
async fn the_size_of_calicos_blocks_is_what_its_pool_says() {
    let pool = r#"{"kind":"IPPool","metadata":{"name":"default-pool"},"spec":{"blockSize":24,"cidr":"10.233.64.0/18"}}"#;
    let missing =
        "Error from server (NotFound): the server could not find the requested resource\n";
    let master = Recorded::new(&[
        (0, pool, ""),
        (1, "", missing),
        (1, "", "error: forbidden\n"),
    ]);
    let ask = || control::calico_blocksize(&master, "default-pool");
    assert_eq!(ask().await.unwrap(), Some(24));
    assert_eq!(ask().await.unwrap(), None);
    assert!(ask().await.is_err());
    let asked = &master.asked.lock().unwrap()[0];
    assert!(
        asked.ends_with("get --raw=/apis/crd.projectcalico.org/v1/ippools/default-pool"),
        "{asked}"
    );
}

#[tokio::test]
async fn cilium_is_asked_how_it_gives_addresses_and_not_believed_everything() {
    let missing = "Error from server (NotFound): configmaps \"cilium-config\" not found\n";
    let master = Recorded::new(&[
        (
            0,
            r#"{"data": {"ipam": "kubernetes", "debug": "false"}}"#,
            "",
        ),
        (1, "", missing),
        (0, r#"{"data": {"debug": "false"}}"#, ""),
        (0, r#"{"data": {"ipam": "{{ lookup('pipe', 'id') }}"}}"#, ""),
        (1, "", "error: forbidden\n"),
    ]);
    let ask = || control::cilium_ipam(&master);
    assert_eq!(ask().await.unwrap().as_deref(), Some("kubernetes"));
    assert_eq!(ask().await.unwrap(), None);
    assert_eq!(ask().await.unwrap(), None);
    let error = ask().await.unwrap_err().to_string();
    assert!(error.contains("no word of cilium's"), "{error}");
    assert!(ask().await.is_err());
}

#[tokio::test]
async fn crio_is_asked_what_runs_containers_and_not_believed_everything() {
    let conf = "# default_runtime is the _name_\n[crio.runtime]\ndefault_runtime = \"runc\"\n";
    let master = Recorded::new(&[
        (0, conf, ""),
        (0, "[crio.runtime]\n", ""),
        (0, "default_runtime = \"{{ lookup('pipe', 'id') }}\"\n", ""),
        (1, "", "No such file or directory"),
    ]);
    let ask = || control::crio_runtime(&master);
    assert_eq!(ask().await.unwrap(), "runc");
    for _ in 0..3 {
        assert!(ask().await.is_err());
    }
}
