//! [`Finding`]: what prevents a plan on a host, or may prevent it.

use kubitect_config::Severity;
use kubitect_config::check::Check;
use kubitect_config::value::Name;
use serde::Serialize;

use crate::Error;

/// What a user should know before the plan is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The check that found it; its name is stable.
    pub kind: FindingKind,
    /// An error prevents the plan; a warning does not.
    pub severity: Severity,
    /// The host that it concerns.
    pub host: Name,
    /// The machine that it concerns; none: several, or none.
    pub machine: Option<String>,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum FindingKind {
    /// The memory of the host.
    Memory,
    /// Its processors.
    Processors,
    /// The free space in the folders of disks.
    Space,
    /// Whether disks can be made in a folder.
    Folder,
    /// Whether untrusted users could replace disks in a folder.
    Owner,
    /// The bridge.
    Bridge,
    /// The rules of the firewall.
    Firewall,
    /// Whether an address is in use already.
    Address,
    /// Whether there is KVM.
    Kvm,
    /// The programs that this machine needs to set up Kubernetes.
    Here,
    /// Whether a node can be drained.
    Pods,
    /// Whether objects use an API version that the next release removes.
    Api,
}

impl Finding {
    /// A finding on a host, with what to do about it.
    pub fn new(
        kind: FindingKind,
        severity: Severity,
        host: &Name,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            severity,
            host: host.clone(),
            machine: None,
            message: message.into(),
            help: help.into(),
        }
    }

    /// The same, about this machine.
    pub fn of(mut self, machine: impl ToString) -> Self {
        self.machine = Some(machine.to_string());
        self
    }
}

/// A failed check of the machine on which Kubitect runs, as an error.
pub fn of_this_machine(check: &Check) -> Result<Finding, Error> {
    let name = "localhost".parse::<Name>();
    let name = name.map_err(|e| Error::because("name this machine", e))?;
    let message = format!(
        "this machine lacks a fitting {}: {}",
        check.what, check.found
    );
    let (kind, cure) = (FindingKind::Here, &check.cure);
    Ok(Finding::new(kind, Severity::Error, &name, message, cure))
}

/// A check of the running cluster, as a warning. `host` is one of its hosts.
pub fn of_cluster(check: &Check, host: &Name) -> Finding {
    let message = format!("{}: {}", check.what, check.found);
    let (kind, cure) = (FindingKind::Api, &check.cure);
    Finding::new(kind, Severity::Warning, host, message, cure)
}
