//! The keys that people have are accepted by a real server, used by us and by OpenSSH's client, which Ansible uses.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubitect_config::Cluster;
use kubitect_config::jump::Jump;
use kubitect_provision::Error;
use kubitect_provision::ssh::{Keys, Session, Target};
use tests::checkers;
use tests::sshd::{Sshd, client, ed25519, keygen, private, user};

use crate::example;

/// The time for a signature of a large key in a program that is not optimised.
const SOON: Duration = Duration::from_secs(240);

/// Every kind of key in every form; returns the names of the files in `folder`.
fn keys(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for (kind, bits) in [
        ("rsa", "2048"),
        ("rsa", "4096"),
        ("ecdsa", "256"),
        ("ecdsa", "384"),
        ("ecdsa", "521"),
    ] {
        let first = folder.join(format!("{kind}{bits}-openssh"));
        let name = first.to_str().unwrap();
        keygen(&["-q", "-t", kind, "-b", bits, "-N", "", "-f", name]);
        for form in ["PEM", "PKCS8"] {
            let other = folder.join(format!("{kind}{bits}-{form}"));
            fs::copy(&first, &other).unwrap();
            keygen(&[
                "-q",
                "-p",
                "-N",
                "",
                "-m",
                form,
                "-f",
                other.to_str().unwrap(),
            ]);
            all.push(other);
        }
        all.push(first);
    }
    let plain = folder.join("ed25519-openssh");
    ed25519(&plain);
    let pkcs8 = folder.join("ed25519-PKCS8");
    let output = checkers::run(
        "openssl",
        &[
            "genpkey",
            "-algorithm",
            "ed25519",
            "-out",
            pkcs8.to_str().unwrap(),
        ],
    );
    assert!(output.status.success(), "{}", checkers::said(&output));
    // As an editor of another operating system writes it, which ssh does not read.
    let foreign = folder.join("ed25519-foreign");
    let text = fs::read_to_string(&plain).unwrap();
    private(&foreign, &text.trim_end().replace('\n', "\r\n"));
    all.extend([plain, pkcs8, foreign]);
    all
}

/// The cluster's keys, with this key of the person's.
fn with(cluster: &Cluster, folder: &Path, own: &Path) -> Keys {
    let ssh = folder.join(format!("cluster-{}", own.file_name().unwrap().display()));
    Keys::ensure(&ssh, cluster, Some(own)).unwrap_or_else(|e| panic!("{}: {e}", own.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_key_in_every_form_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = example();
    let node = &cluster.nodes[0].name;
    let all: Vec<_> = keys(folder.path())
        .into_iter()
        .map(|own| (with(&cluster, folder.path(), &own), own))
        .collect();
    assert_eq!(all.len(), 18);
    let authorized: Vec<_> = all
        .iter()
        .map(|(keys, _)| keys.machine(node).unwrap().authorized)
        .collect();
    let host = all[0].0.machine(node).unwrap();
    let sshd = Sshd::start(Some(&host.host_private), &authorized);
    let known_hosts = folder.path().join("known_hosts");
    private(&known_hosts, &sshd.known_hosts_line());

    for (keys, own) in &all {
        let target = Target {
            machine: own.display().to_string(),
            address: ([127, 0, 0, 1], sshd.port).into(),
            user: user(),
            private_key: keys.private_key(),
            host_key: all[0].0.host_key(node).unwrap().clone(),
            jump: None,
        };
        let session = Session::connect(target, SOON)
            .await
            .unwrap_or_else(|e| panic!("{}: {e:?}\n{}", own.display(), sshd.log()));
        let output = session.run(&["echo", "in"], SOON).await.unwrap();
        assert_eq!(output.text(), "in", "{}", own.display());
        // As Ansible does it.
        let output = checkers::run(
            "ssh",
            &[
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "IdentityAgent=none",
                "-o",
                "StrictHostKeyChecking=yes",
                "-o",
                "GlobalKnownHostsFile=/dev/null",
                "-o",
                &format!("UserKnownHostsFile={}", known_hosts.display()),
                "-i",
                keys.private_key_path().to_str().unwrap(),
                "-p",
                &sshd.port.to_string(),
                &format!("{}@127.0.0.1", user()),
                "echo in",
            ],
        );
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "in\n",
            "{}: {}",
            own.display(),
            checkers::said(&output)
        );
    }
}

/// What `--debug` shows.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_command_is_shown_with_its_duration_and_nothing_of_what_it_reads_or_prints() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = example();
    let node = &cluster.nodes[0].name;
    let keys = Keys::ensure(&folder.path().join("keys"), &cluster, None).unwrap();
    let own = keys.machine(node).unwrap();
    let sshd = Sshd::start(Some(&own.host_private), &[own.authorized]);
    let target = Target {
        machine: node.to_string(),
        address: ([127, 0, 0, 1], sshd.port).into(),
        user: user(),
        private_key: keys.private_key(),
        host_key: keys.host_key(node).unwrap().clone(),
        jump: None,
    };
    let session = Session::connect(target, SOON).await.unwrap();
    let overdue = async || {
        let limit = Duration::from_millis(50);
        session.run(&["sleep", "60"], limit).await.is_err()
    };
    // tracing decides once whether a line of the program is shown, where it is first reached: in another test's thread nobody shows it.
    // So all lines are reached before, and decided upon again on this thread.
    session.run(&["true"], SOON).await.unwrap();
    assert!(overdue().await);
    let shown = Shown::default();
    let writer = shown.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // On this thread, the runtime's only one.
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::callsite::rebuild_interest_cache();
    let output = session.run_with_input(&["cat"], b"pl4nted", SOON).await;
    assert_eq!(output.unwrap().text(), "pl4nted");
    session.run(&["sh", "-c", "exit 7"], SOON).await.unwrap();
    assert!(overdue().await);
    let text = String::from_utf8(shown.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains(": SSH")).collect();
    for (line, parts) in lines.iter().zip([
        ["status=0", "command=\"cat\""],
        ["status=7", "command=\"sh -c exit 7\""],
        ["SSH: failed", "command=\"sleep 60\""],
    ]) {
        let machine = format!("machine=\"{node}\"");
        for part in parts.into_iter().chain([machine.as_str(), "took="]) {
            assert!(line.contains(part), "no `{part}` in {line}");
        }
    }
    assert_eq!(lines.len(), 3, "{text}");
    assert!(!text.contains("pl4nted"), "{text}");
}

