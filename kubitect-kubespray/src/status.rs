//! [`Status`]: the state of a cluster's Kubernetes, as its masters, its etcd and its nodes report it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use kubitect_config::cluster::{Node, Role};
use kubitect_config::remote::{BoxError, Machines};
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Cluster, Facts, Remote, chain};
use serde::Serialize;

use crate::control::{self, Certificate, EtcdMember, Health, NodeState};

/// Certificates that expire sooner than this are a problem.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// The state of a cluster's Kubernetes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Status {
    /// Whether the API of at least one master serves.
    pub reachable: bool,
    /// The API of each master.
    pub api: Vec<Api>,
    /// The members of etcd.
    pub etcd: Vec<EtcdMember>,
    /// The nodes.
    pub nodes: Vec<NodeState>,
    /// The certificate of each master that expires first.
    pub certificates: Vec<MasterCertificate>,
    /// One text for each problem; a cause may have several lines.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// A master's API server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Api {
    /// The master.
    pub name: String,
    /// Whether it serves.
    #[serde(flatten)]
    pub health: Health,
    /// The version of the API server, as `v1.23.7`; that of a node is only its kubelet's.
    pub version: Option<String>,
}

/// The certificate of a master that expires first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MasterCertificate {
    /// The master.
    pub name: String,
    /// Its certificate.
    #[serde(flatten)]
    pub certificate: Certificate,
}

/// The answers of one master.
struct Answers {
    machine: Arc<dyn Remote>,
    health: Health,
    version: Result<Option<String>, String>,
    certificates: Result<Vec<Certificate>, String>,
}

/// Queries these masters, whose machines run: all at the same time, each over one connection. Each query that fails is a problem
/// of the status.
pub async fn status(
    cluster: &Cluster,
    facts: &Facts,
    masters: &[&Node],
    machines: &dyn Machines,
) -> Status {
    let mut status = Status::default();
    let asked = masters
        .iter()
        .map(|node| async move { ask_master(machines.connect(&node.name).await).await });
    let (mut logged_in, mut serving) = (Vec::new(), None);
    for (node, answers) in masters.iter().zip(side_by_side(asked).await) {
        match answers {
            Ok(answers) => {
                let machine = Arc::clone(&answers.machine);
                if serving.is_none() && answers.health == Health::Healthy {
                    serving = Some((node, Arc::clone(&machine)));
                }
                logged_in.push(machine);
                status.add_master(cluster, node, answers);
            }
            Err(why) => status.problems.push(format!("{}: {why}", node.name)),
        }
    }
    if let Some((node, machine)) = serving {
        status.reachable = true;
        status.ask_cluster(node, &machine).await;
    }
    if status.etcd.is_empty() {
        status.etcd = members_alone(cluster, facts, masters, &logged_in).await;
    }
    let problems = status.etcd_and_node_problems(cluster);
    status.problems.extend(problems);
    status
}

/// Queries one master.
async fn ask_master(login: Result<Arc<dyn Remote>, BoxError>) -> Result<Answers, String> {
    let machine = login.map_err(|e| chain(e.as_ref()))?;
    let health = control::api_health(&machine).await;
    let health = health.unwrap_or_else(|e| Health::Unhealthy(chain(&e)));
    let version = match &health {
        Health::Healthy => control::api_version(&machine).await,
        Health::Unhealthy(_) => Ok(String::new()),
    };
    let version = version.map(|version| Some(version).filter(|version| !version.is_empty()));
    let version = version.map_err(|e| chain(&e));
    // Not at the same time: on a small master this alone slows etcd down until `/readyz` fails.
    let certificates = control::certificates(&machine).await;
    Ok(Answers {
        health,
        version,
        certificates: certificates.map_err(|e| chain(&e)),
        machine,
    })
}

/// etcd's members when etcd has no majority and can't list them: the addresses of all masters are queried, those of the cluster
/// and those that are asked besides because they leave, through the first master on which that works.
async fn members_alone(
    cluster: &Cluster,
    facts: &Facts,
    asked: &[&Node],
    logged_in: &[Arc<dyn Remote>],
) -> Vec<EtcdMember> {
    let mut nodes: Vec<_> = cluster
        .role(Role::Master)
        .chain(asked.iter().copied())
        .collect();
    nodes.sort_by_key(|node| &node.name);
    nodes.dedup_by_key(|node| &node.name);
    let address = |node: &&Node| facts.node(&node.name).map(|machine| machine.ip);
    let addresses: Vec<_> = nodes.iter().filter_map(address).collect();
    for master in logged_in {
        let Ok(mut members) = control::members_without_quorum(master, &addresses).await else {
            continue;
        };
        for member in &mut members {
            let is_at = |node: &&&Node| address(node).is_some_and(|ip| member.is_at(ip));
            if let Some(node) = nodes.iter().find(is_at) {
                member.name = format!("etcd-{}", node.id);
            }
        }
        return members;
    }
    Vec::new()
}

