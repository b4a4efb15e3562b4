//! Nodes are taken out of service for planned work, upgraded, and given back.

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
    /// Saves what etcd holds: without it, nothing brings back a cluster whose upgrade goes wrong.
    pub(super) async fn snapshot(&self) -> Result<(), Error> {
        let master = self.master(&[]).await?;
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
        // Kubespray stops a master's etcd first, and looks at the others later.
        if self.joined_masters().contains(name) {
            self.spare(name, "upgrade", pauses).await?;
        }
        // A run that ended between the installation of a program and its restart has Kubespray find nothing to do.
        let at_work = |note: &Note| note.busy && note.getting.as_ref() == Some(to);
        let again = self.notes.get(name).is_some_and(at_work);
        let done = match self.upgrade_out_of_service(name, task).await {
            Ok(()) => self.runs_what_is_installed(name, to, again).await,
            Err(error) => Err(error),
        };
        let done = match done {
            Ok(()) => self.back_in_service(name, Some(&to.kubernetes), None).await,
            Err(error) => {
                self.mend(name).await;
                Err(error)
            }
        };
        done.map_err(|e| {
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

    async fn upgrade_out_of_service(&mut self, name: &Label, task: &Task) -> Result<(), Error> {
        let moved = self.out_of_service(name).await?;
        // Whatever becomes of it, nothing older is set up any more.
        for name in self.begins(name, &task.at) {
            self.change_note(&name, |note| note.getting = Some(task.at.clone()))?;
        }
        let present = self.present(&[]);
        let goal = Goal::Upgrade {
            node: name.clone(),
            stays: !moved,
        };
        self.play(&goal, task, &present).await?;
        let masters = self.joined_masters();
        if !masters.contains(name) {
            return Ok(());
        }
        // Kubespray upgrades the kubelet first: a node of the new version may have an API server of the old one.
        self.wait_api(name, &task.at.kubernetes).await?;
        let release = release::find_or_newest(&task.at.kubespray);
        if release.is_some_and(goal::keeps_arguments) {
            self.use_configuration(name).await?;
        }
        let replaces_dns = release.is_some_and(goal::replaces_dns);
        // The first master's own run puts it back itself.
        if replaces_dns && masters.len() > 1 && masters.last() == Some(name) {
            self.play(&Goal::Dns, task, &present).await?;
        }
        Ok(())
    }

    /// Brings a master the arguments of the control plane with which the upgrade has left kubeadm's configuration alone.
    async fn use_configuration(&self, name: &Label) -> Result<(), Error> {
        let machine = self.connect(name).await?;
        let what = format!("give the control plane of {name} its arguments");
        self.waiting(what.clone(), async |waits| {
            control::use_configuration(&machine, self.ready_within(), waits).await
        })
        .await
        .map_err(|e| Error::because(what, e))?;
        Ok(())
    }

    /// Restarts the kubelet of a node that was upgraded and runs another version still, and, where an earlier run has been at it,
    /// the container runtime, too.
    async fn runs_what_is_installed(
        &self,
        name: &Label,
        to: &Hop,
        again: bool,
    ) -> Result<(), Error> {
        let nodes = states(&self.master(&[]).await?).await?;
        let node = nodes.iter().find(|state| state.name == name.as_str());
        let is_old = node.is_some_and(|node| node.version != to.kubernetes.to_string());
        if !(is_old || again) {
            return Ok(());
        }
        let failed = |e| Error::because(format!("restart the kubelet of {name}"), e);
        let machine = self.connect(name).await?;
        if again {
            let manager = &self.cluster.kubernetes.container_manager;
            control::restart_runtime(&machine, manager)
                .await
                .map_err(failed)?;
        }
        control::restart_kubelet(&machine).await.map_err(failed)
    }

    /// The nodes on which is noted that one begins to get this release: itself, and with a master all that follow it. Should that be
    /// lost with its note, they tell what the cluster has begun to get.
    fn begins(&self, name: &Label, at: &Hop) -> Vec<Label> {
        let masters = self.joined_masters();
        if !masters.contains(name) {
            return vec![name.clone()];
        }
        let follows = |name: &Label| {
            let note = self.notes.get(name);
            note.is_some_and(|note| note.release < *at && note.getting.as_ref() != Some(at))
        };
        masters.into_iter().filter(follows).collect()
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

    /// Before planned work on a node: no new connections, and, but for its own, no pods, if there is another place for them.
    /// Whether there was: else they stay, and the node is not cordoned.
    async fn out_of_service(&mut self, name: &Label) -> Result<bool, Error> {
        self.hold(name).await?;
        if self.can_be_drained(name) {
            self.change_note(name, |note| note.drained = true)?;
            self.balance(name, true).await?;
        }
        fail::fail_point!("kubespray::out-of-service");
        let moved = self.drain(name).await?;
        fail::fail_point!("kubespray::drained");
        Ok(moved)
    }

    /// Whether balancers may keep connections away from it: not from the only master. Nothing would reach the API, its own
    /// kubelet included.
    fn can_be_drained(&self, name: &Label) -> bool {
        let masters = self.joined_masters();
        masters.contains(name) && masters.len() > 1
    }

    /// Notes that a node is worked on, unless a person keeps pods away from it.
    pub(super) async fn hold(&mut self, name: &Label) -> Result<(), Error> {
        if self.notes.get(name).is_none_or(|note| note.busy) {
            return Ok(());
        }
        let master = self.master(&[]).await?;
        let states = states(&master).await?;
        let cordoned = states
            .iter()
            .any(|state| state.name == name.as_str() && state.cordoned);
        if cordoned {
            return Ok(());
        }
        self.change_note(name, |note| note.busy = true)
    }

    /// Restarts a node's machine (`again`): out of service before, back after. `boot` waits for the machine, and gives the name
    /// by which the kubelet knows its present boot.
    pub async fn restart<E: From<Error>>(
        &mut self,
        node: &Node,
        again: impl AsyncFnOnce() -> Result<(), E>,
        boot: impl AsyncFnOnce() -> Result<String, E>,
    ) -> Result<(), E> {
        let name = &node.name;
        if node.role == Role::Master {
            self.spare(name, "restart", false).await?;
        }
        let restarted = match self.out_of_service(name).await {
            Ok(_) => again().await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = restarted {
            self.mend(name).await;
            return Err(error);
        }
        let boot = boot().await?;
        self.back_in_service(name, None, Some(&boot)).await?;
        Ok(self.note_released(name)?)
    }

    /// Waits until a node is Ready, with this version and since this boot of its machine, as far as they are given.
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

    /// After work on a node: it is Ready, with this version and since this boot of its machine, as far as they are given;
    /// it takes pods and connections again.
    async fn back_in_service(
        &mut self,
        name: &Label,
        version: Option<&Version>,
        boot: Option<&str>,
    ) -> Result<(), Error> {
        let master = self.master(&[]).await?;
        self.wait_ready(&master, name, version, boot).await?;
        self.take_pods(name, &master).await?;
        self.balance(name, false).await
    }

    /// Notes that nothing is kept away from a node any more.
    fn note_released(&mut self, name: &Label) -> Result<(), Error> {
        self.change_note(name, |note| {
            note.busy = false;
            note.drained = false;
        })
    }

    /// Takes pods again on a node that a run kept them away from.
    pub(super) async fn release(&mut self, name: &Label) -> Result<(), Error> {
        self.back_in_service(name, None, None).await?;
        self.note_released(name)
    }

    /// After failed work: what still works goes on working, and what does not is told. The failure itself is the caller's.
    async fn mend(&mut self, name: &Label) {
        if let Err(also) = self.give_back(name).await {
            self.say(format!("warning: {name}: {}", chain(&also)));
        }
    }

    /// A node that is Ready takes pods and connections again.
    async fn give_back(&mut self, name: &Label) -> Result<(), Error> {
        self.balance(name, false).await?;
        let master = self.master(&[]).await?;
        if self.is_ready(&master, name).await? {
            self.take_pods(name, &master).await?;
        }
        Ok(())
    }

    pub(super) async fn take_pods(
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

    /// Moves a node's pods elsewhere; false where there is nowhere else: then they stay.
    async fn drain(&self, name: &Label) -> Result<bool, Error> {
        let failed = |e| Error::because(format!("drain {name}"), e);
        let master = self.master(&[]).await?;
        let nodes = states(&master).await?;
        let pods = control::pods(&master, name).await.map_err(failed)?;
        if let Some(why) = control::nowhere(name, &nodes, &pods) {
            self.say(format!("{name}: its pods stay on it: {why}"));
            // An interrupted run may have cordoned it, when there was another place.
            self.take_pods(name, &master).await?;
            return Ok(false);
        }
        self.move_away(name, &master).await?;
        Ok(true)
    }

    /// Moves a node's pods elsewhere, and says which have not gone yet.
    pub(super) async fn move_away(
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

    /// An error unless etcd goes on taking changes while this master is away, or, where the plan says that it `pauses`, will do so
    /// after that.
    async fn spare(&self, name: &Label, work: &str, pauses: bool) -> Result<(), Error> {
        let master = self.master(&[]).await?;
        let members = control::members(&master)
            .await
            .map_err(|e| Error::because("ask etcd for its members", e))?;
        let Some(ip) = self.facts.node(name).map(|known| known.ip) else {
            return Ok(());
        };
        let well = members
            .iter()
            .filter(|member| !member.is_at(ip) && member.health == Health::Well)
            .count();
        // One of two members has no spare either, and nobody else can join before it is upgraded.
        if pauses && members.len() == 2 && members.iter().all(|m| m.health == Health::Well) {
            return Ok(());
        }
        // A single master has no spare: its API pauses, as the plan says.
        if members.len() > 1 && well < members.len() / 2 + 1 {
            return Err(Error::failed(format!(
                "{work} {name}: of {} etcd members only {well} others answer, which is no majority; start or mend them first",
                members.len()
            )));
        }
        Ok(())
    }

    /// Sets the state of a master behind all balancers.
    async fn balance(&self, name: &Label, drained: bool) -> Result<(), Error> {
        if !self.joined_masters().contains(name) {
            return Ok(());
        }
        let told = self.access.balance(name, drained).await;
        told.map_err(|e| Error::because(format!("tell the balancers of {name}"), e))
    }
}
