//! A cluster goes back to a snapshot: its members are real ones on this machine, and so is the snapshot.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use kubitect_config::cluster::{Cluster, Node, Role};
use kubitect_config::remote::{BoxError, BoxFuture, Machines, Output, Remote};
use kubitect_config::value::Label;
use kubitect_kubespray::control::{self, Health};
use kubitect_kubespray::living::restore::{Content, Restore, Restored};
use kubitect_kubespray::living::{Note, ObservedNode, Startup};
use tests::snapshot;

use crate::world::World;

const SOON: Duration = Duration::from_secs(60);
const MASTERS: usize = 3;

/// A master: its etcd and its API server are processes here, its files lie in the folder of the world.
struct Master {
    world: Arc<Mutex<World>>,
    index: usize,
}

impl Master {
    /// What stands for its services, and for its programs that are not here.
    fn service(&self, argv: &[&str]) -> Option<u32> {
        let mut world = self.world.lock().unwrap();
        Some(match argv {
            ["systemctl", "disable", "--now", "etcd"] => {
                world.stop(self.index);
                0
            }
            ["systemctl", "--quiet", "is-active", "etcd"] => 3,
            ["systemctl", "restart", "--no-block", "etcd"] => {
                world.start(self.index);
                0
            }
            ["systemctl", ..] => 0,
            ["pkill" | "pgrep", ..] | ["test", "-e", "/usr/local/bin/etcdutl"] => 1,
            _ => return None,
        })
    }

    fn here(&self, argument: &str) -> String {
        let world = self.world.lock().unwrap();
        let own = world.path(&format!("kubitect-{}", self.index));
        match argument {
            "/etc/etcd.env" => world.path(&format!("etcd-{}.env", self.index)),
            "/etc/kubernetes/ssl/ca.crt" => world.path("ca.crt"),
            "/usr/local/bin/etcd" => "etcd".to_owned(),
            other => world
                .here_at(self.index, other)
                .replace("/var/lib/kubitect", &own),
        }
    }
}

impl Remote for Master {
    fn run<'a>(&'a self, argv: &'a [&'a str], _: Duration) -> BoxFuture<'a, Output> {
        Box::pin(async move {
            let argv = &argv[2..];
            if let Some(status) = self.service(argv) {
                return Ok(Output {
                    status,
                    ..Output::default()
                });
            }
            let argv: Vec<_> = argv.iter().map(|argument| self.here(argument)).collect();
            let output = Command::new(&argv[0])
                .args(&argv[1..])
                .stdin(Stdio::null())
                .output()?;
            Ok(Output {
                status: output.status.code().unwrap_or(255) as u32,
                stdout: output.stdout,
                stderr: output.stderr,
            })
        })
    }

    fn put<'a>(&'a self, path: &'a str, bytes: &'a [u8], _: u32, _: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async move { Ok(fs::write(self.here(path), bytes)?) })
    }
}

/// The masters, and what is noted of them last.
struct Masters {
    world: Arc<Mutex<World>>,
    noted: Mutex<Vec<String>>,
}

impl Masters {
    fn master(&self, index: usize) -> Master {
        Master {
            world: Arc::clone(&self.world),
            index,
        }
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        self.world.lock().unwrap().kubectl(arguments, "")
    }

    fn path(&self, name: &str) -> String {
        self.world.lock().unwrap().path(name)
    }

    /// Puts a value into etcd as Kubernetes would.
    fn put(&self, key: &str, value: &[u8]) {
        let world = self.world.lock().unwrap();
        let mut child = Command::new("etcdctl")
            .envs(world.etcdctl())
            .args(["put", key])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), value).unwrap();
        assert!(child.wait().unwrap().success(), "{key}");
    }
}

impl Machines for Masters {
    fn connect<'a>(&'a self, name: &'a Label) -> BoxFuture<'a, Arc<dyn Remote>> {
        let last = name.as_str().rsplit('-').next().unwrap();
        let index = last.parse::<usize>().unwrap() - 1;
        Box::pin(async move { Ok(Arc::new(self.master(index)) as Arc<dyn Remote>) })
    }

    fn note(&self, _: &Node, text: &str) -> Result<(), BoxError> {
        self.noted.lock().unwrap().push(text.to_owned());
        Ok(())
    }
}

