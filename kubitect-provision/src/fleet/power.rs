//! Machines of a fleet switched off, and on again, several at the same time.

use std::time::Duration;

use kubitect_config::Facts;
use kubitect_config::cluster::Node;
use kubitect_config::value::Label;

use super::{Context, Fleet};
use crate::apply::{Inputs, apply};
use crate::plan::Plan;
use crate::ssh::Keys;
use crate::{Error, gather, power};

impl Fleet {
    /// The keys that the machines have, if all are here. None is made.
    pub fn present_keys(&self) -> Result<Option<Keys>, Error> {
        let keys = self.existing_keys(&self.cluster);
        keys.map_err(|e| Error::because("read the cluster's keys", e))
    }

    /// Has machines shut down by their own guests, and waits for each no longer than `within`.
    pub fn shut_down(&self, nodes: &[Node], within: Duration) -> Result<(), Error> {
        let Context {
            cancel, on_event, ..
        } = &self.context;
        let (name, hosts) = (&self.cluster.name, &self.hosts);
        tokio::task::block_in_place(|| {
            power::shut_down(name, nodes, hosts, within, cancel.flag(), on_event.as_ref())
        })
    }

    /// Starts machines, after the networks and pools that `ground` starts.
    pub fn start(&self, ground: &Plan, nodes: &[Node]) -> Result<(), Error> {
        let Context {
            cancel, on_event, ..
        } = &self.context;
        let (flag, tell) = (cancel.flag(), on_event.as_ref());
        tokio::task::block_in_place(|| {
            if !ground.is_empty() {
                apply(ground, &self.hosts, &Inputs::default(), flag, tell)?;
            }
            power::start(nodes, &self.hosts, flag, tell)
        })
    }

    /// Waits until those of the wanted machines that `awaited` names can be worked with; where they are.
    pub async fn come_up(
        &self,
        awaited: impl Fn(&Label) -> bool,
        keys: &Keys,
    ) -> Result<Facts, Error> {
        let mut own = self.cluster.clone();
        own.nodes.retain(|node| awaited(&node.name));
        let Context {
            cancel,
            on_event,
            site,
            ..
        } = &self.context;
        let (boot, flag) = (site.timeouts.boot.into(), cancel.flag());
        let tell = on_event.as_ref();
        let facts = gather::gather_within(&own, &self.hosts, keys, boot, flag, tell).await?;
        let nodes: Vec<_> = own.nodes.iter().collect();
        self.ready(&nodes, &facts, keys).await?;
        Ok(facts)
    }
}
