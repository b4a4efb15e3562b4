//! Makes a plan from what it observes: the hosts, Kubernetes, and the person's own files. Changes nothing.

use std::collections::BTreeSet;

use kubitect_config::cluster::Role;
use kubitect_config::{Cluster, Severity};
use kubitect_kubespray::living::{self, Task, rows};
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
    /// The plan of a cluster, with what the hosts lack for it; `applied` was applied last. libvirt is read once, so that both see
    /// the same state.
    pub fn look(job: &Job, applied: Option<&Cluster>) -> Result<Self, Failure> {
        let observed =
            observe::observe_with_addresses(&job.cluster, &job.hosts).map_err(failed(job))?;
        let mut plan = Self::of(job, applied, &observed)?;
        // A plan that is refused is not carried out: nothing is checked for it.
        if plan.refused.is_empty() && !plan.is_empty() {
            plan.findings = plan.check_hosts(job, &observed)?;
        }
        Ok(plan)
    }

    /// The plan of a cluster from the observed state of its hosts. All of them have to be observed: a machine on a host that was
    /// not would be planned again.
    pub(crate) fn of(
        job: &Job,
        applied: Option<&Cluster>,
        observed: &Observed,
    ) -> Result<Self, Failure> {
        let cluster = &job.cluster;
        let machines = kubitect_provision::plan_of(cluster, observed).map_err(failed(job))?;
        let noted = observed.notes(&cluster.name);
        let leaving = gather::leaving(cluster, observed);
        let known = gather::observed_facts(cluster, observed)
            .map_err(|e| Failure::because("look up the machines' addresses", e))?;
        let files = kubitect_lb::notes_so_far(cluster, &known)
            .map_err(|e| Failure::because("describe the balancers", e))?;
        let plan = Self::new(cluster, machines, leaving, &noted, &files, applied)?;
        let edits = applied.map(|applied| job.edits(applied));
        let mut plan = plan.with(&edits.unwrap_or_default());
        plan.notes.extend(balloon::remarks(cluster, observed));
        plan.notes.extend_from_slice(&job.version_notes);
        if let Some(begun) = job.unfinished(&job.text)? {
            plan.check_unfinished(cluster, &begun, applied, noted.keys());
        }
        // One refusal is enough: where the plan is refused already, the way of releases is not checked.
        if plan.refused.is_empty() {
            plan.refused = rows::hop_refusals(&job.text, &job.options.site, plan.tasks(), cluster);
        }
        Ok(plan.with_personal(personal(job, applied)?))
    }

    /// What the hosts and this machine lack for the plan, or may lack: errors first. Reads only.
    fn check_hosts(&self, job: &Job, observed: &Observed) -> Result<Vec<Finding>, Failure> {
        let (cluster, users) = (&job.cluster, job.options.home.trusted_users());
        let answers = |address| job.options.world.answers(address);
        let mut found = preflight::check_for(cluster, observed, &self.machines, users, &answers);
        let mut phases = self.phases.iter();
        if phases.any(|phase| matches!(phase, Phase::Kubernetes(_))) {
            found.extend(check_here(job, self.tasks())?);
        }
        found.extend(self.forecast(job)?);
        found.sort_by_key(|finding| finding.severity);
        Ok(found)
    }
}

impl Plan {
    /// Warnings from the state of Kubernetes: pods that a drain can't move elsewhere, and API versions that are in use and that the
    /// upgrade removes.
    fn forecast(&self, job: &Job) -> Result<Vec<Finding>, Failure> {
        let tasks: Vec<_> = self.tasks().collect();
        let restarts = self.restarted_nodes();
        let moved = living::vacated(&job.cluster, tasks.iter().copied(), &restarts);
        if moved.is_empty() && !living::deprecated::concerns(&self.nodes, &tasks) {
            return Ok(Vec::new());
        }
        // Without the keys the plan can't be carried out either; the run itself reports that.
        // Also on masters that leave: perhaps all do.
        let Ok(Some((keys, facts))) = job.access(&self.leaving) else {
            return Ok(Vec::new());
        };
        let logins = Logins {
            fleet: &job.fleet,
            facts,
            keys: &keys,
        };
        let joined = self.nodes.iter().filter(|own| own.finished().is_some());
        let masters = joined.filter(|own| own.node.role == Role::Master);
        let masters: Vec<_> = masters.map(|own| &own.node.name).collect();
        let (pods, removed_apis) = on_own_thread("ask Kubernetes", || async {
            tokio::join!(
                living::forecast(&moved, &masters, &logins),
                living::deprecated::in_use(&logins, &self.nodes, &tasks)
            )
        })?;
        let finding = |pods: living::Forecast| {
            let own = self.nodes.iter().find(|own| own.node.name == pods.node)?;
            let (kind, host) = (FindingKind::Pods, &own.node.host);
            let finding = Finding::new(kind, Severity::Warning, host, pods.message, pods.help);
            Some(finding.of(pods.node))
        };
        let first = job.cluster.role(Role::Master).next().into_iter().cycle();
        let apis = removed_apis.iter().zip(first);
        let apis = apis.map(|(check, node)| preflight::of_cluster(check, &node.host));
        Ok(pods.into_iter().filter_map(finding).chain(apis).collect())
    }
}

/// Runs `work` on a runtime in a thread of its own: the caller's thread may be one of a runtime, which must not block.
fn on_own_thread<T: Send, F: Future<Output = T>>(
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
    // Each Kubespray release on the way needs Python versions of its own.
    let releases: BTreeSet<_> = tasks.map(|task| &task.release.kubespray).collect();
    let failed = on_own_thread("check this machine", || async {
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
    failed
        .iter()
        .map(|check| Ok(preflight::of_this_machine(check)?))
        .collect()
}

fn failed(job: &Job) -> impl FnOnce(kubitect_provision::Error) -> Failure {
    move |e| Failure::because(format!("plan {}", job.cluster.name), e)
}

/// The changes of the person's own files, from the `applied` cluster to the wanted one. Reads only.
fn personal(job: &Job, applied: Option<&Cluster>) -> Result<Personal, Failure> {
    let (cluster, conf) = (&job.cluster, job.dir.kubeconfig());
    let name = &cluster.name;
    let mut found = Personal::default();
    let was_on = |switch: fn(&Cluster) -> bool| applied.is_some_and(switch);
    let home = &job.options.home;
    let kubeconfig = home.kubeconfig();
    if cluster.kubernetes.merge_kubeconfig {
        let ours = personal::read_optional(&conf)?.zip(kubeconfig.ok());
        let changes = ours.filter(|(ours, path)| personal::merge_would_change(path, name, ours));
        found.merges = changes.map(|(_, path)| path);
    } else if was_on(|applied| applied.kubernetes.merge_kubeconfig) {
        found.unmerges = kubeconfig
            .ok()
            .filter(|path| personal::contains(path, name, &conf));
    }
    let file = home.known_hosts();
    if cluster.guest.add_to_known_hosts {
        if let Some((_, facts)) = job.access(&[])? {
            found.adds = job.lacking_known_hosts(&facts)?;
        }
    } else if was_on(|applied| applied.guest.add_to_known_hosts) {
        found.forgets = file.ok().filter(|path| ssh::known_hosts::has(path, name));
    }
    Ok(found)
}
