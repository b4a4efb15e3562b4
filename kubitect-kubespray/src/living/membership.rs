//! Nodes leave Kubernetes and join it; masters leave etcd and join it, never without a majority.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::cluster::Role;
use kubitect_config::release;
use kubitect_config::value::Label;
use kubitect_config::{Remote, chain};

use super::kubernetes::Kubernetes;
use super::nodes::states;
use super::stage::Task;
use crate::Error;
use crate::control::{self, Health, NodeState};
use crate::goal::{Goal, network_from_hosts};

/// How long the pods of a node whose kubelet does not answer may take to be evicted: nobody says that they have ended.
const LOST: Duration = Duration::from_secs(60);

/// With what kubeadm keeps pods away from masters, up to Kubernetes 1.24 also by the former name.
const MASTER_TAINTS: [&str; 2] = [
    "node-role.kubernetes.io/control-plane:NoSchedule",
    "node-role.kubernetes.io/master:NoSchedule",
];

impl Kubernetes<'_> {
    pub(super) async fn leave(
        &mut self,
        names: &[Label],
        reachable: bool,
        task: &Task,
    ) -> Result<(), Error> {
        self.keep_api_servers(names).await?;
        let master = self.master(names).await?;
        self.open_masters(names, &master).await?;
        let nodes = states(&master).await?;
        let mut asked = Vec::new();
        for name in names {
            let node = nodes.iter().find(|state| state.name == name.as_str());
            if let Some(node) = node {
                // On a machine that is gone nothing can be noted, and nobody takes its node back.
                if reachable {
                    self.hold(name).await?;
                }
                self.move_pods(name, node, reachable, &master).await?;
            }
            // Only what cleans the machine itself needs it to answer.
            let cleaned = node.is_some() && reachable && self.answers(name).await;
            if cleaned {
                asked.push(name.clone());
            }
            // From here on it has to join anew if it is wanted again before it is gone.
            if self.has_joined(name) {
                self.change_note(name, |note| note.finished = false)?;
            }
            if self.node(name).is_none_or(|node| node.role == Role::Master) {
                self.leave_etcd(name, &master).await?;
            }
            if !cleaned {
                control::delete_node(&master, name)
                    .await
                    .map_err(|e| Error::because(format!("take {name} out of Kubernetes"), e))?;
                fail::fail_point!("kubespray::node-deleted");
            }
        }
        if !asked.is_empty() {
            let present = self.present(&asked);
            let goal = Goal::Remove {
                nodes: asked,
                reachable: true,
            };
            self.play(&goal, task, &present).await?;
        }
        for name in names {
            self.notes.remove(name);
            self.say(format!("{name}: left Kubernetes"));
        }
        Ok(())
    }

    /// Where the last workers leave, the masters take pods from now on: kubeadm's taint goes, which Kubespray would take away only
    /// in its next run on masters.
    async fn open_masters(&self, leaving: &[Label], master: &Arc<dyn Remote>) -> Result<(), Error> {
        let workers_stay = self.cluster.role(Role::Worker).next().is_some();
        if workers_stay || leaving.iter().all(|name| self.is_master(name)) {
            return Ok(());
        }
        for node in self.cluster.role(Role::Master) {
            let name = &node.name;
            if !self.has_joined(name) {
                continue;
            }
            let taints = MASTER_TAINTS.iter().filter_map(|text| text.parse().ok());
            // One that the file asks for stays.
            let taints: Vec<_> = taints
                .filter(|taint| !node.taints.contains(taint))
                .collect();
            control::untaint(master, name, &taints)
                .await
                .map_err(|e| Error::because(format!("let pods come to {name}"), e))?;
        }
        Ok(())
    }

    /// Whether a machine that leaves lets us in. If it does not, it is not cleaned, and that is said.
    async fn answers(&self, name: &Label) -> bool {
        match self.connect(name).await {
            Ok(_) => true,
            Err(error) => {
                let why = chain(&error);
                self.say(format!(
                    "warning: {name}: {why}; it leaves Kubernetes without being cleaned"
                ));
                false
            }
        }
    }

    /// Moves the pods of a node that leaves elsewhere, through another master.
    async fn move_pods(
        &self,
        name: &Label,
        node: &NodeState,
        reachable: bool,
        master: &Arc<dyn Remote>,
    ) -> Result<(), Error> {
        self.say(format!("{name}: its pods are moved elsewhere"));
        match &node.health {
            // For a while Kubernetes calls a node Ready whose machine has died.
            Health::Well if reachable => self.move_away(name, master).await?,
            // What budgets keep starts elsewhere once the node is deleted: nobody else can end it there.
            _ => {
                if let Err(error) = control::drain_lost(master, name, LOST).await {
                    let why = chain(&error);
                    self.say(format!(
                        "warning: {name}: its kubelet does not answer: {why}"
                    ));
                }
            }
        }
        fail::fail_point!("kubespray::drained");
        Ok(())
    }

    /// Takes a master out of etcd, if it is a member.
    async fn leave_etcd(&self, name: &Label, master: &Arc<dyn Remote>) -> Result<(), Error> {
        let failed = |e| Error::because(format!("take {name} out of etcd"), e);
        let members = control::members(master).await.map_err(failed)?;
        let own = match self.facts.node(name) {
            Some(known) => members.iter().find(|member| member.is_at(known.ip)),
            None => {
                // Its machine is gone, and its address with it: the inventory named the member after the node's id.
                let prefix = format!("{}-master-", self.cluster.name);
                let id = name.as_str().strip_prefix(&prefix);
                let own = id.map(|id| format!("etcd-{id}"));
                members
                    .iter()
                    .find(|member| Some(&member.name) == own.as_ref())
            }
        };
        let Some(member) = own else {
            return Ok(());
        };
        let others = || members.iter().filter(|other| other.id != member.id);
        let (rest, well) = (
            others().count(),
            others()
                .filter(|other| other.health == Health::Well)
                .count(),
        );
        if well < rest / 2 + 1 {
            return Err(Error::failed(format!(
                "take {name} out of etcd: of the other {rest} members {well} would answer, which is no majority; start or \
                 mend them first"
            )));
        }
        let Some(ip) = member.peer_urls.iter().find_map(|url| address_of(url)) else {
            return Err(Error::failed(format!(
                "take {name} out of etcd: its member has no address"
            )));
        };
        control::remove_member(master, ip).await.map_err(failed)?;
        fail::fail_point!("kubespray::left-etcd");
        self.say(format!("{name}: left etcd"));
        Ok(())
    }

    pub(super) async fn join_master(&mut self, name: &Label, task: &Task) -> Result<(), Error> {
        let master = self.master(std::slice::from_ref(name)).await?;
        let mut members = self.joined_masters();
        members.insert(name.clone());
        let failed = |e| Error::because(format!("see whether {name} has joined"), e);
        let listed = control::members(&master).await.map_err(failed)?;
        let ip = self.facts.node(name).map(|known| known.ip);
        let own = ip.and_then(|ip| listed.iter().find(|member| member.is_at(ip)));
        let serves = own.is_some_and(|member| member.health == Health::Well);
        let nodes = states(&master).await?;
        let node = nodes.iter().find(|state| state.name == name.as_str());
        if !(serves && self.is_complete(name, node)) {
            self.can_join(name, &listed, task)?;
            let present = self.present(std::slice::from_ref(name));
            self.knows_all(name, &listed, &present)?;
            // What a machine of this name was before it was recreated, or half-way joined, is in its way.
            if own.is_some() && !serves {
                self.leave_etcd(name, &master).await?;
            }
            if !serves {
                self.set_data_aside(name).await?;
            }
            self.make_way(name, &master).await?;
            self.note(name, &task.at, &members, false)?;
            if let Err(error) = self.add_master(name, task, &master).await {
                if let Err(also) = self.start_second().await {
                    self.say(format!("warning: {also}"));
                }
                return Err(error);
            }
            self.wait_ready(&master, name, Some(&task.at.kubernetes), None)
                .await?;
            self.wait_api(name, &task.at.kubernetes).await?;
        }
        self.take_pods(name, &master).await?;
        self.note(name, &task.at, &members, true)?;
        self.say(format!("{name}: joined"));
        Ok(())
    }

    /// Has Kubespray join a master. Where it waits for a node that only a later part of the run makes Ready, that part is run by
    /// itself, and then the whole once more.
    async fn add_master(
        &mut self,
        name: &Label,
        task: &Task,
        master: &Arc<dyn Remote>,
    ) -> Result<(), Error> {
        let present = self.present(std::slice::from_ref(name));
        let join = Goal::AddMaster(name.clone());
        let network = Goal::JoiningNetwork(name.clone());
        // An earlier run may have ended there.
        if self.lacks_network(name, task, master).await? {
            self.play(&network, task, &present).await?;
        }
        let Err(error) = self.play(&join, task, &present).await else {
            return Ok(());
        };
        if !self
            .lacks_network(name, task, master)
            .await
            .unwrap_or(false)
        {
            return Err(error);
        }
        self.say(format!(
            "{name}: it has joined, and Kubespray waits for its network without setting it up; that is done, and the run repeated"
        ));
        self.play(&network, task, &present).await?;
        self.play(&join, task, &present).await
    }

    /// Whether a master that joins has only its network yet to come.
    async fn lacks_network(
        &self,
        name: &Label,
        task: &Task,
        master: &Arc<dyn Remote>,
    ) -> Result<bool, Error> {
        let release = release::find_or_newest(&task.at.kubespray);
        if !release.is_some_and(|release| network_from_hosts(self.cluster, release)) {
            return Ok(false);
        }
        let nodes = states(master).await?;
        let node = nodes.iter().find(|state| state.name == name.as_str());
        Ok(node.is_some_and(|node| node.is_marked() && node.health != Health::Well))
    }

    /// Whether an earlier run has joined this master to the end, and could not note it: Ready alone comes earlier than the
    /// mark of a master and the labels and taints, which come last.
    fn is_complete(&self, name: &Label, node: Option<&NodeState>) -> bool {
        let (Some(wanted), Some(node)) = (self.node(name), node) else {
            return false;
        };
        let mut labels = wanted.labels.iter();
        let mut taints = wanted.taints.iter();
        self.notes.contains_key(name)
            && node.health == Health::Well
            && node.is_marked()
            && labels.all(|(key, value)| node.labels.get(key) == Some(value))
            && taints.all(|taint| node.taints.contains(&taint.to_string()))
    }

    pub(super) async fn join_workers(&mut self, names: &[Label], task: &Task) -> Result<(), Error> {
        let master = self.master(&[]).await?;
        self.settle(names).await?;
        for name in names {
            self.make_way(name, &master).await?;
            self.note(name, &task.at, &BTreeSet::new(), false)?;
        }
        let present = self.present(names);
        let are_first = !present
            .iter()
            .any(|name| !self.is_master(name) && self.has_joined(name));
        // Where it fails, it ends for all of them: what it had left to do on those that have joined, such as labels and name servers,
        // nobody tells, so that all stay unfinished and the next run repeats it.
        self.play(&Goal::AddWorkers(names.to_vec()), task, &present)
            .await?;
        // Each that has joined is noted, whatever becomes of the others.
        let mut first = Ok(());
        for name in names {
            let joined = self.worker_joined(name, task, &master).await;
            if let (Err(also), Err(_)) = (&joined, &first) {
                self.say(format!("warning: {}", chain(also)));
            }
            first = first.and(joined);
        }
        if are_first && first.is_ok() {
            self.close_masters(&master).await?;
        }
        first
    }

    /// Where the first workers have joined, no new pods come to masters any more, as in a cluster that was made with workers; those
    /// that run there stay.
    async fn close_masters(&self, master: &Arc<dyn Remote>) -> Result<(), Error> {
        let taint: Vec<_> = MASTER_TAINTS[0].parse().into_iter().collect();
        for name in self.joined_masters() {
            control::taint(master, &name, &taint)
                .await
                .map_err(|e| Error::because(format!("keep new pods away from {name}"), e))?;
        }
        Ok(())
    }

    /// Waits for a worker that Kubespray has set up, and notes that it has joined.
    async fn worker_joined(
        &mut self,
        name: &Label,
        task: &Task,
        master: &Arc<dyn Remote>,
    ) -> Result<(), Error> {
        self.wait_ready(master, name, Some(&task.at.kubernetes), None)
            .await?;
        self.take_pods(name, master).await?;
        self.note(name, &task.at, &BTreeSet::new(), true)?;
        self.say(format!("{name}: joined"));
        Ok(())
    }
}

/// The address in `https://192.168.113.10:2380`.
pub(super) fn address_of(url: &str) -> Option<Ipv4Addr> {
    let (_, rest) = url.split_once("://")?;
    rest.rsplit_once(':')?.0.parse().ok()
}
