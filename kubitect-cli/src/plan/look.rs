//! What a plan is made from is looked up: the hosts, and the person's own files. Changes nothing.

use kubitect_config::Cluster;
use kubitect_provision::observe::{self, Observed};
use kubitect_provision::preflight::{self, Finding};
use kubitect_provision::{gather, ssh};

use super::{Personal, Plan};
use crate::failure::Failure;
use crate::job::Job;
use crate::personal;
use crate::phase::Phase;

impl Plan {
    /// What is to be done, where this was applied last. Reads libvirt only.
    pub fn look(job: &Job, applied: Option<&Cluster>) -> Result<Self, Failure> {
        Self::of(
            job,
            applied,
            &observe::look(&job.cluster, &job.hosts).map_err(failed(job))?,
        )
    }

    /// The same, by what was seen of the hosts.
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
        let plan = plan.with(&edits.unwrap_or_default());
        Ok(plan.and_for(personal(job, applied)?))
    }

    /// What stands in the way of the plan on the hosts and on this machine, or may: errors first. Looks only.
    pub fn check_hosts(&self, job: &Job) -> Result<Vec<Finding>, Failure> {
        let us = job.options.home.us();
        let found = preflight::check_for(&job.cluster, &job.hosts, &self.machines, us);
        let mut found = found.map_err(|e| Failure::because("check the hosts", e))?;
        let mut phases = self.phases.iter();
        if phases.any(|phase| matches!(phase, Phase::Kubernetes(_))) {
            found.extend(check_here(job)?);
        }
        found.sort_by_key(|finding| finding.severity);
        Ok(found)
    }
}

/// What this machine lacks to set up Kubernetes.
fn check_here(job: &Job) -> Result<Vec<Finding>, Failure> {
    let failed = |e| Failure::because("check this machine", e);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let share = job.options.home.share();
    // On a thread of its own, on which the runtime ends, too: who asks for a plan may be on a runtime.
    let look = move || runtime.block_on(job.options.world.check(&job.cluster.kubernetes, &share));
    let checks = std::thread::scope(|scope| scope.spawn(look).join());
    let checks = checks.map_err(|_| Failure::failed("check this machine: it was given up"))?;
    let wrong = checks.into_iter().filter(|check| !check.good);
    wrong.map(|check| Ok(preflight::here(&check)?)).collect()
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
