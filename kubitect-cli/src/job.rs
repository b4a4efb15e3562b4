//! [`Job`]: a cluster with its hosts connected, and all that commands need to observe and to change it.

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

/// Where clusters are kept, and how they are worked on.
///
/// A clone shares its [`Cancel`] with the original: both are cancelled together. A run that is to be cancelled alone gets a new
/// one.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// The folder of all clusters.
    pub home: Home,
    /// The site file: what holds for all clusters.
    pub site: Site,
    /// How hosts, machines and Kubespray are reached.
    pub world: Arc<dyn World>,
    /// Where events go.
    pub events: Events,
    /// Cancels the work.
    pub cancel: Cancel,
    /// Whether to take the cluster from another folder's run of which it can't be told whether it still works.
    pub take_over: bool,
}

kubitect_config::debug_fields!(Options, home, cancel, take_over);

impl Options {
    /// Options for a folder, with its site file, the real world, and nothing taken over.
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

    /// The same for one run: its last event does not silence another run.
    pub(crate) fn for_run(self) -> Self {
        Self {
            events: self.events.for_run(),
            ..self
        }
    }

    /// What the crate for machines needs of them.
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

/// A cluster with its hosts connected.
pub struct Job {
    /// Its hosts and machines.
    pub fleet: Fleet,
    /// The text of the wanted configuration.
    pub text: String,
    /// Notes for people on the versions that the text leaves out, a sentence each.
    pub version_notes: Vec<String>,
    /// Where clusters are kept, and how this one is worked on.
    pub options: Options,
}

kubitect_config::debug_fields!(Job, fleet, options);

impl Deref for Job {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl Job {
    /// Connects to the hosts of a cluster, and to its former ones: the machines that they still carry have to be removed.
    ///
    /// A version that the text leaves out is the one that the cluster has: a newer program must not upgrade it unasked.
    pub fn new(options: Options, draft: &Draft) -> Result<Self, Failure> {
        let options = options.for_run();
        let cluster = draft.cluster();
        let dir = options.home.cluster(&cluster.name);
        // Ansible and SSH get paths in this folder, and can't use every character. Checked before any machine is made.
        let failed = |e| Failure::because(format!("work on {}", cluster.name), e);
        kubitect_kubespray::check_folder(dir.root()).map_err(failed)?;
        if options.home.is_local() {
            kubitect_kubespray::check_variables(&dir.config_dir()).map_err(failed)?;
        }
        let of = |living| draft.of(living, &options.site).map_err(Failure::config);
        let fleet = Fleet::connect(options.machines(), cluster.clone());
        // Errors in the text are reported before errors of a host.
        let mut fleet = fleet.or_else(|e| of(None).and(Err(e.into())))?;
        let mut version_notes = Vec::new();
        if draft.omits_version() {
            let living = kubitect_kubespray::living::newest_release(&fleet.notes());
            let parsed = of(living.as_ref())?;
            fleet.set_versions(parsed.cluster, living)?;
            version_notes = parsed.version_remarks;
        }
        Ok(Self {
            fleet,
            text: draft.text().to_owned(),
            version_notes,
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
            version_notes: Vec::new(),
            options,
        }
    }

    /// The edits since the configuration that was `applied` last.
    pub fn edits(&self, applied: &Cluster) -> Vec<Edit> {
        kubitect_config::edit::edits(applied, &self.cluster)
    }
}

/// Reports the warnings among the findings; a failure if one is an error.
pub fn check_findings(findings: &[Finding], events: &Events) -> Result<(), Failure> {
    let is_warning = |finding: &&Finding| finding.severity == Severity::Warning;
    for warning in findings.iter().filter(is_warning) {
        events.warn(format!("{} ({})", warning.message, warning.help));
    }
    no_errors(findings)
}

/// A failure with the errors among the findings, if there are any.
pub fn no_errors(findings: &[Finding]) -> Result<(), Failure> {
    let is_error = |finding: &&Finding| finding.severity == Severity::Error;
    let errors: Vec<_> = findings.iter().filter(is_error).cloned().collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Failure::Unfit(errors)),
    }
}
