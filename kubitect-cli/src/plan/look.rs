//! What a plan is made from is looked up: the hosts, and the person's own files. Changes nothing.

use std::collections::BTreeSet;

use kubitect_config::cluster::Role;
use kubitect_config::{Cluster, Severity};
use kubitect_kubespray::living::{self, Seen, Task, rows};
use kubitect_provision::balloon;
use kubitect_provision::fleet::Logins;
use kubitect_provision::observe::{self, Observed};
use kubitect_provision::preflight::{self, Finding, FindingKind};
use kubitect_provision::{gather, ssh};

use super::{Personal, Plan};
use crate::failure::Failure;
use crate::job::Job;
use crate::personal;
use crate::phase::Phase;

impl Plan {
    /// What is to be done, where this was applied last, and what stands in its way. libvirt is read once.
    pub fn look(job: &Job, applied: Option<&Cluster>) -> Result<Self, Failure> {
        let observed = observe::look(&job.cluster, &job.hosts).map_err(failed(job))?;
        let mut plan = Self::of(job, applied, &observed)?;
        // Of a plan that is refused, nothing would be carried out.
        if plan.refused.is_empty() && !plan.is_empty() {
            plan.findings = plan.check_hosts(job, &observed)?;
        }
        Ok(plan)
    }

    /// What is to be done, by what was seen of the hosts, which are all.
    pub(crate) fn of(
        job: &Job,
        applied: Option<&Cluster>,
        observed: &Observed,
    ) -> Result<Self, Failure> {
        let cluster = &job.cluster;
        let machines = kubitect_provision::plan_of(cluster, observed).map_err(failed(job))?;
        let noted = observed.notes(&cluster.name);
        let leaving = gather::leaving(cluster, observed);
        let known = gather::so_far(cluster, observed)
            .map_err(|e| Failure::because("look up the machines' addresses", e))?;
        let files = kubitect_lb::notes_so_far(cluster, &known)
            .map_err(|e| Failure::because("describe the balancers", e))?;
        let plan = Self::new(cluster, machines, leaving, &noted, &files, applied)?;
        let edits = applied.map(|applied| job.edits(applied));
        let mut plan = plan.with(&edits.unwrap_or_default());
        plan.notes.extend(balloon::remarks(cluster, observed));
        plan.notes.extend_from_slice(&job.kept);
        if let Some(begun) = job.begun(&job.text)? {
            plan.go_on(cluster, &begun, applied, noted.keys());
        }
        // What is refused anyway goes nowhere.
        if plan.refused.is_empty() {
            plan.refused = rows::stops(&job.text, &job.options.site, plan.tasks(), cluster);
        }
        Ok(plan.and_for(personal(job, applied)?))
    }

    /// What stands in the way of the plan on the hosts and on this machine, or may: errors first. Looks only.
    fn check_hosts(&self, job: &Job, observed: &Observed) -> Result<Vec<Finding>, Failure> {
        let us = job.options.home.us();
        let answers = |address| job.options.world.answers(address);
        let mut found = preflight::check_for(&job.cluster, observed, &self.machines, us, &answers);
        let mut phases = self.phases.iter();
        if phases.any(|phase| matches!(phase, Phase::Kubernetes(_))) {
            found.extend(check_here(job, self.tasks())?);
        }
        found.extend(self.foresee(job)?);
        found.sort_by_key(|finding| finding.severity);
        Ok(found)
    }
}

