//! Carries out `apply` and `destroy`, phase by phase: the file to read first.

mod local_files;
mod work;

use std::collections::{BTreeMap, BTreeSet};

use kubitect_config::value::Version;
use kubitect_kubespray::Tools;
use kubitect_provision::apply::{Inputs, apply as provision};
use kubitect_provision::host_lock::HostLocks;
use kubitect_provision::hypervisor::Hosts;
use kubitect_provision::plan::Plan as Machines;
use kubitect_provision::{Cancel, gather, hosts};
use tokio::task::JoinSet;

use crate::event::Event;
use crate::failure::Failure;
use crate::job::{Job, Options};
use crate::personal as kubeconfig;
use crate::plan::Plan;
use kubitect_provision::blocking::blocking;
use local_files::{note_recovered, update_local_files};
use work::Work;

/// Carries out a plan. With an empty plan it only brings the files on this machine up to date.
pub async fn apply(job: &Job, plan: &Plan, locks: &HostLocks) -> Result<(), Failure> {
    let Options { cancel, .. } = &job.options;
    job.dir.create()?;
    job.dir.begin(&job.text)?;
    let work = async {
        if !plan.is_empty() {
            change(job, plan, locks).await?;
            fail::fail_point!("cli::phase");
        }
        update_local_files(job, plan).await
    };
    until_cancelled(cancel, work).await?;
    job.dir.end(&job.text, &job.cluster.kubernetes.hop())?;
    let site = &job.options.site;
    let forgotten = hosts::forget_left_out(&job.dir, site, &job.cluster, &job.hosts);
    Ok(forgotten?)
}

/// Carries out a plan of removal.
pub async fn destroy(plan: &Machines, hosts: &Hosts, options: &Options) -> Result<(), Failure> {
    let work = async {
        let tell = |event| options.events.machines(event);
        let inputs = Inputs::default();
        tokio::task::block_in_place(|| {
            provision(plan, hosts, &inputs, options.cancel.flag(), &tell)
        })
        .map_err(|e| Failure::because(format!("remove {}", plan.cluster), e))
    };
    until_cancelled(&options.cancel, work).await
}

/// Runs `work` until it ends or is cancelled. Work that waits is dropped at once; work that blocks ends between two of its steps.
pub async fn until_cancelled<T>(
    cancel: &Cancel,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let result = tokio::select! {
        result = work => result,
        () = cancel.cancelled() => Err(Failure::Interrupted),
    };
    match result {
        Err(_) if cancel.is_cancelled() => Err(Failure::Interrupted),
        other => other,
    }
}

/// Changes the observed cluster into the wanted one: all phases of the plan, in their order. It makes no difference whether the
/// cluster is new or left by an interrupted run: the plan was made from what was observed.
async fn change(job: &Job, plan: &Plan, locks: &HostLocks) -> Result<(), Failure> {
    check_mergeable(job, plan)?;
    let (keys, recovered) = blocking(|| job.keys(&plan.machines, &plan.leaving))?;
    if recovered {
        note_recovered(job);
    }
    fail::fail_point!("cli::phase");
    let events = &job.options.events;
    let on_balancers = |event| events.balancers(event);
    let on_kubernetes = |event| events.kubernetes(event);
    let mut work = Work {
        job,
        keys: &keys,
        plan,
        on_balancers: &on_balancers,
        on_kubernetes: &on_kubernetes,
        running: None,
    };
    for (phase, number) in plan.phases.iter().zip(1..) {
        locks.check(&job.cluster.name)?;
        events.send(Event::Phase {
            number,
            total: plan.phases.len(),
            title: phase.to_string(),
            next: plan.phases.get(number).map(ToString::to_string),
        });
        work.carry_out(phase).await?;
        fail::fail_point!("cli::phase");
    }
    Ok(())
}

/// An error if the new cluster's kubeconfig can't be merged into the person's. The merge is the last step of the run; what can fail
/// there is checked before the first one.
fn check_mergeable(job: &Job, plan: &Plan) -> Result<(), Failure> {
    if !plan.creates() || !job.cluster.kubernetes.merge_kubeconfig {
        return Ok(());
    }
    // Without machines only the addresses that the file fixes are known.
    let fixed = gather::all_fixed(&job.cluster);
    let server = kubitect_kubespray::api_server(&job.cluster, &fixed).ok();
    let path = job.options.home.kubeconfig()?;
    Ok(kubeconfig::check(
        &path,
        &job.cluster.name,
        server.as_deref(),
    )?)
}

