//! Snapshots of etcd on the masters of a world in memory: saved, unpacked, and started from.

use kubitect_config::remote::Output;
use kubitect_provision::fake::FakeHost;
use serde::{Deserialize, Serialize};
use tests::snapshot;

use crate::machine::{failed, ok};
use crate::state::{Guest, Kube, State};

/// The key of a world's whole Kubernetes in its snapshots.
const STATE_KEY: &str = "/registry/whole";
const SNAPSHOT: &str = "/var/lib/kubitect/etcd-restore.db";

/// An unpacked snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unpacked {
    token: String,
    /// The members that etcd's program got.
    cluster: String,
    bumps: bool,
    kube: Kube,
}

/// A snapshot of what a world's etcd holds.
pub fn saved(kube: &Kube, version: &str) -> Vec<u8> {
    let map = |name: &str| format!("/registry/configmaps/kube-system/{name}");
    let settings = format!("kubernetesVersion: {version}\n");
    let mut entries = vec![
        (
            map("kube-root-ca.crt"),
            snapshot::config_map("ca.crt", &authority(kube)),
        ),
        (
            map("kubeadm-config"),
            snapshot::config_map("ClusterConfiguration", &settings),
        ),
        (
            "/registry/leases/kube-node-lease/x".to_owned(),
            snapshot::lease(1_700_000_000),
        ),
        (STATE_KEY.to_owned(), serde_json::to_vec(kube).unwrap()),
    ];
    for node in kube.nodes.keys() {
        entries.push((format!("/registry/minions/{node}"), Vec::new()));
    }
    let entries = entries
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()));
    snapshot::file(&entries.collect::<Vec<_>>())
}

fn authority(kube: &Kube) -> String {
    format!("the authority of {}", kube.id)
}

/// The files of machines are texts: a byte that is none becomes a character.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The bytes of such a text.
pub fn bytes(path: &str, text: &str) -> Vec<u8> {
    match path.ends_with(".db") {
        true => text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect(),
        false => text.as_bytes().to_vec(),
    }
}

/// A command of a restore on a master; none: it is another command.
pub fn run(state: &mut State, host: &FakeHost, name: &str, argv: &[&str]) -> Option<Output> {
    let guest = state.guests.get_mut(name).unwrap();
    let halted = guest.stopped.contains("kubelet");
    Some(match argv {
        ["cat", "--", "/etc/kubernetes/ssl/ca.crt"] => ok(authority(&state.kube)),
        ["test", "-e", "/usr/local/bin/etcdutl"] => ok(""),
        [
            "env",
            _,
            "/usr/local/bin/etcdutl",
            "snapshot",
            "restore",
            "--help",
        ] => ok("--bump-revision"),
        ["/usr/local/bin/etcd", "--version"] => ok("etcd Version: 3.5.3\n"),
        ["df", ..] => ok("Avail\n9999999999\n"),
        ["rm", "-rf", "--", "/var/lib/etcd/kubitect-restore"] => {
            guest.unpacked = None;
            ok("")
        }
        [
            "env",
            _,
            "/usr/local/bin/etcdutl",
            "snapshot",
            "restore",
            SNAPSHOT,
            rest @ ..,
        ] => {
            assert!(guest.unpacked.is_none());
            guest.unpacked = Some(unpack(guest, rest));
            ok("")
        }
        ["systemctl", "disable", "--now", "kubelet"] => {
            guest.stopped.insert("kubelet".to_owned());
            ok("")
        }
        ["pkill", "--signal=TERM", ..] => {
            assert!(guest.stopped.contains("kubelet"), "it starts them again");
            ok("")
        }
        ["pgrep", "--full", _] => failed(1, ""),
        ["systemctl", "--quiet", "is-active", "etcd"] if guest.stubborn => ok(""),
        ["systemctl", "enable", "--now", "kubelet"] => {
            guest.stopped.remove("kubelet");
            ok("")
        }
        // A master that joins or leaves has a running kubelet, and its data are handled otherwise.
        ["systemctl", "disable", "--now", "etcd"] if halted => {
            guest.stopped.insert("etcd".to_owned());
            ok("")
        }
        ["mv", "-f", "-T", "--", "/var/lib/etcd/member", _] if halted => {
            (guest.member, guest.in_place) = (None, None);
            all_stopped(state);
            ok("")
        }
        [
            "mv",
            "-f",
            "-T",
            "--",
            "/var/lib/etcd/kubitect-restore/member",
            "/var/lib/etcd/member",
        ] => {
            assert!(guest.member.is_none());
            guest.in_place = guest.unpacked.take();
            assert!(guest.in_place.is_some(), "nothing was unpacked");
            guest.member = Some(0);
            all_stopped(state);
            ok("")
        }
        ["systemctl", "restart", "--no-block", "etcd"]
            if halted && guest.stopped.contains("etcd") =>
        {
            guest.stopped.remove("etcd");
            if let Some(unpacked) = guest.in_place.take() {
                begin(state, host, name, &unpacked);
            }
            ok("")
        }
        _ => return None,
    })
}

/// No data are replaced while any member runs, or any API server.
fn all_stopped(state: &State) {
    let masters = state.guests.iter().filter(|(_, guest)| guest.api.is_some());
    for (name, guest) in masters {
        for unit in ["etcd", "kubelet"] {
            assert!(guest.stopped.contains(unit), "{unit} runs on {name}");
        }
    }
}

fn unpack(guest: &Guest, arguments: &[&str]) -> Unpacked {
    let bytes = bytes(SNAPSHOT, &guest.files[SNAPSHOT]);
    let text = String::from_utf8_lossy(&bytes);
    let begin = text.find("{\"id\":").unwrap();
    let mut values = serde_json::Deserializer::from_str(&text[begin..]).into_iter::<Kube>();
    let after = |option: &str| {
        let place = arguments.iter().position(|own| *own == option).unwrap();
        arguments[place + 1].to_owned()
    };
    Unpacked {
        token: after("--initial-cluster-token"),
        cluster: after("--initial-cluster"),
        bumps: arguments.contains(&"--mark-compacted"),
        kube: values.next().unwrap().unwrap(),
    }
}

/// The restored etcd starts with new members, each with data of the same snapshot, unpacked for the same cluster.
fn begin(state: &mut State, host: &FakeHost, name: &str, unpacked: &Unpacked) {
    assert!(unpacked.bumps);
    let fresh = 1_000 + state.kube.next_member;
    let Unpacked { cluster, kube, .. } = unpacked;
    let mut members = kube.members.clone();
    assert_eq!(cluster.split(',').count(), members.len());
    for (member, id) in members.iter_mut().zip(fresh..) {
        let initial = format!("{}=https://{}:2380", member.name, member.ip);
        assert!(
            cluster.split(',').any(|own| own == initial),
            "{initial} in {cluster}"
        );
        member.id = id;
    }
    for member in &members {
        let (master, own) = (name.to_owned(), Some(member.ip.clone()));
        let other = state
            .guests
            .keys()
            .find(|name| state.address(host, name) == own);
        let other = other.unwrap().clone();
        let guest = state.guests.get_mut(&other).unwrap();
        let same = guest
            .in_place
            .as_ref()
            .is_none_or(|other| other == unpacked);
        assert!(
            same && (other == master || guest.member == Some(0)),
            "{other}"
        );
        guest.member = Some(member.id);
        guest.in_place = None;
    }
    state.kube = Kube {
        next_member: fresh + members.len() as u64,
        members,
        ..kube.clone()
    };
}
