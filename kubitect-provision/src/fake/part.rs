//! Several hosts in memory with a common state: each has domains of its own, all else is common.

use std::sync::Arc;

use super::{Calls, FakeHost, State};
use crate::observe::DomainState;

impl FakeHost {
    /// The host of this name, with this one's state and domains of its own. This one still has the domains of all.
    pub fn part(&self, name: &str) -> Self {
        Self {
            state: Arc::clone(&self.state),
            part: Some(name.to_owned()),
            folder: self.folder.clone(),
            calls: Calls::default(),
            meeting: std::sync::Mutex::default(),
            shared: self.shared.clone(),
        }
    }

    /// The domains that are on this host.
    pub(super) fn own_domains(&self, state: &State) -> Vec<DomainState> {
        let is_own = |domain: &&DomainState| match (&self.part, state.parts.get(&domain.name)) {
            (Some(own), Some(on)) => own == on,
            _ => true,
        };
        state.host.domains.iter().filter(is_own).cloned().collect()
    }

    /// Records that a domain is on this host.
    pub(super) fn record_domain(&self, state: &mut State, name: &str) {
        if let Some(own) = &self.part {
            state.parts.insert(name.to_owned(), own.clone());
        }
    }
}
