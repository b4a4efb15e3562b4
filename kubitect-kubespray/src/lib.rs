//! Kubernetes on a cluster's machines, set up and changed by the unchanged playbooks of a Kubespray release.
//!
//! [`prepare`] fetches the release and makes its Python environment (while the machines boot). [`create`] writes the
//! inventory and the group variables, and runs `cluster.yml`. [`carry_out`] reaches any other [`Goal`] of
//! a running cluster. [`quorum`] decides in which order masters join and leave. [`control`] queries and changes Kubernetes
//! and etcd without Kubespray. [`files`] renders what would be written, also before there are machines, with the facts of
//! [`Facts::placeholders`](kubitect_config::Facts::placeholders):
//!
//! ```no_run
//! # async fn example(cluster: kubitect_config::Cluster, facts: kubitect_config::Facts)
//! # -> Result<(), kubitect_kubespray::Error> {
//! use kubitect_kubespray::{Workdir, create, files, prepare};
//!
//! for (name, text) in files(&cluster, &facts)? {
//!     tracing::info!("{}:\n{text}", name.display());
//! }
//! let on_event = |event: kubitect_kubespray::Event| tracing::info!("{event}");
//! let tools = prepare(&cluster.kubernetes, "/var/lib/kubitect/share".as_ref(), &on_event).await?;
//! let workdir = Workdir::new("/var/lib/kubitect/c1/config", "/var/lib/kubitect/c1/logs");
//! create(&cluster, &facts, &tools, &workdir, &on_event).await?;
//! # Ok(())
//! # }
//! ```

mod ansible;
pub mod control;
mod error;
mod event;
pub mod goal;
mod group_vars;
mod inventory;
pub mod joining;
pub mod kubeconfig;
mod lines;
pub mod living;
mod lock;
mod playbook_results;
mod program;
pub mod progress;
mod python;
pub mod quorum;
mod source;
mod status;
mod workdir;

pub use error::Error;
pub use event::{Event, Outcome};
pub use inventory::{check_folder, check_variables};
pub use progress::PlaybookProgress;
pub use source::{checkout, checkout_for};
pub use status::{Api, MasterCertificate, Status, status};
pub use workdir::Workdir;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use goal::Goal;
use group_vars::FILES as GROUP_VARS;
use kubitect_config::check::Check;
use kubitect_config::cluster::{API_PORT, Kubernetes, Node, Role};
use kubitect_config::release::{self, Release};
use kubitect_config::{Cluster, Facts};

/// Called with each event.
pub type OnEvent<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// The administrator's kubeconfig, which kubeadm writes on each master; only root can read it.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

/// The programs with which playbooks run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The release's checkout.
    pub kubespray: PathBuf,
    /// The Python environment with its Ansible.
    pub environment: PathBuf,
    /// On how many machines Ansible works at a time.
    pub forks: u16,
}

/// Fetches the release and makes its Python environment, both in the folder `share`, which all clusters use. Needs no machine.
/// What exists already is used; what a cancelled or killed run left incomplete is made again.
pub async fn prepare(
    kubernetes: &Kubernetes,
    share: &Path,
    on_event: OnEvent<'_>,
) -> Result<Tools, Error> {
    let release = release(kubernetes)?;
    let kubespray = &kubernetes.kubespray;
    let share = std::path::absolute(share).map_err(Error::file("resolve", share))?;
    let checkout = checkout_for(kubespray, &share, on_event).await?;
    let environment = python::environment(kubespray, release, &checkout, &share, on_event).await?;
    Ok(Tools {
        kubespray: checkout,
        environment,
        forks: kubespray.forks,
    })
}

/// Checks that this machine has the programs for fetching and running a release: git, ssh and Python. Changes nothing, and needs
/// no network; `share` is the folder of [`prepare`].
pub async fn check(release: &Release, python: Option<&Path>, share: &Path) -> Vec<Check> {
    vec![
        program::check("git", "git", "--version", share).await,
        program::check("SSH", "ssh", "-V", share).await,
        python::check(python, release, share).await,
    ]
}

/// As [`check`], for the release and the Python of a cluster.
pub async fn check_for(kubernetes: &Kubernetes, share: &Path) -> Vec<Check> {
    match release(kubernetes) {
        Ok(release) => check(release, kubernetes.kubespray.python.as_deref(), share).await,
        Err(error) => vec![Check::wrong(
            "Kubespray",
            error.to_string(),
            "name one of these",
        )],
    }
}

/// The files with which Ansible sets up the whole cluster: `nodes.yaml` and those in `group_vars`. Pure; the same input
/// gives the same bytes.
pub fn files(cluster: &Cluster, facts: &Facts) -> Result<BTreeMap<PathBuf, String>, Error> {
    files_for(&Goal::Create, cluster, facts)
}

