//! Machines that work: restarted, and made to use what they were given.

use std::sync::Arc;

use kubitect_config::cluster::Node;
use kubitect_config::value::Label;
use kubitect_config::{Facts, Remote};

use super::{COMMAND, Fleet, no_login};
use crate::change::{Change, Part, Step};
use crate::ssh::{self, Keys};
use crate::{Error, planner};

impl Fleet {
    /// The node that a change is about.
    pub fn node_of(&self, change: &Change) -> Result<&Node, Error> {
        let mut nodes = self.cluster.nodes.iter();
        let node = nodes.find(|node| node.name.as_str() == change.name);
        let why = || format!("{}: it is not in the configuration", change.title());
        node.ok_or_else(|| Error::failed(why()))
    }

    /// Whether libvirt refused what a machine should have been given while it runs.
    pub fn is_refused(&self, change: &Change) -> Result<bool, Error> {
        let now = planner::plan(&self.cluster, &self.hosts)
            .map_err(|e| Error::because("look at the machines again", e))?;
        let restarts = now.part(Part::Restart).changes;
        Ok(restarts.iter().any(|again| again.name == change.name))
    }

    /// Switches a machine off and on again, with its new definition.
    pub fn restart(&self, change: &Change, keys: &Keys) -> Result<(), Error> {
        self.carry_out(std::slice::from_ref(change), keys)?
            .map_err(|e| Error::because(change.title(), e))?;
        fail::fail_point!("provision::restarted");
        Ok(())
    }

    /// Waits for a machine that was restarted. By which name its kernel, and with it the kubelet, knows its present boot.
    pub async fn boot(&self, node: &Node, facts: &Facts, keys: &Keys) -> Result<String, Error> {
        self.ready(&[node], facts, keys).await?;
        let name = &node.name;
        let session = self.login(facts, keys, name).await;
        let argv = ["sudo", "-n", "cat", "/proc/sys/kernel/random/boot_id"];
        let id = session
            .map_err(no_login(name))?
            .run_ok(&argv, COMMAND)
            .await
            .map_err(|e| Error::because(format!("ask {name} for its boot"), e))?;
        Ok(String::from_utf8_lossy(&id).trim().to_owned())
    }

    /// Has a machine take into use what it was given, be it by an interrupted run; `then` is done before this is forgotten.
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
