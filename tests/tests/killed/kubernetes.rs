//! kubectl and etcdctl on the masters of a world in memory: they answer as long as etcd has a majority.

use kubitect_config::remote::Output;
use kubitect_provision::fake::FakeHost;
use serde_json::{Value, json};

use crate::machine::{failed, ok};
use crate::state::{Node, State};

pub fn kubectl(state: &mut State, host: &FakeHost, name: &str, argv: &[&str]) -> Output {
    if !state.serves(host, name) {
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
        ["get", "nodes", "--output=json"] => {
            let items: Vec<_> = state
                .kube
                .nodes
                .keys()
                .map(|name| item(state, host, name))
                .collect();
            return ok(json!({"kind": "List", "items": items}).to_string());
        }
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
    let Some(there) = state.kube.nodes.get_mut(node) else {
        return unknown(node);
    };
    match argv {
        ["cordon" | "drain", ..] => there.cordoned = true,
        ["uncordon", _] => there.cordoned = false,
        ["label", _, _, "--overwrite", changes @ ..] => {
            for change in changes {
                match change.split_once('=') {
                    Some((key, value)) => {
                        there.labels.insert(key.to_owned(), value.to_owned());
                    }
                    None => {
                        there.labels.remove(change.strip_suffix('-').unwrap());
                    }
                }
            }
        }
        ["taint", _, _, "--overwrite", changes @ ..] => {
            for change in changes {
                if !taint(there, change) {
                    return failed(1, &format!("error: taint {change:?} not found"));
                }
            }
        }
        _ => panic!("unexpected: kubectl {argv:?}"),
    }
    ok("")
}

/// `key=value:Effect`, `key:Effect`, or `key:Effect-`; false if what is to go is not there.
fn taint(node: &mut Node, change: &str) -> bool {
    let parts = |text: &str| {
        let (left, effect) = text.rsplit_once(':').unwrap();
        let key = left.split('=').next().unwrap().to_owned();
        (key, effect.to_owned())
    };
    let meant = parts(change.trim_end_matches('-'));
    let before = node.taints.len();
    node.taints.retain(|there| parts(there) != meant);
    if change.ends_with('-') {
        return node.taints.len() < before;
    }
    node.taints.insert(change.to_owned());
    true
}

fn item(state: &State, host: &FakeHost, name: &str) -> Value {
    let node = &state.kube.nodes[name];
    let taints: Vec<_> = node
        .taints
        .iter()
        .map(|text| {
            let (left, effect) = text.rsplit_once(':').unwrap();
            let (key, value) = left.split_once('=').unwrap_or((left, ""));
            json!({"key": key, "value": value, "effect": effect})
        })
        .collect();
    let ready = match state.is_ready(host, name) {
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

pub fn etcdctl(state: &mut State, host: &FakeHost, name: &str, argv: &[&str]) -> Output {
    let own = state.guests[name].member;
    let is_member = state
        .kube
        .members
        .iter()
        .any(|member| Some(member.id) == own);
    if !is_member || !state.has_quorum(host) {
        return failed(1, "Error: context deadline exceeded");
    }
    match argv {
        ["member", "list", "--write-out=json"] => {
            let members: Vec<_> = state
                .kube
                .members
                .iter()
                .map(|member| {
                    json!({"ID": member.id, "name": member.name,
                        "peerURLs": [format!("https://{}:2380", member.ip)],
                        "clientURLs": [format!("https://{}:2379", member.ip)]})
                })
                .collect();
            ok(json!({"header": {}, "members": members}).to_string())
        }
        ["endpoint", "health", "--cluster", "--write-out=json"] => {
            let members = &state.kube.members;
            let told: Vec<_> = members
                .iter()
                .map(|member| {
                    let endpoint = format!("https://{}:2379", member.ip);
                    match state.is_well(host, member) {
                        true => json!({"endpoint": endpoint, "health": true, "took": "1ms"}),
                        false => json!({"endpoint": endpoint, "health": false, "took": "5s", "error": "context deadline exceeded"}),
                    }
                })
                .collect();
            let well = members.iter().all(|member| state.is_well(host, member));
            Output {
                stdout: json!(told).to_string().into_bytes(),
                ..failed(u32::from(!well), "Error: unhealthy cluster")
            }
        }
        ["member", "remove", id] => {
            let id = u64::from_str_radix(id, 16).unwrap();
            let rest: Vec<_> = state
                .kube
                .members
                .iter()
                .filter(|m| m.id != id)
                .cloned()
                .collect();
            if rest.len() == state.kube.members.len() {
                return failed(1, "Error: etcdserver: member not found");
            }
            let well = rest
                .iter()
                .filter(|member| state.is_well(host, member))
                .count();
            if well * 2 <= rest.len() {
                return failed(
                    1,
                    "Error: etcdserver: re-configuration failed due to not enough started members",
                );
            }
            state.kube.members = rest;
            ok("Member removed")
        }
        ["snapshot", "save", path, _] => {
            let text = serde_json::to_string(&state.kube).unwrap();
            let guest = state.guests.get_mut(name).unwrap();
            guest.files.insert((*path).to_owned(), text);
            ok("")
        }
        _ => panic!("unexpected: etcdctl {argv:?}"),
    }
}