/// The files with which Ansible reaches a goal. The goal decides the order of the masters, which of them are members of etcd, and
/// which settings of a new cluster are written.
pub fn files_for(
    goal: &Goal,
    cluster: &Cluster,
    facts: &Facts,
) -> Result<BTreeMap<PathBuf, String>, Error> {
    let release = release(&cluster.kubernetes)?;
    let mut files = group_vars::render(cluster, facts, release, goal)?;
    files.insert(
        "nodes.yaml".into(),
        inventory::render(cluster, facts, goal)?,
    );
    Ok(files)
}

/// A document as YAML; `what` is its name for an error.
fn write_yaml(what: &str, value: &impl serde::Serialize) -> Result<String, Error> {
    kubitect_config::yaml::write(value).map_err(|source| Error::Yaml {
        what: what.to_owned(),
        source,
    })
}

/// Sets up Kubernetes on the machines, or continues an interrupted setup: playbooks skip what is done.
///
/// The load balancer has to serve before: masters join through it.
pub async fn create(
    cluster: &Cluster,
    facts: &Facts,
    tools: &Tools,
    workdir: &Workdir,
    on_event: OnEvent<'_>,
) -> Result<(), Error> {
    carry_out(&Goal::Create, cluster, facts, tools, workdir, on_event).await
}

/// Reaches a goal: writes its inventory and runs its playbooks. After an interruption, the same call completes it.
///
/// `cluster` and `facts` contain all nodes that the goal concerns, including those that will leave. Of the masters that have not
/// joined they contain only the one that will join. The masters are in the order in which they joined, which becomes the order of
/// the group of etcd's members. It has to be the same for all goals, because a member restarts if its list of members changes.
pub async fn carry_out(
    goal: &Goal,
    cluster: &Cluster,
    facts: &Facts,
    tools: &Tools,
    workdir: &Workdir,
    on_event: OnEvent<'_>,
) -> Result<(), Error> {
    workdir.create_folders()?.clear_facts()?;
    let release = release(&cluster.kubernetes)?;
    let runs = goal::runs(goal, cluster, release);
    play(goal, runs, cluster, facts, tools, workdir, on_event).await
}

/// As [`carry_out`], without gathering facts again: for a goal right after another one of the same release on the same machines,
/// whose facts Ansible has cached.
pub async fn carry_out_with_cached_facts(
    goal: &Goal,
    cluster: &Cluster,
    facts: &Facts,
    tools: &Tools,
    workdir: &Workdir,
    on_event: OnEvent<'_>,
) -> Result<(), Error> {
    let release = release(&cluster.kubernetes)?;
    let mut runs = goal::runs(goal, cluster, release);
    runs.retain(|run| run.playbook != release.facts_playbook);
    play(goal, runs, cluster, facts, tools, workdir, on_event).await
}

/// Writes the files of a goal and runs these playbooks in order.
async fn play(
    goal: &Goal,
    runs: Vec<goal::Run>,
    cluster: &Cluster,
    facts: &Facts,
    tools: &Tools,
    workdir: &Workdir,
    on_event: OnEvent<'_>,
) -> Result<(), Error> {
    let workdir = workdir.create_folders()?;
    workdir.write_files(&files_for(goal, cluster, facts)?)?;
    for run in runs {
        fail::fail_point!("kubespray::playbook");
        ansible::play(&run, tools, &workdir, on_event).await?;
        fail::fail_point!("kubespray::played");
    }
    Ok(())
}

/// The address of the control plane: the balancers' VIP, else the address of the only balancer, else that of the first master.
pub fn api_address(cluster: &Cluster, facts: &Facts) -> Result<Ipv4Addr, Error> {
    if let Some(vip) = cluster.balancing.vip {
        return Ok(vip);
    }
    let first = |role| cluster.role(role).next();
    match first(Role::LoadBalancer).or_else(|| first(Role::Master)) {
        Some(node) => address(node, facts),
        None => Err(Error::MissingFacts {
            node: format!("{}-master-1", cluster.name),
        }),
    }
}

/// The control plane's address as in kubeconfigs: `https://192.168.113.100:6443`.
pub fn api_server(cluster: &Cluster, facts: &Facts) -> Result<String, Error> {
    let address = api_address(cluster, facts)?;
    Ok(format!("https://{address}:{API_PORT}"))
}

/// A node's address in the facts.
fn address(node: &Node, facts: &Facts) -> Result<Ipv4Addr, Error> {
    match facts.node(&node.name) {
        Some(facts) => Ok(facts.ip),
        None => Err(Error::MissingFacts {
            node: node.name.to_string(),
        }),
    }
}

/// The release of a cluster's Kubespray version, by [`release::find_or_newest`].
fn release(kubernetes: &Kubernetes) -> Result<&'static Release, Error> {
    let version = &kubernetes.kubespray.version;
    release::find_or_newest(version).ok_or_else(|| {
        let supported: Vec<_> = release::all().iter().map(|r| r.tag.to_string()).collect();
        Error::UnknownRelease {
            release: version.clone(),
            supported: supported.join(", "),
        }
    })
}
