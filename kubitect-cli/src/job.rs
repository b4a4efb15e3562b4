//! [`Job`]: a cluster under work, with all that commands need to look at it and to change it.

use std::ops::Deref;
use std::sync::Arc;

use kubitect_config::edit::Edit;
use kubitect_config::{Cluster, Draft, Severity, Site};
use kubitect_provision::fleet::Context;
use kubitect_provision::preflight::Finding;
use kubitect_provision::{Cancel, Fleet};

use crate::event::Events;
use crate::failure::Failure;
use crate::home::Home;
use crate::world::{Real, World};

/// Where clusters are worked on, and how. A clone is asked to stop together with what it was cloned from; a run of its own to stop
/// gets a [`Cancel`] of its own.
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
    /// Whether a cluster is taken from a run of which nobody knows whether it is over.
    pub take_over: bool,
}

kubitect_config::shown_by!(Options, home, cancel, take_over);

impl Options {
    /// In this folder and with its site file; the world is the real one.
    pub fn new(home: Home, events: Events) -> Result<Self, Failure> {
        Ok(Self {
            site: home.site()?,
            home,
            world: Arc::new(Real::default()),
            events,
            cancel: Cancel::default(),
            take_over: false,
        })
    }

    /// For one run, whose events end with it.
    pub(crate) fn of_run(self) -> Self {
        Self {
            events: self.events.of_run(),
            ..self
        }
    }

    /// What machines are worked on with.
    pub(crate) fn machines(&self) -> Context {
        let events = self.events.clone();
        Context {
            home: self.home.clone(),
            site: self.site.clone(),
            reach: Arc::<dyn World>::clone(&self.world),
            cancel: self.cancel.clone(),
            on_event: Arc::new(move |event| events.machines(event)),
        }
    }
}

/// A cluster under work.
pub struct Job {
    /// Its machines.
    pub fleet: Fleet,
    /// The text that says what is wanted.
    pub text: String,
    /// What a person should know of the versions that the text leaves out.
    pub kept: Vec<String>,
    /// Where all this is, and how it is worked on.
    pub options: Options,
}

kubitect_config::shown_by!(Job, fleet, options);

impl Deref for Job {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl Job {
    /// Connects to the hosts of a cluster, and to those that carried it before: what is on them has to go.
    ///
    /// Versions that the text leaves out are those that the cluster has.
    pub fn new(options: Options, draft: &Draft) -> Result<Self, Failure> {
        let options = options.of_run();
        let cluster = draft.cluster();
        let dir = options.home.cluster(&cluster.name);
        // Before any machine is made: Ansible and SSH are given paths in it.
        let failed = |e| Failure::because(format!("work on {}", cluster.name), e);
        kubitect_kubespray::check_folder(dir.root()).map_err(failed)?;
        if options.home.is_local() {
            kubitect_kubespray::check_variables(&dir.config_dir()).map_err(failed)?;
        }
        let of = |living| draft.of(living, &options.site).map_err(Failure::config);
        let fleet = Fleet::connect(options.machines(), cluster.clone());
        // What is wrong with the text comes before what is wrong with a host.
        let mut fleet = fleet.or_else(|e| of(None).and(Err(e.into())))?;
        let mut kept = Vec::new();
        if draft.is_open() {
            let living = kubitect_kubespray::living::has(&fleet.notes());
            let parsed = of(living.as_ref())?;
            fleet.keep(parsed.cluster, living)?;
            kept = parsed.kept;
        }
        Ok(Self {
            fleet,
            text: draft.text().to_owned(),
            kept,
            options,
        })
    }

    #[cfg(test)]
    pub(crate) fn without_hosts(options: Options, cluster: Cluster, text: String) -> Self {
        let connected = kubitect_provision::hosts::Connected {
            hosts: kubitect_provision::Hosts::from_hypervisors(Default::default()),
            former: Vec::new(),
            lost: Vec::new(),
        };
        Self {
            fleet: Fleet::on(options.machines(), cluster, connected),
            text,
            kept: Vec::new(),
            options,
        }
    }

    /// What differs from the configuration that was applied last.
    pub fn edits(&self, applied: &Cluster) -> Vec<Edit> {
        kubitect_config::edit::edits(applied, &self.cluster)
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
