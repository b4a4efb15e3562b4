//! [`Kubernetes`]: carries out the tasks of a plan, each complete and noted before the next begins.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::Facts;
use kubitect_config::cluster::{Node, Role, Taint};
use kubitect_config::release::Hop;
use kubitect_config::value::{Label, Version};
use kubitect_kubespray::control::{self, Health};
use kubitect_kubespray::goal::Goal;
use kubitect_kubespray::{Tools, Workdir};
use kubitect_lb::State;
use kubitect_provision::machine;
use kubitect_provision::ssh::Keys;

use super::hand_over::fetch_kubeconfig;
use super::machines::connect;
use crate::adapters::{Balancer, Master};
use crate::failure::Failure;
use crate::home::write_whole;
use crate::job::Job;
use crate::note::Note;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::stage::{Stage, Task};

/// How long pods may take to leave a node.
const DRAIN: Duration = Duration::from_secs(5 * 60);
/// How long a node may take to be Ready again.
const READY: Duration = Duration::from_secs(10 * 60);
/// How long saving and fetching a snapshot may take.
const SNAPSHOT: Duration = Duration::from_secs(10 * 60);

/// A living cluster under work.
pub struct Kubernetes<'a> {
    job: &'a Job,
    keys: &'a Keys,
    reporter: &'a Arc<Reporter>,
    /// By Kubespray's tag.
    tools: &'a BTreeMap<Version, Tools>,
    /// All machines that are there, those that leave among them.
    nodes: Vec<Node>,
    facts: Facts,
    /// Machines that don't answer.
    silent: BTreeSet<Label>,
    /// What is noted of each node of Kubernetes, kept up to date.
    notes: BTreeMap<Label, Note>,
}

impl<'a> Kubernetes<'a> {
    /// As the plan saw it, with the `facts` of the machines that are wanted.
    pub fn new(
        job: &'a Job,
        plan: &Plan,
        mut facts: Facts,
        keys: &'a Keys,
        tools: &'a BTreeMap<Version, Tools>,
        reporter: &'a Arc<Reporter>,
    ) -> Self {
        let mut silent = BTreeSet::new();
        for leaving in &plan.leaving {
            let key = keys.host_key_line(&leaving.name);
            match key.and_then(|key| leaving.facts(key)) {
                Some(known) => facts.nodes.push(known),
                None => drop(silent.insert(leaving.name.clone())),
            }
        }
        let answers = |name: &Label| {
            plan.seen
                .iter()
                .any(|seen| seen.node.name == *name && (seen.wanted || seen.answers))
        };
        silent.extend(
            plan.seen
                .iter()
                .map(|seen| seen.node.name.clone())
                .filter(|name| !answers(name)),
        );
        Self {
            job,
            keys,
            reporter,
            tools,
            nodes: plan.seen.iter().map(|seen| seen.node.clone()).collect(),
            facts,
            silent,
            notes: plan
                .seen
                .iter()
                .filter_map(|seen| Some((seen.node.name.clone(), seen.note.clone()?)))
                .collect(),
        }
    }

    /// Carries out one task.
    pub async fn carry_out(&mut self, task: &Task) -> Result<(), Failure> {
        match &task.stage {
            Stage::Create => self.create(task).await,
            Stage::Leave { nodes, reachable } => self.leave(nodes, *reachable, task).await,
            Stage::JoinMaster(name) => self.join_master(name, task).await,
            Stage::JoinWorkers(names) => self.join_workers(names, task).await,
            Stage::Members => self.members(task).await,
            Stage::Describe(name) => self.describe(name).await,
            Stage::Release(name) => self.release(name).await,
            Stage::Snapshot => self.snapshot().await,
            Stage::Upgrade { node, to } => self.upgrade(node, to, task).await,
            Stage::Addons => self.addons(task).await,
        }
    }