impl Status {
    /// Adds the answers of a master, and the problems in them.
    fn add_master(&mut self, cluster: &Cluster, node: &Node, answers: Answers) {
        let Answers {
            machine: _,
            health,
            version,
            certificates,
        } = answers;
        let name = node.name.to_string();
        let problems = &mut self.problems;
        if let Health::Unhealthy(why) = &health {
            problems.push(format!("the API of {name} does not serve: {why}"));
        }
        let version = version.unwrap_or_else(|why| {
            problems.push(format!("{name}: {why}"));
            None
        });
        let wanted = cluster.kubernetes.version.to_string();
        if let Some(current) = version.as_ref().filter(|current| **current != wanted) {
            problems.push(format!(
                "the API server of {name} is {current}, not {wanted}"
            ));
        }
        self.api.push(Api {
            name: name.clone(),
            health,
            version,
        });
        match certificates {
            Ok(certificates) => {
                let first = certificates.into_iter().next();
                let of_master = |certificate| MasterCertificate { name, certificate };
                self.certificates.extend(first.map(of_master));
            }
            Err(why) => problems.push(format!("{name}: {why}")),
        }
    }

    /// Queries etcd's members and the nodes, through a master whose API serves.
    async fn ask_cluster(&mut self, node: &Node, machine: &Arc<dyn Remote>) {
        let (members, nodes) = tokio::join!(control::members(machine), control::nodes(machine));
        for why in [members.as_ref().err(), nodes.as_ref().err()] {
            let problem = why.map(|why| format!("{}: {}", node.name, chain(why)));
            self.problems.extend(problem);
        }
        self.etcd = members.unwrap_or_default();
        self.nodes = nodes.unwrap_or_default();
    }

    /// The problems of etcd's members, of the nodes and of the certificates.
    fn etcd_and_node_problems(&self, cluster: &Cluster) -> Vec<String> {
        let mut problems = Vec::new();
        for member in &self.etcd {
            if let Health::Unhealthy(why) = &member.health {
                let name = &member.name;
                problems.push(format!("the etcd member {name} does not serve: {why}"));
            }
        }
        for node in &self.nodes {
            problems.extend(node_problems(node, cluster));
        }
        if self.reachable {
            let wanted = cluster.nodes.iter();
            let wanted = wanted.filter(|node| node.role != Role::LoadBalancer);
            let has_joined = |node: &&Node| {
                self.nodes
                    .iter()
                    .any(|state| state.name == node.name.as_str())
            };
            let missing = wanted.filter(|node| !has_joined(node));
            problems.extend(missing.map(|node| format!("node {} has not joined", node.name)));
        }
        let soon = DateTime::<Utc>::from(SystemTime::now() + EXPIRES_SOON);
        for MasterCertificate { name, certificate } in &self.certificates {
            if certificate.ends < soon {
                problems.push(format!(
                    "{name}: the certificate {} ends on {}; an upgrade renews it, and so does, on one master after another, \
                     `kubitect ssh {name} -- sudo /usr/local/bin/k8s-certs-renew.sh`",
                    certificate.path, certificate.ends_text
                ));
            }
        }
        problems
    }

    /// The names of members and nodes in its text, for the width of the column.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let members = self.etcd.iter().map(|member| member.name.as_str());
        members.chain(self.nodes.iter().map(|node| node.name.as_str()))
    }
}

/// The problems of one node.
fn node_problems(node: &NodeState, cluster: &Cluster) -> Vec<String> {
    let mut problems = Vec::new();
    let name = &node.name;
    match &node.health {
        Health::Unhealthy(why) => problems.push(format!("node {name} is not Ready: {why}")),
        Health::Healthy if node.cordoned => {
            problems.push(format!("node {name} takes no new pods (cordoned)"));
        }
        Health::Healthy => {}
    }
    let wanted = &cluster.kubernetes.version;
    if node.version != wanted.to_string() {
        problems.push(format!("node {name} runs {}, not {wanted}", node.version));
    }
    problems
}

/// One line for each API server, member, node and certificate; the width is that of the column of names.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = f.width().unwrap_or(0);
        let describe = |health: &Health| match health {
            Health::Healthy => "serves".to_owned(),
            Health::Unhealthy(why) => format!("does not serve: {why}"),
        };
        for api in &self.api {
            let version = api.version.as_ref().map(|version| format!("{version} "));
            let version = version.unwrap_or_default();
            let health = describe(&api.health);
            writeln!(f, "  API         {:wide$} {version}{health}", api.name)?;
        }
        for member in &self.etcd {
            let health = describe(&member.health);
            writeln!(f, "  etcd        {:wide$} {health}", member.name)?;
        }
        for node in &self.nodes {
            let health = match &node.health {
                Health::Healthy => "Ready".to_owned(),
                Health::Unhealthy(why) => format!("not Ready: {why}"),
            };
            let cordoned = if node.cordoned { ", cordoned" } else { "" };
            writeln!(
                f,
                "  node        {:wide$} {} {health}{cordoned}",
                node.name, node.version
            )?;
        }
        for MasterCertificate { name, certificate } in &self.certificates {
            writeln!(
                f,
                "  certificate {name:wide$} first ends on {}",
                certificate.ends_text
            )?;
        }
        Ok(())
    }
}