/// The checkouts and environments of these Kubespray releases, by their tags.
async fn prepare(job: &Job, tags: &BTreeSet<Version>) -> Result<BTreeMap<Version, Tools>, Failure> {
    let mut tools = BTreeMap::new();
    for tag in tags {
        let mut kubernetes = job.cluster.kubernetes.clone();
        kubernetes.kubespray.version = tag.clone();
        let Options {
            world,
            events,
            home,
            ..
        } = job.options.clone();
        // In a task of its own it goes on while calls to libvirt block this one. Dropping the set ends it.
        let mut task = JoinSet::new();
        task.spawn(async move {
            world
                .prepare(&kubernetes, &home.share(), &|event| {
                    events.kubernetes(event)
                })
                .await
        });
        let failed = |e| Failure::because(format!("prepare Kubespray {tag}"), e);
        while let Some(prepared) = task.join_next().await {
            let prepared =
                prepared.map_err(|e| Failure::because(format!("prepare Kubespray {tag}"), e))?;
            tools.insert(tag.clone(), prepared.map_err(failed)?);
        }
    }
    Ok(tools)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::event::Events;
    use crate::home::Home;
    use kubitect_config::RefusalKind;
    use kubitect_config::cluster::Role;
    use kubitect_kubespray::living::Note;
    use kubitect_provision::host_lock::Holder;

    #[tokio::test]
    async fn a_finished_cluster_without_keys_gives_a_warning_and_one_with_its_kubeconfig_none() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None).unwrap();
        let text = include_str!("../../../tests/tests/cli/cluster.yaml")
            .replace("[DIR]", "/x")
            .replace("{id: 1}", "{id: 1, ip: 10.77.0.21}");
        let parsed = kubitect_config::parse(&text, "x", &kubitect_config::Site::default());
        let mut cluster = parsed.unwrap().cluster;
        // The test must not write into the home of whoever runs it.
        cluster.guest.add_to_known_hosts = false;
        let machines = Machines {
            cluster: cluster.name.clone(),
            changes: Vec::new(),
        };
        let release = cluster.kubernetes.hop();
        let masters = cluster.role(Role::Master).map(|node| node.name.clone());
        let members = masters.collect();
        let noted = cluster.nodes.iter().map(|node| {
            let note = Note::of(&cluster, node, &release, &members, true).unwrap();
            (node.name.clone(), Some(note.text().unwrap()))
        });
        let noted: BTreeMap<_, _> = noted.collect();
        let files = noted
            .iter()
            .map(|(name, note)| (name.clone(), note.clone().unwrap()));
        let digests: BTreeMap<_, _> = files.collect();
        let of = |machines, noted: &BTreeMap<_, _>| {
            Plan::new(&cluster, machines, Vec::new(), noted, &digests, None).unwrap()
        };
        let plan = of(machines, &noted);
        assert!(plan.is_empty());
        // A note of a newer Kubitect, or a broken one, is never taken for a machine on which nothing is set up.
        for (text, part) in [
            ("{\"version\":2}", "version 2"),
            ("?", "no note of Kubitect's"),
        ] {
            let mut noted = noted.clone();
            noted.insert("demo-master-1".parse().unwrap(), Some(text.to_owned()));
            let machines = plan.machines.clone();
            let refused = of(machines, &noted);
            assert!(!refused.creates() && refused.refused().len() == 1);
            let reason = &refused.refused()[0];
            assert_eq!(
                (reason.kind, &*reason.what),
                (RefusalKind::Note, "demo-master-1")
            );
            assert!(reason.why.contains(part), "{reason}");
        }
        let shown = Arc::new(Mutex::new(String::new()));
        let events = Events::new({
            let shown = Arc::clone(&shown);
            move |event| *shown.lock().unwrap() += &format!("{event}\n")
        });
        let options = Options::new(home.clone(), events).unwrap();
        let job = Job::without_hosts(options, cluster, text);
        job.dir.create().unwrap();
        let shown = || shown.lock().unwrap().clone();
        let me = Holder::this(&job.dir);
        let locks = HostLocks::take(&job.cluster.name, &job.hosts, &me, false).unwrap();

        apply(&job, &plan, &locks).await.unwrap();
        assert!(
            shown().contains("warning: the machines' keys in "),
            "{}",
            shown()
        );
        assert!(!job.dir.ssh().exists(), "no machine would know another key");
        assert!(job.dir.applied().exists());

        std::fs::write(job.dir.kubeconfig(), "kind: Config").unwrap();
        let before = shown();
        apply(&job, &plan, &locks).await.unwrap();
        assert_eq!(shown(), before);
    }
}
