//! The phases of `apply` and `destroy` in order: the page to read first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Facts};
use kubitect_kubespray::{Tools, Workdir, kubeconfig};
use kubitect_provision::apply::Inputs;
use kubitect_provision::hypervisor::Hosts;
use kubitect_provision::journal::Journal;
use kubitect_provision::plan::Plan as Machines;
use kubitect_provision::ssh::{Keys, Patience, Session, wait};
use kubitect_provision::{cloud_init, gather, image, machine, ssh};

use crate::adapters::Balancer;
use crate::failure::Failure;
use crate::home::{self, write_whole};
use crate::job::Job;
use crate::personal;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::services;

/// For a command on a machine that answers.
const COMMAND: Duration = Duration::from_secs(60);

/// Carries out a plan of creation. With an empty plan it only brings this machine's files up to date.
pub fn apply(job: &Job, plan: &Plan, reporter: &Arc<Reporter>) -> Result<(), Failure> {
    write_whole(&job.dir.wanted(), job.text.as_bytes(), 0o600)?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let work = async {
        if !plan.is_empty() {
            create(job, plan, &cancelled, reporter).await?;
        }
        hand_over(job, reporter).await
    };
    interruptible(&cancelled, work)?;
    write_whole(&job.dir.applied(), job.text.as_bytes(), 0o600)?;
    if !plan.is_empty() {
        reporter.line(format!("{}: done", job.cluster.name));
    }
    Ok(())
}

/// Carries out a plan of removal.
pub fn destroy(plan: &Machines, hosts: &Hosts, reporter: &Reporter) -> Result<(), Failure> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let work = async {
        provision(plan, hosts, Inputs::default(), &cancelled, reporter)
            .map_err(|e| Failure::because(format!("remove {}", plan.cluster), e))
    };
    interruptible(&cancelled, work)
}

/// Runs `work` until it ends or ctrl-C or SIGTERM comes. Blocking work is told to stop between two steps; what waits is
/// dropped.
fn interruptible<T>(
    cancelled: &Arc<AtomicBool>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::because("start", e))?;
    let flag = Arc::clone(cancelled);
    // On a thread of its own, so that it comes through while libvirt is waited for.
    runtime.spawn(async move {
        if asked_to_stop().await {
            flag.store(true, Ordering::Relaxed);
        }
    });
    let result = runtime.block_on(async {
        tokio::select! {
            result = work => result,
            () = raised(cancelled) => Err(Failure::Interrupted),
        }
    });
    match result {
        Err(_) if cancelled.load(Ordering::Relaxed) => Err(Failure::Interrupted),
        other => other,
    }
}

/// Waits for ctrl-C or SIGTERM; false if neither can be waited for.
async fn asked_to_stop() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return tokio::signal::ctrl_c().await.is_ok();
    };
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.is_ok(),
        terminate = terminate.recv() => terminate.is_some(),
    }
}

