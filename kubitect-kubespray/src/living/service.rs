//! A node is taken out of service for planned work (drained, and a master drained at the balancers), upgraded or restarted, and
//! returned to service.

use std::sync::Arc;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::{self, Hop};
use kubitect_config::value::{Label, Version};
use kubitect_config::{Remote, chain};

use super::kubernetes::Kubernetes;
use super::nodes::states;
use super::note::Note;
use super::snapshot;
use super::stage::Task;
use crate::Error;
use crate::control::{self, Health};
use crate::goal::{self, Goal};

impl Kubernetes<'_> {
    /// Saves a snapshot of etcd. An upgrade can't be undone: only a snapshot brings back a cluster whose upgrade went wrong.
    pub(super) async fn snapshot(&self) -> Result<(), Error> {
        let master = self.serving_master(&[]).await?;
        let taken = snapshot::take(&master, snapshot::file_in(&self.backups)?).await?;
        self.say(format!(
            "a snapshot of etcd is in {} ({} KiB)",
            taken.file.display(),
            taken.bytes / 1024
        ));
        Ok(())
    }

    pub(super) async fn upgrade(
        &mut self,
        name: &Label,
        to: &Hop,
        pauses: bool,
        task: &Task,
    ) -> Result<(), Error> {
        if self.notes.get(name).is_some_and(|note| note.release >= *to) {
            return Ok(());
        }
        self.say(format!("{name}: gets {to}"));
        // Checked before the playbook: Kubespray stops a master's etcd before it checks the other members.
        if self.joined_masters().contains(name) {
            self.check_majority_without(name, "upgrade", pauses).await?;
        }
        // An interrupted run may have installed a program without restarting it. Kubespray then finds nothing to do, and does not
        // restart it either.
        let is_upgrading = |note: &Note| note.busy && note.getting.as_ref() == Some(to);
        let repeated = self.notes.get(name).is_some_and(is_upgrading);
        let result = match self.upgrade_drained(name, task).await {
            Ok(()) => self.restart_outdated(name, to, repeated).await,
            Err(error) => Err(error),
        };
        let result = match result {
            Ok(()) => {
                self.return_to_service(name, Some(&to.kubernetes), None)
                    .await
            }
            Err(error) => {
                self.return_after_failure(name).await;
                Err(error)
            }
        };
        result.map_err(|e| {
            Error::because(
                format!("upgrade {name}: the nodes before it are done, and the next apply goes on with it"),
                e,
            )
        })?;
        self.change_note(name, |note| {
            note.release = to.clone();
            note.getting = None;
            note.busy = false;
            note.drained = false;
        })
    }

    async fn upgrade_drained(&mut self, name: &Label, task: &Task) -> Result<(), Error> {
        let moved = self.take_out_of_service(name).await?;
        // Noted before the playbook: from here on nothing older may be run on the cluster, even if the playbook fails.
        for name in self.nodes_to_note(name, &task.release) {
            self.change_note(&name, |note| note.getting = Some(task.release.clone()))?;
        }
        let present = self.present(&[]);
        let goal = Goal::Upgrade {
            node: name.clone(),
            keeps_pods: !moved,
        };
        self.play(&goal, task, &present).await?;
        let masters = self.joined_masters();
        if !masters.contains(name) {
            return Ok(());
        }
        // Kubespray upgrades the kubelet first: a node that reports the new version may still have an API server of the old one.
        self.wait_api(name, &task.release.kubernetes).await?;
        let release = release::find_or_newest(&task.release.kubespray);
        if release.is_some_and(goal::keeps_old_arguments) {
            self.apply_arguments(name).await?;
        }
        let replaces_dns = release.is_some_and(goal::replaces_dns);
        // The upgrade of a master other than the first replaces Kubespray's cluster DNS by kubeadm's. Kubespray's is installed
        // again once, after the last master.
        if replaces_dns && masters.len() > 1 && masters.last() == Some(name) {
            self.play(&Goal::Dns, task, &present).await?;
        }
        Ok(())
    }

    /// Gives the control plane of a master the arguments in kubeadm's configuration, which some releases write in an upgrade
    /// without applying it: see [`goal::keeps_old_arguments`].
    async fn apply_arguments(&self, name: &Label) -> Result<(), Error> {
        let machine = self.connect(name).await?;
        let what = format!("give the control plane of {name} its arguments");
        self.waiting(what.clone(), async |waits| {
            control::use_configuration(&machine, self.ready_within(), waits).await
        })
        .await
        .map_err(|e| Error::because(what, e))?;
        Ok(())
    }

    /// Restarts the kubelet of an upgraded node that still runs another version. If an earlier run had begun the same upgrade
    /// (`repeated`), restarts kubelet and container runtime in any case: either may be installed and not restarted.
    async fn restart_outdated(&self, name: &Label, to: &Hop, repeated: bool) -> Result<(), Error> {
        let nodes = states(&self.serving_master(&[]).await?).await?;
        let node = nodes.iter().find(|state| state.name == name.as_str());
        let is_outdated = node.is_some_and(|node| node.version != to.kubernetes.to_string());
        if !(is_outdated || repeated) {
            return Ok(());
        }
        let failed = |e| Error::because(format!("restart the kubelet of {name}"), e);
        let machine = self.connect(name).await?;
        if repeated {
            let manager = &self.cluster.kubernetes.container_manager;
            control::restart_runtime(&machine, manager)
                .await
                .map_err(failed)?;
        }
        control::restart_kubelet(&machine).await.map_err(failed)
    }

    /// The nodes in whose notes the release is entered as begun before the upgrade of `name` to it: for a worker only itself; for
    /// a master all masters that lack the release. If the master's machine is lost with its note, the other masters' notes still
    /// say that the upgrade has begun.
    fn nodes_to_note(&self, name: &Label, to: &Hop) -> Vec<Label> {
        let masters = self.joined_masters();
        if !masters.contains(name) {
            return vec![name.clone()];
        }
        let lacks_release = |name: &Label| {
            let note = self.notes.get(name);
            note.is_some_and(|note| note.release < *to && note.getting.as_ref() != Some(to))
        };
        masters.into_iter().filter(lacks_release).collect()
    }

    /// Waits until the API server of a master serves with this version.
    pub(super) async fn wait_api(&self, name: &Label, version: &Version) -> Result<(), Error> {
        let machine = self.connect(name).await?;
        let what = format!("wait for the API of {name}");
        self.waiting(what, async |waits| {
            control::wait_api(&machine, name, version, self.ready_within(), waits).await
        })
        .await
    }

    /// Takes a node out of service before planned work: balancers send a master no new connections, and the node is drained.
    /// Returns whether it was drained. If no other node takes its pods, they stay, and it is not cordoned.
    async fn take_out_of_service(&mut self, name: &Label) -> Result<bool, Error> {
        self.note_busy(name).await?;
        if self.can_be_drained(name) {
            self.change_note(name, |note| note.drained = true)?;
            self.set_drained_at_balancers(name, true).await?;
        }
        fail::fail_point!("kubespray::out-of-service");
        let moved = self.drain_if_possible(name).await?;
        fail::fail_point!("kubespray::drained");
        Ok(moved)
    }

    /// Whether the balancers may drain this node: a master, but not the only one. Without it nothing reaches the API, not even
    /// its own kubelet.
    fn can_be_drained(&self, name: &Label) -> bool {
        let masters = self.joined_masters();
        masters.contains(name) && masters.len() > 1
    }

    /// Notes that a node is cordoned by Kubitect for work, unless a person has cordoned it: that cordon has to stay after the work.
    pub(super) async fn note_busy(&mut self, name: &Label) -> Result<(), Error> {
        if self.notes.get(name).is_none_or(|note| note.busy) {
            return Ok(());
        }
        let master = self.serving_master(&[]).await?;
        let states = states(&master).await?;
        let cordoned = states
            .iter()
            .any(|state| state.name == name.as_str() && state.cordoned);
        if cordoned {
            return Ok(());
        }
        self.change_note(name, |note| note.busy = true)
    }

    /// Restarts a node's machine, by `restart`. The node is out of service meanwhile. `boot` waits for the machine, and returns
    /// the ID of its present boot, which distinguishes what its kubelet reports after the restart from what it reported before.
    pub async fn restart<E: From<Error>>(
        &mut self,
        node: &Node,
        restart: impl AsyncFnOnce() -> Result<(), E>,
        boot: impl AsyncFnOnce() -> Result<String, E>,
    ) -> Result<(), E> {
        let name = &node.name;
        if node.role == Role::Master {
            self.check_majority_without(name, "restart", false).await?;
        }
        let restarted = match self.take_out_of_service(name).await {
            Ok(_) => restart().await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = restarted {
            self.return_after_failure(name).await;
            return Err(error);
        }
        let boot = boot().await?;
        self.return_to_service(name, None, Some(&boot)).await?;
        Ok(self.note_in_service(name)?)
    }

    /// Waits until a node is Ready: with this version of its kubelet, and since this boot of its machine, if they are given.
    pub(super) async fn wait_ready(
        &self,
        master: &Arc<dyn Remote>,
        name: &Label,
        version: Option<&Version>,
        boot: Option<&str>,
    ) -> Result<(), Error> {
        let what = format!("wait until {name} is Ready");
        self.waiting(what, async |waits| {
            control::wait_ready(master, name, version, boot, self.ready_within(), waits).await
        })
        .await
        .map_err(|e| Error::because(format!("wait for {name}"), e))
    }

    /// Returns a node to service after work: waits until it is Ready (see [`Kubernetes::wait_ready`]), uncordons it, and has the
    /// balancers send it connections again.
    async fn return_to_service(
        &mut self,
        name: &Label,
        version: Option<&Version>,
        boot: Option<&str>,
    ) -> Result<(), Error> {
        let master = self.serving_master(&[]).await?;
        self.wait_ready(&master, name, version, boot).await?;
        self.uncordon(name, &master).await?;
        self.set_drained_at_balancers(name, false).await
    }

    /// Notes that a node is in service.
    fn note_in_service(&mut self, name: &Label) -> Result<(), Error> {
        self.change_note(name, |note| {
            note.busy = false;
            note.drained = false;
        })
    }

    /// Returns a node to service that an interrupted run took out of it.
    pub(super) async fn return_held_node(&mut self, name: &Label) -> Result<(), Error> {
        self.return_to_service(name, None, None).await?;
        self.note_in_service(name)
    }

    /// Returns a node to service after failed work, as far as it works. What fails here is only a warning: the error of the work
    /// itself is returned by the caller.
    async fn return_after_failure(&mut self, name: &Label) {
        if let Err(also) = self.return_if_ready(name).await {
            self.say(format!("warning: {name}: {}", chain(&also)));
        }
    }

    /// Has the balancers send connections to a node again, and uncordons it if it is Ready.
    async fn return_if_ready(&mut self, name: &Label) -> Result<(), Error> {
        self.set_drained_at_balancers(name, false).await?;
        let master = self.serving_master(&[]).await?;
        if self.is_ready(&master, name).await? {
            self.uncordon(name, &master).await?;
        }
        Ok(())
    }

    /// Uncordons a node that Kubitect has cordoned. A person's cordon is not noted as `busy`, and stays.
    pub(super) async fn uncordon(
        &self,
        name: &Label,
        master: &Arc<dyn Remote>,
    ) -> Result<(), Error> {
        if self.notes.get(name).is_some_and(|note| note.busy) {
            control::uncordon(master, name)
                .await
                .map_err(|e| Error::because(format!("uncordon {name}"), e))?;
            fail::fail_point!("kubespray::uncordoned");
        }
        Ok(())
    }

    /// Drains a node, if other nodes take its pods. Returns whether they do: else the pods stay, and the node is not cordoned.
    async fn drain_if_possible(&self, name: &Label) -> Result<bool, Error> {
        let failed = |e| Error::because(format!("drain {name}"), e);
        let master = self.serving_master(&[]).await?;
        let nodes = states(&master).await?;
        let pods = control::pods(&master, name).await.map_err(failed)?;
        if let Some(why) = control::why_unschedulable(name, &nodes, &pods) {
            self.say(format!("{name}: its pods stay on it: {why}"));
            // An interrupted run may have cordoned it while there still was another node for its pods.
            self.uncordon(name, &master).await?;
            return Ok(false);
        }
        self.drain_node(name, &master).await?;
        Ok(true)
    }

    /// Drains a node, and reports which pods it waits for.
    pub(super) async fn drain_node(
        &self,
        name: &Label,
        master: &Arc<dyn Remote>,
    ) -> Result<(), Error> {
        self.waiting(format!("move the pods of {name}"), async |waits| {
            control::drain(master, name, self.drain_within(), waits).await
        })
        .await
        .map_err(|e| Error::because(format!("drain {name}"), e))
    }

    /// An error unless etcd keeps a majority while this master's member is down. Two cases pass without one: the only member,
    /// whose API pauses as the plan shows; and one of two healthy members, if the plan shows that pause (`pauses`).
    async fn check_majority_without(
        &self,
        name: &Label,
        work: &str,
        pauses: bool,
    ) -> Result<(), Error> {
        let master = self.serving_master(&[]).await?;
        let members = control::members(&master)
            .await
            .map_err(|e| Error::because("ask etcd for its members", e))?;
        let Some(ip) = self.facts.node(name).map(|facts| facts.ip) else {
            return Ok(());
        };
        let healthy_others = members
            .iter()
            .filter(|member| !member.is_at(ip) && member.health == Health::Healthy)
            .count();
        // One of two members can't be spared either, but no third one can join before both are upgraded.
        if pauses && members.len() == 2 && members.iter().all(|m| m.health == Health::Healthy) {
            return Ok(());
        }
        // A single master can't be spared: its API pauses, as the plan says.
        if members.len() > 1 && healthy_others < members.len() / 2 + 1 {
            return Err(Error::failed(format!(
                "{work} {name}: of {} etcd members only {healthy_others} others answer, which is no majority; start or mend them first",
                members.len()
            )));
        }
        Ok(())
    }

    /// Drains a master at all balancers, or has them send it connections again. Does nothing for a node that is no master.
    async fn set_drained_at_balancers(&self, name: &Label, drained: bool) -> Result<(), Error> {
        if !self.joined_masters().contains(name) {
            return Ok(());
        }
        let result = self.access.balance(name, drained).await;
        result
            .map_err(|e| Error::because(format!("change the state of {name} at the balancers"), e))
    }
}
