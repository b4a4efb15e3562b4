//! Switching machines of a fleet off and on again, several at the same time.

use std::time::Duration;

use kubitect_config::cluster::Node;
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Facts};

use super::{Context, Fleet};
use crate::apply::{Inputs, apply};
use crate::plan::Plan;
use crate::ssh::Keys;
use crate::{Error, gather, power};

impl Fleet {
    /// The keys of the machines that are in the cluster's folder; none if the private key for logins is lost. Makes no key.
    pub fn available_keys(&self) -> Result<Option<Keys>, Error> {
        self.available_keys_of(&self.cluster)
    }

    pub(super) fn available_keys_of(&self, machines: &Cluster) -> Result<Option<Keys>, Error> {
        let named_key = self.private_key()?;
        let keys = Keys::read_available(&self.dir.ssh(), machines, named_key.as_deref());
        keys.map_err(|e| Error::because("read the cluster's keys", e))
    }

    /// Asks the guests of machines to shut down, and waits for each at most `within`.
    pub fn shut_down(&self, nodes: &[Node], within: Duration) -> Result<(), Error> {
        let Context {
            cancel, on_event, ..
        } = &self.context;
        let (name, hosts) = (&self.cluster.name, &self.hosts);
        tokio::task::block_in_place(|| {
            power::shut_down(name, nodes, hosts, within, cancel.flag(), on_event.as_ref())
        })
    }

    /// Applies the plan `prerequisites`: starts networks and pools that machines need.
    pub fn start_prerequisites(&self, prerequisites: &Plan) -> Result<(), Error> {
        let Context {
            cancel, on_event, ..
        } = &self.context;
        let (flag, tell) = (cancel.flag(), on_event.as_ref());
        match prerequisites.is_empty() {
            true => Ok(()),
            false => tokio::task::block_in_place(|| {
                apply(prerequisites, &self.hosts, &Inputs::default(), flag, tell)
            }),
        }
    }

    /// Starts machines; the result of each, in their order.
    pub fn start(&self, nodes: &[Node]) -> Vec<Result<(), Error>> {
        let Context {
            cancel, on_event, ..
        } = &self.context;
        let (flag, tell) = (cancel.flag(), on_event.as_ref());
        tokio::task::block_in_place(|| power::start(nodes, &self.hosts, flag, tell))
    }

    /// Waits until those of the cluster's machines that `awaited` accepts are ready: the facts of those that are, and an error for
    /// each other one.
    pub async fn wait_until_ready(
        &self,
        awaited: impl Fn(&Label) -> bool,
        keys: &Keys,
    ) -> Result<(Facts, Vec<Error>), Error> {
        let mut waited = self.cluster.clone();
        waited.nodes.retain(|node| awaited(&node.name));
        let Context {
            cancel,
            on_event,
            site,
            ..
        } = &self.context;
        let (boot, flag) = (site.timeouts.boot.into(), cancel.flag());
        let tell = on_event.as_ref();
        let each = gather::gather_each(&waited, &self.hosts, keys, boot, flag, tell);
        let (mut facts, mut errors) = each.await?;
        waited.nodes.retain(|node| facts.node(&node.name).is_some());
        let nodes: Vec<_> = waited.nodes.iter().collect();
        let ready = self.ready_each(&nodes, &facts, keys).await;
        for (node, ready) in nodes.iter().zip(ready) {
            if let Err(error) = ready {
                facts.nodes.retain(|other| other.name != node.name);
                errors.push(error);
            }
        }
        Ok((facts, errors))
    }
}
