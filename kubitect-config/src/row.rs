//! [`Row`]: one step of a plan as people and programs read it. Steps of machines, balancers and Kubernetes all have this form.

mod fold;
mod paint;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text;

pub use fold::Fold;
pub use paint::painted;

/// What is done in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Action {
    /// It is made.
    Create,
    /// It exists and is started.
    Start,
    /// It is shut down, and not removed.
    Stop,
    /// It is changed in place.
    Update,
    /// It is removed and recreated.
    Replace,
    /// Its data is restored from a snapshot.
    Restore,
    /// It is removed.
    Delete,
    /// A file on this machine is removed.
    Remove,
    /// A cluster's entries are removed from a person's own file.
    Change,
}

/// The kind of resource that a step is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// A network.
    Network,
    /// A pool of volumes.
    Pool,
    /// A base image.
    Image,
    /// A disk.
    Volume,
    /// A machine.
    Domain,
    /// The configuration of a balancer.
    Balancer,
    /// A node of Kubernetes.
    Node,
    /// The etcd of a cluster, or of a master.
    Etcd,
    /// The addons of a cluster.
    Addons,
    /// A file on this machine.
    File,
}

/// `Display` as the name in lower case, as in JSON.
macro_rules! in_lower_case {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{self:?}").to_lowercase())
            }
        }
    };
}

in_lower_case!(Action);
in_lower_case!(Kind);

/// What a step disturbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disruption {
    /// Nothing.
    None,
    /// A service reads its configuration again, and goes on serving.
    Reload,
    /// A node takes no new pods and its pods are evicted, as `kubectl drain` does it.
    Drain,
    /// A machine is restarted; one with Kubernetes is drained before.
    Reboot,
    /// A service without a second instance stops for a while: the API, or the balancer in front of it.
    Outage,
    /// Data is lost.
    DataLoss,
}

impl fmt::Display for Disruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Reload => "reload",
            Self::Drain => "drain",
            Self::Outage => "outage",
            Self::Reboot => "reboot",
            Self::DataLoss => "data-loss",
        })
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What is done.
    pub action: Action,
    /// The kind of resource.
    pub kind: Kind,
    /// The resource's name.
    pub name: String,
    /// The host's name.
    pub host: String,
    /// What it disturbs.
    pub disruption: Disruption,
    /// What else a person should know; may be empty.
    pub details: String,
    /// Whether it removes something.
    pub destructive: bool,
    /// The number of its phase, from 1.
    pub phase: usize,
    /// If it upgrades a node: the versions, from and to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<String>,
    /// Whether it only completes another step, so that the short form of a plan leaves its details out.
    #[serde(skip)]
    pub follows: bool,
}

impl Row {
    /// A step that disturbs nothing.
    pub fn new(action: Action, kind: Kind, name: &str, host: String) -> Self {
        Self {
            action,
            kind,
            // On one line: a volume's name may be that of any file that somebody put into a pool.
            name: text::line(name),
            host,
            disruption: Disruption::None,
            details: String::new(),
            destructive: false,
            phase: 0,
            upgrade: None,
            follows: false,
        }
    }

    /// The same step, with at least this disruption.
    pub fn disturbing(mut self, disruption: Disruption) -> Self {
        self.disruption = self.disruption.max(disruption);
        self
    }

    /// The same step, with one more detail.
    pub fn with(mut self, detail: &str) -> Self {
        if !self.details.is_empty() {
            self.details.push_str("; ");
        }
        self.details
            .push_str(&text::lines(detail).replace('\n', " "));
        self
    }
}

/// The rows as a table, one line each.
#[derive(Debug)]
pub struct Table<'a>(pub &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = |text: fn(&Row) -> &String| {
            let widths = self.0.iter().map(|row| text(row).len());
            widths.max().unwrap_or(0)
        };
        let kinds = self.0.iter().map(|row| row.kind.to_string().len());
        let kind = kinds.max().unwrap_or(0);
        let name = widest(|row| &row.name);
        let host = widest(|row| &row.host);
        for row in self.0 {
            let remark = match row.disruption {
                Disruption::None => String::new(),
                disruption => format!("[{disruption}] "),
            };
            let line = format!(
                "{} {:7} {:kind$} {:name$}  on {:host$}  {remark}{}",
                if row.destructive { '!' } else { ' ' },
                row.action,
                row.kind,
                row.name,
                row.host,
                row.details
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_one_line_whatever_things_are_called() {
        let forged = "x\n! delete  domain  demo-master-1\u{9b}2J";
        let row = Row::new(Action::Delete, Kind::Volume, forged, "h".to_owned()).with(forged);
        let table = Table(&[row]).to_string();
        assert_eq!(table.lines().count(), 1, "{table}");
        assert!(!table.contains('\u{9b}'), "{table}");
    }
}
