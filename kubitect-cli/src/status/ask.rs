//! Asks the balancers and the masters of a cluster how it is: all at the same time, each over one connection.

use std::sync::Arc;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Facts, Remote, chain};
use kubitect_kubespray::control::{self, Certificate, EtcdMember, Health, NodeState};
use kubitect_lb::ServerState;
use kubitect_provision::ssh::Keys;

use super::{Api, BalancerState, MasterCertificate, Status, sentence};
use crate::job::Job;
use crate::pipeline::connect;

/// What a master has said.
struct Answers {
    machine: Arc<dyn Remote>,
    health: Health,
    version: Result<Option<String>, String>,
    certificates: Result<Vec<Certificate>, String>,
}

/// What has been asked of one machine.
enum Asked<'a> {
    Balancer(&'a Node, Result<Vec<ServerState>, String>),
    Master(&'a Node, Result<Answers, String>),
}

impl Status {
    /// Asks the balancers and the masters that run. What can't be asked is a problem.
    pub(super) async fn ask(&mut self, job: &Job, facts: &Facts, keys: &Keys) {
        let running = |node: &&Node| {
            let machines = self.machines.iter();
            let mut own = machines.filter(|machine| machine.name == node.name.as_str());
            own.any(|machine| machine.state == "running")
        };
        let balancers = job.cluster.role(Role::LoadBalancer);
        let nodes = balancers.chain(job.cluster.role(Role::Master));
        let asked = nodes.filter(running).map(|node| async move {
            let login = connect(job, facts, keys, &node.name).await;
            let login = login.map_err(|e| chain(&e));
            match node.role {
                Role::LoadBalancer => Asked::Balancer(node, servers(node, login).await),
                _ => Asked::Master(node, master(login).await),
            }
        });
        let mut problems = Vec::new();
        let mut logged_in = Vec::new();
        let mut serving = None;
        for asked in side_by_side(asked).await {
            match asked {
                Asked::Balancer(node, Ok(servers)) => {
                    problems.extend(self.take_balancer(node, servers));
                }
                Asked::Master(node, Ok(answers)) => {
                    let machine = Arc::clone(&answers.machine);
                    if serving.is_none() && answers.health == Health::Well {
                        serving = Some((node, Arc::clone(&machine)));
                    }
                    logged_in.push(machine);
                    problems.extend(self.take_master(job, node, answers));
                }
                Asked::Balancer(node, Err(why)) | Asked::Master(node, Err(why)) => {
                    problems.push(format!("{}: {why}", node.name));
                }
            }
        }
        if let Some((node, machine)) = serving {
            self.reachable = true;
            let (members, nodes) = cluster(&machine).await;
            for why in [members.as_ref().err(), nodes.as_ref().err()] {
                problems.extend(why.map(|why| format!("{}: {why}", node.name)));
            }
            self.etcd = members.unwrap_or_default();
            self.nodes = nodes.unwrap_or_default();
        }
        if self.etcd.is_empty() {
            self.etcd = members_alone(job, facts, &logged_in).await;
        }
        problems.extend(self.of_kubernetes(job));
        // Causes may have several lines.
        self.problems
            .extend(problems.iter().map(|problem| sentence(problem)));
    }

    /// What a balancer says, and the problems in it.
    fn take_balancer(&mut self, node: &Node, servers: Vec<ServerState>) -> Vec<String> {
        let name = &node.name;
        let problem = |server: &ServerState| {
            format!(
                "{name}: {} is {} in {}",
                server.server, server.status, server.backend
            )
        };
        let problems = kubitect_lb::amiss(&servers).map(problem).collect();
        self.balancers.push(BalancerState {
            name: name.to_string(),
            servers,
        });
        problems
    }

    /// What a master says, and the problems in it.
    fn take_master(&mut self, job: &Job, node: &Node, answers: Answers) -> Vec<String> {
        let Answers {
            machine: _,
            health,
            version,
            certificates,
        } = answers;
        let name = node.name.to_string();
        let mut problems = Vec::new();
        if let Health::Ill(why) = &health {
            problems.push(format!("the API of {name} does not serve: {why}"));
        }
        let version = version.unwrap_or_else(|why| {
            problems.push(format!("{name}: {why}"));
            None
        });
        let wanted = job.cluster.kubernetes.version.to_string();
        if let Some(runs) = version.as_ref().filter(|runs| **runs != wanted) {
            problems.push(format!("the API server of {name} is {runs}, not {wanted}"));
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
        problems
    }
}

/// What a balancer says of its servers.
async fn servers(
    node: &Node,
    login: Result<Arc<dyn Remote>, String>,
) -> Result<Vec<ServerState>, String> {
    let servers = kubitect_lb::servers(&node.name, &login?).await;
    servers.map_err(|e| chain(&e))
}

/// What a master says of itself.
async fn master(login: Result<Arc<dyn Remote>, String>) -> Result<Answers, String> {
    let machine = login?;
    let api = async {
        let health = control::api_health(&machine).await;
        let health = health.unwrap_or_else(|e| Health::Ill(chain(&e)));
        let version = match &health {
            Health::Well => control::api_version(&machine).await,
            Health::Ill(_) => Ok(String::new()),
        };
        let told = |version: String| Some(version).filter(|version| !version.is_empty());
        (health, version.map(told).map_err(|e| chain(&e)))
    };
    let ((health, version), certificates) = tokio::join!(api, control::certificates(&machine));
    Ok(Answers {
        health,
        version,
        certificates: certificates.map_err(|e| chain(&e)),
        machine,
    })
}

/// What a master that serves says of etcd and of the nodes.
async fn cluster(
    machine: &Arc<dyn Remote>,
) -> (
    Result<Vec<EtcdMember>, String>,
    Result<Vec<NodeState>, String>,
) {
    let (members, nodes) = tokio::join!(control::members(machine), control::nodes(machine));
    (members.map_err(|e| chain(&e)), nodes.map_err(|e| chain(&e)))
}

/// etcd's members when no majority of them is there to list them: each master's address is asked, through the first master
/// that can.
async fn members_alone(job: &Job, facts: &Facts, masters: &[Arc<dyn Remote>]) -> Vec<EtcdMember> {
    let nodes: Vec<_> = job.cluster.role(Role::Master).collect();
    let address = |node: &&Node| facts.node(&node.name).map(|known| known.ip);
    let addresses: Vec<_> = nodes.iter().filter_map(address).collect();
    for master in masters {
        let Ok(mut members) = control::members_alone(master, &addresses).await else {
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
