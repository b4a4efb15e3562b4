//! [`Plan`]: all that a run will do, from disks to Kubernetes, as a person sees it and as programs do.

use std::fmt;

use kubitect_config::Cluster;
use kubitect_config::cluster::Role;
use kubitect_config::value::Label;
use kubitect_provision::change::Disruption;
use kubitect_provision::plan::Plan as Machines;
use serde::Serialize;
use serde_json::json;

use crate::services::Services;

/// All that a run will do, in order: machines first, then what is set up on them.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Networks, disks, machines.
    pub machines: Machines,
    /// Balancers and Kubernetes.
    pub services: Services,
    rows: Vec<Row>,
}

/// A step on a service, in the form of the machines' steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    action: &'static str,
    kind: &'static str,
    name: String,
    host: Label,
    disruption: Disruption,
    details: String,
}

impl Plan {
    /// Both plans as one.
    pub fn new(cluster: &Cluster, machines: Machines, services: Services) -> Self {
        let host = |node: &Label| {
            let node = cluster.nodes.iter().find(|other| other.name == *node);
            node.map(|node| node.host.clone())
        };
        let balancers = services.balancers.iter().filter_map(|(node, serves)| {
            Some(Row {
                action: if *serves { "update" } else { "create" },
                kind: "balancer",
                name: node.to_string(),
                host: host(node)?,
                disruption: if *serves {
                    Disruption::Reload
                } else {
                    Disruption::None
                },
                details: match cluster.role(Role::Master).count() {
                    1 => "port 6443 to 1 master".to_owned(),
                    masters => format!("port 6443 to {masters} masters"),
                },
            })
        });
        let nodes = services.kubernetes.iter().filter_map(|node| {
            Some(Row {
                action: "create",
                kind: "node",
                name: node.to_string(),
                host: host(node)?,
                disruption: Disruption::None,
                details: format!(
                    "Kubernetes {} by Kubespray {}",
                    cluster.kubernetes.version, cluster.kubernetes.kubespray.version
                ),
            })
        });
        let refused = services.refused.iter().filter_map(|(node, why)| {
            Some(Row {
                action: "update",
                kind: "node",
                name: node.to_string(),
                host: host(node)?,
                disruption: Disruption::None,
                details: format!("NOT POSSIBLE YET {why}"),
            })
        });
        let rows = balancers.chain(nodes).chain(refused).collect();
        Self {
            machines,
            services,
            rows,
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.rows.is_empty()
    }

    /// What can't be done, each with its reason; then nothing is.
    pub fn refused(&self) -> Vec<String> {
        let machines = self
            .machines
            .refused()
            .map(|change| format!("{}: {}", change.title(), change.details));
        machines
            .chain(
                self.services
                    .refused
                    .iter()
                    .map(|(node, why)| format!("{node}: {why}")),
            )
            .collect()
    }

    /// For programs: one object.
    pub fn json(&self) -> serde_json::Value {
        let machines = self.machines.changes.iter().map(|change| json!(change));
        let services = self.rows.iter().map(|row| json!(row));
        json!({
            "cluster": self.machines.cluster,
            "changes": machines.chain(services).collect::<Vec<_>>(),
        })
    }
}

/// What a person approves.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "{}: no change", self.machines.cluster);
        }
        if !self.machines.is_empty() {
            write!(f, "{}", self.machines)?;
        }
        let widest = self
            .rows
            .iter()
            .map(|row| row.name.len())
            .max()
            .unwrap_or(0);
        for row in &self.rows {
            let remark = match row.disruption {
                Disruption::None => String::new(),
                disruption => format!("[{disruption}] "),
            };
            writeln!(
                f,
                "  {:7} {:8} {:widest$}  on {}  {remark}{}",
                row.action, row.kind, row.name, row.host, row.details
            )?;
        }
        let to_do = self.services.balancers.len() + self.services.kubernetes.len();
        if to_do > 0 {
            let cluster = &self.machines.cluster;
            writeln!(f, "{cluster}: {to_do} services to set up")?;
        }
        Ok(())
    }
}
