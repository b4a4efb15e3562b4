//! Several hosts in memory that are kept together: all is theirs in common, but for the domains.

use std::sync::Arc;

use super::{Calls, FakeHost, State};
use crate::observe::DomainState;

impl FakeHost {
    /// The one of several hosts that has this name. This one sees the domains of all.
    pub fn part(&self, name: &str) -> Self {
        Self {
            state: Arc::clone(&self.state),
            part: Some(name.to_owned()),
            kept: self.kept.clone(),
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

    /// Remembers that a domain is on this host.
    pub(super) fn has_domain(&self, state: &mut State, name: &str) {
        if let Some(own) = &self.part {
            state.parts.insert(name.to_owned(), own.clone());
        }
    }
}