    async fn create(&mut self, task: &Task) -> Result<(), Failure> {
        let all: Vec<_> = self
            .nodes
            .iter()
            .filter(|node| node.role != Role::LoadBalancer && self.is_wanted(&node.name))
            .map(|node| node.name.clone())
            .collect();
        let masters = self.job.cluster.role(Role::Master);
        let members: BTreeSet<_> = masters.map(|node| node.name.clone()).collect();
        for name in &all {
            self.note(name, &task.at, &members, false)?;
        }
        self.play(&Goal::Create, task, &all).await?;
        fetch_kubeconfig(self.job, &self.facts, self.keys).await?;
        // The masters last: one that is finished means that all is.
        for name in all.iter().rev() {
            self.note(name, &task.at, &members, true)?;
        }
        Ok(())
    }

    async fn leave(
        &mut self,
        names: &[Label],
        reachable: bool,
        task: &Task,
    ) -> Result<(), Failure> {
        let master = self.master(names).await?;
        let there = self.nodes_of(&master).await?;
        let mut asked = Vec::new();
        for name in names {
            let drained = there.contains(name.as_str())
                && reachable
                && connect(&self.facts, self.keys, name).await.is_ok();
            if drained {
                self.say(format!("{name}: its pods are moved elsewhere"));
                control::drain(&master, name, DRAIN)
                    .await
                    .map_err(|e| Failure::because(format!("drain {name}"), e))?;
                asked.push(name.clone());
            }
            if self.node(name).is_none_or(|node| node.role == Role::Master) {
                self.leave_etcd(name, &master).await?;
            }
            if !drained {
                control::delete_node(&master, name)
                    .await
                    .map_err(|e| Failure::because(format!("take {name} out of Kubernetes"), e))?;
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

    /// Takes a master out of etcd, if it is a member.
    async fn leave_etcd(&self, name: &Label, master: &Master) -> Result<(), Failure> {
        let failed = |e| Failure::because(format!("take {name} out of etcd"), e);
        let members = control::members(master).await.map_err(failed)?;
        let own = match self.facts.node(name) {
            Some(known) => members.iter().find(|member| member.is_at(known.ip)),
            None => {
                // Its machine is gone, and its address with it: the inventory named the member after the node's id.
                let prefix = format!("{}-master-", self.job.cluster.name);
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
            return Err(Failure::failed(format!(
                "take {name} out of etcd: of the other {rest} members {well} would answer, which is no majority; start or \
                 mend them first"
            )));
        }
        let Some(ip) = member.peer_urls.iter().find_map(|url| address_of(url)) else {
            return Err(Failure::failed(format!(
                "take {name} out of etcd: its member has no address"
            )));
        };
        control::remove_member(master, ip).await.map_err(failed)?;
        self.say(format!("{name}: left etcd"));
        Ok(())
    }

    async fn join_master(&mut self, name: &Label, task: &Task) -> Result<(), Failure> {
        let master = self.master(std::slice::from_ref(name)).await?;
        let mut members = self.joined_masters();
        members.insert(name.clone());
        let failed = |e| Failure::because(format!("see whether {name} has joined"), e);
        let listed = control::members(&master).await.map_err(failed)?;
        let ip = self.facts.node(name).map(|known| known.ip);
        let own = ip.and_then(|ip| listed.iter().find(|member| member.is_at(ip)));
        let serves = own.is_some_and(|member| member.health == Health::Well);
        let ready = self.is_ready(&master, name).await?;
        if !(serves && ready && self.notes.contains_key(name)) {
            // What a machine of this name was before it was made anew, or half-way joined, is in its way.
            if own.is_some() && !serves {
                self.leave_etcd(name, &master).await?;
            }
            self.forget_unready(name, &master).await?;
            self.note(name, &task.at, &members, false)?;
            let present = self.present(std::slice::from_ref(name));
            self.play(&Goal::AddMaster(name.clone()), task, &present)
                .await?;
            control::wait_ready(&master, name, Some(&task.at.kubernetes), READY)
                .await
                .map_err(|e| Failure::because(format!("wait for {name}"), e))?;
        }
        self.note(name, &task.at, &members, true)?;
        self.say(format!("{name}: joined"));
        Ok(())
    }

    async fn members(&mut self, task: &Task) -> Result<(), Failure> {
        let present = self.present(&[]);
        self.play(&Goal::AfterMembers, task, &present).await?;
        let members = self.joined_masters();
        for name in &members {
            self.change_note(name, |note| note.members = members.clone())?;
        }
        Ok(())
    }

    async fn join_workers(&mut self, names: &[Label], task: &Task) -> Result<(), Failure> {
        let master = self.master(&[]).await?;
        for name in names {
            self.forget_unready(name, &master).await?;
            self.note(name, &task.at, &BTreeSet::new(), false)?;
        }
        let present = self.present(names);
        self.play(&Goal::AddWorkers(names.to_vec()), task, &present)
            .await?;
        for name in names {
            control::wait_ready(&master, name, Some(&task.at.kubernetes), READY)
                .await
                .map_err(|e| Failure::because(format!("wait for {name}"), e))?;
            self.note(name, &task.at, &BTreeSet::new(), true)?;
            self.say(format!("{name}: joined"));
        }
        Ok(())
    }

    /// Takes a node object that is not Ready out of the way of the machine that is to join under its name.
    async fn forget_unready(&self, name: &Label, master: &Master) -> Result<(), Failure> {
        if self.is_ready(master, name).await? {
            return Ok(());
        }
        control::delete_node(master, name)
            .await
            .map_err(|e| Failure::because(format!("forget the former {name}"), e))
    }

    async fn is_ready(&self, master: &Master, name: &Label) -> Result<bool, Failure> {
        let nodes = control::nodes(master)
            .await
            .map_err(|e| Failure::because("ask Kubernetes for its nodes", e))?;
        let own = nodes.iter().find(|state| state.name == name.as_str());
        Ok(own.is_some_and(|state| state.health == Health::Well))
    }

    async fn nodes_of(&self, master: &Master) -> Result<BTreeSet<String>, Failure> {
        let nodes = control::nodes(master)
            .await
            .map_err(|e| Failure::because("ask Kubernetes for its nodes", e))?;
        Ok(nodes.into_iter().map(|state| state.name).collect())
    }

    /// Brings a node's labels and taints to what is configured. Those that others have set stay.
    async fn describe(&mut self, name: &Label) -> Result<(), Failure> {
        let failed = |e| Failure::because(format!("change the labels and taints of {name}"), e);
        let (Some(node), Some(note)) = (self.node(name).cloned(), self.notes.get(name).cloned())
        else {
            return Ok(());
        };
        let master = self.master(&[]).await?;
        let gone: Vec<_> = note
            .labels
            .keys()
            .filter(|key| !node.labels.contains_key(*key))
            .cloned()
            .collect();
        control::label(&master, name, &node.labels, &gone)
            .await
            .map_err(failed)?;
        let wanted: BTreeSet<_> = node.taints.iter().map(ToString::to_string).collect();
        // A taint whose key and effect stay is overwritten, not taken away for a moment.
        let stays = |taint: &Taint| {
            let same = |other: &&Taint| other.key == taint.key && other.effect == taint.effect;
            node.taints.iter().any(|other| same(&other))
        };
        let gone: Vec<Taint> = note
            .taints
            .difference(&wanted)
            .filter_map(|text| text.parse().ok())
            .filter(|taint| !stays(taint))
            .collect();
        control::taint(&master, name, &node.taints)
            .await
            .map_err(failed)?;
        control::untaint(&master, name, &gone)
            .await
            .map_err(failed)?;
        self.change_note(name, |note| {
            note.labels = node.labels.clone();
            note.taints = wanted;
        })
    }

    async fn addons(&mut self, task: &Task) -> Result<(), Failure> {
        let present = self.present(&[]);
        self.play(&Goal::Addons, task, &present).await?;
        let addons = crate::note::addons(&self.job.cluster)?;
        for name in self.joined_masters() {
            self.change_note(&name, |note| note.addons = addons.clone())?;
        }
        Ok(())
    }

    /// Saves what etcd holds and brings it home: without it, nothing brings back a cluster whose upgrade goes wrong.
    async fn snapshot(&self) -> Result<(), Failure> {
        let failed = |e| Failure::because("save a snapshot of etcd", e);
        let master = self.master(&[]).await?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let file = format!("etcd-{}.db", now.unwrap_or_default().as_secs());
        let path = format!("/var/lib/kubitect/{file}");
        let snapshot = control::save_snapshot(&master, &path, SNAPSHOT)
            .await
            .map_err(failed)?;
        let bytes = master
            .0
            .run_ok(&["sudo", "-n", "cat", "--", &path], SNAPSHOT)
            .await;
        // Every secret of the cluster is in it: it does not stay, whether it arrived or not.
        control::discard_snapshot(&master, &path)
            .await
            .map_err(failed)?;
        let bytes = bytes.map_err(|e| Failure::because("fetch the snapshot of etcd", e))?;
        if crate::note::sha256(&bytes) != snapshot.sha256 {
            return Err(Failure::failed(
                "fetch the snapshot of etcd: what arrived is not what was saved; apply again",
            ));
        }
        let home = self.job.dir.backups()?.join(&file);
        write_whole(&home, &bytes, 0o600)?;
        self.say(format!(
            "a snapshot of etcd is in {} ({} KiB)",
            home.display(),
            snapshot.bytes / 1024
        ));
        Ok(())
    }

    async fn upgrade(&mut self, name: &Label, to: &Hop, task: &Task) -> Result<(), Failure> {
        if self.notes.get(name).is_some_and(|note| note.release >= *to) {
            return Ok(());
        }
        self.say(format!("{name}: gets {to}"));
        self.out_of_service(name).await?;
        let present = self.present(&[]);
        // Kubespray drains no node that is cordoned already, be it by an interrupted run.
        let done = match self.drain(name).await {
            Ok(()) => {
                self.play(&Goal::Upgrade(name.clone()), task, &present)
                    .await
            }
            Err(error) => Err(error),
        };
        let done = match done {
            Ok(()) => self.back_in_service(name, Some(&to.kubernetes)).await,
            Err(error) => {
                // What still works goes on working; what failed is told.
                if let Err(also) = self.mend(name).await {
                    self.say(format!("warning: {name}: {also}"));
                }
                Err(error)
            }
        };
        done.map_err(|e| {
            Failure::because(
                format!("upgrade {name}: the nodes before it are done, and the next apply goes on with it"),
                e.to_string(),
            )
        })?;
        self.change_note(name, |note| {
            note.release = to.clone();
            note.busy = false;
        })
    }

    /// Before planned work on a node: no new connections, and, but for its own, no pods.
    pub async fn out_of_service(&mut self, name: &Label) -> Result<(), Failure> {
        self.hold(name).await?;
        self.balance(name, State::Drain).await
    }

    /// Notes that a node is worked on, unless a person keeps pods away from it.
    async fn hold(&mut self, name: &Label) -> Result<(), Failure> {
        if self.notes.get(name).is_none_or(|note| note.busy) {
            return Ok(());
        }
        let master = self.master(&[]).await?;
        let nodes = control::nodes(&master)
            .await
            .map_err(|e| Failure::because("ask Kubernetes for its nodes", e))?;
        let cordoned = nodes
            .iter()
            .any(|state| state.name == name.as_str() && state.cordoned);
        if cordoned {
            return Ok(());
        }
        self.change_note(name, |note| note.busy = true)
    }

    /// After work on a node: it is Ready, takes pods and connections again.
    pub async fn back_in_service(
        &mut self,
        name: &Label,
        version: Option<&Version>,
    ) -> Result<(), Failure> {
        let master = self.master(&[]).await?;
        control::wait_ready(&master, name, version, READY)
            .await
            .map_err(|e| Failure::because(format!("wait for {name}"), e))?;
        self.take_pods(name, &master).await?;
        self.balance(name, State::Ready).await
    }

    /// Takes pods again on a node that a run kept them away from.
    async fn release(&mut self, name: &Label) -> Result<(), Failure> {
        self.back_in_service(name, None).await?;
        self.change_note(name, |note| note.busy = false)
    }

    /// After failed work: a node that is Ready is given back.
    async fn mend(&mut self, name: &Label) -> Result<(), Failure> {
        self.balance(name, State::Ready).await?;
        let master = self.master(&[]).await?;
        if self.is_ready(&master, name).await? {
            self.take_pods(name, &master).await?;
        }
        Ok(())
    }

    async fn take_pods(&self, name: &Label, master: &Master) -> Result<(), Failure> {
        if self.notes.get(name).is_some_and(|note| note.busy) {
            control::uncordon(master, name)
                .await
                .map_err(|e| Failure::because(format!("uncordon {name}"), e))?;
        }
        Ok(())
    }

    /// Moves a node's pods elsewhere, unless there is nowhere else.
    pub async fn drain(&self, name: &Label) -> Result<(), Failure> {
        let failed = |e| Failure::because(format!("drain {name}"), e);
        let master = self.master(&[]).await?;
        let nodes = control::nodes(&master).await.map_err(failed)?;
        let elsewhere = nodes.iter().any(|state| {
            state.name != name.as_str() && !state.cordoned && state.health == Health::Well
        });
        if elsewhere {
            control::drain(&master, name, DRAIN).await.map_err(failed)
        } else {
            control::cordon(&master, name).await.map_err(failed)
        }
    }

    /// An error unless etcd goes on taking changes while this master is away.
    pub async fn spare(&self, name: &Label) -> Result<(), Failure> {
        let master = self.master(&[]).await?;
        let members = control::members(&master)
            .await
            .map_err(|e| Failure::because("ask etcd for its members", e))?;
        let Some(ip) = self.facts.node(name).map(|known| known.ip) else {
            return Ok(());
        };
        let well = members
            .iter()
            .filter(|member| !member.is_at(ip) && member.health == Health::Well)
            .count();
        // A single master has no spare: its API pauses, as the plan says.
        if members.len() > 1 && well < members.len() / 2 + 1 {
            return Err(Failure::failed(format!(
                "restart {name}: of {} etcd members only {well} others answer, which is no majority; start or mend them first",
                members.len()
            )));
        }
        Ok(())
    }

    /// Sets the state of a master behind all balancers. The only master is never drained: nothing would reach the API,
    /// its own kubelet included.
    async fn balance(&self, name: &Label, state: State) -> Result<(), Failure> {
        let masters = self.joined_masters();
        if !masters.contains(name) || (state == State::Drain && masters.len() == 1) {
            return Ok(());
        }
        let failed = |e| Failure::because(format!("tell the balancers of {name}"), e);
        let balancers = kubitect_lb::balancers(&self.job.cluster, &self.facts).map_err(failed)?;
        for balancer in balancers {
            let session = connect(&self.facts, self.keys, &balancer.node).await?;
            kubitect_lb::set_state(&balancer, &Balancer(session), name, state)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Runs the playbooks of a goal on these nodes, and the balancers.
    async fn play(&self, goal: &Goal, task: &Task, nodes: &[Label]) -> Result<(), Failure> {
        let failed = |e| {
            Failure::because(
                format!("{} by Kubespray {}", told(goal, task), task.at.kubespray),
                e,
            )
        };
        let mut cluster = self.job.cluster.clone();
        cluster.kubernetes.version = task.at.kubernetes.clone();
        cluster.kubernetes.kubespray.version = task.at.kubespray.clone();
        let is_in = |node: &&Node| {
            nodes.contains(&node.name)
                || (node.role == Role::LoadBalancer && self.is_wanted(&node.name))
        };
        cluster.nodes = self.nodes.iter().filter(is_in).cloned().collect();
        let tools = self.tools.get(&task.at.kubespray).ok_or_else(|| {
            Failure::failed(format!(
                "use Kubespray {}: it is not prepared",
                task.at.kubespray
            ))
        })?;
        let workdir = Workdir::new(self.job.dir.config_dir(), self.job.dir.logs());
        kubitect_kubespray::carry_out(goal, &cluster, &self.facts, tools, &workdir, &|event| {
            self.reporter.kubespray(event)
        })
        .await
        .map_err(failed)
    }

    /// A connection to a master that serves, none of these.
    async fn master(&self, but: &[Label]) -> Result<Master, Failure> {
        let mut why = Vec::new();
        for name in self
            .joined_masters()
            .iter()
            .filter(|name| !but.contains(name))
        {
            let session = match connect(&self.facts, self.keys, name).await {
                Ok(session) => Master(session),
                Err(error) => {
                    why.push(error.to_string());
                    continue;
                }
            };
            match control::api_health(&session).await {
                Ok(Health::Well) => return Ok(session),
                Ok(Health::Ill(text)) => why.push(format!("{name}: {text}")),
                Err(error) => why.push(format!("{name}: {error}")),
            }
        }
        Err(Failure::failed(format!(
            "find a master whose API serves:\n  {}",
            why.join("\n  ")
        )))
    }

    fn node(&self, name: &Label) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    fn is_wanted(&self, name: &Label) -> bool {
        self.job.cluster.nodes.iter().any(|node| node.name == *name)
    }

    /// The masters that have joined, by name.
    fn joined_masters(&self) -> BTreeSet<Label> {
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
    fn present(&self, besides: &[Label]) -> Vec<Label> {
        let finished = self.notes.iter().filter(|(_, note)| note.finished);
        let mut names: Vec<_> = finished
            .map(|(name, _)| name)
            .filter(|name| !self.silent.contains(*name) && self.facts.node(name).is_some())
            .cloned()
            .collect();
        names.extend(
            besides
                .iter()
                .filter(|name| !names.contains(name))
                .cloned()
                .collect::<Vec<_>>(),
        );
        names
    }

    /// Notes on a node's domain what is set up on it.
    fn note(
        &mut self,
        name: &Label,
        at: &Hop,
        members: &BTreeSet<Label>,
        finished: bool,
    ) -> Result<(), Failure> {
        let Some(node) = self.node(name).cloned() else {
            return Ok(());
        };
        let note = Note::of(&self.job.cluster, &node, at, members, finished)?;
        self.write_note(&node, note)
    }

    /// Changes what is noted of a node.
    pub fn change_note(
        &mut self,
        name: &Label,
        change: impl FnOnce(&mut Note),
    ) -> Result<(), Failure> {
        let (Some(node), Some(note)) = (self.node(name).cloned(), self.notes.get(name)) else {
            return Ok(());
        };
        let mut note = note.clone();
        change(&mut note);
        self.write_note(&node, note)
    }

    fn write_note(&mut self, node: &Node, note: Note) -> Result<(), Failure> {
        machine::note(&self.job.hosts, node, &note.text()?)
            .map_err(|e| Failure::because(format!("note what is set up on {}", node.name), e))?;
        self.notes.insert(node.name.clone(), note);
        Ok(())
    }

    fn say(&self, line: String) {
        self.reporter.line(line);
    }
}

/// What a goal is, after "failed to".
fn told(goal: &Goal, task: &Task) -> String {
    let names = |names: &[Label]| {
        let names: Vec<_> = names.iter().map(Label::as_str).collect();
        names.join(", ")
    };
    match goal {
        Goal::Create => format!("set up Kubernetes {}", task.at.kubernetes),
        Goal::AddWorkers(nodes) => format!("join {}", names(nodes)),
        Goal::AddMaster(node) => format!("join {node}"),
        Goal::AfterMembers => "tell the API servers of etcd's members".to_owned(),
        Goal::Remove { nodes, .. } => format!("remove {}", names(nodes)),
        Goal::Upgrade(node) => format!("upgrade {node} to {}", task.at.kubernetes),
        Goal::Addons => "install the addons".to_owned(),
    }
}

/// The address in `https://192.168.113.10:2380`.
fn address_of(url: &str) -> Option<Ipv4Addr> {
    let (_, rest) = url.split_once("://")?;
    rest.rsplit_once(':')?.0.parse().ok()
}
