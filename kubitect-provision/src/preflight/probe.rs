//! Whether an address that the cluster will use is in use already.
//!
//! Checked only in mode `bridge`, where other machines are on the network. A network that libvirt creates for the cluster has no
//! other machines, and the connection attempts would leave by the default route.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use kubitect_config::cluster::{API_PORT, NetworkMode, Role};
use kubitect_config::value::Label;
use kubitect_config::waiting::in_threads;
use kubitect_config::{Cluster, Severity};

use super::{Finding, FindingKind};
use crate::change::{Part, Step};
use crate::plan::Plan;

/// The time limit of a connection attempt in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The number of addresses that are tried at the same time: nearly all of them time out.
const CONCURRENT_ADDRESSES: usize = 256;

/// An error for each address of a machine that the plan creates, and for the VIP, at which a machine answers already.
pub(super) fn addresses_in_use(
    cluster: &Cluster,
    plan: &Plan,
    answers: Answers<'_>,
) -> Vec<Finding> {
    if cluster.network.mode != NetworkMode::Bridge {
        return Vec::new();
    }
    let created = new_machines(plan);
    let mut addresses: Vec<(String, Ipv4Addr)> = cluster
        .nodes
        .iter()
        .filter(|node| created.contains(&node.name))
        .filter_map(|node| Some((node.name.to_string(), node.ip?)))
        .collect();
    if let Some(vip) = cluster
        .balancing
        .vip
        .filter(|_| !may_have_vip(cluster, plan))
    {
        addresses.push(("the load balancers' shared address".to_owned(), vip));
    }
    let Some(host) = cluster.used_hosts().next() else {
        return Vec::new();
    };
    let in_use = which_answer(addresses, &[22, API_PORT], answers);
    in_use
        .into_iter()
        .map(|(who, ip)| {
            let message = format!("somebody answers at {ip} already, which is for {who}");
            let help = "choose another address, or stop the machine that has it";
            let (kind, severity) = (FindingKind::Address, Severity::Error);
            let finding = Finding::new(kind, severity, &host.name, message, help);
            match cluster.nodes.iter().any(|node| node.name.as_str() == who) {
                true => finding.of(who),
                false => finding,
            }
        })
        .collect()
}

/// Whether a balancer of this cluster may have the VIP: an existing one, or one that leaves and is not removed yet. Then an
/// answer at the VIP is no conflict.
fn may_have_vip(cluster: &Cluster, plan: &Plan) -> bool {
    let created = new_machines(plan);
    let mut balancers = cluster.role(Role::LoadBalancer);
    let leaves = |name: &Label| {
        let rest = name.as_str().strip_prefix(cluster.name.as_str());
        rest.is_some_and(|rest| rest.starts_with("-lb-"))
    };
    balancers.any(|node| !created.contains(&node.name)) || plan.removed().any(leaves)
}

/// The machines that the plan creates or defines again, which can't answer yet. Not those that it replaces: the old one may still
/// answer.
fn new_machines(plan: &Plan) -> BTreeSet<&Label> {
    let steps = plan
        .changes
        .iter()
        .map(|change| (change.part, &change.step));
    let replaced: BTreeSet<_> = steps
        .clone()
        .filter_map(|(part, step)| match (part, step) {
            (Part::Make, Step::RemoveDomain(name)) => Some(name),
            _ => None,
        })
        .collect();
    let created = steps.filter_map(|(_, step)| match step {
        Step::CreateDomain(domain) | Step::RecoverDomain(domain) => Some(&domain.name),
        _ => None,
    });
    created.filter(|name| !replaced.contains(name)).collect()
}

/// Those addresses at which a machine answers on any of the ports. All are tried side by side.
fn which_answer(
    addresses: Vec<(String, Ipv4Addr)>,
    ports: &[u16],
    answers: Answers<'_>,
) -> Vec<(String, Ipv4Addr)> {
    let answer = in_threads(CONCURRENT_ADDRESSES, &addresses, |(_, ip)| {
        ports.iter().any(|port| answers((*ip, *port).into()))
    });
    let results = addresses.into_iter().zip(answer);
    results
        .filter_map(|(address, answers)| answers.then_some(address))
        .collect()
}

