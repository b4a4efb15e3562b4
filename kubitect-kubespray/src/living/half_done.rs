//! Before a playbook runs on a machine, what failed, killed or interrupted runs have left there is dealt with: processes are waited
//! for, and what kubeadm left half done is cleared or finished.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kubitect_config::cluster::Role;
use kubitect_config::release::Hop;
use kubitect_config::value::Label;
use kubitect_config::waiting::{first_success, side_by_side};
use kubitect_config::{Refusal, RefusalKind, Remote, chain};

use super::kubernetes::{Kubernetes, POLL_INTERVAL};
use super::nodes::states;
use crate::Error;
use crate::control::{self, Health, NodeState, Remedy, Traces};
use crate::error::readable;

/// How long processes of an earlier run may take to end. Each of them has a shorter limit of its own.
const IDLE_LIMIT: Duration = Duration::from_secs(20 * 60);
/// How long an API server that once served may fail to answer on a running machine: while it restarts, or etcd elects a leader.
const RESTART_LIMIT: Duration = Duration::from_secs(30);

/// A machine on which an earlier run was, and what kubeadm has left there.
struct Inspected {
    machine: Arc<dyn Remote>,
    traces: Traces,
}

impl Kubernetes<'_> {
    /// Waits until no process of an earlier run is left on those of these machines that have a note, and reissues the certificate
    /// of an API server if an earlier run has removed it. Each machine is asked once: no playbook of this run leaves a
    /// process behind.
    pub(super) async fn wait_for_earlier_runs(&mut self, names: &[Label]) -> Result<(), Error> {
        let is_unchecked =
            |name: &&Label| self.notes.contains_key(*name) && !self.idle.contains(*name);
        let this = &*self;
        let masters = &self.joined_masters();
        let waits = names.iter().filter(is_unchecked).map(|name| async move {
            let machine = this.connect(name).await?;
            control::wait_idle(&machine, name.as_str(), IDLE_LIMIT, |what| {
                this.say(format!(
                    "{name}: {what} goes on there, as an earlier run may have left it, and is waited for"
                ));
            })
            .await?;
            let reissued =
                this.is_master(name) && this.reissue_certificate(name, &machine).await?;
            if reissued && !masters.contains(name) {
                // The kubelet starts a container that has failed for long only minutes later; restarted, it does so at once. This
                // API server is waited for soon.
                control::restart_kubelet(&machine).await?;
            }
            Ok(())
        });
        let waited: Result<Vec<()>, Error> = side_by_side(waits).await.into_iter().collect();
        waited?;
        self.idle.extend(names.iter().cloned());
        Ok(())
    }

    /// Prepares a machine for a join: applies the remedy for what an earlier run, or an earlier machine of its name, has left.
    pub(super) async fn prepare_to_join(
        &mut self,
        name: &Label,
        master: &Arc<dyn Remote>,
    ) -> Result<(), Error> {
        self.wait_for_earlier_runs(std::slice::from_ref(name))
            .await?;
        let begun = self.inspect(name).await?;
        let nodes = states(master).await?;
        let remedy = begun
            .traces
            .remedy(self.is_master(name), find(&nodes, name));
        self.apply_remedy(name, &begun.machine, Some(master), remedy)
            .await
    }

    /// Prepares the machines of an unfinished cluster, so that its creation goes on. Returns the masters that have joined
    /// already. An error, if a machine keeps a Kubernetes of another version than that of `release`: creation does not upgrade,
    /// and upgrades wait until the cluster is finished.
    pub(super) async fn prepare_for_creation(
        &mut self,
        names: &[Label],
        release: &Hop,
    ) -> Result<Vec<Label>, Error> {
        self.wait_for_earlier_runs(names).await?;
        let mut all = BTreeMap::new();
        let begun = side_by_side(names.iter().map(|name| self.inspect(name))).await;
        for (name, begun) in names.iter().zip(begun) {
            all.insert(name.clone(), begun?);
        }
        if !all.values().any(|begun| begun.traces.any()) {
            return Ok(Vec::new());
        }
        let masters = self.cluster.role(Role::Master).map(|node| &node.name);
        let first = masters.min().cloned();
        let master = self.find_initialised_master(&all, first.as_ref()).await?;
        let nodes = match &master {
            Some(master) => states(master).await?,
            None => Vec::new(),
        };
        let remedy = |(name, begun): (&Label, &Inspected)| {
            let remedy = begun
                .traces
                .remedy(self.is_master(name), find(&nodes, name));
            // The first master holds the certificate authority that the others trust: it is not reset once others can have joined.
            let keeps_authority =
                master.is_some() && Some(name) == first.as_ref() && begun.traces.any();
            match keeps_authority && remedy == Remedy::Reset {
                true => Remedy::RestartKubelet,
                false => remedy,
            }
        };
        let remedies: Vec<_> = all.iter().map(remedy).collect();
        for ((name, begun), remedy) in all.iter().zip(&remedies) {
            if begun.traces.any() && *remedy != Remedy::Reset {
                self.check_same_version(name, release)?;
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

    /// An error, if an earlier run began to set up another version of Kubernetes on this machine.
    fn check_same_version(&self, name: &Label, release: &Hop) -> Result<(), Error> {
        match self.notes.get(name).map(|note| &note.release) {
            Some(was) if was.kubernetes != release.kubernetes => {
                let why = format!(
                    "a run that was not finished has begun to set up {was} there, which {release} would not upgrade"
                );
                let instead = "put back what was there until the cluster is finished, or destroy the cluster and make it again";
                let refusal = Refusal::new(RefusalKind::Unfinished, why, instead);
                Err(Error::Refused {
                    what: format!("set up {name}"),
                    reasons: vec![refusal.of(name).on(name).from_to(was, release)],
                })
            }
            _ => Ok(()),
        }
    }

    async fn inspect(&self, name: &Label) -> Result<Inspected, Error> {
        let machine = self.connect(name).await?;
        let traces = control::traces(&machine)
            .await
            .map_err(|e| Error::because(format!("see what is on {name}"), e))?;
        Ok(Inspected { machine, traces })
    }

    /// A connection to a master whose API serves, of an unfinished cluster that others can join; none, if `kubeadm init` was
    /// interrupted before that. An API server that may still be starting is waited for. An error, if none serves although masters
    /// other than the first have begun to join: then there was a cluster, and creating it again would destroy it.
    async fn find_initialised_master(
        &self,
        all: &BTreeMap<Label, Inspected>,
        first: Option<&Label>,
    ) -> Result<Option<Arc<dyn Remote>>, Error> {
        let masters = || {
            let masters = all.iter().filter(|(name, _)| self.is_master(name));
            masters.filter(|(_, begun)| begun.traces.manifest)
        };
        let mut limit = RESTART_LIMIT;
        let uptimes = masters().map(|(_, begun)| control::uptime(&begun.machine));
        for uptime in side_by_side(uptimes).await {
            limit = limit.max(self.ready_within().saturating_sub(uptime?));
        }
        let end = Instant::now() + limit;
        let what = "wait for a master of the cluster that is not finished".to_owned();
        self.waiting(what, async |on_wait| loop {
            let looks = masters().map(|(name, Inspected { machine, .. })| async move {
                match control::api_health(machine).await {
                    Ok(Health::Healthy) => Ok(machine),
                    Ok(Health::Unhealthy(text)) => Err(format!("{name}: {text}")),
                    Err(error) => Err(format!("{name}: {}", chain(&error))),
                }
            });
            let why = match first_success(looks).await {
                Ok(machine) => {
                    let initialised = control::is_initialised(machine).await?;
                    return Ok(initialised.then(|| Arc::clone(machine)));
                }
                Err(why) => why,
            };
            if masters().next().is_none() {
                return Ok(None);
            }
            if Instant::now() + POLL_INTERVAL >= end {
                // Another master can only have begun to join if there was a cluster.
                return match masters().any(|(name, _)| Some(name) != first) {
                    true => Err(Error::failed(format!(
                        "find a master whose API serves, of a cluster that is not finished, for {}; start its masters, or \
                         destroy it and make it again:\n  {}",
                        readable(limit),
                        why.join("\n  ")
                    ))),
                    false => Ok(None),
                };
            }
            on_wait(&why.join("; "));
            tokio::time::sleep(POLL_INTERVAL).await;
        })
        .await
    }

    /// Applies a remedy to a machine. `master` is a master whose API serves, if there is one, through which nodes are deleted.
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
            Remedy::MarkControlPlane => {
                control::restart_kubelet(machine).await.map_err(failed)?;
                control::mark_control_plane(machine).await.map_err(failed)?;
            }
            Remedy::DeleteNode => {}
        }
        if let (Remedy::DeleteNode | Remedy::Reset, Some(master)) = (remedy, master) {
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
