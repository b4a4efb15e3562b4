//! [`Status`]: what each balancer of a cluster reports of its servers, and of the virtual address.

use std::fmt;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::remote::Machines;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Cluster, Facts, chain};
use serde::Serialize;

use crate::machine::Machine;
use crate::state::{ServerState, out_of_service, servers};
use crate::vrrp::{self, Keepalived, Observation};

/// How the balancers are. As JSON it is a list of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(transparent)]
pub struct Status {
    /// The balancers, with the servers behind them.
    pub balancers: Vec<BalancerState>,
    /// The problems, a text each; one with its causes may have several lines.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// A balancer, and what it reports of its servers and of the virtual address.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BalancerState {
    /// Its name.
    pub name: String,
    /// The servers behind it.
    pub servers: Vec<ServerState>,
    /// None: there is no virtual address, or keepalived can't be asked.
    pub keepalived: Option<Keepalived>,
}

/// Asks these balancers of a cluster, whose machines run, all at the same time. One that can't be asked is a problem. The balancers
/// that are not among `nodes` are not asked.
pub async fn status(
    cluster: &Cluster,
    facts: &Facts,
    nodes: &[&Node],
    machines: &dyn Machines,
) -> Status {
    let mut status = Status::default();
    let vip = cluster.balancing.vip;
    let asked = nodes.iter().map(|node| async move {
        let remote = machines.connect(&node.name).await;
        let remote = &remote.map_err(|e| chain(e.as_ref()))?;
        let node = &node.name;
        let observation = async {
            let machine = Machine { node, remote };
            let observe = async |vip| vrrp::observe(&machine, vip, "0", "0").await;
            match vip {
                Some(vip) => Some(observe(vip).await.unwrap_or_else(|e| Err(chain(&e)))),
                None => None,
            }
        };
        let (servers, observation) = tokio::join!(servers(node, remote), observation);
        Ok::<_, String>((servers.map_err(|e| chain(&e)), observation))
    });
    let mut observations = Vec::new();
    for (node, asked) in nodes.iter().zip(side_by_side(asked).await) {
        match asked {
            Ok((servers, observation)) => {
                status.add(&node.name, servers, observation.as_ref());
                observations.extend(observation.map(|own| (&node.name, own)));
            }
            Err(why) => status.problems.push(format!("{}: {why}", node.name)),
        }
    }
    if let Some(vip) = vip.filter(|_| !observations.is_empty()) {
        let address = |name: &Label| Some(facts.node(name)?.ip);
        let is_reached = |name: &&Label| observations.iter().any(|(own, _)| own == name);
        let all = cluster.role(Role::LoadBalancer).map(|node| &node.name);
        let unreached: Vec<_> = all.filter(|name| !is_reached(name)).collect();
        let problems = vrrp::unsettled(&observations, &unreached, address).into_iter();
        let problems = problems.map(|problem| format!("the virtual address {vip}: {problem}"));
        status.problems.extend(problems);
    }
    status
}

impl Status {
    /// Adds a balancer, and its problems.
    fn add(
        &mut self,
        name: &Label,
        servers: Result<Vec<ServerState>, String>,
        observation: Option<&Observation>,
    ) {
        let servers = servers.unwrap_or_else(|why| {
            self.problems.push(format!("{name}: {why}"));
            Vec::new()
        });
        self.problems.extend(out_of_service(&servers).map(|server| {
            let ServerState {
                server,
                status,
                backend,
                ..
            } = server;
            format!("{name}: {server} is {status} in {backend}")
        }));
        self.balancers.push(BalancerState {
            name: name.to_string(),
            servers,
            keepalived: observation.and_then(|own| own.clone().ok()),
        });
    }
}

/// A line for keepalived and one for each server; the formatter's width is that of the column of names.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = f.width().unwrap_or(0);
        for BalancerState {
            name,
            servers,
            keepalived,
        } in &self.balancers
        {
            if let Some(Keepalived {
                state,
                holds_address,
                ..
            }) = keepalived
            {
                let has = ["", ", has the virtual address"][usize::from(*holds_address)];
                writeln!(f, "  keepalived  {name:wide$} {state}{has}")?;
            }
            for server in servers {
                writeln!(
                    f,
                    "  balancer    {name:wide$} {:8} {} of {}",
                    server.status, server.server, server.backend
                )?;
            }
        }
        Ok(())
    }
}
