//! [`Kubernetes`]: carries out the tasks of a plan, each complete and noted before the next begins.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kubitect_config::cluster::{Node, Role, Taint};
use kubitect_config::release;
use kubitect_config::timeouts::Timeouts;
use kubitect_config::value::{Label, Version};
use kubitect_config::yaml::Value;
use kubitect_config::{Cluster, Facts, text};

use super::Access;
use super::note::{self, Note};
use super::stage::{ObservedNode, Stage, Task};
use crate::control::{self, OnWait};
use crate::goal::{self, Goal};
use crate::{Error, Event, OnEvent, Tools, Workdir, kubeconfig};

/// The time between two checks of what is waited for.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// What the work on an existing cluster needs.
pub struct Context<'a> {
    /// The desired cluster.
    pub cluster: &'a Cluster,
    /// Its machines and balancers.
    pub access: Arc<dyn Access + 'a>,
    /// Checkouts and Python environments, by Kubespray's tag.
    pub tools: BTreeMap<Version, Tools>,
    /// The folder of the cluster's files.
    pub workdir: Workdir,
    /// The folder of etcd's snapshots; created if it is missing.
    pub backups: PathBuf,
    /// How long drains may take, and nodes and API servers until they are ready.
    pub timeouts: Timeouts,
    /// Gets the events.
    pub on_event: OnEvent<'a>,
}

kubitect_config::debug_fields!(Context<'_>, cluster.name, tools, workdir);

/// The Kubernetes of an existing cluster, and the state of the run that works on it.
pub struct Kubernetes<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) access: Arc<dyn Access + 'a>,
    /// By Kubespray's tag.
    tools: BTreeMap<Version, Tools>,
    workdir: Workdir,
    pub(super) backups: PathBuf,
    timeouts: Timeouts,
    on_event: OnEvent<'a>,
    /// All existing machines, those that leave among them.
    pub(super) nodes: Vec<Node>,
    pub(super) facts: Facts,
    /// Machines that don't answer.
    pub(super) unreachable: BTreeSet<Label>,
    /// The note of each node, as it was written last.
    pub(super) notes: BTreeMap<Label, Note>,
    /// The Kubespray release and the machines of the upgrade that was just done: Ansible still has their facts.
    gathered: Option<(Version, Vec<Label>)>,
    /// The variables that the cluster keeps as it was created, once they were asked for.
    pub(super) original_settings: Option<Vec<(&'static str, Value)>>,
    /// The machines on which no process of an earlier run is left.
    pub(super) idle: BTreeSet<Label>,
    /// The machines whose systems were checked: kubelets of the wanted Kubernetes start there.
    pub(super) checked_systems: BTreeSet<Label>,
}

