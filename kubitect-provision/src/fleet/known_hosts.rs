//! The user's own `known_hosts`, if the cluster's file asks for it. A key is added only after a login has verified it.

use std::path::{Path, PathBuf};

use kubitect_config::Facts;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;

use super::{Fleet, no_login};
use crate::Error;
use crate::ssh::{Keys, known_hosts};

impl Fleet {
    /// Adds the keys of machines on which a login succeeded to the user's `known_hosts`, if the cluster's file asks for it.
    pub(super) fn add_known_hosts(&self, facts: &Facts) -> Result<(), Error> {
        if !self.cluster.guest.add_to_known_hosts {
            return Ok(());
        }
        let path = self.context.home.known_hosts()?;
        let verified = |name: &Label| self.is_verified(name);
        known_hosts::add(&path, &self.cluster.name, facts, &verified)
            .map(drop)
            .map_err(|e| Error::because("add the machines to your known_hosts", e))
    }

    /// Updates the user's `known_hosts`, if the cluster's file asks for it. Only machines on which a login succeeds are added; the
    /// result is a sentence for each other one. Nothing is done unless all machines are in `facts`: the lines of the others would
    /// be removed.
    pub async fn update_known_hosts(
        &self,
        facts: &Facts,
        keys: &Keys,
    ) -> Result<Vec<String>, Error> {
        if !self.cluster.guest.add_to_known_hosts || !self.has_all(facts) {
            return Ok(Vec::new());
        }
        let missing = missing(&self.context.home.known_hosts()?, facts)?;
        let unverified = missing.iter().filter(|name| !self.is_verified(name));
        let unverified: Vec<_> = unverified.collect();
        let logins = unverified.iter().map(|name| self.login(facts, keys, name));
        let mut not_added = Vec::new();
        for (name, login) in unverified.iter().zip(side_by_side(logins).await) {
            match login {
                Ok(_) => {}
                Err(error @ Error::HostKey { .. }) => return Err(no_login(name)(error)),
                Err(error) => {
                    not_added.push(format!("{name} is not added to your known_hosts: {error}"));
                }
            }
        }
        self.add_known_hosts(facts)?;
        Ok(not_added)
    }

    /// The path of the user's `known_hosts` if it lacks the key of a machine; none also if not all machines are in `facts`.
    pub fn lacking_known_hosts(&self, facts: &Facts) -> Result<Option<PathBuf>, Error> {
        let Some(path) = self
            .context
            .home
            .known_hosts()
            .ok()
            .filter(|_| self.has_all(facts))
        else {
            return Ok(None);
        };
        Ok((!missing(&path, facts)?.is_empty()).then_some(path))
    }

    /// Whether all machines of the cluster are in `facts`.
    pub fn has_all(&self, facts: &Facts) -> bool {
        let mut nodes = self.cluster.nodes.iter();
        nodes.all(|node| facts.node(&node.name).is_some())
    }
}

fn missing(path: &Path, facts: &Facts) -> Result<Vec<Label>, Error> {
    known_hosts::missing(path, facts).map_err(|e| Error::because("read your known_hosts", e))
}
