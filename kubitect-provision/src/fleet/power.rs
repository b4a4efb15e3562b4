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
    /// The keys that the machines have, as far as they are here; nothing without the one that opens them. None is made.
    pub fn present_keys(&self) -> Result<Option<Keys>, Error> {
        let own = self.private_key()?;
        let keys = Keys::present(&self.dir.ssh(), &self.cluster, own.as_deref());
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

    /// Starts the networks and pools that `ground` starts.
    pub fn start_ground(&self, ground: &Plan) -> Result<(), Error> {
        let Context {
            cancel, on_event, ..
        } = &self.context;
        let (flag, tell) = (cancel.flag(), on_event.as_ref());
        match ground.is_empty() {
            true => Ok(()),
            false => tokio::task::block_in_place(|| {
                apply(ground, &self.hosts, &Inputs::default(), flag, tell)
            }),
        }
    }

    /// Starts machines; what became of each, in their order.
    pub fn start(&self, nodes: &[Node]) -> Vec<Result<(), Error>> {
        let Context {
            cancel, on_event, ..
        } = &self.context;
        let (flag, tell) = (cancel.flag(), on_event.as_ref());
        tokio::task::block_in_place(|| power::start(nodes, &self.hosts, flag, tell))
    }

    /// Waits until those of the wanted machines that `awaited` names can be worked with: where they are, and why others can't be.
    pub async fn come_up(
        &self,
        awaited: impl Fn(&Label) -> bool,
        keys: &Keys,
    ) -> Result<(Facts, Vec<Error>), Error> {
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
        let each = gather::gather_each(&own, &self.hosts, keys, boot, flag, tell);
        let (mut facts, mut late) = each.await?;
        own.nodes.retain(|node| facts.node(&node.name).is_some());
        let nodes: Vec<_> = own.nodes.iter().collect();
        let ready = self.ready_each(&nodes, &facts, keys).await;
        for (node, ready) in nodes.iter().zip(ready) {
            if let Err(error) = ready {
                facts.nodes.retain(|known| known.name != node.name);
                late.push(error);
            }
        }
        Ok((facts, late))
    }
}