kubitect_config::debug_fields!(Kubernetes<'_>, cluster.name, notes);

impl<'a> Kubernetes<'a> {
    /// The cluster with the nodes of a plan, and the `facts` of all machines, those that leave among them.
    pub fn new(context: Context<'a>, facts: Facts, observed: &[ObservedNode]) -> Self {
        let Context {
            cluster,
            access,
            tools,
            workdir,
            backups,
            timeouts,
            on_event,
        } = context;
        // Wanted machines answer: they were started and waited for before.
        let unreachable = observed.iter().filter(|node| !node.wanted && !node.answers);
        let unreachable = unreachable.map(|node| node.node.name.clone()).collect();
        Self {
            cluster,
            access,
            tools,
            workdir,
            backups,
            timeouts,
            on_event,
            nodes: observed.iter().map(|node| node.node.clone()).collect(),
            facts,
            unreachable,
            notes: observed
                .iter()
                .filter_map(|node| Some((node.node.name.clone(), node.note.clone()?)))
                .collect(),
            gathered: None,
            original_settings: None,
            idle: BTreeSet::new(),
            checked_systems: BTreeSet::new(),
        }
    }

    /// How long a drain may take.
    pub(super) fn drain_within(&self) -> Duration {
        self.timeouts.drain.into()
    }

    /// How long a node may take to be Ready, and the API of a master to serve.
    pub(super) fn ready_within(&self) -> Duration {
        self.timeouts.ready.into()
    }

    /// Carries out one task.
    pub async fn carry_out(&mut self, task: &Task) -> Result<(), Error> {
        self.check_systems(&task.stage).await?;
        match &task.stage {
            Stage::Create => self.create(task).await,
            Stage::Leave { nodes, reachable } => self.leave(nodes, *reachable, task).await,
            Stage::JoinMaster(name) => self.join_master(name, task).await,
            Stage::JoinWorkers(names) => self.join_workers(names, task).await,
            Stage::Members => self.give_members_to_api_servers(task).await,
            Stage::LabelsAndTaints(name) => self.set_labels_and_taints(name).await,
            Stage::ReturnToService(name) => self.return_held_node(name).await,
            Stage::Snapshot => self.snapshot().await,
            Stage::Upgrade { node, to, pauses } => self.upgrade(node, to, *pauses, task).await,
            Stage::Addons => self.addons(task).await,
        }
    }

    /// Creates the cluster, or goes on with its creation.
    async fn create(&mut self, task: &Task) -> Result<(), Error> {
        let all: Vec<_> = self
            .nodes
            .iter()
            .filter(|node| node.role != Role::LoadBalancer && self.is_wanted(&node.name))
            .map(|node| node.name.clone())
            .collect();
        let masters = self.cluster.role(Role::Master);
        let members: BTreeSet<_> = masters.map(|node| node.name.clone()).collect();
        let begun = all.iter().filter(|name| self.notes.contains_key(*name));
        let begun: Vec<_> = begun.cloned().collect();
        let joined = self.prepare_for_creation(&begun, &task.release).await?;
        for name in &all {
            self.note(name, &task.release, &members, false)?;
        }
        let waits = release::find_or_newest(&task.release.kubespray)
            .is_some_and(goal::waits_for_ready_masters);
        if waits && !joined.is_empty() {
            self.play(&Goal::Network(joined), task, &all).await?;
        }
        self.play(&Goal::Create, task, &all).await?;
        // Where NetworkManager has the name servers, Kubespray's last play restarts the masters' kubelets and API servers, all at
        // once, and waits for none.
        for name in &members {
            self.wait_api(name, &task.release.kubernetes).await?;
        }
        self.fetch_kubeconfig().await?;
        // The masters last: the next plan takes the cluster for created as soon as one master's note is finished.
        for name in all.iter().rev() {
            self.note(name, &task.release, &members, true)?;
        }
        Ok(())
    }

    /// Copies the administrator's kubeconfig to this machine.
    async fn fetch_kubeconfig(&self) -> Result<(), Error> {
        let connect = async |name: &Label| self.access.machines().connect(name).await;
        let path = self.workdir.kubeconfig();
        let fetched = kubeconfig::fetch_into(self.cluster, &self.facts, &path, connect);
        fetched.await.map(drop)
    }

    /// Gives a node the labels and taints of the file, and removes those of its note that the file no longer has. Labels and taints
    /// that others have set stay.
    async fn set_labels_and_taints(&mut self, name: &Label) -> Result<(), Error> {
        let failed = |e| Error::because(format!("change the labels and taints of {name}"), e);
        let (Some(node), Some(note)) = (self.node(name).cloned(), self.notes.get(name).cloned())
        else {
            return Ok(());
        };
        let master = self.serving_master(&[]).await?;
        let gone: Vec<_> = note
            .labels
            .keys()
            .filter(|key| !node.labels.contains_key(*key))
            .cloned()
            .collect();
        control::label(&master, name, &node.labels, &gone)
            .await
            .map_err(failed)?;
        fail::fail_point!("kubespray::labelled");
        let wanted: BTreeSet<_> = node.taints.iter().map(ToString::to_string).collect();
        // A taint whose value alone changes is overwritten: removed first, it would be missing for a moment.
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

    async fn addons(&mut self, task: &Task) -> Result<(), Error> {
        let present = self.present(&[]);
        self.play(&Goal::Addons, task, &present).await?;
        let addons = note::addons(self.cluster)?;
        for name in self.joined_masters() {
            self.change_note(&name, |note| note.addons = addons.clone())?;
        }
        Ok(())
    }

    /// Runs the playbooks of a goal with an inventory of these nodes and of the balancers.
    pub(super) async fn play(
        &mut self,
        goal: &Goal,
        task: &Task,
        nodes: &[Label],
    ) -> Result<(), Error> {
        self.wait_for_earlier_runs(nodes).await?;
        let release = &task.release;
        let failed = |e| {
            let what = goal_name(goal, task);
            Error::because(format!("{what} by Kubespray {}", release.kubespray), e)
        };
        let mut cluster = self.cluster.clone();
        cluster.kubernetes.version = release.kubernetes.clone();
        cluster.kubernetes.kubespray.version = release.kubespray.clone();
        self.keep_settings(goal, nodes, &mut cluster).await?;
        let is_in = |node: &&Node| {
            nodes.contains(&node.name)
                || (node.role == Role::LoadBalancer && self.is_wanted(&node.name))
        };
        cluster.nodes = self.nodes.iter().filter(is_in).cloned().collect();
        cluster.nodes.sort_by_key(|node| self.position(node));
        let tools = self.tools.get(&release.kubespray).ok_or_else(|| {
            Error::failed(format!(
                "use Kubespray {}: it is not prepared",
                release.kubespray
            ))
        })?;
        // Facts of the previous upgrade are used again: nodes are upgraded one after another, and an upgrade changes no fact that
        // Ansible gathers.
        let gathered = (release.kubespray.clone(), nodes.to_vec());
        let has_facts = self.gathered.take().as_ref() == Some(&gathered);
        let played = match goal {
            Goal::Upgrade { .. } | Goal::Dns if has_facts => {
                crate::carry_out_with_cached_facts(
                    goal,
                    &cluster,
                    &self.facts,
                    tools,
                    &self.workdir,
                    self.on_event,
                )
                .await
            }
            _ => {
                crate::carry_out(
                    goal,
                    &cluster,
                    &self.facts,
                    tools,
                    &self.workdir,
                    self.on_event,
                )
                .await
            }
        };
        played.map_err(failed)?;
        let keeps_facts = matches!(goal, Goal::Upgrade { .. } | Goal::Dns);
        self.gathered = keeps_facts.then_some(gathered);
        Ok(())
    }

    /// Waits for something, and reports why it still waits.
    pub(super) async fn waiting<T>(
        &self,
        what: String,
        wait: impl AsyncFnOnce(OnWait<'_>) -> T,
    ) -> T {
        let reported = AtomicBool::new(false);
        let waits = |why: &str| {
            reported.store(true, Ordering::Relaxed);
            (self.on_event)(Event::Waits {
                what: what.clone(),
                why: text::line(why),
            });
        };
        let result = wait(&waits).await;
        if reported.load(Ordering::Relaxed) {
            (self.on_event)(Event::Waited { what });
        }
        result
    }

    pub(super) fn say(&self, line: String) {
        (self.on_event)(Event::Said { line });
    }
}

/// The goal in words that fit after "failed to".
fn goal_name(goal: &Goal, task: &Task) -> String {
    let names = |names: &[Label]| {
        let names: Vec<_> = names.iter().map(Label::as_str).collect();
        names.join(", ")
    };
    match goal {
        Goal::Create => format!("set up Kubernetes {}", task.release.kubernetes),
        Goal::AddWorkers(nodes) => format!("join {}", names(nodes)),
        Goal::AddMaster(node) => format!("join {node}"),
        Goal::NetworkEtcdMembers => "give the network plugin etcd's members".to_owned(),
        Goal::Remove { nodes, .. } => format!("remove {}", names(nodes)),
        Goal::Network(nodes) => format!("set up the network plugin on {}", names(nodes)),
        Goal::JoiningNetwork(node) => format!("set up the network plugin on {node}"),
        Goal::Dns => "put Kubespray's cluster DNS back".to_owned(),
        Goal::Upgrade { node, .. } => format!("upgrade {node} to {}", task.release.kubernetes),
        Goal::Addons => "install the addons".to_owned(),
    }
}
