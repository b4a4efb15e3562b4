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
use super::stage::{Seen, Stage, Task};
use crate::control::{self, Waits};
use crate::goal::{self, Goal};
use crate::{Error, Event, OnEvent, Tools, Workdir, kubeconfig};

/// How long what Kubitect itself has restarted on a master may take to serve, and how old a machine is before something on it
/// counts as broken.
pub(super) const SERVES: Duration = Duration::from_secs(5 * 60);
/// Between two looks at what is waited for.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// What a living cluster is worked on with.
pub struct Context<'a> {
    /// What is wanted.
    pub cluster: &'a Cluster,
    /// How its machines are reached.
    pub access: Arc<dyn Access + 'a>,
    /// Checkouts and environments, by Kubespray's tag.
    pub tools: BTreeMap<Version, Tools>,
    /// Where the cluster's files lie.
    pub workdir: Workdir,
    /// Where snapshots of etcd go; made if need be.
    pub backups: PathBuf,
    /// How long is waited for nodes.
    pub timeouts: Timeouts,
    /// Who is told.
    pub on_event: OnEvent<'a>,
}

kubitect_config::shown_by!(Context<'_>, cluster.name, tools, workdir);

/// A living cluster under work.
pub struct Kubernetes<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) access: Arc<dyn Access + 'a>,
    /// By Kubespray's tag.
    tools: BTreeMap<Version, Tools>,
    workdir: Workdir,
    pub(super) backups: PathBuf,
    timeouts: Timeouts,
    on_event: OnEvent<'a>,
    /// All machines that are there, those that leave among them.
    pub(super) nodes: Vec<Node>,
    pub(super) facts: Facts,
    /// Machines that don't answer.
    pub(super) silent: BTreeSet<Label>,
    /// What is noted of each node of Kubernetes, kept up to date.
    pub(super) notes: BTreeMap<Label, Note>,
    /// The Kubespray and the machines of the upgrade that was just done: Ansible knows them.
    gathered: Option<(Version, Vec<Label>)>,
    /// The variables of what the cluster was set up with and keeps, once it was asked.
    pub(super) as_made: Option<Vec<(&'static str, Value)>>,
    /// The machines on which nothing of an earlier run goes on.
    pub(super) settled: BTreeSet<Label>,
    /// The machines on whose systems kubelets of the wanted Kubernetes start.
    pub(super) fitting: BTreeSet<Label>,
}

