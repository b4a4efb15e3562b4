//! [`Status`]: how a cluster is, as libvirt, its balancers and its masters report it.

use std::fmt;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::{Cluster, Facts, chain, text};
use kubitect_provision::fleet::Logins;
use kubitect_provision::gather::{self, Leaving};
use kubitect_provision::observe;
use kubitect_provision::ssh::Keys;
use kubitect_provision::status::{machines_of, problems_of};
use serde::Serialize;

use crate::failure::Failure;
use crate::home::ClusterDir;
use crate::job::Job;
use crate::plan::Plan;
use kubitect_provision::blocking::blocking;

pub use kubitect_provision::active_run::ActiveRun;
pub use kubitect_provision::status::{Machine, State};

/// How a cluster is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Status {
    /// The cluster.
    pub cluster: String,
    /// Whether its creation, or a run that was to change it, has not ended.
    pub unfinished: bool,
    /// Whether it was ever applied to the end.
    #[serde(skip)]
    pub applied: bool,
    /// The run that works on it now, if there is one.
    pub run: Option<ActiveRun>,
    /// Whether all its machines exist and are off.
    pub stopped: bool,
    /// The problems, a sentence each.
    pub problems: Vec<String>,
    /// The problems that are hosts which can't be reached.
    #[serde(skip)]
    pub unreached_hosts: Vec<String>,
    /// The wanted machines.
    pub machines: Vec<Machine>,
    /// The balancers, with the servers behind them.
    pub balancers: kubitect_lb::Status,
    /// What the masters report.
    #[serde(flatten)]
    pub kubernetes: kubitect_kubespray::Status,
    /// What `apply` would do, a line each.
    pub drift: Vec<String>,
}

/// How a cluster is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing is wrong with it.
    Healthy,
    /// Its API serves, and something is wrong.
    Degraded,
    /// No master's API serves.
    Unreachable,
    /// It has never been made to the end, and no master's API serves.
    Unfinished,
    /// All its machines exist and are off.
    Stopped,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unreachable => "unreachable",
            Self::Unfinished => "unfinished",
            Self::Stopped => "stopped",
        })
    }
}

/// Observes a cluster; `applied` was applied last. A host or machine that can't be asked is a problem; the others are asked all the
/// same.
pub async fn observe(job: &Job, applied: Option<&Cluster>) -> Result<Status, Failure> {
    let observed = blocking(|| observe::observe_reachable(&job.cluster, &job.hosts));
    let machines = machines_of(&job.cluster, &observed);
    let mut status = Status {
        cluster: job.cluster.name.to_string(),
        unfinished: false,
        applied: applied.is_some(),
        run: ActiveRun::on(&job.fleet),
        stopped: machines.iter().all(|machine| machine.state == State::Off),
        problems: [observed.problems(), problems_of(&machines)].concat(),
        unreached_hosts: observed.problems(),
        machines,
        balancers: kubitect_lb::Status::default(),
        kubernetes: kubitect_kubespray::Status::default(),
        drift: Vec::new(),
    };
    // With a host that can't be reached there is no plan: it would create again what that host carries.
    let all_reached = status.unreached_hosts.is_empty();
    let planned = all_reached.then(|| blocking(|| Plan::of(job, applied, &observed)));
    let only_starts = status.add_drift(planned.transpose());
    if status.stopped {
        return Ok(status.into_stopped(only_starts));
    }
    let leaving = gather::leaving(&job.cluster, &observed);
    match blocking(|| job.access(&leaving)) {
        Ok(Some((keys, facts))) => status.ask(job, &leaving, facts, &keys).await,
        Ok(None) => status.problems.push(format!(
            "the key that opens the machines is not in {}, so that none can be asked; `kubitect apply` with the cluster's file \
             brings it back",
            job.dir.ssh().display()
        )),
        Err(error) => status.problems.push(text::sentence(&chain(&error))),
    }
    Ok(status)
}

impl Status {
    /// How it is, in a word.
    pub fn verdict(&self) -> Verdict {
        match (self.kubernetes.reachable, self.problems.is_empty()) {
            (false, _) if self.stopped => Verdict::Stopped,
            (false, _) if self.unfinished && !self.applied => Verdict::Unfinished,
            (false, _) => Verdict::Unreachable,
            (true, true) => Verdict::Healthy,
            (true, false) => Verdict::Degraded,
        }
    }

