//! The person's known hosts, if the file says so: only keys of machines that were logged in on come into them.

use std::path::{Path, PathBuf};

use kubitect_config::Facts;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;

use super::{Fleet, no_login};
use crate::Error;
use crate::ssh::{Keys, known_hosts};

impl Fleet {
    /// Adds the keys of machines that were logged in on to the person's known hosts, if the file says so.
    pub(super) fn add_known_hosts(&self, facts: &Facts) -> Result<(), Error> {
        if !self.cluster.guest.add_to_known_hosts {
            return Ok(());
        }
        let path = self.context.home.known_hosts()?;
        let proven = |name: &Label| self.is_proven(name);
        known_hosts::add(&path, &self.cluster.name, facts, &proven)
            .map(drop)
            .map_err(|e| Error::because("add the machines to your known_hosts", e))
    }

    /// Brings the person's known hosts up to date, if the file says so: only machines that let us log in are added. Why others
    /// are not, a sentence each. As long as some machines are not in `facts` nothing is done: their lines would go.
    pub async fn update_known_hosts(
        &self,
        facts: &Facts,
        keys: &Keys,
    ) -> Result<Vec<String>, Error> {
        if !self.cluster.guest.add_to_known_hosts || !self.are_all(facts) {
            return Ok(Vec::new());
        }
        let missing = missing(&self.context.home.known_hosts()?, facts)?;
        let unproven = missing.iter().filter(|name| !self.is_proven(name));
        let unproven: Vec<_> = unproven.collect();
        let logins = unproven.iter().map(|name| self.login(facts, keys, name));
        let mut not_added = Vec::new();
        for (name, login) in unproven.iter().zip(side_by_side(logins).await) {
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

    /// The person's known hosts if they lack keys of these machines, which are all of the cluster.
    pub fn lacking_known_hosts(&self, facts: &Facts) -> Result<Option<PathBuf>, Error> {
        let Some(path) = self
            .context
            .home
            .known_hosts()
            .ok()
            .filter(|_| self.are_all(facts))
        else {
            return Ok(None);
        };
        Ok((!missing(&path, facts)?.is_empty()).then_some(path))
    }

    /// Whether all machines of the cluster are in `facts`.
    pub fn are_all(&self, facts: &Facts) -> bool {
        let mut nodes = self.cluster.nodes.iter();
        nodes.all(|node| facts.node(&node.name).is_some())
    }
}

fn missing(path: &Path, facts: &Facts) -> Result<Vec<Label>, Error> {
    known_hosts::missing(path, facts).map_err(|e| Error::because("read your known_hosts", e))
}
