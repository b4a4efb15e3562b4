//! [`Job`]: a cluster under work, with all that commands need to look at it and to change it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kubitect_config::cluster::{Host, NetworkMode, Node, Role};
use kubitect_config::edit::Edit;
use kubitect_config::jump::Jump;
use kubitect_config::release::Hop;
use kubitect_config::value::{Label, Name};
use kubitect_config::waiting::{AT_ONCE, in_threads};
use kubitect_config::{Cluster, Severity, Site};
use kubitect_kubespray::living::{Note, Seen};
use kubitect_provision::gather::Leaving;
use kubitect_provision::hypervisor::Hosts;
use kubitect_provision::preflight::{self, Finding};

use crate::cancel::Cancel;
use crate::event::Events;
use crate::failure::Failure;
use crate::home::{ClusterDir, Home};
use crate::hosts::{expand_keyfile, former_hosts, read_kept};
use crate::pipeline;
use crate::plan::Plan;
use crate::world::{Real, World};

/// Where clusters are worked on, and how.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The folder of all clusters.
    pub home: Home,
    /// What counts for all clusters.
    pub site: Site,
    /// By which way hosts, machines and Kubespray are reached.
    pub world: Arc<dyn World>,
    /// Where events go.
    pub events: Events,
    /// Asks the work to stop.
    pub cancel: Cancel,
}

impl Options {
    /// In this folder and with its site file; the world is the real one.
    pub fn new(home: Home, events: Events) -> Result<Self, Failure> {
        Ok(Self {
            site: home.site()?,
            home,
            world: Arc::new(Real::default()),
            events,
            cancel: Cancel::default(),
        })
    }
}

/// A cluster under work.
pub struct Job {
    /// What is wanted.
    pub cluster: Cluster,
    /// The text that says so.
    pub text: String,
    /// The cluster's folder.
    pub dir: ClusterDir,
    /// Where all this is, and how it is worked on.
    pub options: Options,
    /// The connected hosts: those that carry the cluster, and those that did.
    pub hosts: Hosts,
    /// The hosts that did, and carry none of it by its file.
    pub former: Vec<Host>,
    /// The machines that this run has logged in on: their keys are at their addresses.
    pub proven: Mutex<BTreeSet<Label>>,
    /// Hosts that carried the cluster, are in its file no more, and can't be reached.
    pub lost: Vec<String>,
}

impl Job {
    /// Connects to the hosts of a cluster, and to those that carried it before: what is on them has to go.
    pub fn new(options: Options, mut cluster: Cluster, text: String) -> Result<Self, Failure> {
        let Options {
            home, site, world, ..
        } = &options;
        settle(home, &mut cluster)?;
        let dir = home.cluster(&cluster.name);
        // Before any machine is made: Ansible and SSH are given paths in it.
        kubitect_kubespray::check_folder(dir.root())
            .map_err(|e| Failure::because(format!("work on {}", cluster.name), e))?;
        let former = former_hosts(home, &dir, site, &cluster)?;
        let (kept, dropped): (Vec<_>, Vec<_>) = former
            .iter()
            .partition(|host| cluster.host(&host.name).is_some());
        let failed = |e| Failure::because(format!("reach the hosts of {}", cluster.name), e);
        let used: Vec<_> = cluster.used_hosts().collect();
        let mut hosts = world.hosts(&used).map_err(failed)?;
        hosts.extend(world.hosts(&kept).map_err(|e| {
            let what = "reach the hosts that carried machines (one that is gone for good has to leave `hosts`) of";
            Failure::because(format!("{what} {}", cluster.name), e)
        })?);
        let mut lost = Vec::new();
        let reached = in_threads(AT_ONCE, &dropped, |host| world.hosts(&[host]));
        for (host, reached) in dropped.iter().zip(reached) {
            match reached {
                Ok(reached) => hosts.extend(reached),
                Err(error) => lost.push(format!(
                    "host {} carried machines of {} and is not in its file any more; it can't be reached ({error}), so what \
                     it carries is taken for lost. If it comes back, its machines have to be removed by hand",
                    host.name, cluster.name
                )),
            }
        }
        Ok(Self {
            lost,
            dir,
            cluster,
            text,
            hosts,
            former,
            proven: Mutex::default(),
            options,
        })
    }

    /// The configuration that was applied last; none, where none ever was.
    pub fn applied(&self) -> Result<Option<Cluster>, Failure> {
        let mut applied = read_kept(&self.dir.applied(), &self.options.site)?;
        if let Some(applied) = &mut applied {
            settle(&self.options.home, applied)?;
        }
        Ok(applied)
    }

    /// What differs from the configuration that was applied last.
    pub fn edits(&self, applied: &Cluster) -> Vec<Edit> {
        kubitect_config::edit::edits(applied, &self.cluster)
    }

    /// What is to be done, where this was applied last. Reads libvirt only.
    pub fn plan(&self, applied: Option<&Cluster>) -> Result<Plan, Failure> {
        let failed = |e| Failure::because(format!("plan {}", self.cluster.name), e);
        let machines =
            kubitect_provision::plan::plan(&self.cluster, &self.hosts).map_err(failed)?;
        let noted =
            kubitect_provision::machine::notes(&self.cluster, &self.hosts).map_err(failed)?;
        let leaving =
            kubitect_provision::gather::leaving(&self.cluster, &self.hosts).map_err(failed)?;
        let files = self.balancer_files()?;
        let vanished = match applied {
            Some(applied) => self.vanished(applied, &leaving)?,
            None => Vec::new(),
        };
        let cluster = &self.cluster;
        let plan = Plan::new(
            cluster, machines, leaving, vanished, &noted, &files, applied,
        )?;
        let edits = applied.map(|applied| self.edits(applied));
        let plan = plan.with(&edits.unwrap_or_default());
        Ok(plan.and_for(pipeline::personal(self, applied)?))
    }

