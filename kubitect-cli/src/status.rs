//! [`Status`]: how a cluster is, seen from libvirt, from its balancers, and from its masters.

mod ask;

use std::fmt;
use std::time::Duration;

use kubitect_config::cluster::Role;
use kubitect_config::{Cluster, text};
use kubitect_kubespray::control::{Certificate, EtcdMember, Health, NodeState};
use kubitect_lb::ServerState;
use kubitect_provision::gather;
use kubitect_provision::observe::PowerState;
use serde::Serialize;

use crate::failure::Failure;
use crate::home::ClusterDir;
use crate::job::Job;
use crate::pipeline::reach;

/// Certificates that end sooner than this are told of.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// How a cluster is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The cluster.
    pub cluster: String,
    /// Whether it has yet to be made, or a run that was to change it has not ended.
    pub unfinished: bool,
    /// Whether the API of at least one master serves.
    pub reachable: bool,
    /// All that is not as it should be, a sentence each.
    pub problems: Vec<String>,
    /// The machines that are wanted.
    pub machines: Vec<Machine>,
    /// The balancers, with the servers behind them.
    pub balancers: Vec<BalancerState>,
    /// The API of each master.
    pub api: Vec<Api>,
    /// The members of etcd.
    pub etcd: Vec<EtcdMember>,
    /// What Kubernetes says of its nodes.
    pub nodes: Vec<NodeState>,
    /// The certificate of each master that ends first.
    pub certificates: Vec<MasterCertificate>,
    /// What `apply` would do, a line each.
    pub drift: Vec<String>,
}

/// A machine, as libvirt has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    name: String,
    host: String,
    address: Option<std::net::Ipv4Addr>,
    /// `running`, `off`, `paused`, `crashed` or `missing`.
    state: &'static str,
}

/// A balancer, and what it says of its servers.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BalancerState {
    name: String,
    servers: Vec<ServerState>,
}

/// A master's API server.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    name: String,
    health: Health,
    /// As `v1.23.7`. Nodes tell of their kubelets only.
    version: Option<String>,
}

/// The first certificate of a master to end.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MasterCertificate {
    name: String,
    #[serde(flatten)]
    certificate: Certificate,
}

/// Looks at a cluster, where this was `applied` last. What can't be asked is a problem, and the rest is asked all the same.
pub async fn look(job: &Job, applied: Option<&Cluster>) -> Result<Status, Failure> {
    let plan = job.plan(applied)?;
    let mut status = Status {
        cluster: job.cluster.name.to_string(),
        unfinished: false,
        reachable: false,
        problems: Vec::new(),
        machines: machines(job)?,
        balancers: Vec::new(),
        api: Vec::new(),
        etcd: Vec::new(),
        nodes: Vec::new(),
        certificates: Vec::new(),
        drift: match plan.is_empty() {
            true => Vec::new(),
            false => plan.to_string().lines().map(str::to_owned).collect(),
        },
    };
    for machine in status
        .machines
        .iter()
        .filter(|machine| machine.state != "running")
    {
        status
            .problems
            .push(format!("{} is {}", machine.name, machine.state));
    }
    if !status.drift.is_empty() {
        status
            .problems
            .push("it differs from what is wanted; see what apply would do".to_owned());
    }
    match reach(job)? {
        Some((keys, facts)) => status.ask(job, &facts, &keys).await,
        None => status.problems.push(format!(
            "the machines' keys in {} or their addresses are not known, so that no machine can be asked",
            job.dir.ssh().display()
        )),
    }
    Ok(status)
}

/// The machines that are wanted, each host looked at once.
pub fn machines(job: &Job) -> Result<Vec<Machine>, Failure> {
    let failed = |e| Failure::because(format!("look at the machines of {}", job.cluster.name), e);
    let seen = gather::seen(&job.cluster, &job.hosts).map_err(failed)?;
    let machines = job.cluster.nodes.iter().map(|node| {
        let (power, ip) = seen.get(&node.name).copied().unwrap_or((None, node.ip));
        Machine {
            name: node.name.to_string(),
            host: node.host.to_string(),
            address: ip,
            state: match power {
                Some(PowerState::Running) => "running",
                Some(PowerState::Off) => "off",
                Some(PowerState::Paused) => "paused",
                Some(PowerState::Crashed) => "crashed",
                None => "missing",
            },
        }
    });
    Ok(machines.collect())
}

