//! Machines: made, waited for, logged in on.

use std::sync::Arc;
use std::time::Duration;

use kubitect_config::cluster::Node;
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Facts, Remote};
use kubitect_provision::apply::Inputs;
use kubitect_provision::change::Change;
use kubitect_provision::gather::Leaving;
use kubitect_provision::hypervisor::Hosts;
use kubitect_provision::journal::Journal;
use kubitect_provision::plan::Plan as Machines;
use kubitect_provision::ssh::{Keys, wait};
use kubitect_provision::{Error, cloud_init, gather, image, machine, ssh};

use super::hand_over::add_to_known_hosts;
use crate::failure::Failure;
use crate::home::write_whole;
use crate::job::{Job, Options};
use crate::phase::Make;

/// For a command on a machine that answers.
pub const COMMAND: Duration = Duration::from_secs(60);

/// What a cluster is worked on with.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// The cluster under work.
    pub job: &'a Job,
    /// The keys of its machines.
    pub keys: &'a Keys,
}

impl Hands<'_> {
    /// Carries out changes on the hosts, with the image and the seeds that they need.
    pub fn provision(&self, changes: &[Change]) -> Result<Result<(), Error>, Failure> {
        let (plan, inputs) = self.brought(changes)?;
        Ok(self.carry_out(&plan, inputs))
    }

    /// Changes, and what they are carried out with.
    fn brought(&self, changes: &[Change]) -> Result<(Machines, Inputs), Failure> {
        let plan = Machines {
            cluster: self.job.cluster.name.clone(),
            changes: changes.to_vec(),
        };
        let inputs = inputs(self.job, &plan, self.keys)?;
        Ok((plan, inputs))
    }

    fn carry_out(&self, plan: &Machines, inputs: Inputs) -> Result<(), Error> {
        let Job { hosts, options, .. } = self.job;
        tokio::task::block_in_place(|| provision(plan, hosts, inputs, options))
    }
}

/// Makes and starts machines, all at once, and waits for those that are awaited.
pub async fn make(hands: Hands<'_>, make: &Make, leaving: &[Leaving]) -> Result<Facts, Failure> {
    let Hands { job, keys } = hands;
    let Options { cancel, events, .. } = &job.options;
    let failed = |e| Failure::because(format!("make the machines of {}", job.cluster.name), e);
    let (plan, inputs) = hands.brought(&make.changes)?;
    // If it is known by now that Kubespray can't be had, nothing is made.
    tokio::task::yield_now().await;
    hands.carry_out(&plan, inputs).map_err(failed)?;
    fail::fail_point!("cli::phase");

    let facts = gather::gather(&job.cluster, &job.hosts, keys, cancel.flag(), &|event| {
        events.machines(event)
    })
    .await
    .map_err(failed)?;
    fail::fail_point!("cli::phase");
    machine::reserve(&job.cluster, &job.hosts, &facts).map_err(failed)?;
    let leaving = leaving.iter();
    let leaving = leaving.filter_map(|leaving| Some((&leaving.name, Some(leaving.ip?))));
    let known = facts.nodes.iter().map(|node| (&node.name, Some(node.ip)));
    keys.write_known_hosts(known.chain(leaving))
        .map_err(failed)?;
    let text = kubitect_config::yaml::write(&facts)
        .map_err(|e| Failure::because("write what is known", e))?;
    write_whole(&job.dir.facts(), text.as_bytes(), 0o600)?;

    let nodes = job.cluster.nodes.iter();
    let awaited: Vec<_> = nodes
        .filter(|node| make.awaited.contains(&node.name))
        .collect();
    ready(job, &awaited, &facts, keys).await?;
    fail::fail_point!("cli::phase");
    add_to_known_hosts(job, &facts)?;
    Ok(facts)
}

/// What changes are carried out with: the base image and the seeds.
pub fn inputs(job: &Job, plan: &Machines, keys: &Keys) -> Result<Inputs, Failure> {
    let Options {
        home,
        cancel,
        events,
        ..
    } = &job.options;
    let mut inputs = Inputs {
        journal: Some(
            Journal::open(&job.dir.logs().join("journal.jsonl"))
                .map_err(|e| Failure::because("open the journal", e))?,
        ),
        ..Inputs::default()
    };
    if plan.needs_image() {
        let image = tokio::task::block_in_place(|| {
            let tell = |event| events.machines(event);
            let image = &job.cluster.guest.image;
            image::fetch(image, &home.share(), cancel.flag(), &tell)
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

/// Carries out changes on the hosts.
pub fn provision(
    plan: &Machines,
    hosts: &Hosts,
    inputs: Inputs,
    options: &Options,
) -> Result<(), Error> {
    let tell = |event| options.events.machines(event);
    kubitect_provision::apply::apply(plan, hosts, &inputs, options.cancel.flag(), &tell)
}

/// Waits until these machines can be worked with.
pub async fn ready(job: &Job, nodes: &[&Node], facts: &Facts, keys: &Keys) -> Result<(), Failure> {
    let virtual_address = job.cluster.balancing.vip.is_some();
    let consoles: Vec<_> = nodes
        .iter()
        .map(|node| {
            move || machine::console_tail(&job.hosts, &job.cluster, node, 20).unwrap_or_default()
        })
        .collect();
    let mut waits = Vec::new();
    for (node, console) in nodes.iter().zip(&consoles) {
        waits.push(wait::Machine {
            target: target(job, facts, keys, &node.name).map_err(no_login(&node.name))?,
            programs: wait::programs(node.role, virtual_address),
            console,
        });
    }
    let Options { world, events, .. } = &job.options;
    world
        .wait(waits, &|event| events.machines(event))
        .await
        .map_err(|e| {
            Failure::because(format!("wait for the machines of {}", job.cluster.name), e)
        })?;
    nodes.iter().for_each(|node| job.prove(&node.name));
    Ok(())
}

fn target(job: &Job, facts: &Facts, keys: &Keys, name: &Label) -> Result<ssh::Target, Error> {
    let known = facts.node(name).zip(keys.host_key(name));
    let (known, host_key) = known.ok_or_else(|| Error::NoAddress {
        machine: name.to_string(),
    })?;
    Ok(ssh::Target {
        machine: name.to_string(),
        address: (known.ip, 22).into(),
        user: facts.user.clone(),
        private_key: keys.private_key(),
        host_key: host_key.clone(),
        jump: job.jump(&known.host),
    })
}

/// Logs in on a machine that answers.
pub async fn connect(
    job: &Job,
    facts: &Facts,
    keys: &Keys,
    name: &Label,
) -> Result<Arc<dyn Remote>, Error> {
    let target = target(job, facts, keys, name)?;
    let session = job.options.world.connect(target, COMMAND).await?;
    job.prove(name);
    Ok(session)
}

/// The failure to log in on a machine.
pub fn no_login(name: &Label) -> impl FnOnce(Error) -> Failure {
    let what = format!("log in on {name}");
    move |e| Failure::because(what, e)
}
