//! Whether somebody else answers already at an address that the cluster is going to use.
//!
//! Asked only on an existing bridge, where others live: on a network of libvirt's own, which is made for the cluster,
//! nobody can, and the question would leave by the default route.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use kubitect_config::cluster::{API_PORT, NetworkMode, Role};
use kubitect_config::value::Label;
use kubitect_config::waiting::in_threads;
use kubitect_config::{Cluster, Severity};

use super::{Finding, made};
use crate::plan::Plan;

/// How long an answer from the same network may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// At how many addresses an answer is waited for at the same time: nearly all of them keep silent.
const WAITS: usize = 256;

/// The addresses of machines that the plan makes, and the shared one, at which somebody answers.
pub(super) fn taken(cluster: &Cluster, plan: &Plan) -> Vec<Finding> {
    if cluster.network.mode != NetworkMode::Bridge {
        return Vec::new();
    }
    let made = made(plan);
    let mut asked: Vec<(String, Ipv4Addr)> = cluster
        .nodes
        .iter()
        .filter(|node| made.contains(&node.name))
        .filter_map(|node| Some((node.name.to_string(), node.ip?)))
        .collect();
    if let Some(vip) = cluster.balancing.vip.filter(|_| !is_ours(cluster, plan)) {
        asked.push(("the load balancers' shared address".to_owned(), vip));
    }
    let Some(host) = cluster.used_hosts().next() else {
        return Vec::new();
    };
    let taken = answering(asked, &[22, API_PORT]);
    taken
        .into_iter()
        .map(|(who, ip)| Finding {
            severity: Severity::Error,
            host: host.name.clone(),
            message: format!("somebody answers at {ip} already, which is for {who}"),
            help: "choose another address, or stop the machine that has it".to_owned(),
        })
        .collect()
}

/// Whether a balancer of ours may answer at the shared address: one that is there, or one that leaves and is not gone yet.
pub(super) fn is_ours(cluster: &Cluster, plan: &Plan) -> bool {
    let made = made(plan);
    let mut balancers = cluster.role(Role::LoadBalancer);
    let leaves = |name: &Label| {
        let rest = name.as_str().strip_prefix(cluster.name.as_str());
        rest.is_some_and(|rest| rest.starts_with("-lb-"))
    };
    balancers.any(|node| !made.contains(&node.name)) || plan.removes().any(leaves)
}

/// Those addresses at which somebody answers on any of the ports, asked side by side.
fn answering(addresses: Vec<(String, Ipv4Addr)>, ports: &[u16]) -> Vec<(String, Ipv4Addr)> {
    let answer = in_threads(WAITS, &addresses, |(_, ip)| {
        ports.iter().any(|port| answers((*ip, *port).into()))
    });
    let asked = addresses.into_iter().zip(answer);
    asked
        .filter_map(|(own, answers)| answers.then_some(own))
        .collect()
}

/// A refusal is an answer too.
fn answers(address: SocketAddr) -> bool {
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_and_a_refusal_are_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let who = || vec![("vip".to_owned(), Ipv4Addr::LOCALHOST)];
        assert_eq!(answering(who(), &[address.port()]), who());
        drop(listener);
        assert!(answers(address));
    }
}
