//! Bringing machines up: fetch the image, make the seeds, create the machines, gather their addresses, and wait for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use kubitect_config::Facts;
use kubitect_config::cluster::Node;
use kubitect_config::value::Label;

use super::{Context, Fleet, no_login};
use crate::apply::{Inputs, apply};
use crate::change::Change;
use crate::gather::{self, Leaving};
use crate::home::write_whole;
use crate::journal::Journal;
use crate::plan::Plan;
use crate::ssh::{Keys, wait};
use crate::{Error, cloud_init, image, machine};

impl Fleet {
    /// Carries out changes on the hosts, with the image and the seeds that they need. The outer error is that of preparing these,
    /// the inner one that of the changes.
    pub fn carry_out(&self, changes: &[Change], keys: &Keys) -> Result<Result<(), Error>, Error> {
        let (plan, inputs) = self.with_inputs(changes, keys)?;
        Ok(self.apply(&plan, &inputs))
    }

    fn apply(&self, plan: &Plan, inputs: &Inputs) -> Result<(), Error> {
        let Context {
            cancel, on_event, ..
        } = &self.context;
        tokio::task::block_in_place(|| {
            apply(plan, &self.hosts, inputs, cancel.flag(), on_event.as_ref())
        })
    }

    /// A plan of these changes, and its inputs: the base image, the seeds and the journal.
    fn with_inputs(&self, changes: &[Change], keys: &Keys) -> Result<(Plan, Inputs), Error> {
        let plan = Plan {
            cluster: self.cluster.name.clone(),
            changes: changes.to_vec(),
        };
        let journal = Journal::open(&self.dir.logs().join("journal.jsonl"));
        let mut inputs = Inputs {
            journal: Some(journal.map_err(|e| Error::because("open the journal", e))?),
            ..Inputs::default()
        };
        if plan.needs_image() {
            let Context {
                home,
                cancel,
                on_event,
                ..
            } = &self.context;
            let image = tokio::task::block_in_place(|| {
                let image = &self.cluster.guest.image;
                image::fetch(image, &home.share(), cancel.flag(), on_event.as_ref())
            });
            inputs.image = Some(image.map_err(|e| Error::because("fetch the image", e))?);
        }
        for name in plan.needs_seeds() {
            let seed = self
                .seed(name, keys)
                .ok_or_else(|| Error::failed(format!("make the seed of {name}: it has no key")))?;
            let seed = seed.map_err(|e| Error::because(format!("make the seed of {name}"), e))?;
            inputs.seeds.insert(name.clone(), seed);
        }
        Ok((plan, inputs))
    }

    fn seed(&self, name: &Label, keys: &Keys) -> Option<std::io::Result<Vec<u8>>> {
        let node = self.cluster.nodes.iter().find(|node| node.name == *name)?;
        let documents = cloud_init::documents(&self.cluster, node, &keys.machine(name)?);
        Some(cloud_init::seed::image(&documents))
    }

    /// Creates and starts machines, all at the same time, and waits until the `awaited` ones are ready. Returns the facts of all.
    pub async fn make(
        &self,
        changes: &[Change],
        awaited: &BTreeSet<Label>,
        leaving: &[Leaving],
        keys: &Keys,
    ) -> Result<Facts, Error> {
        let failed = |e| Error::because(format!("make the machines of {}", self.cluster.name), e);
        let (plan, inputs) = self.with_inputs(changes, keys)?;
        // A task beside this one may have failed by now; then this one is dropped here, before it makes anything.
        tokio::task::yield_now().await;
        self.apply(&plan, &inputs).map_err(failed)?;
        fail::fail_point!("provision::phase");
        let Context {
            cancel, on_event, ..
        } = &self.context;
        let facts = gather::gather_within(
            &self.cluster,
            &self.hosts,
            keys,
            self.context.site.timeouts.boot.into(),
            cancel.flag(),
            on_event.as_ref(),
        );
        let facts = facts.await.map_err(failed)?;
        fail::fail_point!("provision::phase");
        machine::reserve(&self.cluster, &self.hosts, &facts).map_err(failed)?;
        let leaving = leaving.iter();
        let leaving = leaving.filter_map(|leaving| Some((&leaving.name, Some(leaving.ip?))));
        let wanted = facts.nodes.iter().map(|node| (&node.name, Some(node.ip)));
        keys.write_known_hosts(wanted.chain(leaving))
            .map_err(failed)?;
        let text = kubitect_config::yaml::write(&facts)
            .map_err(|e| Error::because("write the facts of the machines", e))?;
        write_whole(&self.dir.facts(), text.as_bytes(), 0o600)?;
        let nodes = self.cluster.nodes.iter();
        let awaited: Vec<_> = nodes.filter(|node| awaited.contains(&node.name)).collect();
        self.ready(&awaited, &facts, keys).await?;
        fail::fail_point!("provision::phase");
        self.add_known_hosts(&facts)?;
        Ok(facts)
    }

    /// Waits until these machines are ready: SSH answers, and cloud-init is done.
    pub async fn ready(&self, nodes: &[&Node], facts: &Facts, keys: &Keys) -> Result<(), Error> {
        let each = self.ready_each(nodes, facts, keys).await.into_iter();
        Error::of_machines(each.filter_map(Result::err).collect()).map_err(|e| {
            let what = format!("wait for the machines of {}", self.cluster.name);
            Error::because(what, e)
        })
    }

    /// As [`Self::ready`]; the result of each machine, in their order.
    pub(super) async fn ready_each(
        &self,
        nodes: &[&Node],
        facts: &Facts,
        keys: &Keys,
    ) -> Vec<Result<(), Error>> {
        let virtual_address = self.cluster.balancing.vip.is_some();
        let (mut waits, mut targets) = (Vec::new(), Vec::new());
        for &node in nodes {
            let (hosts, cluster, machine) =
                (self.hosts.clone(), self.cluster.name.clone(), node.clone());
            let console = move || machine::evidence(&hosts, &cluster, &machine);
            let target = self.target(facts, keys, &node.name);
            targets.push(target.map(|target| {
                waits.push(wait::Machine {
                    target,
                    programs: wait::programs(node.role, virtual_address),
                    within: Some(self.context.site.timeouts.boot.into()),
                    console: Arc::new(console),
                });
            }));
        }
        let Context {
            reach, on_event, ..
        } = &self.context;
        let mut results = reach.wait(waits, on_event.as_ref()).await.into_iter();
        let each = nodes.iter().zip(targets).map(|(node, target)| {
            target.map_err(no_login(&node.name))?;
            let missing = || {
                Err(Error::failed(format!(
                    "wait for {}: it was not waited for",
                    node.name
                )))
            };
            results.next().unwrap_or_else(missing)?;
            self.mark_verified(&node.name);
            Ok(())
        });
        each.collect()
    }
}
