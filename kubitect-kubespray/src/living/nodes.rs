//! The nodes of a living cluster: who is there, who has joined, who serves, and what is noted of each.

use std::collections::BTreeSet;
use std::sync::Arc;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::Hop;
use kubitect_config::value::Label;
use kubitect_config::waiting::first_success;
use kubitect_config::{Remote, chain};

use super::kubernetes::{Kubernetes, SERVES};
use super::note::Note;
use crate::Error;
use crate::control::{self, Health, NodeState};

impl Kubernetes<'_> {
    /// Logs in on a machine that answers.
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
        Ok(own.is_some_and(|state| state.health == Health::Well))
    }

    /// A connection to a master that serves, none of these. One that was just started is waited for, and what keeps all of them
    /// from serving is put right.
    pub(super) async fn master(&self, but: &[Label]) -> Result<Arc<dyn Remote>, Error> {
        match self.serving(but).await {
            Ok(master) => return Ok(master),
            Err(why) if why.is_empty() => {}
            Err(_) => {
                self.revive().await;
                self.start_second().await?;
            }
        }
        let mut found = None;
        let what = "wait for a master whose API serves".to_owned();
        let missing = self.waiting(what, async |waits| {
            control::wait(SERVES, waits, async || match self.serving(but).await {
                Ok(master) => {
                    found = Some(master);
                    None
                }
                Err(why) if why.is_empty() => None,
                Err(why) => {
                    let failed = self.revive().await;
                    Some([why, failed].concat().join("; "))
                }
            })
            .await
        });
        let missing = missing.await;
        found.ok_or_else(|| match missing {
            None => Error::failed("find a master whose API serves: none has joined"),
            Some(why) => Error::failed(format!(
                "find a master whose API serves, for {} s: {why}",
                SERVES.as_secs()
            )),
        })
    }

    /// The master that first says that it serves, none of these; or why each does not. One that is down is waited for only if all
    /// are.
    async fn serving(&self, but: &[Label]) -> Result<Arc<dyn Remote>, Vec<String>> {
        let masters = self.joined_masters();
        let asked = masters.iter().filter(|name| !but.contains(name));
        first_success(asked.map(|name| async move {
            let session = self.connect(name).await.map_err(|e| chain(&e))?;
            match control::api_health(&session).await {
                Ok(Health::Well) => Ok(session),
                Ok(Health::Ill(text)) => Err(format!("{name}: {text}")),
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

    /// The masters that have joined, by name.
    pub(super) fn joined_masters(&self) -> BTreeSet<Label> {
        let is_master = |name: &&Label| {
            self.node(name)
                .is_some_and(|node| node.role == Role::Master)
        };
        let finished = self.notes.iter().filter(|(_, note)| note.finished);
        finished
            .map(|(name, _)| name)
            .filter(is_master)
            .filter(|name| !self.silent.contains(*name))
            .cloned()
            .collect()
    }

    /// The nodes that have joined and answer, and these.
    pub(super) fn present(&self, besides: &[Label]) -> Vec<Label> {
        let finished = self.notes.iter().filter(|(_, note)| note.finished);
        let mut names: Vec<_> = finished
            .map(|(name, _)| name)
            .filter(|name| !self.silent.contains(*name) && self.facts.node(name).is_some())
            .cloned()
            .collect();
        let others: Vec<_> = besides
            .iter()
            .filter(|name| !names.contains(name))
            .collect();
        names.extend(others.into_iter().cloned());
        names
    }

    /// Notes on a node's domain what is set up on it.
    pub(super) fn note(
        &mut self,
        name: &Label,
        at: &Hop,
        members: &BTreeSet<Label>,
        finished: bool,
    ) -> Result<(), Error> {
        let Some(node) = self.node(name).cloned() else {
            return Ok(());
        };
        let mut note = Note::of(self.cluster, &node, at, members, finished)?;
        // Pods that we keep away stay away until it is finished.
        if let Some(before) = self.notes.get(name).filter(|_| !finished) {
            (note.busy, note.drained) = (before.busy, before.drained);
        }
        note.joined = match self.notes.get(name) {
            Some(begun) if finished => begun.joined,
            _ => self.next_to_join(name),
        };
        self.write_note(&node, note)
    }

    /// Where a master that begins to join will stand among etcd's members: behind all that have joined.
    fn next_to_join(&self, name: &Label) -> u32 {
        let others = self
            .joined_masters()
            .into_iter()
            .filter(|other| other != name);
        let last = others
            .filter_map(|other| Some(self.notes.get(&other)?.joined))
            .max();
        last.map_or(0, |last| last.saturating_add(1))
    }

    /// Where a node stands in the inventory: masters first, as they have joined.
    pub(super) fn place(&self, node: &Node) -> (bool, u32, Label) {
        let joined = self.notes.get(&node.name).map_or(0, |note| note.joined);
        match node.role {
            Role::Master => (false, joined, node.name.clone()),
            // The others stay as they stand.
            _ => (true, 0, self.cluster.name.clone()),
        }
    }

    /// Changes what is noted of a node.
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

/// What Kubernetes says of its nodes.
pub(super) async fn states(master: &Arc<dyn Remote>) -> Result<Vec<NodeState>, Error> {
    control::nodes(master)
        .await
        .map_err(|e| Error::because("ask Kubernetes for its nodes", e))
}
