//! kubectl and the API server on the masters of a world in memory: they answer as long as etcd has a majority.

use std::collections::BTreeSet;

use kubitect_config::remote::Output;
use kubitect_provision::fake::FakeHost;
use serde_json::{Value, json};

use crate::machine::{failed, ok};
use crate::state::{CERTIFICATE, MANIFEST, Node, Pod, State};

/// The path of kubeadm's configuration on each master.
pub const KUBEADM_CONFIG: &str = "/etc/kubernetes/kubeadm-config.yaml";

/// The endpoints in kubeadm's configuration on a master.
fn configured(state: &State, name: &str) -> BTreeSet<String> {
    let text = &state.guests[name].files[KUBEADM_CONFIG];
    let lines = text
        .lines()
        .map(|line| line.trim().trim_start_matches("- "));
    let endpoints = lines
        .map(|line| line.trim_matches('"'))
        .filter(|line| line.starts_with("https:"));
    endpoints.map(str::to_owned).collect()
}

/// `kubeadm init phase …`, and the API server's manifest and process.
pub fn api_server(state: &mut State, host: &FakeHost, name: &str, argv: &[&str]) -> Option<Output> {
    let listed = |state: &State| {
        let api = state.guests[name].api.as_ref()?;
        let all: Vec<_> = api.iter().map(String::as_str).collect();
        Some(format!("--etcd-servers={}", all.join(",")))
    };
    Some(match argv {
        ["cat", "--", "/etc/kubernetes/manifests/kube-apiserver.yaml"] => match listed(state) {
            Some(list) => ok(format!("    - kube-apiserver\n    - {list}\n")),
            None => failed(1, "No such file or directory"),
        },
        [
            "test",
            "-e",
            "/etc/kubernetes/manifests/kube-apiserver.yaml",
        ] => {
            let exists = listed(state).is_some() || state.guests[name].files.contains_key(MANIFEST);
            failed(u32::from(!exists), "")
        }
        ["pgrep", "--list-full", "--full", "^kube-apiserver "] => match listed(state) {
            Some(list) => ok(format!("7 kube-apiserver {list} --v=2\n")),
            None => failed(1, ""),
        },
        [
            "/usr/local/bin/kubeadm",
            "init",
            "phase",
            rest @ ..,
            "--config",
            KUBEADM_CONFIG,
        ] => {
            let members = configured(state, name);
            match rest {
                ["control-plane", "apiserver"] => {
                    if let Some(why) = outage(state, host, name) {
                        return Some(failed(1, &why));
                    }
                    state.guests.get_mut(name).unwrap().api = Some(members);
                }
                ["control-plane", "all"] => {
                    let guest = state.guests.get_mut(name).unwrap();
                    guest.arguments = guest.files[KUBEADM_CONFIG].clone();
                    guest.api = Some(members);
                }
                ["certs", "apiserver"] => {
                    let files = &mut state.guests.get_mut(name).unwrap().files;
                    assert!(!CERTIFICATE.iter().any(|path| files.contains_key(*path)));
                    files.extend(CERTIFICATE.map(|path| (path.to_owned(), String::new())));
                }
                ["upload-config", "kubeadm"] if !state.serves(host, name) => {
                    return Some(failed(1, "error: the API server does not serve"));
                }
                ["upload-config", "kubeadm"] => state.kube.published = members,
                _ => panic!("unexpected: kubeadm {argv:?}"),
            }
            ok("")
        }
        _ => return None,
    })
}

/// Why clients get no answer while this API server restarts, although that of another node serves: no balancer leads there.
fn outage(state: &State, host: &FakeHost, name: &str) -> Option<String> {
    let is_node = |other: &str| state.kube.nodes.contains_key(other);
    let others = |other: &str| other != name && is_node(other) && state.serves(host, other);
    let is_cut = state
        .balanced()
        .any(|to| to.contains(name) && !to.iter().any(|own| others(own)));
    let serving = state.guests.keys().find(|own| others(own))?;
    is_cut.then(|| {
        format!("{name} restarts, and a balancer does not lead to {serving}, which serves")
    })
}