impl Plan {
    /// What is to be expected by what Kubernetes says now: of nodes whose pods are moved elsewhere, and of API versions that an
    /// upgrade takes away.
    fn foresee(&self, job: &Job) -> Result<Vec<Finding>, Failure> {
        let tasks: Vec<_> = self.tasks().collect();
        let restarts = self.restarted_nodes();
        let moved = living::vacated(&job.cluster, tasks.iter().copied(), &restarts);
        if moved.is_empty() && !living::deprecated::concerns(&self.seen, &tasks) {
            return Ok(Vec::new());
        }
        // Without the keys nothing is done to these nodes either, which is said where it comes to that.
        let Ok(Some((keys, facts))) = job.reach() else {
            return Ok(Vec::new());
        };
        let logins = Logins {
            fleet: &job.fleet,
            facts,
            keys: &keys,
        };
        let is_set_up = |seen: &&Seen| seen.node.role == Role::Master && seen.finished().is_some();
        let masters = self.seen.iter().filter(is_set_up);
        let masters: Vec<_> = masters.map(|seen| &seen.node.name).collect();
        let (found, gone) = alone("ask Kubernetes", || async {
            tokio::join!(
                living::foresee(&moved, &masters, &logins),
                living::deprecated::in_use(&logins, &self.seen, &tasks)
            )
        })?;
        let finding = |one: living::Foreseen| {
            let node = self.seen.iter().find(|seen| seen.node.name == one.node)?;
            let (kind, host) = (FindingKind::Pods, &node.node.host);
            let finding = Finding::new(kind, Severity::Warning, host, one.message, one.help);
            Some(finding.of(one.node))
        };
        let first = job.cluster.role(Role::Master).next().into_iter().cycle();
        let gone = gone.iter().zip(first);
        let gone = gone.map(|(check, node)| preflight::of_cluster(check, &node.host));
        Ok(found.into_iter().filter_map(finding).chain(gone).collect())
    }
}

/// Waits for this on a thread of its own, on which its runtime ends, too: who asks for a plan may be on a runtime.
fn alone<T: Send, F: Future<Output = T>>(
    what: &str,
    work: impl FnOnce() -> F + Send,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::because(what, e))?;
    let done = std::thread::scope(|scope| scope.spawn(move || runtime.block_on(work())).join());
    done.map_err(|_| Failure::failed(format!("{what}: it was given up")))
}

/// What this machine lacks to set up Kubernetes.
fn check_here<'a>(
    job: &Job,
    tasks: impl Iterator<Item = &'a Task>,
) -> Result<Vec<Finding>, Failure> {
    let share = job.options.home.share();
    // Each release that is used on the way runs on Pythons of its own.
    let releases: BTreeSet<_> = tasks.map(|task| &task.at.kubespray).collect();
    let wrong = alone("check this machine", || async {
        let mut found = Vec::new();
        for release in releases {
            let mut kubernetes = job.cluster.kubernetes.clone();
            kubernetes.kubespray.version = release.clone();
            for check in job.options.world.check(&kubernetes, &share).await {
                if !check.good && !found.contains(&check) {
                    found.push(check);
                }
            }
        }
        found
    })?;
    wrong
        .iter()
        .map(|check| Ok(preflight::here(check)?))
        .collect()
}

fn failed(job: &Job) -> impl FnOnce(kubitect_provision::Error) -> Failure {
    move |e| Failure::because(format!("plan {}", job.cluster.name), e)
}

/// What becomes of the person's own files, where this was `applied` last. Looks only.
fn personal(job: &Job, applied: Option<&Cluster>) -> Result<Personal, Failure> {
    let (cluster, conf) = (&job.cluster, job.dir.kubeconfig());
    let name = &cluster.name;
    let mut found = Personal::default();
    let was = |switch: fn(&Cluster) -> bool| applied.is_some_and(switch);
    let home = &job.options.home;
    let kubeconfig = home.kubeconfig();
    if cluster.kubernetes.merge_kubeconfig {
        let ours = personal::read_if_there(&conf)?.zip(kubeconfig.ok());
        let changes = ours.filter(|(ours, path)| personal::merge_changes(path, name, ours));
        found.merges = changes.map(|(_, path)| path);
    } else if was(|applied| applied.kubernetes.merge_kubeconfig) {
        found.unmerges = kubeconfig
            .ok()
            .filter(|path| personal::has(path, name, &conf));
    }
    let known = home.known_hosts();
    if cluster.guest.add_to_known_hosts {
        if let Some((_, facts)) = job.reach()? {
            found.adds = job.lacking_known_hosts(&facts)?;
        }
    } else if was(|applied| applied.guest.add_to_known_hosts) {
        found.forgets = known.ok().filter(|path| ssh::known_hosts::has(path, name));
    }
    Ok(found)
}
