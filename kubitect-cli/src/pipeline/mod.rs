//! The phases of `apply` and `destroy` in order: the page to read first.

mod hand_over;
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
use hand_over::{hand_over, note_recovered};
use kubitect_provision::blocking::blocking;
use work::Work;

/// Carries out a plan. With an empty one it only brings this machine's files up to date.
pub async fn apply(job: &Job, plan: &Plan, locks: &HostLocks) -> Result<(), Failure> {
    let Options { cancel, .. } = &job.options;
    job.dir.create()?;
    job.dir.begin(&job.text)?;
    let work = async {
        if !plan.is_empty() {
            change(job, plan, locks).await?;
            fail::fail_point!("cli::phase");
        }
        hand_over(job, plan).await
    };
    until_cancelled(cancel, work).await?;
    job.dir.end(&job.text, &job.cluster.kubernetes.hop())?;
    let site = &job.options.site;
    let forgotten = hosts::forget_left(&job.dir, site, &job.cluster, &job.hosts);
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

/// Runs `work` until it ends or is to stop. Blocking work ends between two steps; what waits is dropped.
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

/// From what is there, be it nothing or what an interrupted run left, to what is wanted: phase by phase, as the plan has it.
async fn change(job: &Job, plan: &Plan, locks: &HostLocks) -> Result<(), Failure> {
    mergeable(job, plan)?;
    let (keys, recovered) = blocking(|| job.keys(&plan.machines, &plan.leaving))?;
    if recovered {
        note_recovered(job);
    }
    fail::fail_point!("cli::phase");
    let events = &job.options.events;
    let of_balancers = |event| events.balancers(event);
    let of_kubernetes = |event| events.kubernetes(event);
    let mut work = Work {
        job,
        keys: &keys,
        plan,
        of_balancers: &of_balancers,
        of_kubernetes: &of_kubernetes,
        made: None,
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

/// An error if it is clear by now that the cluster's kubeconfig, which comes last, can't be merged into the person's.
fn mergeable(job: &Job, plan: &Plan) -> Result<(), Failure> {
    if !plan.creates() || !job.cluster.kubernetes.merge_kubeconfig {
        return Ok(());
    }
    // An address that is not fixed is not known yet.
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
        // A task of its own goes on while libvirt, which blocks, is worked with; it ends with this one.
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
    async fn a_finished_cluster_without_keys_is_told_of_and_one_with_its_kubeconfig_left_in_peace()
    {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None).unwrap();
        let text = include_str!("../../../tests/tests/cli/cluster.yaml")
            .replace("[DIR]", "/x")
            .replace("{id: 1}", "{id: 1, ip: 10.77.0.21}");
        let parsed = kubitect_config::parse(&text, "x", &kubitect_config::Site::default());
        let mut cluster = parsed.unwrap().cluster;
        // The test writes into nobody's home.
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
        let told = Arc::new(Mutex::new(String::new()));
        let events = Events::new({
            let told = Arc::clone(&told);
            move |event| *told.lock().unwrap() += &format!("{event}\n")
        });
        let options = Options::new(home.clone(), events).unwrap();
        let job = Job::without_hosts(options, cluster, text);
        job.dir.create().unwrap();
        let told = || told.lock().unwrap().clone();
        let me = Holder::this(&job.dir);
        let locks = HostLocks::take(&job.cluster.name, &job.hosts, &me, false).unwrap();

        apply(&job, &plan, &locks).await.unwrap();
        assert!(
            told().contains("warning: the machines' keys in "),
            "{}",
            told()
        );
        assert!(!job.dir.ssh().exists(), "no machine would know another key");
        assert!(job.dir.applied().exists());

        std::fs::write(job.dir.kubeconfig(), "kind: Config").unwrap();
        let before = told();
        apply(&job, &plan, &locks).await.unwrap();
        assert_eq!(told(), before);
    }
}
