//! The kubelet on the machines of a world in memory, and kubeadm.

use kubitect_config::remote::Output;
use kubitect_provision::fake::FakeHost;

use crate::machine::{failed, ok};
use crate::state::{MARK, Node, SETTINGS, State};

/// kubeadm's commands on a node; its configuration is `api_server`'s, `init` and `join` are the playbooks'.
pub fn kubeadm(state: &mut State, host: &FakeHost, name: &str, argv: &[&str]) -> Output {
    match argv {
        ["reset", "--force", rest @ ..] => {
            let spares_etcd = rest.contains(&"--skip-phases=remove-etcd-member");
            assert!(rest.contains(&"--cri-socket=unix:///run/containerd/containerd.sock"));
            state
                .guests
                .get_mut(name)
                .unwrap()
                .reset_kubeadm(spares_etcd);
            ok("")
        }
        ["init", "phase", "mark-control-plane", config] => {
            assert_eq!(*config, format!("--config={SETTINGS}"));
            let text = state.guests[name].files[SETTINGS].clone();
            match state
                .serves(host, name)
                .then(|| state.kube.nodes.get_mut(name))
            {
                Some(Some(node)) => {
                    mark(node, text.contains("NoSchedule"));
                    ok("")
                }
                _ => failed(1, "could not find the node, or no API server answers"),
            }
        }
        _ => panic!("unexpected: kubeadm {argv:?}"),
    }
}

/// The last object that kubeadm creates for a master's node.
pub fn mark(node: &mut Node, tainted: bool) {
    node.labels.insert(MARK.to_owned(), String::new());
    if tainted {
        node.taints.insert(format!("{MARK}:NoSchedule"));
    }
}

pub fn restart_kubelet(state: &mut State, name: &str) -> Output {
    let guest = state.guests.get_mut(name).unwrap();
    if let (Some(installed), Some((runs, _))) = (guest.installed.take(), &mut guest.kubelet) {
        *runs = installed;
    }
    let kubelet = guest.kubelet.as_ref();
    let Some((version, _)) = kubelet.filter(|(_, id)| *id == state.kube.id) else {
        return failed(5, "Unit kubelet.service not found.");
    };
    let node = state.kube.nodes.entry(name.to_owned()).or_default();
    node.version.clone_from(version);
    (node.cpus, node.ram) = (guest.cpus, guest.ram);
    ok("")
}
