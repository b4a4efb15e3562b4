//! [`Status`]: what each balancer of a cluster says of its servers.

use std::fmt;

use kubitect_config::chain;
use kubitect_config::cluster::Node;
use kubitect_config::remote::Machines;
use kubitect_config::waiting::side_by_side;
use serde::Serialize;

use crate::state::{ServerState, amiss, servers};

/// How the balancers are. As JSON it is a list of them.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Status {
    /// The balancers, with the servers behind them.
    pub balancers: Vec<BalancerState>,
    /// All that is not as it should be, one for each; causes may have several lines.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// A balancer, and what it says of its servers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BalancerState {
    name: String,
    servers: Vec<ServerState>,
}

/// Asks these balancers, which run: all at the same time. What can't be asked is a problem.
pub async fn status(nodes: &[&Node], machines: &dyn Machines) -> Status {
    let mut status = Status::default();
    let asked = nodes.iter().map(|node| async move {
        let machine = machines.connect(&node.name).await;
        let machine = machine.map_err(|e| chain(e.as_ref()))?;
        let servers = servers(&node.name, &machine).await;
        servers.map_err(|e| chain(&e))
    });
    for (node, servers) in nodes.iter().zip(side_by_side(asked).await) {
        let name = &node.name;
        match servers {
            Ok(servers) => {
                status.problems.extend(amiss(&servers).map(|server| {
                    format!(
                        "{name}: {} is {} in {}",
                        server.server, server.status, server.backend
                    )
                }));
                status.balancers.push(BalancerState {
                    name: name.to_string(),
                    servers,
                });
            }
            Err(why) => status.problems.push(format!("{name}: {why}")),
        }
    }
    status
}

/// A line for each server; the width is that of the column of names.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = f.width().unwrap_or(0);
        for BalancerState { name, servers } in &self.balancers {
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