fn cluster() -> Cluster {
    let text = "hosts: [{name: h, connection: {type: local}}]\ncluster: {name: c, network: {mode: nat, cidr: 192.168.113.0/24}, nodes: \
                {loadBalancer: {instances: [{id: 1}]}, master: {instances: [{id: 1}, {id: 2}, {id: 3}]}}}\nkubernetes: {version: \
                v1.23.7, kubespray: {version: v2.19.0}}\n";
    let parsed = kubitect_config::parse(text, "c.yaml", &kubitect_config::Site::default());
    parsed.unwrap().cluster
}

/// Masters that have joined.
fn seen(cluster: &Cluster) -> Vec<ObservedNode> {
    let members = cluster.role(Role::Master).map(|node| node.name.clone());
    let members = members.collect();
    let seen = |node: &Node| ObservedNode {
        node: node.clone(),
        wanted: true,
        note: Some(Note::of(cluster, node, &cluster.kubernetes.hop(), &members, true).unwrap()),
        answers: true,
    };
    cluster.role(Role::Master).map(seen).collect()
}

/// Three masters on which Kubernetes says whose it is.
fn masters() -> Masters {
    let world = World::of(MASTERS);
    for index in 0..MASTERS {
        world.write_environment(index);
    }
    let masters = Masters {
        world: Arc::new(Mutex::new(world)),
        noted: Mutex::default(),
    };
    let authority = fs::read_to_string(masters.path("ca.crt")).unwrap();
    let maps = "/registry/configmaps/kube-system";
    let settings = "apiVersion: v1\nkubernetesVersion: v1.23.7\n";
    masters.put("/registry/minions/c-master-1", b"k8s\0");
    masters.put("/registry/minions/c-worker-9", b"k8s\0");
    masters.put(
        "/registry/leases/kube-node-lease/c-master-1",
        &snapshot::lease(1_700_000_000),
    );
    masters.put(
        &format!("{maps}/kube-root-ca.crt"),
        &snapshot::config_map("ca.crt", &authority),
    );
    masters.put(
        &format!("{maps}/kubeadm-config"),
        &snapshot::config_map("ClusterConfiguration", settings),
    );
    masters
}

async fn restore(masters: &Masters, file: &Path) -> Restored {
    let cluster = cluster();
    let content = Content::read(file).unwrap();
    let seen = seen(&cluster);
    let plan = Restore::plan(&cluster.name, content, &seen, masters);
    let plan = plan.await.unwrap();
    let startup = Startup {
        machines: masters,
        limit: SOON,
        on_step: &|_, _| (),
    };
    plan.carry_out(&startup, &|_| ()).await.unwrap()
}

/// What was made before the snapshot is there, what came later is gone, all members are one etcd, and what they held before is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_goes_back_to_its_snapshot() {
    let masters = masters();
    masters.kubectl(&["create", "namespace", "before"]);
    // It comes to the masters in several pieces.
    for n in 0..18 {
        masters.put(&format!("/registry/large/{n}"), &vec![b'x'; 1 << 20]);
    }
    let file = masters.path("saved.db");
    let first = masters.master(0);
    let saved = control::save_snapshot(&first, &file, SOON).await.unwrap();
    masters.kubectl(&["create", "namespace", "after"]);
    masters.kubectl(&["delete", "namespace", "before"]);

    let content = Content::read(file.as_ref()).unwrap();
    assert_eq!(content.sha256, saved.sha256);
    assert_eq!(content.bytes, saved.bytes);
    assert!(content.bytes > 16 << 20, "{}", content.bytes);
    assert_eq!(content.kubernetes.unwrap().to_string(), "v1.23.7");
    assert_eq!(content.etcd.unwrap().to_string(), "v3.4.0");
    let taken = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    assert_eq!(content.taken, Some(taken));
    let nodes: Vec<_> = content.nodes.iter().collect();
    assert_eq!(nodes, ["c-master-1", "c-worker-9"]);

    // Twice: the second time, what the first one left is set aside.
    for _ in 0..2 {
        let restored = restore(&masters, file.as_ref()).await;
        assert_eq!(restored.manual_steps, [""; 0]);
        assert_eq!(restored.aside.len(), MASTERS);
        for path in restored.aside.values() {
            assert!(Path::new(path).join("snap/db").exists(), "{path}");
        }
        let names = masters.kubectl(&["get", "namespaces", "--output=name"]);
        assert!(names.contains("namespace/before\n"), "{names}");
        assert!(!names.contains("namespace/after\n"), "{names}");
        let members = control::members(&first).await.unwrap();
        assert_eq!(members.len(), MASTERS);
        assert!(
            members.iter().all(|own| own.health == Health::Healthy),
            "{members:?}"
        );
        masters.kubectl(&["create", "namespace", "after"]);
    }
    for index in 0..MASTERS {
        for left in [
            format!("kubitect-{index}/etcd-restore.db"),
            format!("m{index}/kubitect-restore"),
        ] {
            assert!(!Path::new(&masters.path(&left)).exists(), "{left}");
        }
    }
    let noted = masters.noted.lock().unwrap();
    let notes: Vec<_> = noted
        .iter()
        .map(|text| Note::read(text).unwrap().restoring)
        .collect();
    assert_eq!(
        notes,
        [[true; 3], [false; 3], [true; 3], [false; 3]].concat()
    );
}