async fn raised(flag: &AtomicBool) {
    while !flag.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// From nothing, or from what an interrupted run left, to a cluster that answers.
async fn create(
    job: &Job,
    plan: &Plan,
    cancelled: &Arc<AtomicBool>,
    reporter: &Arc<Reporter>,
) -> Result<(), Failure> {
    mergeable(job, plan)?;
    let keys = Keys::ensure(&job.dir.ssh(), &job.cluster, job.private_key()?.as_deref())
        .map_err(|e| Failure::because("make the cluster's keys", e))?;
    // Kubespray and its Python environment are prepared while machines are made and boot.
    let (tools, facts) = tokio::try_join!(
        biased;
        prepare(job, plan, reporter),
        machines(job, plan, &keys, cancelled, reporter),
    )?;
    balance(job, plan, &facts, &keys, reporter).await?;
    if let Some(tools) = tools {
        kubernetes(job, &facts, &tools, &keys, reporter).await?;
    }
    Ok(())
}

/// An error if it is clear by now that the cluster's kubeconfig, which comes last, can't be merged into the person's.
fn mergeable(job: &Job, plan: &Plan) -> Result<(), Failure> {
    if plan.services.kubernetes.is_empty() || !job.cluster.kubernetes.merge_kubeconfig {
        return Ok(());
    }
    // An address that is not fixed is not known yet.
    let mut fixed = Facts {
        user: job.cluster.guest.user.clone(),
        private_key: PathBuf::new(),
        known_hosts: PathBuf::new(),
        nodes: Vec::new(),
    };
    for node in &job.cluster.nodes {
        fixed.nodes.extend(gather::fixed(node));
    }
    let server = kubitect_kubespray::api_server(&job.cluster, &fixed).ok();
    personal::check(&personal::path()?, &job.cluster.name, server.as_deref())
}

/// Kubespray's checkout and environment, if they are needed.
async fn prepare(
    job: &Job,
    plan: &Plan,
    reporter: &Arc<Reporter>,
) -> Result<Option<Tools>, Failure> {
    if plan.services.kubernetes.is_empty() {
        return Ok(None);
    }
    let (kubernetes, share) = (job.cluster.kubernetes.clone(), job.share.clone());
    let reporter = Arc::clone(reporter);
    // A task of its own goes on while libvirt, which blocks, is worked with.
    let task = tokio::spawn(async move {
        kubitect_kubespray::prepare(&kubernetes, &share, &|event| reporter.kubespray(event)).await
    });
    let tools = task
        .await
        .map_err(|e| Failure::because("prepare Kubespray", e))?;
    tools
        .map(Some)
        .map_err(|e| Failure::because("prepare Kubespray", e))
}

/// Makes machines, all at once, and waits until all are ready.
async fn machines(
    job: &Job,
    plan: &Plan,
    keys: &Keys,
    cancelled: &Arc<AtomicBool>,
    reporter: &Reporter,
) -> Result<Facts, Failure> {
    let failed = |e| Failure::because(format!("make the machines of {}", job.cluster.name), e);
    let inputs = inputs(job, &plan.machines, keys, cancelled, reporter)?;
    // If it is known by now that Kubespray can't be had, nothing is made.
    tokio::task::yield_now().await;
    tokio::task::block_in_place(|| {
        provision(&plan.machines, &job.hosts, inputs, cancelled, reporter)
    })
    .map_err(failed)?;

    let facts = gather::gather(&job.cluster, &job.hosts, keys, cancelled, &|event| {
        reporter.provision(event)
    })
    .await
    .map_err(failed)?;
    machine::reserve(&job.cluster, &job.hosts, &facts).map_err(failed)?;
    keys.write_known_hosts(facts.nodes.iter().map(|node| (&node.name, Some(node.ip))))
        .map_err(failed)?;
    let text =
        serde_yaml::to_string(&facts).map_err(|e| Failure::because("write what is known", e))?;
    write_whole(&job.dir.facts(), text.as_bytes(), 0o600)?;

    ready(job, &facts, keys, reporter).await?;
    add_to_known_hosts(job, &facts)?;
    Ok(facts)
}

/// What the plan is carried out with: the base image and the seeds.
fn inputs(
    job: &Job,
    plan: &Machines,
    keys: &Keys,
    cancelled: &AtomicBool,
    reporter: &Reporter,
) -> Result<Inputs, Failure> {
    let mut inputs = Inputs {
        journal: Some(
            Journal::open(&job.dir.logs().join("journal.jsonl"))
                .map_err(|e| Failure::because("open the journal", e))?,
        ),
        ..Inputs::default()
    };
    if plan.needs_image() {
        let image = tokio::task::block_in_place(|| {
            let tell = |event| reporter.provision(event);
            image::fetch(&job.cluster.guest.image, &job.share, cancelled, &tell)
        });
        inputs.image = Some(image.map_err(|e| Failure::because("fetch the image", e))?);
    }
    for name in plan.needs_seeds() {
        let seed = seed(&job.cluster, name, keys)
            .ok_or_else(|| Failure::failed(format!("make the seed of {name}: it has no key")))?;
        inputs.seeds.insert(
            name.clone(),
            seed.map_err(|e| Failure::because(format!("make the seed of {name}"), e))?,
        );
    }
    Ok(inputs)
}

fn seed(cluster: &Cluster, name: &Label, keys: &Keys) -> Option<std::io::Result<Vec<u8>>> {
    let node = cluster.nodes.iter().find(|node| node.name == *name)?;
    let documents = cloud_init::documents(cluster, node, &keys.machine(name)?);
    Some(cloud_init::seed::image(&documents))
}

fn provision(
    plan: &Machines,
    hosts: &Hosts,
    inputs: Inputs,
    cancelled: &AtomicBool,
    reporter: &Reporter,
) -> Result<(), kubitect_provision::Error> {
    kubitect_provision::apply::apply(plan, hosts, &inputs, cancelled, &|event| {
        reporter.provision(event)
    })
}

/// Waits until all machines can be worked with.
async fn ready(job: &Job, facts: &Facts, keys: &Keys, reporter: &Reporter) -> Result<(), Failure> {
    let several = job.cluster.role(Role::LoadBalancer).count() > 1;
    let consoles: Vec<_> = job
        .cluster
        .nodes
        .iter()
        .map(|node| {
            move || machine::console_tail(&job.hosts, &job.cluster, node, 20).unwrap_or_default()
        })
        .collect();
    let mut waits = Vec::new();
    for (node, console) in job.cluster.nodes.iter().zip(&consoles) {
        waits.push(wait::Machine {
            target: target(facts, keys, node)?,
            programs: wait::programs(node.role, several),
            console,
        });
    }
    wait::all_ready(waits, Patience::default(), &|event| {
        reporter.provision(event)
    })
    .await
    .map(drop)
    .map_err(|e| Failure::because(format!("wait for the machines of {}", job.cluster.name), e))
}

fn target(facts: &Facts, keys: &Keys, node: &Node) -> Result<ssh::Target, Failure> {
    let known = facts.node(&node.name).zip(keys.host_key(&node.name));
    let (known, host_key) = known
        .ok_or_else(|| Failure::failed(format!("reach {}: its address is not known", node.name)))?;
    Ok(ssh::Target {
        machine: node.name.to_string(),
        address: (known.ip, 22).into(),
        user: facts.user.clone(),
        private_key: keys.private_key(),
        host_key: host_key.clone(),
    })
}

async fn connect(facts: &Facts, keys: &Keys, node: &Node) -> Result<Session, Failure> {
    Session::connect(target(facts, keys, node)?, COMMAND)
        .await
        .map_err(|e| Failure::because(format!("log in on {}", node.name), e))
}

/// Brings the balancers' files up to date, and sees that they serve.
async fn balance(
    job: &Job,
    plan: &Plan,
    facts: &Facts,
    keys: &Keys,
    reporter: &Reporter,
) -> Result<(), Failure> {
    if plan.services.balancers.is_empty() {
        return Ok(());
    }
    let failed = |e| Failure::because("set up the balancers", e);
    let rendered = kubitect_lb::render(&job.cluster, facts).map_err(failed)?;
    let mut remotes = BTreeMap::new();
    for node in job.cluster.role(Role::LoadBalancer) {
        remotes.insert(
            node.name.clone(),
            Balancer(connect(facts, keys, node).await?),
        );
    }
    kubitect_lb::roll_out(&rendered, &remotes, &|event| reporter.line(event))
        .await
        .map_err(failed)?;
    note(job, facts, true)
}

/// Sets up Kubernetes and brings its kubeconfig home.
async fn kubernetes(
    job: &Job,
    facts: &Facts,
    tools: &Tools,
    keys: &Keys,
    reporter: &Reporter,
) -> Result<(), Failure> {
    let failed = |e| {
        Failure::because(
            format!("set up Kubernetes {}", job.cluster.kubernetes.version),
            e,
        )
    };
    let workdir = Workdir::new(job.dir.config_dir(), job.dir.logs());
    kubitect_kubespray::create(&job.cluster, facts, tools, &workdir, &|event| {
        reporter.kubespray(event)
    })
    .await
    .map_err(failed)?;
    kubeconfig(job, facts, keys).await?;
    note(job, facts, false)
}

/// Fetches the administrator's kubeconfig from a master, names it after the cluster and points it at the balancer.
async fn kubeconfig(job: &Job, facts: &Facts, keys: &Keys) -> Result<(), Failure> {
    let failed = |e| Failure::because("bring the kubeconfig home", e);
    let master = job.cluster.role(Role::Master).next();
    let master =
        master.ok_or_else(|| Failure::failed("bring the kubeconfig home: there is no master"))?;
    let session = connect(facts, keys, master).await?;
    let conf = session
        .run_ok(
            &["sudo", "-n", "cat", kubitect_kubespray::ADMIN_CONF],
            COMMAND,
        )
        .await
        .map_err(|e| Failure::because("read the kubeconfig", e))?;
    let conf = String::from_utf8(conf).map_err(|e| Failure::because("read the kubeconfig", e))?;
    let server = kubitect_kubespray::api_server(&job.cluster, facts).map_err(failed)?;
    let ours = kubeconfig::retarget(&conf, &job.cluster.name, &server).map_err(failed)?;
    write_whole(&job.dir.kubeconfig(), ours.as_bytes(), 0o600)
}

/// Brings what a finished cluster leaves on this machine up to date, as far as it is missing or asked for newly. A
/// machine is asked only if the kubeconfig is not here.
async fn hand_over(job: &Job, reporter: &Reporter) -> Result<(), Failure> {
    let conf = job.dir.kubeconfig();
    let fetch = !conf.exists();
    if fetch || job.cluster.guest.add_to_known_hosts {
        match reach(job)? {
            Some((keys, facts)) => {
                if fetch {
                    kubeconfig(job, &facts, &keys).await?;
                    reporter.line(format!("{}: brought the kubeconfig home", job.cluster.name));
                }
                add_to_known_hosts(job, &facts)?;
            }
            None => reporter.line(format!(
                "warning: the machines' keys in {} or their addresses are not known any more, so neither the kubeconfig \
                 can be fetched nor your known_hosts brought up to date",
                job.dir.ssh().display()
            )),
        }
    }
    if job.cluster.kubernetes.merge_kubeconfig
        && let Some(ours) = personal::read_if_there(&conf)?
    {
        personal::merge(&personal::path()?, &ours)?;
    }
    Ok(())
}

/// What machines that are set up are reached with; nothing if that is lost. No key is made: they would not know it.
fn reach(job: &Job) -> Result<Option<(Keys, Facts)>, Failure> {
    let failed = |e| Failure::because(format!("reach the machines of {}", job.cluster.name), e);
    let own = job.private_key()?;
    let keys = Keys::existing(&job.dir.ssh(), &job.cluster, own.as_deref()).map_err(failed)?;
    let facts = gather::known(&job.cluster, &job.hosts).map_err(failed)?;
    let Some((keys, mut facts)) = keys.zip(facts) else {
        return Ok(None);
    };
    for node in &mut facts.nodes {
        node.host_key = keys.host_key_line(&node.name).unwrap_or_default();
    }
    Ok(Some((keys, facts)))
}

fn add_to_known_hosts(job: &Job, facts: &Facts) -> Result<(), Failure> {
    if job.cluster.guest.add_to_known_hosts {
        let path = home::user_home()?.join(".ssh/known_hosts");
        ssh::known_hosts::add(&path, &job.cluster.name, facts)
            .map_err(|e| Failure::because("add the machines to your known_hosts", e))?;
    }
    Ok(())
}

/// Notes on the machines' domains what is set up on them.
fn note(job: &Job, facts: &Facts, balancers: bool) -> Result<(), Failure> {
    for (node, digest) in services::notes(&job.cluster, facts, balancers)? {
        machine::note(&job.hosts, node, &digest)
            .map_err(|e| Failure::because(format!("note what is set up on {}", node.name), e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;
    use crate::services::Services;

    #[test]
    fn a_finished_cluster_without_keys_is_told_of_and_one_with_its_kubeconfig_left_in_peace() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(false, Some(folder.path().to_owned())).unwrap();
        let text = include_str!("../../tests/tests/cli/cluster.yaml")
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
        let plan = Plan::new(&cluster, machines, Services::default());
        let job = Job {
            dir: home.cluster(&cluster.name),
            share: home.share(),
            hosts: Hosts::from_hypervisors(BTreeMap::new()),
            cluster,
            text,
        };
        job.dir.create().unwrap();
        let log = folder.path().join("log");
        let reporter = Arc::new(Reporter::new());
        reporter.keep(std::fs::File::create(&log).unwrap());
        let told = || std::fs::read_to_string(&log).unwrap();

        apply(&job, &plan, &reporter).unwrap();
        assert!(
            told().contains("warning: the machines' keys in "),
            "{}",
            told()
        );
        assert!(!job.dir.ssh().exists(), "no machine would know another key");
        assert!(job.dir.applied().exists());

        std::fs::write(job.dir.kubeconfig(), "kind: Config").unwrap();
        let before = told();
        apply(&job, &plan, &reporter).unwrap();
        assert_eq!(told(), before);
    }
}
