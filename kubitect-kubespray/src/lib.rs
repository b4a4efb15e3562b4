//! Kubernetes on a cluster's machines, through Kubespray: a release's playbooks, run as they are.
//!
//! [`prepare`] fetches the release and makes its Python environment (while the machines boot); [`create`] writes the
//! inventory and the group variables and runs `cluster.yml` on the machines; [`carry_out`] reaches any other
//! [`Goal`](goal::Goal) of a living cluster. [`quorum`] says in which order masters come and go, and [`control`] asks
//! Kubernetes and etcd themselves. What is written is also had offline, with the facts of
//! [`Facts::placeholders`](kubitect_config::Facts::placeholders) before there is a machine:
//!
//! ```no_run
//! # async fn example(cluster: kubitect_config::Cluster, facts: kubitect_config::Facts)
//! # -> Result<(), kubitect_kubespray::Error> {
//! use kubitect_kubespray::{Workdir, create, files, prepare};
//!
//! for (name, text) in files(&cluster, &facts)? {
//!     tracing::info!("{}:\n{text}", name.display());
//! }
//! let tell = |event: kubitect_kubespray::Event| tracing::info!("{event}");
//! let tools = prepare(&cluster.kubernetes, "/var/lib/kubitect/share".as_ref(), &tell).await?;
//! let workdir = Workdir::new("/var/lib/kubitect/c1/config", "/var/lib/kubitect/c1/logs");
//! create(&cluster, &facts, &tools, &workdir, &tell).await?;
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
mod output;
pub mod playing;
mod program;
mod python;
pub mod quorum;
mod source;
mod status;
mod workdir;

pub use error::Error;
pub use event::{Event, Outcome};
pub use inventory::{check_folder, check_variables};
pub use playing::Playing;
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

/// Who is told of events.
pub type OnEvent<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// Where kubeadm puts the administrator's kubeconfig on each master; only root can read it.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

/// What playbooks are run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// The release's checkout.
    pub kubespray: PathBuf,
    /// The Python environment with its Ansible.
    pub environment: PathBuf,
    /// How many machines it works on at a time.
    pub forks: u16,
}

/// Fetches the release and makes its Python environment, both under `share` and shared by clusters. Needs no machine;
/// what is there already is used. Cancelled or killed, it is done anew the next time.
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

/// Looks whether this machine has what a release is fetched and run with: git, SSH's client, and a Python. Changes nothing, and needs
/// no network; `share` is as of [`prepare`].
pub async fn check(release: &Release, python: Option<&Path>, share: &Path) -> Vec<Check> {
    vec![
        program::check("git", "git", "--version", share).await,
        program::check("SSH", "ssh", "-V", share).await,
        python::check(python, release, share).await,
    ]
}

/// As [`check`], for the release of a cluster.
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

/// What Ansible is given to set up the whole cluster: `nodes.yaml` and the files in `group_vars`. Pure; the same input
/// gives the same bytes.
pub fn files(cluster: &Cluster, facts: &Facts) -> Result<BTreeMap<PathBuf, String>, Error> {
    files_for(&Goal::Create, cluster, facts)
}

/// What Ansible is given to reach a goal; only the order of the masters, and who is in etcd, depend on it.
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

/// A document of this name as YAML.
fn write_yaml(what: &str, value: &impl serde::Serialize) -> Result<String, Error> {
    kubitect_config::yaml::write(value).map_err(|source| Error::Yaml {
        what: what.to_owned(),
        source,
    })
}

/// Sets up Kubernetes on the machines, or carries on with it: playbooks do only what is left to do.
///
/// The load balancer has to answer already: the masters are joined through it.
pub async fn create(
    cluster: &Cluster,
    facts: &Facts,
    tools: &Tools,
    workdir: &Workdir,
    on_event: OnEvent<'_>,
) -> Result<(), Error> {
    carry_out(&Goal::Create, cluster, facts, tools, workdir, on_event).await
}

/// Reaches a goal: writes the inventory for it and runs its playbooks. Interrupted, it is done by the same call again.
///
/// In `cluster` and `facts` are all nodes that the goal concerns, also those that are to leave, and no master that has not
/// joined but the one that is to. The masters stand there in the order in which they have joined: so they stand in the group of
/// etcd's members, whose order is the same for all goals, because every member whose list of members changes restarts.
pub async fn carry_out(
    goal: &Goal,
    cluster: &Cluster,
    facts: &Facts,
    tools: &Tools,
    workdir: &Workdir,
    on_event: OnEvent<'_>,
) -> Result<(), Error> {
    workdir.ready()?.forget_facts()?;
    let release = release(&cluster.kubernetes)?;
    let runs = goal::runs(goal, cluster, release);
    play(goal, runs, cluster, facts, tools, workdir, on_event).await
}

/// As [`carry_out`], right after another goal of the same release on the same machines: what Ansible gathered of them then
/// still holds, and is not gathered again.
pub async fn carry_on(
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

async fn play(
    goal: &Goal,
    runs: Vec<goal::Run>,
    cluster: &Cluster,
    facts: &Facts,
    tools: &Tools,
    workdir: &Workdir,
    on_event: OnEvent<'_>,
) -> Result<(), Error> {
    let workdir = workdir.ready()?;
    workdir.put(&files_for(goal, cluster, facts)?)?;
    for run in runs {
        fail::fail_point!("kubespray::playbook");
        ansible::play(&run, tools, &workdir, on_event).await?;
        fail::fail_point!("kubespray::played");
    }
    Ok(())
}

/// The address at which the control plane is reached: the balancers' VIP, the one balancer, or the one master.
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

/// The control plane's address as kubeconfigs name it: `https://192.168.113.100:6443`.
pub fn api_server(cluster: &Cluster, facts: &Facts) -> Result<String, Error> {
    let address = api_address(cluster, facts)?;
    Ok(format!("https://{address}:{API_PORT}"))
}

fn address(node: &Node, facts: &Facts) -> Result<Ipv4Addr, Error> {
    match facts.node(&node.name) {
        Some(known) => Ok(known.ip),
        None => Err(Error::MissingFacts {
            node: node.name.to_string(),
        }),
    }
}

fn release(kubernetes: &Kubernetes) -> Result<&'static Release, Error> {
    let wanted = &kubernetes.kubespray.version;
    release::find_or_newest(wanted).ok_or_else(|| {
        let known: Vec<_> = release::all().iter().map(|r| r.tag.to_string()).collect();
        Error::UnknownRelease {
            release: wanted.clone(),
            known: known.join(", "),
        }
    })
}