/// A machine behind a host, each with its own server, and the key for the host.
struct Behind {
    folder: tempfile::TempDir,
    host: Sshd,
    machine: Sshd,
    keys: Keys,
    cluster: Cluster,
}

impl Behind {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cluster = example();
        let keys = Keys::ensure(&folder.path().join("keys"), &cluster, None).unwrap();
        let own = keys.machine(&cluster.nodes[0].name).unwrap();
        let of_host = folder.path().join("a host's key");
        ed25519(&of_host);
        let public = fs::read_to_string(folder.path().join("a host's key.pub")).unwrap();
        Self {
            host: Sshd::start(None, &[public]),
            machine: Sshd::start(Some(&own.host_private), &[own.authorized]),
            folder,
            keys,
            cluster,
        }
    }

    /// The machine, reached through the host with these lines of `known_hosts`.
    fn target(&self, known_hosts: &str) -> Target {
        let node = &self.cluster.nodes[0].name;
        Target {
            machine: node.to_string(),
            address: ([127, 0, 0, 1], self.machine.port).into(),
            user: user(),
            private_key: self.keys.private_key(),
            host_key: self.keys.host_key(node).unwrap().clone(),
            jump: Some(Jump {
                program: client(self.folder.path(), known_hosts),
                user: Some(user()),
                address: "127.0.0.1".to_owned(),
                port: Some(self.host.port),
                keyfile: Some(self.folder.path().join("a host's key")),
                verify: true,
            }),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_behind_its_host_is_reached_through_it() {
    let behind = Behind::new();
    let target = behind.target(&behind.host.known_hosts_line());
    let session = Session::connect(target, SOON)
        .await
        .unwrap_or_else(|e| panic!("{e:?}\n{}", behind.host.log()));
    assert_eq!(
        session.run(&["echo", "in"], SOON).await.unwrap().text(),
        "in"
    );
    assert!(
        behind.host.log().contains("Accepted publickey"),
        "{}",
        behind.host.log()
    );
    assert!(
        behind.machine.log().contains("Accepted publickey"),
        "{}",
        behind.machine.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_known_leads_nowhere_and_the_error_says_how_to_add_it() {
    let behind = Behind::new();
    let refused =
        async |known_hosts: &str| match Session::connect(behind.target(known_hosts), SOON).await {
            Ok(_) => panic!("it was let in"),
            Err(error) => error,
        };
    let error = refused("").await;
    assert!(matches!(error, Error::Jump { .. }), "{error:?}");
    let by_hand = format!("`ssh -p {} -i ", behind.host.port);
    for part in [&by_hand, "adds it to your known_hosts"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let other = behind.machine.host_key.clone();
    let error = refused(&format!("[127.0.0.1]:{} {other}\n", behind.host.port)).await;
    assert!(matches!(error, Error::Jump { .. }), "{error:?}");
    assert!(error.to_string().contains("ssh-keygen -R"), "{error}");
    assert!(
        !behind.host.log().contains("Accepted"),
        "{}",
        behind.host.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_host_the_machine_has_to_show_its_own_key() {
    let behind = Behind::new();
    let mut target = behind.target(&behind.host.known_hosts_line());
    // Another machine answers at the address.
    target.address.set_port(behind.host.port);
    match Session::connect(target, SOON).await {
        Err(Error::HostKey { .. }) => {}
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was let in"),
    }
}