kubitect_config::shown_by!(Kubernetes<'_>, cluster.name, notes);

impl<'a> Kubernetes<'a> {
    /// As the plan saw it, with the `facts` of all machines, those that leave among them.
    pub fn new(context: Context<'a>, facts: Facts, seen: &[Seen]) -> Self {
        let Context {
            cluster,
            access,
            tools,
            workdir,
            backups,
            timeouts,
            on_event,
        } = context;
        // Those that are wanted were started and waited for.
        let silent = seen.iter().filter(|seen| !seen.wanted && !seen.answers);
        let silent = silent.map(|seen| seen.node.name.clone()).collect();
        Self {
            cluster,
            access,
            tools,
            workdir,
            backups,
            timeouts,
            on_event,
            nodes: seen.iter().map(|seen| seen.node.clone()).collect(),
            facts,
            silent,
            notes: seen
                .iter()
                .filter_map(|seen| Some((seen.node.name.clone(), seen.note.clone()?)))
                .collect(),
            gathered: None,
            as_made: None,
            settled: BTreeSet::new(),
            fitting: BTreeSet::new(),
        }
    }

    /// How long pods may take to leave a node.
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
            Stage::Members => self.members(task).await,
            Stage::Describe(name) => self.describe(name).await,
            Stage::Release(name) => self.release(name).await,
            Stage::Snapshot => self.snapshot().await,
            Stage::Upgrade { node, to, pauses } => self.upgrade(node, to, *pauses, task).await,
            Stage::Addons => self.addons(task).await,
        }
    }

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
        let joined = self.make_way_for_all(&begun, &task.at).await?;
        for name in &all {
            self.note(name, &task.at, &members, false)?;
        }
        let waits =
            release::find_or_newest(&task.at.kubespray).is_some_and(goal::waits_for_network);
        if waits && !joined.is_empty() {
            self.play(&Goal::Network(joined), task, &all).await?;
        }
        self.play(&Goal::Create, task, &all).await?;
        // Where NetworkManager has the name servers, Kubespray's last play restarts the masters' kubelets and API servers, all at
        // once, and waits for none.
        for name in &members {
            self.wait_api(name, &task.at.kubernetes).await?;
        }
        self.fetch_kubeconfig().await?;
        // The masters last: one that is finished means that all is.
        for name in all.iter().rev() {
            self.note(name, &task.at, &members, true)?;
        }
        Ok(())
    }

    /// Brings the administrator's kubeconfig to this machine.
    async fn fetch_kubeconfig(&self) -> Result<(), Error> {
        let connect = async |name: &Label| self.access.machines().connect(name).await;
        let path = self.workdir.kubeconfig();
        let brought = kubeconfig::bring(self.cluster, &self.facts, &path, connect);
        brought.await.map(drop)
    }

    /// Brings a node's labels and taints to what is configured. Those that others have set stay.
    async fn describe(&mut self, name: &Label) -> Result<(), Error> {
        let failed = |e| Error::because(format!("change the labels and taints of {name}"), e);
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
        fail::fail_point!("kubespray::labelled");
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

    async fn addons(&mut self, task: &Task) -> Result<(), Error> {
        let present = self.present(&[]);
        self.play(&Goal::Addons, task, &present).await?;
        let addons = note::addons(self.cluster)?;
        for name in self.joined_masters() {
            self.change_note(&name, |note| note.addons = addons.clone())?;
        }
        Ok(())
    }

    /// Runs the playbooks of a goal on these nodes, and the balancers.
    pub(super) async fn play(
        &mut self,
        goal: &Goal,
        task: &Task,
        nodes: &[Label],
    ) -> Result<(), Error> {
        self.settle(nodes).await?;
        let failed = |e| {
            Error::because(
                format!("{} by Kubespray {}", told(goal, task), task.at.kubespray),
                e,
            )
        };
        let mut cluster = self.cluster.clone();
        cluster.kubernetes.version = task.at.kubernetes.clone();
        cluster.kubernetes.kubespray.version = task.at.kubespray.clone();
        self.keep_settings(goal, nodes, &mut cluster).await?;
        let is_in = |node: &&Node| {
            nodes.contains(&node.name)
                || (node.role == Role::LoadBalancer && self.is_wanted(&node.name))
        };
        cluster.nodes = self.nodes.iter().filter(is_in).cloned().collect();
        cluster.nodes.sort_by_key(|node| self.place(node));
        let tools = self.tools.get(&task.at.kubespray).ok_or_else(|| {
            Error::failed(format!(
                "use Kubespray {}: it is not prepared",
                task.at.kubespray
            ))
        })?;
        // Nodes are upgraded one after another, and nothing that Ansible gathers of a machine changes with it.
        let gathered = (task.at.kubespray.clone(), nodes.to_vec());
        let known = self.gathered.take().as_ref() == Some(&gathered);
        let played = match goal {
            Goal::Upgrade { .. } | Goal::Dns if known => {
                crate::carry_on(
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
        let holds = matches!(goal, Goal::Upgrade { .. } | Goal::Dns);
        self.gathered = holds.then_some(gathered);
        Ok(())
    }

    /// Waits for something, and says why it is not yet so.
    pub(super) async fn waiting<T>(
        &self,
        what: String,
        wait: impl AsyncFnOnce(Waits<'_>) -> T,
    ) -> T {
        let said = AtomicBool::new(false);
        let waits = |why: &str| {
            said.store(true, Ordering::Relaxed);
            (self.on_event)(Event::Waits {
                what: what.clone(),
                why: text::line(why),
            });
        };
        let result = wait(&waits).await;
        if said.load(Ordering::Relaxed) {
            (self.on_event)(Event::Waited { what });
        }
        result
    }

    pub(super) fn say(&self, line: String) {
        (self.on_event)(Event::Said { line });
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
        Goal::AfterMembers => "give the network plugin etcd's members".to_owned(),
        Goal::Remove { nodes, .. } => format!("remove {}", names(nodes)),
        Goal::Network(nodes) => format!("set up the network plugin on {}", names(nodes)),
        Goal::JoiningNetwork(node) => format!("set up the network plugin on {node}"),
        Goal::Dns => "put Kubespray's cluster DNS back".to_owned(),
        Goal::Upgrade { node, .. } => format!("upgrade {node} to {}", task.at.kubernetes),
        Goal::Addons => "install the addons".to_owned(),
    }
}
