//! What failed, killed and interrupted runs have left on machines is waited for, cleared, or finished, before a playbook runs
//! there again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kubitect_config::cluster::Role;
use kubitect_config::release::Hop;
use kubitect_config::value::Label;
use kubitect_config::waiting::{first_success, side_by_side};
use kubitect_config::{Refusal, RefusalKind, Remote, chain};

use super::kubernetes::{Kubernetes, LOOK, SERVES};
use super::nodes::states;
use crate::Error;
use crate::control::{self, Health, NodeState, Remedy, Traces};

/// How long what an earlier run has left running may take to end. Each of these has a shorter limit of its own.
const ENDS: Duration = Duration::from_secs(20 * 60);
/// How long an API server that served may be away, for a restart or without a leader of etcd, on a machine that is up.
const AWAY: Duration = Duration::from_secs(30);

/// A machine on which an earlier run has begun, and what kubeadm has left there.
struct Begun {
    machine: Arc<dyn Remote>,
    traces: Traces,
}

impl Kubernetes<'_> {
    /// Waits until nothing of an earlier run goes on on these machines, as far as one has been there, and gives masters back what
    /// it has left without. Machines are asked once: what this run begins has ended when its playbooks have.
    pub(super) async fn settle(&mut self, names: &[Label]) -> Result<(), Error> {
        let concerned =
            |name: &&Label| self.notes.contains_key(*name) && !self.settled.contains(*name);
        let this = &*self;
        let masters = &self.joined_masters();
        let waits = names.iter().filter(concerned).map(|name| async move {
            let machine = this.connect(name).await?;
            control::wait_idle(&machine, name.as_str(), ENDS, |what| {
                this.say(format!(
                    "{name}: {what} goes on there, as an earlier run may have left it, and is waited for"
                ));
            })
            .await?;
            let is_new = this.is_master(name) && this.put_certificate_back(name, &machine).await?;
            if is_new && !masters.contains(name) {
                // An API server that has failed for long is tried again only after minutes, and is waited for soon.
                control::restart_kubelet(&machine).await?;
            }
            Ok(())
        });
        let waited: Result<Vec<()>, Error> = side_by_side(waits).await.into_iter().collect();
        waited?;
        self.settled.extend(names.iter().cloned());
        Ok(())
    }

    /// Makes a machine ready to join, whatever an earlier run, or an earlier machine of its name, has left of it.
    pub(super) async fn make_way(
        &mut self,
        name: &Label,
        master: &Arc<dyn Remote>,
    ) -> Result<(), Error> {
        self.settle(std::slice::from_ref(name)).await?;
        let begun = self.begun(name).await?;
        let nodes = states(master).await?;
        let remedy = begun
            .traces
            .remedy(self.is_master(name), find(&nodes, name));
        self.apply_remedy(name, &begun.machine, Some(master), remedy)
            .await
    }

    /// Makes machines ready on which an earlier run has begun to set up a whole cluster. Returns the masters that have joined,
    /// if there are any. An error where a Kubernetes of another version than that of `at` is there, which is upgraded only once
    /// the cluster is finished.
    pub(super) async fn make_way_for_all(
        &mut self,
        names: &[Label],
        at: &Hop,
    ) -> Result<Vec<Label>, Error> {
        self.settle(names).await?;
        let mut all = BTreeMap::new();
        let begun = side_by_side(names.iter().map(|name| self.begun(name))).await;
        for (name, begun) in names.iter().zip(begun) {
            all.insert(name.clone(), begun?);
        }
        if !all.values().any(|begun| begun.traces.any()) {
            return Ok(Vec::new());
        }
        let masters = self.cluster.role(Role::Master).map(|node| &node.name);
        let first = masters.min().cloned();
        let master = self.initialised(&all, first.as_ref()).await?;
        let nodes = match &master {
            Some(master) => states(master).await?,
            None => Vec::new(),
        };
        let remedy = |(name, begun): (&Label, &Begun)| {
            let remedy = begun
                .traces
                .remedy(self.is_master(name), find(&nodes, name));
            // The authority that the others trust is there: it is never cleared once they can join.
            let keeps = master.is_some() && Some(name) == first.as_ref() && begun.traces.any();
            match keeps && remedy == Remedy::Reset {
                true => Remedy::RestartKubelet,
                false => remedy,
            }
        };
        let remedies: Vec<_> = all.iter().map(remedy).collect();
        for ((name, begun), remedy) in all.iter().zip(&remedies) {
            if begun.traces.any() && *remedy != Remedy::Reset {
                self.is_of(name, at)?;
            }
        }
        let mut joined = Vec::new();
        for ((name, begun), remedy) in all.iter().zip(remedies) {
            let node = find(&nodes, name);
            self.apply_remedy(name, &begun.machine, master.as_ref(), remedy)
                .await?;
            if self.is_master(name) && node.is_some() && begun.traces.kubelet_conf {
                joined.push(name.clone());
            }
        }
        Ok(joined)
    }

    /// An error if a run had begun with another Kubernetes on this machine.
    fn is_of(&self, name: &Label, at: &Hop) -> Result<(), Error> {
        match self.notes.get(name).map(|note| &note.release) {
            Some(was) if was.kubernetes != at.kubernetes => {
                let why = format!(
                    "a run that was not finished has begun to set up {was} there, which {at} would not upgrade"
                );
                let instead = "put back what was there until the cluster is finished, or destroy the cluster and make it again";
                let refusal = Refusal::new(RefusalKind::Unfinished, why, instead);
                Err(Error::Refused {
                    what: format!("set up {name}"),
                    reasons: vec![refusal.of(name).on(name).from_to(was, at)],
                })
            }
            _ => Ok(()),
        }
    }

    async fn begun(&self, name: &Label) -> Result<Begun, Error> {
        let machine = self.connect(name).await?;
        let traces = control::traces(&machine)
            .await
            .map_err(|e| Error::because(format!("see what is on {name}"), e))?;
        Ok(Begun { machine, traces })
    }

    /// A master that serves of a cluster that others can join already; none, if `kubeadm init` did not get that far. An API
    /// server that may still be starting is waited for.
    async fn initialised(
        &self,
        all: &BTreeMap<Label, Begun>,
        first: Option<&Label>,
    ) -> Result<Option<Arc<dyn Remote>>, Error> {
        let masters = || {
            let masters = all.iter().filter(|(name, _)| self.is_master(name));
            masters.filter(|(_, begun)| begun.traces.manifest)
        };
        let mut waits = AWAY;
        let uptimes = masters().map(|(_, begun)| control::uptime(&begun.machine));
        for uptime in side_by_side(uptimes).await {
            waits = waits.max(SERVES.saturating_sub(uptime?));
        }
        let end = Instant::now() + waits;
        let what = "wait for a master of the cluster that is not finished".to_owned();
        self.waiting(what, async |tell| loop {
            let looks = masters().map(|(name, Begun { machine, .. })| async move {
                match control::api_health(machine).await {
                    Ok(Health::Well) => Ok(machine),
                    Ok(Health::Ill(text)) => Err(format!("{name}: {text}")),
                    Err(error) => Err(format!("{name}: {}", chain(&error))),
                }
            });
            let why = match first_success(looks).await {
                Ok(machine) => {
                    let is_it = control::is_initialised(machine).await?;
                    return Ok(is_it.then(|| Arc::clone(machine)));
                }
                Err(why) => why,
            };
            if masters().next().is_none() {
                return Ok(None);
            }
            if Instant::now() + LOOK >= end {
                // Only where there was a cluster could another master begin to join it.
                return match masters().any(|(name, _)| Some(name) != first) {
                    true => Err(Error::failed(format!(
                        "find a master whose API serves, of a cluster that is not finished, for {} s; start its masters, or \
                         destroy it and make it again:\n  {}",
                        waits.as_secs(),
                        why.join("\n  ")
                    ))),
                    false => Ok(None),
                };
            }
            tell(&why.join("; "));
            tokio::time::sleep(LOOK).await;
        })
        .await
    }

    async fn apply_remedy(
        &self,
        name: &Label,
        machine: &Arc<dyn Remote>,
        master: Option<&Arc<dyn Remote>>,
        remedy: Remedy,
    ) -> Result<(), Error> {
        let failed = |e| Error::because(format!("make {name} ready to join"), e);
        match remedy {
            Remedy::Nothing => return Ok(()),
            Remedy::Reset => {
                self.say(format!("{name}: what kubeadm left half done is cleared"));
                control::reset(machine).await.map_err(failed)?;
            }
            Remedy::RestartKubelet => {
                control::restart_kubelet(machine).await.map_err(failed)?;
            }
            Remedy::Mark => {
                control::restart_kubelet(machine).await.map_err(failed)?;
                control::mark(machine).await.map_err(failed)?;
            }
            Remedy::Forget => {}
        }
        if let (Remedy::Forget | Remedy::Reset, Some(master)) = (remedy, master) {
            control::delete_node(master, name).await.map_err(failed)?;
            fail::fail_point!("kubespray::node-deleted");
        }
        Ok(())
    }

    pub(super) fn is_master(&self, name: &Label) -> bool {
        self.node(name)
            .is_some_and(|node| node.role == Role::Master)
    }
}

fn find<'a>(nodes: &'a [NodeState], name: &Label) -> Option<&'a NodeState> {
    nodes.iter().find(|node| node.name == name.as_str())
}
