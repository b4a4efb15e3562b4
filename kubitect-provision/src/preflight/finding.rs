//! [`Finding`]: what stands in the way of a plan on a host, or may.

use kubitect_config::Severity;
use kubitect_config::check::Check;
use kubitect_config::value::Name;
use serde::Serialize;

use crate::Error;

/// Something that a person should know before machines are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Which check found it; stable.
    pub kind: FindingKind,
    /// Whether it stands in the way.
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
    /// What is free in the folders of disks.
    Space,
    /// Whether disks can be made in a folder.
    Folder,
    /// Who could exchange what lies in a folder.
    Owner,
    /// The bridge.
    Bridge,
    /// The rules of the firewall.
    Firewall,
    /// Whether somebody is at an address.
    Address,
    /// Whether there is KVM.
    Kvm,
    /// What this machine needs to set up Kubernetes.
    Here,
    /// Whether pods can leave a node.
    Pods,
    /// Whether objects use what a release takes away.
    Api,
}

impl Finding {
    /// What was found on a host, and what to do about it.
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

    /// The same, of this machine.
    pub fn of(mut self, machine: impl ToString) -> Self {
        self.machine = Some(machine.to_string());
        self
    }
}

/// Something that is wrong on this machine, from which hosts and machines are worked on.
pub fn here(check: &Check) -> Result<Finding, Error> {
    let name = "localhost".parse::<Name>();
    let name = name.map_err(|e| Error::because("name this machine", e))?;
    let message = format!(
        "this machine lacks a fitting {}: {}",
        check.what, check.found
    );
    let (kind, cure) = (FindingKind::Here, &check.cure);
    Ok(Finding::new(kind, Severity::Error, &name, message, cure))
}

/// What should be known of a living cluster before it is changed, which is on this host, among others.
pub fn of_cluster(check: &Check, host: &Name) -> Finding {
    let message = format!("{}: {}", check.what, check.found);
    let (kind, cure) = (FindingKind::Api, &check.cure);
    Finding::new(kind, Severity::Warning, host, message, cure)
}