/// Whether a machine answers at an address.
pub type Answers<'a> = &'a (dyn Fn(SocketAddr) -> bool + Sync);

/// Whether a machine answers at an address. A refused connection is an answer, too.
pub(crate) fn answers(address: SocketAddr) -> bool {
    match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Action, Change, Disruption, Kind};
    use std::collections::BTreeMap;
    use std::net::TcpListener;

    #[test]
    fn a_listener_and_a_refusal_are_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let who = || vec![("vip".to_owned(), Ipv4Addr::LOCALHOST)];
        assert_eq!(which_answer(who(), &[address.port()], &answers), who());
        drop(listener);
        assert!(answers(address));
    }

    fn cluster(nodes: &str, version: &str) -> Cluster {
        let text = format!(
            "hosts: [{{name: h, connection: {{type: local}}}}]\ncluster: {{name: c, network: {{mode: bridge, bridge: b, \
             cidr: 10.9.0.0/24}}, {nodes}}}\nkubernetes: {{version: v1.23.7, {version}}}\n"
        );
        let site = kubitect_config::Site::default();
        let parsed = kubitect_config::parse(&text, "c.yaml", &site);
        parsed.unwrap().cluster
    }

    fn change(name: &str, part: Part, step: Step) -> Change {
        Change {
            action: Action::Update,
            kind: Kind::Domain,
            name: name.to_owned(),
            host: "h".parse().unwrap(),
            disruption: Disruption::None,
            details: String::new(),
            loses: false,
            part,
            step,
        }
    }

    /// A plan that makes a machine of a cluster.
    fn making(cluster: &Cluster, name: &str) -> Plan {
        let wanted = crate::desired::desired(cluster, &BTreeMap::new());
        let mut machines = wanted.hosts.values().next().unwrap().machines.iter();
        let new = machines.find(|own| own.domain.name.as_str() == name);
        let create = Step::CreateDomain(new.unwrap().domain.clone());
        Plan {
            cluster: cluster.name.clone(),
            changes: vec![change(name, Part::Make, create)],
        }
    }

    #[test]
    fn who_may_still_answer_is_not_made() {
        let node: Label = "c-worker-1".parse().unwrap();
        let cluster = cluster(
            "nodeTemplate: {user: k8s, os: {distro: ubuntu}}, nodes: {master: {instances: [{id: 1}]}, \
             worker: {instances: [{id: 1}]}}",
            "networkPlugin: calico, kubespray: {version: v2.19.0}",
        );
        let mut plan = making(&cluster, node.as_str());
        assert!(new_machines(&plan).contains(&node));
        let remove = Step::RemoveDomain(node.clone());
        plan.changes
            .insert(0, change(node.as_str(), Part::Make, remove));
        assert!(!new_machines(&plan).contains(&node));
    }

    /// The only balancer is replaced by another: the leaving one has the VIP until the new one serves.
    #[test]
    fn a_balancer_that_leaves_may_answer_at_the_shared_address() {
        let cluster = cluster(
            "nodes: {loadBalancer: {vip: 10.9.0.9, instances: [{id: 2}]}, master: {instances: [{id: 1}]}}",
            "kubespray: {version: v2.19.0}",
        );
        let mut plan = making(&cluster, "c-lb-2");
        assert!(!may_have_vip(&cluster, &plan));
        let worker = Step::RemoveDomain("c-worker-1".parse().unwrap());
        plan.changes
            .push(change("c-worker-1", Part::Remove, worker));
        assert!(!may_have_vip(&cluster, &plan));
        let leaves = Step::RemoveDomain("c-lb-1".parse().unwrap());
        plan.changes.push(change("c-lb-1", Part::Remove, leaves));
        assert!(may_have_vip(&cluster, &plan));
    }
}
