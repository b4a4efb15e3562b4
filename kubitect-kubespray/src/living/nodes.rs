//! The nodes of an existing cluster during a run: which have joined, which masters serve, and the note of each.

use std::collections::BTreeSet;
use std::sync::Arc;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::Hop;
use kubitect_config::value::Label;
use kubitect_config::waiting::first_success;
use kubitect_config::{Remote, chain};

use super::kubernetes::Kubernetes;
use super::note::Note;
use crate::Error;
use crate::control::{self, Health, NodeState};
use crate::error::readable;

impl Kubernetes<'_> {
    /// Logs in on a machine.
    pub(super) async fn connect(&self, name: &Label) -> Result<Arc<dyn Remote>, Error> {
        let session = self.access.machines().connect(name).await;
        session.map_err(|e| Error::because(format!("log in on {name}"), e))
    }

    /// Whether Kubernetes is set up on this machine.
    pub fn has_joined(&self, name: &Label) -> bool {
        self.notes.get(name).is_some_and(|note| note.finished)
    }

    pub(super) async fn is_ready(
        &self,
        master: &Arc<dyn Remote>,
        name: &Label,
    ) -> Result<bool, Error> {
        let states = states(master).await?;
        let own = states.iter().find(|state| state.name == name.as_str());
        Ok(own.is_some_and(|state| state.health == Health::Healthy))
    }

    /// A connection to a master whose API serves, and which is not in `except`. If none serves, all masters are repaired, and
    /// waited for: they may have been started just now.
    pub(super) async fn serving_master(&self, except: &[Label]) -> Result<Arc<dyn Remote>, Error> {
        match self.find_serving(except).await {
            Ok(master) => return Ok(master),
            Err(why) if why.is_empty() => {}
            Err(_) => {
                self.repair_masters().await;
                self.start_second_member().await?;
            }
        }
        let mut found = None;
        let what = "wait for a master whose API serves".to_owned();
        let missing = self.waiting(what, async |waits| {
            control::wait(self.ready_within(), waits, async || {
                match self.find_serving(except).await {
                    Ok(master) => {
                        found = Some(master);
                        None
                    }
                    Err(why) if why.is_empty() => None,
                    Err(why) => {
                        let failed = self.repair_masters().await;
                        Some([why, failed].concat().join("; "))
                    }
                }
            })
            .await
        });
        let missing = missing.await;
        found.ok_or_else(|| match missing {
            None => Error::failed("find a master whose API serves: none has joined"),
            Some(why) => Error::failed(format!(
                "find a master whose API serves, for {}: {why}",
                readable(self.ready_within())
            )),
        })
    }

    /// A connection to the first master that answers that its API serves, and which is not in `except`; or why each master does not
    /// serve. A master that is down delays the answer only if no other serves.
    async fn find_serving(&self, except: &[Label]) -> Result<Arc<dyn Remote>, Vec<String>> {
        let masters = self.joined_masters();
        let asked = masters.iter().filter(|name| !except.contains(name));
        first_success(asked.map(|name| async move {
            let session = self.connect(name).await.map_err(|e| chain(&e))?;
            match control::api_health(&session).await {
                Ok(Health::Healthy) => Ok(session),
                Ok(Health::Unhealthy(text)) => Err(format!("{name}: {text}")),
                Err(error) => Err(format!("{name}: {}", chain(&error))),
            }
        }))
        .await
    }

    pub(super) fn node(&self, name: &Label) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    pub(super) fn is_wanted(&self, name: &Label) -> bool {
        self.cluster.nodes.iter().any(|node| node.name == *name)
    }

    /// The masters that have joined and answer, in the order of their names.
    pub(super) fn joined_masters(&self) -> BTreeSet<Label> {
        let is_master = |name: &&Label| {
            self.node(name)
                .is_some_and(|node| node.role == Role::Master)
        };
        let finished = self.notes.iter().filter(|(_, note)| note.finished);
        finished
            .map(|(name, _)| name)
            .filter(is_master)
            .filter(|name| !self.unreachable.contains(*name))
            .cloned()
            .collect()
    }

    /// The nodes that have joined and answer, and the `additional` ones: the nodes of an inventory.
    pub(super) fn present(&self, additional: &[Label]) -> Vec<Label> {
        let finished = self.notes.iter().filter(|(_, note)| note.finished);
        let mut names: Vec<_> = finished
            .map(|(name, _)| name)
            .filter(|name| !self.unreachable.contains(*name) && self.facts.node(name).is_some())
            .cloned()
            .collect();
        let others: Vec<_> = additional
            .iter()
            .filter(|name| !names.contains(name))
            .collect();
        names.extend(others.into_iter().cloned());
        names
    }

    /// Writes a new note of a node: what the file wants of it, with this release and these members of etcd.
    pub(super) fn note(
        &mut self,
        name: &Label,
        release: &Hop,
        members: &BTreeSet<Label>,
        finished: bool,
    ) -> Result<(), Error> {
        let Some(node) = self.node(name).cloned() else {
            return Ok(());
        };
        let mut note = Note::of(self.cluster, &node, release, members, finished)?;
        // A node that is out of service stays so until its note is finished.
        if let Some(previous) = self.notes.get(name).filter(|_| !finished) {
            (note.busy, note.drained) = (previous.busy, previous.drained);
        }
        note.joined = match self.notes.get(name) {
            Some(previous) if finished => previous.joined,
            _ => self.next_join_number(name),
        };
        self.write_note(&node, note)
    }

    /// The position among etcd's members ([`Note::joined`]) of a master that begins to join: behind all that have joined.
    fn next_join_number(&self, name: &Label) -> u32 {
        let others = self.joined_masters().into_iter();
        let others = others.filter(|other| other != name);
        let last = others
            .filter_map(|other| Some(self.notes.get(&other)?.joined))
            .max();
        last.map_or(0, |last| last.saturating_add(1))
    }

    /// By what the nodes of an inventory are sorted: masters first, in the order in which they have joined. The order of etcd's
    /// members must not change: a member whose list of members reads otherwise is restarted.
    pub(super) fn position(&self, node: &Node) -> (bool, u32, Label) {
        let joined = self.notes.get(&node.name).map_or(0, |note| note.joined);
        match node.role {
            Role::Master => (false, joined, node.name.clone()),
            // All others have the same key, so that a stable sort leaves their order.
            _ => (true, 0, self.cluster.name.clone()),
        }
    }

    /// Changes the note of a node.
    pub fn change_note(
        &mut self,
        name: &Label,
        change: impl FnOnce(&mut Note),
    ) -> Result<(), Error> {
        let (Some(node), Some(note)) = (self.node(name).cloned(), self.notes.get(name)) else {
            return Ok(());
        };
        let mut note = note.clone();
        change(&mut note);
        self.write_note(&node, note)
    }

    fn write_note(&mut self, node: &Node, note: Note) -> Result<(), Error> {
        fail::fail_point!("kubespray::note");
        self.access
            .machines()
            .note(node, &note.text()?)
            .map_err(|e| Error::because(format!("note what is set up on {}", node.name), e))?;
        fail::fail_point!("kubespray::noted");
        self.notes.insert(node.name.clone(), note);
        Ok(())
    }
}

/// The nodes of Kubernetes, by its API.
pub(super) async fn states(master: &Arc<dyn Remote>) -> Result<Vec<NodeState>, Error> {
    control::nodes(master)
        .await
        .map_err(|e| Error::because("ask Kubernetes for its nodes", e))
}
