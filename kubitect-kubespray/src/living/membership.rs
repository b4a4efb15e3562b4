//! Nodes join Kubernetes and leave it, and masters join etcd and leave it. A master leaves only if etcd keeps a majority without
//! it.

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
use crate::goal::{Goal, needs_joining_network};

/// How long the pods of an unreachable node may take to be evicted. Its kubelet can't confirm that they have ended, so waiting
/// longer gains nothing.
const EVICTION_LIMIT: Duration = Duration::from_secs(60);

/// The taints that kubeadm gives masters: the second name only up to Kubernetes 1.24.
const MASTER_TAINTS: [&str; 2] = [
    "node-role.kubernetes.io/control-plane:NoSchedule",
    "node-role.kubernetes.io/master:NoSchedule",
];

impl Kubernetes<'_> {
    /// Removes nodes from Kubernetes, and masters from etcd. Their machines are removed later, by whoever has the hosts.
    ///
    /// The order for each node: it is drained; its note becomes "unfinished"; its etcd member is removed; Kubespray resets the
    /// machine of a master, and deletes the node. For a machine that does not answer, the node is deleted through another master.
    pub(super) async fn leave(
        &mut self,
        names: &[Label],
        reachable: bool,
        task: &Task,
    ) -> Result<(), Error> {
        self.give_api_servers_a_member(names).await?;
        let master = self.serving_master(names).await?;
        self.untaint_masters(names, &master).await?;
        let nodes = states(&master).await?;
        let mut reset = Vec::new();
        for name in names {
            let node = nodes.iter().find(|state| state.name == name.as_str());
            if let Some(node) = node {
                // A machine that does not answer may be gone, with its note; and its node does not return to service.
                if reachable {
                    self.note_busy(name).await?;
                }
                self.drain_leaving(name, node, reachable, &master).await?;
            }
            // Kubespray resets a machine through a login on it. Without one the node is deleted all the same.
            let is_reset = node.is_some() && reachable && self.can_log_in(name).await;
            if is_reset {
                reset.push(name.clone());
            }
            // Noted before the first step that can't be undone: if the file names the node again before it is gone, it has to
            // join again.
            if self.has_joined(name) {
                self.change_note(name, |note| note.finished = false)?;
            }
            if self.node(name).is_none_or(|node| node.role == Role::Master) {
                self.leave_etcd(name, &master).await?;
            }
            if !is_reset {
                control::delete_node(&master, name)
                    .await
                    .map_err(|e| Error::because(format!("take {name} out of Kubernetes"), e))?;
                fail::fail_point!("kubespray::node-deleted");
            }
        }
        if !reset.is_empty() {
            let present = self.present(&reset);
            let goal = Goal::Remove {
                nodes: reset,
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

    /// Removes kubeadm's taint from all masters before the last workers leave, so that the masters take their pods. Kubespray would
    /// remove it only in its next run on masters, after the workers are gone.
    async fn untaint_masters(
        &self,
        leaving: &[Label],
        master: &Arc<dyn Remote>,
    ) -> Result<(), Error> {
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
            // A taint that the file asks for stays.
            let taints: Vec<_> = taints
                .filter(|taint| !node.taints.contains(taint))
                .collect();
            control::untaint(master, name, &taints)
                .await
                .map_err(|e| Error::because(format!("let pods come to {name}"), e))?;
        }
        Ok(())
    }

    /// Whether one can log in on a machine that leaves. If not, a warning says that it is not reset.
    async fn can_log_in(&self, name: &Label) -> bool {
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

    /// Drains a node that leaves, through a master that stays.
    async fn drain_leaving(
        &self,
        name: &Label,
        node: &NodeState,
        reachable: bool,
        master: &Arc<dyn Remote>,
    ) -> Result<(), Error> {
        self.say(format!("{name}: its pods are moved elsewhere"));
        match &node.health {
            // Only with `reachable`: Kubernetes reports a node as Ready for a while after its machine has died.
            Health::Healthy if reachable => self.drain_node(name, master).await?,
            // A failure is only a warning. Pods that a disruption budget keeps are deleted with the node, and start elsewhere then.
            _ => {
                if let Err(error) = control::drain_unreachable(master, name, EVICTION_LIMIT).await {
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

    /// Removes a master from etcd, if it is a member. An error, if the other members would be without a majority after that.
    async fn leave_etcd(&self, name: &Label, master: &Arc<dyn Remote>) -> Result<(), Error> {
        let failed = |e| Error::because(format!("take {name} out of etcd"), e);
        let members = control::members(master).await.map_err(failed)?;
        let own = match self.facts.node(name) {
            Some(facts) => members.iter().find(|member| member.is_at(facts.ip)),
            None => {
                // Its machine is gone, and its address is not known. The inventory gave the member a name by the node's ID.
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
        let (rest, healthy) = (
            others().count(),
            others()
                .filter(|other| other.health == Health::Healthy)
                .count(),
        );
        if healthy < rest / 2 + 1 {
            return Err(Error::failed(format!(
                "take {name} out of etcd: of the other {rest} members {healthy} would answer, which is no majority; start or \
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

    /// Has a master join Kubernetes and etcd, or finishes a join that was interrupted.
    pub(super) async fn join_master(&mut self, name: &Label, task: &Task) -> Result<(), Error> {
        let master = self.serving_master(std::slice::from_ref(name)).await?;
        let mut members = self.joined_masters();
        members.insert(name.clone());
        let failed = |e| Error::because(format!("see whether {name} has joined"), e);
        let listed = control::members(&master).await.map_err(failed)?;
        let ip = self.facts.node(name).map(|facts| facts.ip);
        let own = ip.and_then(|ip| listed.iter().find(|member| member.is_at(ip)));
        let serves = own.is_some_and(|member| member.health == Health::Healthy);
        let nodes = states(&master).await?;
        let node = nodes.iter().find(|state| state.name == name.as_str());
        if !(serves && self.is_complete(name, node)) {
            self.check_release_can_join(name, &listed, task)?;
            let present = self.present(std::slice::from_ref(name));
            self.check_no_foreign_member(name, &listed, &present)?;
            // A member that does not serve is of an earlier machine of this name, or of a join that was interrupted. Such a member,
            // and etcd's data on the machine, would keep the new member from starting.
            if own.is_some() && !serves {
                self.leave_etcd(name, &master).await?;
            }
            if !serves {
                self.set_data_aside(name).await?;
            }
            self.prepare_to_join(name, &master).await?;
            self.note(name, &task.release, &members, false)?;
            if let Err(error) = self.add_master(name, task, &master).await {
                // A failed join may leave etcd with an announced second member, and without a majority.
                if let Err(also) = self.start_second_member().await {
                    self.say(format!("warning: {also}"));
                }
                return Err(error);
            }
            self.wait_ready(&master, name, Some(&task.release.kubernetes), None)
                .await?;
            self.wait_api(name, &task.release.kubernetes).await?;
        }
        self.uncordon(name, &master).await?;
        self.note(name, &task.release, &members, true)?;
        self.say(format!("{name}: joined"));
        Ok(())
    }

    /// Runs the playbook with which a master joins. With some network plugins it waits for the node to be Ready before the tasks
    /// that make it Ready, and fails ([`needs_joining_network`]). Then these tasks are run alone, and the playbook once more.
    async fn add_master(
        &mut self,
        name: &Label,
        task: &Task,
        master: &Arc<dyn Remote>,
    ) -> Result<(), Error> {
        let present = self.present(std::slice::from_ref(name));
        let join = Goal::AddMaster(name.clone());
        let network = Goal::JoiningNetwork(name.clone());
        // An earlier run may have failed at this point.
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

    /// Whether a joining master lacks nothing but its network.
    async fn lacks_network(
        &self,
        name: &Label,
        task: &Task,
        master: &Arc<dyn Remote>,
    ) -> Result<bool, Error> {
        let release = release::find_or_newest(&task.release.kubespray);
        if !release.is_some_and(|release| needs_joining_network(self.cluster, release)) {
            return Ok(false);
        }
        let nodes = states(master).await?;
        let node = nodes.iter().find(|state| state.name == name.as_str());
        Ok(node
            .is_some_and(|node| node.has_control_plane_label() && node.health != Health::Healthy))
    }

    /// Whether an earlier run has finished the join of this master without noting so. Ready is not enough: a node is Ready before
    /// it gets the mark of a master, and its labels and taints, which come last.
    fn is_complete(&self, name: &Label, node: Option<&NodeState>) -> bool {
        let (Some(wanted), Some(node)) = (self.node(name), node) else {
            return false;
        };
        let mut labels = wanted.labels.iter();
        let mut taints = wanted.taints.iter();
        self.notes.contains_key(name)
            && node.health == Health::Healthy
            && node.has_control_plane_label()
            && labels.all(|(key, value)| node.labels.get(key) == Some(value))
            && taints.all(|taint| node.taints.contains(&taint.to_string()))
    }

    /// Has workers join Kubernetes, all in one run of the playbook.
    pub(super) async fn join_workers(&mut self, names: &[Label], task: &Task) -> Result<(), Error> {
        let master = self.serving_master(&[]).await?;
        self.wait_for_earlier_runs(names).await?;
        for name in names {
            self.prepare_to_join(name, &master).await?;
            self.note(name, &task.release, &BTreeSet::new(), false)?;
        }
        let present = self.present(names);
        let are_first = !present
            .iter()
            .any(|name| !self.is_master(name) && self.has_joined(name));
        // If the playbook fails, all these workers stay unfinished, also those that have joined: what is left to do on them
        // (labels, name servers) is not known, and the next run repeats it.
        self.play(&Goal::AddWorkers(names.to_vec()), task, &present)
            .await?;
        // Each worker that is Ready is noted as joined, even if another one is not. The first failure is returned.
        let mut result = Ok(());
        for name in names {
            let joined = self.worker_joined(name, task, &master).await;
            if let (Err(also), Err(_)) = (&joined, &result) {
                self.say(format!("warning: {}", chain(also)));
            }
            result = result.and(joined);
        }
        if are_first && result.is_ok() {
            self.taint_masters(&master).await?;
        }
        result
    }

    /// Gives the masters kubeadm's taint after the first workers have joined, as in a cluster that was created with workers. Pods
    /// that run on masters stay there.
    async fn taint_masters(&self, master: &Arc<dyn Remote>) -> Result<(), Error> {
        let taint: Vec<_> = MASTER_TAINTS[0].parse().into_iter().collect();
        for name in self.joined_masters() {
            control::taint(master, &name, &taint)
                .await
                .map_err(|e| Error::because(format!("keep new pods away from {name}"), e))?;
        }
        Ok(())
    }

    /// Waits until a worker that Kubespray has set up is Ready, and notes that it has joined.
    async fn worker_joined(
        &mut self,
        name: &Label,
        task: &Task,
        master: &Arc<dyn Remote>,
    ) -> Result<(), Error> {
        self.wait_ready(master, name, Some(&task.release.kubernetes), None)
            .await?;
        self.uncordon(name, master).await?;
        self.note(name, &task.release, &BTreeSet::new(), true)?;
        self.say(format!("{name}: joined"));
        Ok(())
    }
}

/// The address in a URL such as `https://192.168.113.10:2380`.
pub(super) fn address_of(url: &str) -> Option<Ipv4Addr> {
    let (_, rest) = url.split_once("://")?;
    rest.rsplit_once(':')?.0.parse().ok()
}