/// What is no snapshot of this cluster is refused before anything is stopped, with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn another_file_is_refused() {
    let masters = masters();
    let file = masters.path("saved.db");
    control::save_snapshot(&masters.master(0), &file, SOON)
        .await
        .unwrap();
    let whole = fs::read(&file).unwrap();
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for (content, why) in [
        (
            b"kind: Config\n".to_vec(),
            "does not end as `etcdctl snapshot save` ends it",
        ),
        (Vec::new(), "does not end as"),
        (whole[..whole.len() - 1000].to_vec(), "does not end as"),
        (
            whole[..whole.len() - 512].to_vec(),
            "the digest at its end is another",
        ),
        (changed, "the digest at its end is another"),
        (
            snapshot::file(&[("/mine", b"x".to_vec())]),
            "nothing of Kubernetes in it",
        ),
    ] {
        fs::write(&file, content).unwrap();
        let error = Content::read(file.as_ref()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    // Whoever hands a snapshot over says how much work it is to read.
    for (content, why) in snapshot::repeated()
        .iter()
        .zip(["lead in a circle", "pages is broken"])
    {
        fs::write(&file, content).unwrap();
        let error = Content::read(file.as_ref()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let pipe = masters.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for no_file in [masters.path(""), pipe] {
        let error = Content::read(no_file.as_ref()).unwrap_err();
        assert!(error.to_string().contains("it is no file"), "{error}");
    }

    let authority = fs::read_to_string(masters.path("ca.crt")).unwrap();
    let map = "/registry/configmaps/kube-system/kube-root-ca.crt";
    let settings = "/registry/configmaps/kube-system/kubeadm-config";
    let root = |text: &str| (map, snapshot::config_map("ca.crt", text));
    let version = |version: &str| {
        let text = format!("kubernetesVersion: {version}\n");
        (
            settings,
            snapshot::config_map("ClusterConfiguration", &text),
        )
    };
    let node = |name: &'static str| (name, b"k8s\0".to_vec());
    let cluster = cluster();
    for (entries, why) in [
        (vec![root("another")], Some("is of another cluster")),
        (
            vec![node("/registry/minions/d-master-1")],
            Some("nothing in the snapshot tells"),
        ),
        (vec![node("/registry/minions/c-master-2")], None),
        (
            vec![root(&authority), version("v1.24.6")],
            Some("is of Kubernetes v1.24.6, and v1.23.7 runs"),
        ),
        (
            vec![root(&authority), version("v1.21.0")],
            Some("is of Kubernetes v1.21.0"),
        ),
        (vec![root(&authority), version("v1.22.17")], None),
    ] {
        fs::write(&file, snapshot::file(&entries)).unwrap();
        let content = Content::read(file.as_ref()).unwrap();
        let plan = Restore::plan(&cluster.name, content, &seen(&cluster), &masters).await;
        match (plan, why) {
            (Err(error), Some(why)) => {
                let error = error.to_string();
                assert!(error.contains(why), "no `{why}` in {error}");
            }
            (plan, why) => assert!(plan.is_ok() && why.is_none(), "{plan:?} {why:?}"),
        }
    }
    assert_eq!(*masters.noted.lock().unwrap(), [""; 0]);
}