    /// For programs: one object.
    pub fn json(&self) -> serde_json::Value {
        let mut object = serde_json::json!(self);
        object["formatVersion"] = serde_json::json!(2);
        object["verdict"] = serde_json::json!(self.verdict());
        object
    }

    /// Adds what `apply` would do, or why that is not known. Returns whether it would only start machines.
    fn add_drift(&mut self, planned: Result<Option<Plan>, Failure>) -> bool {
        match planned {
            Ok(None) => false,
            Ok(Some(plan)) if plan.is_empty() => false,
            Ok(Some(plan)) => {
                self.drift = plan.to_string().lines().map(str::to_owned).collect();
                let differs = "it differs from what is wanted; see what apply would do";
                self.problems.push(differs.to_owned());
                plan.only_starts()
            }
            Err(failure) => {
                self.problems.push(text::sentence(&failure.to_string()));
                false
            }
        }
    }

    /// Asks the balancers and masters whose machines run, side by side; masters that leave, too: perhaps only they serve yet.
    async fn ask(&mut self, job: &Job, leaving: &[Leaving], facts: Facts, keys: &Keys) {
        let broken = keys.broken();
        let broken_keys = broken
            .iter()
            .map(|(name, e)| format!("{name}: {}", chain(e)));
        self.problems.extend(broken_keys);
        let runs = |node: &&Node| {
            let mut machines = self.machines.iter();
            let can_be_asked = !broken.contains_key(&node.name);
            can_be_asked
                && machines.any(|machine| {
                    machine.name == node.name.as_str() && machine.state == State::Running
                })
        };
        let running = |role| -> Vec<_> { job.cluster.role(role).filter(runs).collect() };
        let (balancers, mut masters) = (running(Role::LoadBalancer), running(Role::Master));
        let leaving: Vec<_> = leaving
            .iter()
            .filter(|own| own.answers())
            .map(Leaving::node)
            .collect();
        masters.extend(leaving.iter().filter(|node| node.role == Role::Master));
        let logins = Logins {
            fleet: &job.fleet,
            facts,
            keys,
        };
        (self.balancers, self.kubernetes) = tokio::join!(
            kubitect_lb::status(&job.cluster, &logins.facts, &balancers, &logins),
            kubitect_kubespray::status(&job.cluster, &logins.facts, &masters, &logins)
        );
        let problems = self.balancers.problems.iter();
        let problems = problems.chain(&self.kubernetes.problems);
        self.problems
            .extend(problems.map(|problem| text::sentence(problem)));
    }

    /// Adds, as the first problem, that the last run has not ended, where that is so: the status then compares with a configuration
    /// that was not applied to the end.
    pub fn mark_unfinished(&mut self, dir: &ClusterDir) {
        self.unfinished = dir.is_unfinished();
        if self.unfinished {
            let what = match self.applied {
                true => "the run that was to change it",
                false => "its creation",
            };
            let line = match &self.run {
                Some(run) => run.to_string(),
                None => format!("{what} has not ended; `kubitect apply` with its file goes on"),
            };
            self.problems.insert(0, line);
        }
    }

    /// The status of a cluster whose machines are all off: that is its only problem, because every other one follows from it. Where
    /// `apply` would only start the machines, that is no drift.
    fn into_stopped(mut self, only_starts: bool) -> Self {
        let start = format!("it is stopped; `kubitect start {}` starts it", self.cluster);
        self.problems = vec![start];
        if only_starts {
            self.drift.clear();
        }
        self
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.cluster, self.verdict())?;
        if let Some(run) = self.run.as_ref().filter(|_| !self.unfinished) {
            writeln!(f, "  {run}")?;
        }
        let names = self.machines.iter().map(|machine| machine.name.as_str());
        let names = names.chain(self.kubernetes.names());
        let wide = names.map(str::len).max().unwrap_or(0);
        for machine in &self.machines {
            write!(f, "{machine:wide$}")?;
        }
        write!(f, "{:wide$}{:wide$}", self.balancers, self.kubernetes)?;
        for problem in &self.problems {
            writeln!(f, "! {problem}")?;
        }
        for line in &self.drift {
            writeln!(f, "  | {line}")?;
        }
        Ok(())
    }
}
