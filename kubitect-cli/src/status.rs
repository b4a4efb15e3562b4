//! [`Status`]: how a cluster is, seen from libvirt, from its balancers, and from its masters.

use std::fmt;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::{Cluster, Facts, chain, text};
use kubitect_provision::fleet::Logins;
use kubitect_provision::observe;
use kubitect_provision::ssh::Keys;
use kubitect_provision::status::{machines_of, problems_of};
use serde::Serialize;

use crate::failure::Failure;
use crate::home::ClusterDir;
use crate::job::Job;
use crate::plan::Plan;
use kubitect_provision::blocking::blocking;

pub use kubitect_provision::at_work::AtWork;
pub use kubitect_provision::status::{Machine, State};

/// How a cluster is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Status {
    /// The cluster.
    pub cluster: String,
    /// Whether it has yet to be made, or a run that was to change it has not ended.
    pub unfinished: bool,
    /// Whether it was ever applied to the end.
    #[serde(skip)]
    pub applied: bool,
    /// The run that is at work on it, if one is.
    pub run: Option<AtWork>,
    /// Whether all its machines are there and off.
    pub stopped: bool,
    /// All that is not as it should be, a sentence each.
    pub problems: Vec<String>,
    /// Those of them that are hosts which can't be reached.
    #[serde(skip)]
    pub away: Vec<String>,
    /// The machines that are wanted.
    pub machines: Vec<Machine>,
    /// The balancers, with the servers behind them.
    pub balancers: kubitect_lb::Status,
    /// What the masters say.
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
    /// All its machines are there and off.
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

/// Looks at a cluster, where this was `applied` last. What can't be asked is a problem, and the rest is asked all the same.
pub async fn look(job: &Job, applied: Option<&Cluster>) -> Result<Status, Failure> {
    let observed = blocking(|| observe::look_around(&job.cluster, &job.hosts));
    let machines = machines_of(&job.cluster, &observed);
    let mut status = Status {
        cluster: job.cluster.name.to_string(),
        unfinished: false,
        applied: applied.is_some(),
        run: AtWork::on(&job.fleet),
        stopped: machines.iter().all(|own| own.state == State::Off),
        problems: [observed.problems(), problems_of(&machines)].concat(),
        away: observed.problems(),
        machines,
        balancers: kubitect_lb::Status::default(),
        kubernetes: kubitect_kubespray::Status::default(),
        drift: Vec::new(),
    };
    // What is on a host that can't be seen is not known: no plan would be true.
    let planned = status.away.is_empty();
    let planned = planned.then(|| blocking(|| Plan::of(job, applied, &observed)));
    let only_starts = status.differs(planned.transpose());
    if status.stopped {
        return Ok(status.off(only_starts));
    }
    match blocking(|| job.reach()) {
        Ok(Some((keys, facts))) => status.ask(job, facts, &keys).await,
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

    /// Says what `apply` would do, or why that is not known: whether it only starts machines.
    fn differs(&mut self, planned: Result<Option<Plan>, Failure>) -> bool {
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

    /// Asks the balancers and the masters that run, side by side.
    async fn ask(&mut self, job: &Job, facts: Facts, keys: &Keys) {
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
        let (balancers, masters) = (running(Role::LoadBalancer), running(Role::Master));
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

    /// Says first whether a run has not ended: what is wanted, which is what is looked at by, was not applied.
    pub fn compare(&mut self, dir: &ClusterDir) {
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

    /// It is off: what its machines would be asked is not asked, and what follows from it is no problem of its own.
    fn off(mut self, as_wanted: bool) -> Self {
        let start = format!("it is stopped; `kubitect start {}` starts it", self.cluster);
        self.problems = vec![start];
        if as_wanted {
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
