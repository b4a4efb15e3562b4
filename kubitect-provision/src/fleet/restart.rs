//! Changes of running machines: a restart, and the use of hot-plugged processors and disks.

use std::sync::Arc;

use kubitect_config::cluster::Node;
use kubitect_config::value::Label;
use kubitect_config::{Facts, Remote};

use super::{COMMAND_TIMEOUT, Fleet, no_login};
use crate::change::{Change, Part, Step};
use crate::ssh::{self, Keys};
use crate::{Error, planner};

impl Fleet {
    /// The node that a change concerns.
    pub fn node_of(&self, change: &Change) -> Result<&Node, Error> {
        let mut nodes = self.cluster.nodes.iter();
        let node = nodes.find(|node| node.name.as_str() == change.name);
        let why = || format!("{}: it is not in the configuration", change.title());
        node.ok_or_else(|| Error::failed(why()))
    }

    /// Whether libvirt refused this hot-plug: then the plan as of now restarts the machine.
    pub fn is_refused(&self, change: &Change) -> Result<bool, Error> {
        let now = planner::plan(&self.cluster, &self.hosts)
            .map_err(|e| Error::because("observe the machines again", e))?;
        let restarts = now.part(Part::Restart).changes;
        Ok(restarts.iter().any(|restart| restart.name == change.name))
    }

    /// Switches a machine off and on again, with its new definition.
    pub fn restart(&self, change: &Change, keys: &Keys) -> Result<(), Error> {
        self.carry_out(std::slice::from_ref(change), keys)?
            .map_err(|e| Error::because(change.title(), e))?;
        fail::fail_point!("provision::restarted");
        Ok(())
    }

    /// Waits for a machine that was restarted, and returns the boot ID of its kernel, which the kubelet reports as the node's.
    pub async fn boot_id(&self, node: &Node, facts: &Facts, keys: &Keys) -> Result<String, Error> {
        self.ready(&[node], facts, keys).await?;
        let name = &node.name;
        let session = self.login(facts, keys, name).await;
        let argv = ["sudo", "-n", "cat", "/proc/sys/kernel/random/boot_id"];
        let id = session
            .map_err(no_login(name))?
            .run_ok(&argv, COMMAND_TIMEOUT)
            .await
            .map_err(|e| Error::because(format!("ask {name} for its boot"), e))?;
        Ok(String::from_utf8_lossy(&id).trim().to_owned())
    }

    /// Has the system of a machine use the processors and disk space that were hot-plugged, also by an earlier run that was
    /// interrupted. `then` runs before the note about them is removed, so that an interrupted run repeats both.
    pub async fn take_in_use<E: From<Error>>(
        &self,
        change: &Change,
        facts: &Facts,
        keys: &Keys,
        then: impl AsyncFnOnce(&Label, Arc<dyn Remote>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Step::TakeInUse { node, given } = &change.step else {
            return Ok(());
        };
        let what = format!("have {node} use what it was given");
        let session = self.login(facts, keys, node).await;
        let session = session.map_err(no_login(node))?;
        ssh::take_in_use(session.as_ref(), given)
            .await
            .map_err(|e| Error::because(&what, e))?;
        fail::fail_point!("provision::taken-in-use");
        then(node, session).await?;
        let done = self.carry_out(std::slice::from_ref(change), keys)?;
        Ok(done.map_err(|e| Error::because(&what, e))?)
    }
}
