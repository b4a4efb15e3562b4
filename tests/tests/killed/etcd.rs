//! etcd on the masters of a world in memory: its service, its data, and etcdctl.

use kubitect_config::remote::Output;
use kubitect_provision::fake::FakeHost;
use serde_json::json;

use crate::machine::{failed, ok};
use crate::restored::{saved, text};
use crate::state::{State, endpoint};

/// etcd's service and its data.
pub fn service(state: &mut State, host: &FakeHost, name: &str, argv: &[&str]) -> Option<Output> {
    let address = state.address(host, name);
    let guest = state.guests.get_mut(name).unwrap();
    let mut members = state.kube.members.iter();
    Some(match argv {
        ["test", "-e", "/var/lib/etcd/member"] => failed(u32::from(guest.member.is_none()), ""),
        ["systemctl", "disable", "--now", "etcd"] | ["systemctl", "enable", "etcd"] => ok(""),
        ["systemctl", "--quiet", "is-active", "etcd"] => failed(3, ""),
        ["mv", "-f", "-T", "--", "/var/lib/etcd/member", _] => {
            let own = guest.member.take();
            assert!(
                !members.any(|member| Some(member.id) == own),
                "{name}: data of a member"
            );
            ok("")
        }
        // It starts where it is listed and has no data; with another member's data it ends at once.
        ["systemctl", "restart", "--no-block", "etcd"] => {
            if let Some(own) = members.find(|member| Some(&member.ip) == address.as_ref())
                && guest.member.is_none()
            {
                guest.member = Some(own.id);
            }
            ok("")
        }
        _ => return None,
    })
}

pub fn etcdctl(state: &mut State, host: &FakeHost, name: &str, argv: &[&str]) -> Output {
    let own = state.guests[name].member;
    let is_member = state
        .kube
        .members
        .iter()
        .any(|member| Some(member.id) == own);
    if !is_member || state.guests[name].stopped.contains("etcd") {
        return failed(1, "Error: context deadline exceeded");
    }
    let has_quorum = state.has_quorum(host);
    // Each member answers this alone. All else needs a majority, from etcd 3.5 on also the list of members.
    if argv == ["endpoint", "status", "--write-out=json"] {
        let leader = u64::from(has_quorum);
        let own = json!([{"Endpoint": "https://127.0.0.1:2379", "Status": {"header": {"member_id": own}, "leader": leader}}]);
        return ok(own.to_string());
    }
    if !has_quorum {
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
                        "clientURLs": [endpoint(&member.ip)]})
                })
                .collect();
            ok(json!({"header": {}, "members": members}).to_string())
        }
        ["endpoint", "health", "--cluster", "--write-out=json"] => {
            let members = &state.kube.members;
            let listed: Vec<_> = members
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
                stdout: json!(listed).to_string().into_bytes(),
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
            let bytes = saved(&state.kube, &state.guests[name].api_version);
            let guest = state.guests.get_mut(name).unwrap();
            guest.files.insert((*path).to_owned(), text(&bytes));
            ok("")
        }
        _ => panic!("unexpected: etcdctl {argv:?}"),
    }
}