pub fn kubectl(state: &mut State, host: &FakeHost, name: &str, argv: &[&str]) -> Output {
    let unreached = state.kube.away > 0;
    state.kube.away = state.kube.away.saturating_sub(1);
    if unreached || !state.serves(host, name) {
        let refused = "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?";
        return failed(1, refused);
    }
    let unknown = |node: &str| {
        failed(
            1,
            &format!("Error from server (NotFound): nodes \"{node}\" not found"),
        )
    };
    match argv {
        ["get", "--raw=/readyz"] => return ok("ok"),
        ["get", "--raw=/version"] => {
            let version = &state.guests[name].api_version;
            return ok(json!({"major": "1", "gitVersion": version}).to_string());
        }
        [
            "get",
            "configmap",
            map,
            "--namespace",
            _,
            "--ignore-not-found",
            "--output=name",
        ] => {
            let exists = state.kube.initialised && ["kubeadm-config", "cluster-info"].contains(map);
            return ok(if exists {
                format!("configmap/{map}\n")
            } else {
                String::new()
            });
        }
        ["get", "pods", "--all-namespaces", selector, "--output=json"] => {
            let node = selector.trim_start_matches("--field-selector=spec.nodeName=");
            let own = state.kube.pods.iter().filter(|(_, pod)| pod.node == node);
            let items: Vec<_> = own.map(|(name, pod)| pod_item(name, pod)).collect();
            return ok(json!({"kind": "List", "items": items}).to_string());
        }
        [
            "get",
            "poddisruptionbudgets",
            "--all-namespaces",
            "--output=json",
        ] => {
            let kept = state.kube.pods.iter().filter(|(_, pod)| pod.kept);
            let items: Vec<_> = kept.map(|(name, _)| budget_item(name)).collect();
            return ok(json!({"kind": "List", "items": items}).to_string());
        }
        ["get", "nodes", "--output=json"] => {
            let items: Vec<_> = state
                .kube
                .nodes
                .keys()
                .map(|name| item(state, host, name))
                .collect();
            return ok(json!({"kind": "List", "items": items}).to_string());
        }
        [
            "get",
            "configmap",
            "kubeadm-config",
            "--namespace=kube-system",
            "--output=json",
        ] => {
            let items = state
                .kube
                .published
                .iter()
                .map(|url| format!("    - {url}\n"));
            let text = format!(
                "etcd:\n  external:\n    endpoints:\n{}",
                items.collect::<String>()
            );
            return ok(json!({"data": {"ClusterConfiguration": text}}).to_string());
        }
        [
            "get",
            "--raw=/apis/crd.projectcalico.org/v1/ippools/default-pool",
        ] => {
            return ok(
                json!({"kind": "IPPool", "spec": {"blockSize": state.kube.blocks}}).to_string(),
            );
        }
        [
            "get",
            "--raw=/apis/crd.projectcalico.org/v1/ippools/default-pool-ipv6",
        ] if state.kube.blocks_ipv6 != 0 => {
            let size = state.kube.blocks_ipv6;
            return ok(json!({"kind": "IPPool", "spec": {"blockSize": size}}).to_string());
        }
        [
            "get",
            "--raw=/api/v1/namespaces/kube-system/configmaps/cilium-config",
        ] if !state.kube.ipam.is_empty() => {
            return ok(json!({"data": {"ipam": state.kube.ipam}}).to_string());
        }
        ["get", raw] if raw.starts_with("--raw=/api") => {
            return failed(
                1,
                "Error from server (NotFound): the server could not find it",
            );
        }
        // What an archive for support holds.
        ["version"]
        | ["get", "--raw=/readyz?verbose"]
        | ["get", "nodes", "--output=wide"]
        | ["get", "pods", "--all-namespaces", "--output=wide"]
        | ["get", "events", ..] => return ok("an answer"),
        ["delete", "node", node, "--ignore-not-found", "--wait=false"] => {
            state.kube.nodes.remove(*node);
            return ok("");
        }
        _ => {}
    }
    let node = match argv {
        ["cordon" | "uncordon" | "drain", node, ..] | ["label" | "taint", "node", node, ..] => {
            *node
        }
        _ => panic!("unexpected: kubectl {argv:?}"),
    };
    let Some(object) = state.kube.nodes.get_mut(node) else {
        return unknown(node);
    };
    match argv {
        ["cordon", ..] => (object.cordoned, object.kept_off) = (true, true),
        ["drain", _, options @ ..] => {
            (object.cordoned, object.kept_off) = (true, true);
            let waits = !options.contains(&"--skip-wait-for-delete-timeout=1");
            let mut pods = state.kube.pods.values();
            if waits && !state.is_ready(host, node) && pods.any(|pod| pod.node == node) {
                return failed(
                    1,
                    "nobody says that the pods of a machine that died have ended",
                );
            }
            return drain(state, host, node);
        }
        ["uncordon", _] => object.cordoned = false,
        ["label", _, _, "--overwrite", changes @ ..] => {
            for change in changes {
                match change.split_once('=') {
                    Some((key, value)) => {
                        object.labels.insert(key.to_owned(), value.to_owned());
                    }
                    None => {
                        object.labels.remove(change.strip_suffix('-').unwrap());
                    }
                }
            }
        }
        ["taint", _, _, "--overwrite", changes @ ..] => {
            for change in changes {
                if !taint(object, change) {
                    return failed(1, &format!("error: taint {change:?} not found"));
                }
            }
        }
        _ => panic!("unexpected: kubectl {argv:?}"),
    }
    ok("")
}