    /// Workers that were applied last and that neither the configuration nor libvirt has any more: only Kubernetes may
    /// still know them. Of masters the others' notes tell.
    fn vanished(&self, applied: &Cluster, leaving: &[Leaving]) -> Result<Vec<Seen>, Failure> {
        let release = Hop {
            kubernetes: applied.kubernetes.version.clone(),
            kubespray: applied.kubernetes.kubespray.version.clone(),
        };
        let is_known = |node: &&Node| {
            self.cluster.nodes.iter().any(|own| own.name == node.name)
                || leaving.iter().any(|leaving| leaving.name == node.name)
        };
        let gone = applied.role(Role::Worker).filter(|node| !is_known(node));
        gone.map(|node| {
            Ok(Seen {
                node: node.clone(),
                wanted: false,
                // What was set up on it does not matter any more.
                note: Some(Note::of(applied, node, &release, &BTreeSet::new(), false)?),
                answers: false,
            })
        })
        .collect()
    }

    /// The digests of the balancers' files that are wanted; none of a file that depends on an address which is not known yet.
    fn balancer_files(&self) -> Result<BTreeMap<Label, String>, Failure> {
        let known = kubitect_provision::gather::so_far(&self.cluster, &self.hosts)
            .map_err(|e| Failure::because("look up the machines' addresses", e))?;
        // What depends on an unknown address differs between two addresses that no machine has.
        let digests = |other: u8| {
            let mut facts = known.clone();
            for (node, number) in self.cluster.nodes.iter().zip(1_u16..) {
                if known.node(&node.name).is_none() {
                    let [high, low] = number.to_be_bytes();
                    let ip = Ipv4Addr::new(0, other, high, low);
                    facts
                        .nodes
                        .push(kubitect_provision::gather::supposed(node, ip));
                }
            }
            let rendered = kubitect_lb::render(&self.cluster, &facts)
                .map_err(|e| Failure::because("describe the balancers", e))?;
            kubitect_lb::notes(&rendered).map_err(|e| Failure::because("describe the balancers", e))
        };
        let (mut files, others) = (digests(1)?, digests(2)?);
        files.retain(|name, digest| others.get(name) == Some(digest));
        Ok(files)
    }

    /// What stands in the way of the plan on the hosts, or may: errors first. Looks only.
    pub fn findings(&self, plan: &Plan) -> Result<Vec<Finding>, Failure> {
        let us = self.options.home.us();
        preflight::check_for(&self.cluster, &self.hosts, &plan.machines, us)
            .map_err(|e| Failure::because("check the hosts", e))
    }

    /// Remembers that a machine has been logged in on.
    pub fn prove(&self, name: &Label) {
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.insert(name.clone());
    }

    /// Whether a machine has been logged in on.
    pub fn is_proven(&self, name: &Label) -> bool {
        let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.contains(name)
    }

    /// The way to the machines on a host, if it leads through the host.
    pub fn jump(&self, host: &Name) -> Option<Jump> {
        let former = || self.former.iter().find(|former| former.name == *host);
        match self.cluster.host(host) {
            Some(_) => self.cluster.jump(host),
            None if self.cluster.network.mode == NetworkMode::Nat => former()?.connection.jump(),
            None => None,
        }
    }

    /// The cluster's own private key, if the configuration names one.
    pub fn private_key(&self) -> Result<Option<PathBuf>, Failure> {
        self.cluster
            .guest
            .private_key
            .as_deref()
            .map(|path| self.options.home.expand(path))
            .transpose()
    }
}

/// Tells what is doubtful on the hosts; a failure if anything stands in the way.
pub fn fit(findings: &[Finding], events: &Events) -> Result<(), Failure> {
    let is_warning = |finding: &&Finding| finding.severity == Severity::Warning;
    for warning in findings.iter().filter(is_warning) {
        events.warn(format!("{} ({})", warning.message, warning.help));
    }
    unfit(findings)
}

/// The failure of what stands in the way on the hosts.
pub fn unfit(findings: &[Finding]) -> Result<(), Failure> {
    let is_error = |finding: &&Finding| finding.severity == Severity::Error;
    let errors: Vec<_> = findings.iter().filter(is_error).cloned().collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Failure::Unfit(errors)),
    }
}

/// Resolves the paths of a configuration that are written from a person's home.
fn settle(home: &Home, cluster: &mut Cluster) -> Result<(), Failure> {
    for host in &mut cluster.hosts {
        expand_keyfile(home, host)?;
    }
    expand_source(home, &mut cluster.guest.image.source)?;
    expand_source(home, &mut cluster.kubernetes.kubespray.url)
}

/// A path or an address: a leading `~/` is resolved.
fn expand_source(home: &Home, source: &mut String) -> Result<(), Failure> {
    if source.starts_with("~/") {
        let path = home.expand(Path::new(source.as_str()))?;
        *source = path.display().to_string();
    }
    Ok(())
}