impl Status {
    /// Says first whether a run has not ended: what is wanted, which is what is looked at by, was not applied.
    pub fn compare(&mut self, dir: &ClusterDir) {
        let (wanted, applied) = (dir.wanted(), dir.applied());
        self.unfinished =
            wanted.exists() && std::fs::read(wanted).ok() != std::fs::read(&applied).ok();
        if self.unfinished {
            let what = match applied.exists() {
                true => "the run that was to change it",
                false => "its creation",
            };
            let line = format!("{what} has not ended; `kubitect apply` with its file goes on");
            self.problems.insert(0, line);
        }
    }

    /// What is amiss in what Kubernetes and etcd have said.
    fn of_kubernetes(&self, job: &Job) -> Vec<String> {
        let mut problems = Vec::new();
        for member in &self.etcd {
            if let Health::Ill(why) = &member.health {
                problems.push(format!(
                    "the etcd member {} does not serve: {why}",
                    member.name
                ));
            }
        }
        for node in &self.nodes {
            match &node.health {
                Health::Ill(why) => {
                    problems.push(format!("node {} is not Ready: {why}", node.name))
                }
                Health::Well if node.cordoned => {
                    problems.push(format!("node {} takes no new pods (cordoned)", node.name));
                }
                Health::Well => {}
            }
            if node.version != job.cluster.kubernetes.version.to_string() {
                problems.push(format!(
                    "node {} runs {}, not {}",
                    node.name, node.version, job.cluster.kubernetes.version
                ));
            }
        }
        if self.reachable {
            let wanted = job
                .cluster
                .nodes
                .iter()
                .filter(|node| node.role != Role::LoadBalancer);
            for node in wanted {
                if !self
                    .nodes
                    .iter()
                    .any(|state| state.name == node.name.as_str())
                {
                    problems.push(format!("node {} has not joined", node.name));
                }
            }
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let soon = now.unwrap_or_default() + SOON;
        for MasterCertificate { name, certificate } in &self.certificates {
            if certificate.ends < i64::try_from(soon.as_secs()).unwrap_or(i64::MAX) {
                problems.push(format!(
                    "{name}: the certificate {} ends on {}",
                    certificate.path, certificate.ends_text
                ));
            }
        }
        problems
    }
}

/// A problem as one line, whatever lines its causes have.
fn sentence(problem: &str) -> String {
    let lines: Vec<_> = problem.lines().map(str::trim).collect();
    text::line(&lines.join(" "))
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let say = |health: &Health| match health {
            Health::Well => "serves".to_owned(),
            Health::Ill(why) => format!("does not serve: {why}"),
        };
        let verdict = match (self.reachable, self.problems.is_empty()) {
            (false, _) if self.unfinished => "unfinished",
            (false, _) => "unreachable",
            (true, true) => "healthy",
            (true, false) => "degraded",
        };
        writeln!(f, "{}: {verdict}", self.cluster)?;
        let wide = self.widest_name();
        for machine in &self.machines {
            let address = machine.address.map(|ip| ip.to_string()).unwrap_or_default();
            let line = format!(
                "  machine     {:wide$} {:8} {address} on {}",
                machine.name, machine.state, machine.host
            );
            writeln!(f, "{line}")?;
        }
        for balancer in &self.balancers {
            for server in &balancer.servers {
                writeln!(
                    f,
                    "  balancer    {:wide$} {:8} {} of {}",
                    balancer.name, server.status, server.server, server.backend
                )?;
            }
        }
        for api in &self.api {
            let version = api.version.as_ref().map(|version| format!("{version} "));
            let version = version.unwrap_or_default();
            let health = say(&api.health);
            writeln!(f, "  API         {:wide$} {version}{health}", api.name)?;
        }
        for member in &self.etcd {
            writeln!(
                f,
                "  etcd        {:wide$} {}",
                member.name,
                say(&member.health)
            )?;
        }
        for node in &self.nodes {
            let health = match &node.health {
                Health::Well => "Ready".to_owned(),
                Health::Ill(why) => format!("not Ready: {why}"),
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
        for problem in &self.problems {
            writeln!(f, "! {problem}")?;
        }
        for line in &self.drift {
            writeln!(f, "  | {line}")?;
        }
        Ok(())
    }
}

impl Status {
    /// How wide the column of names is.
    fn widest_name(&self) -> usize {
        let machines = self.machines.iter().map(|machine| machine.name.len());
        let members = self.etcd.iter().map(|member| member.name.len());
        let nodes = self.nodes.iter().map(|node| node.name.len());
        machines.chain(members).chain(nodes).max().unwrap_or(0)
    }
}