/// Moves the pods of a node to others that take them, or to none.
pub fn drain(state: &mut State, host: &FakeHost, node: &str) -> Output {
    // A drain takes its time: the controllers catch up.
    for node in state.kube.nodes.values_mut() {
        node.kept_off &= node.cordoned;
    }
    let own = state.kube.pods.iter().filter(|(_, pod)| pod.node == node);
    let own: Vec<_> = own.map(|(name, _)| name.clone()).collect();
    for name in own {
        let pod = &state.kube.pods[&name];
        if pod.kept {
            return failed(
                1,
                &format!(
                    "error when evicting pods/\"{name}\" -n \"default\" (will retry after 5s): Cannot evict pod as it would \
                     violate the pod's disruption budget.\nerror: error when evicting pods/\"{name}\" -n \"default\": global \
                     timeout reached"
                ),
            );
        }
        let mut others = state.kube.nodes.keys().filter(|other| *other != node);
        let to = others.find(|other| state.takes(host, other, &pod.bears));
        let to = to.cloned().unwrap_or_default();
        state.kube.pods.get_mut(&name).unwrap().node = to;
    }
    ok("")
}

fn pod_item(name: &str, pod: &Pod) -> Value {
    let bears = pod.bears.iter();
    let tolerations: Vec<_> = bears
        .map(|key| json!({"key": key, "operator": "Exists"}))
        .collect();
    json!({
        "metadata": {
            "name": name, "namespace": "default", "labels": {"app": name},
            "ownerReferences": [{"kind": "ReplicaSet", "controller": true}],
        },
        "spec": {"nodeName": pod.node, "tolerations": tolerations},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// A budget that keeps a pod where it is.
fn budget_item(pod: &str) -> Value {
    json!({
        "metadata": {"name": format!("{pod}-budget"), "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": pod}}},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1},
    })
}

/// `key=value:Effect`, `key:Effect`, or `key:Effect-`; false if what is to go is not there.
fn taint(node: &mut Node, change: &str) -> bool {
    let parts = |text: &str| {
        let (left, effect) = text.rsplit_once(':').unwrap();
        let key = left.split('=').next().unwrap().to_owned();
        (key, effect.to_owned())
    };
    let changed = parts(change.trim_end_matches('-'));
    let before = node.taints.len();
    node.taints.retain(|other| parts(other) != changed);
    if change.ends_with('-') {
        return node.taints.len() < before;
    }
    node.taints.insert(change.to_owned());
    true
}

fn item(state: &State, host: &FakeHost, name: &str) -> Value {
    let node = &state.kube.nodes[name];
    let kept_off = node
        .kept_off
        .then(|| "node.kubernetes.io/unschedulable:NoSchedule".to_owned());
    let taints: Vec<_> = node
        .taints
        .iter()
        .chain(&kept_off)
        .map(|text| {
            let (left, effect) = text.rsplit_once(':').unwrap();
            let (key, value) = left.split_once('=').unwrap_or((left, ""));
            json!({"key": key, "value": value, "effect": effect})
        })
        .collect();
    let ready = match state.is_ready(host, name) || state.unnoticed {
        true => {
            json!({"type": "Ready", "status": "True", "message": "kubelet is posting ready status"})
        }
        false => {
            json!({"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."})
        }
    };
    json!({
        "metadata": {"name": name, "labels": node.labels},
        "spec": {"unschedulable": node.cordoned, "taints": taints},
        "status": {
            "conditions": [ready],
            "nodeInfo": {"kubeletVersion": node.version, "bootID": state.boot_id(name)},
            "capacity": {"cpu": node.cpus.to_string(), "memory": format!("{}Ki", node.ram << 10)},
        },
    })
}
