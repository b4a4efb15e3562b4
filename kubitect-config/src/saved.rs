//! [`SavedPlan`]: a plan in a file. Somebody can check it before it is carried out; and when it is, the current plan is compared
//! with it. The file has digests and what a plan shows, and no secrets.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::address::shown;
use crate::digest::sha256;
use crate::file::{create, replace};
use crate::row::Row;

/// The version of the file's format. It changes when a field is removed or gets another meaning, not when one is added.
pub const VERSION: u32 = 1;

/// The largest file that is read, in bytes. A plan for 10,000 machines has a third of that.
const MAX_BYTES: u64 = 64 << 20;

/// The most differences that are named.
const NAMED: usize = 12;

/// A plan that was saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedPlan {
    /// The version of the format.
    pub format_version: u32,
    /// The version of the program that made the plan.
    pub kubitect: String,
    /// When the plan was made, in UTC (RFC 3339).
    pub time: String,
    /// The cluster.
    pub cluster: String,
    /// The configuration that was planned.
    pub configuration: Configuration,
    /// The SHA-256 of the site file's content.
    pub site: String,
    /// The phases of the run, in order.
    pub phases: Vec<SavedPhase>,
    /// Notes on what no step shows, a sentence each: for example when an edit takes effect.
    pub notes: Vec<String>,
}

/// The configuration that a plan was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The file; none: it came from standard input.
    pub file: Option<PathBuf>,
    /// The SHA-256 of its text.
    pub sha256: String,
}

/// A phase of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPhase {
    /// What it does.
    pub title: String,
    /// The SHA-256 of all its decisions, also of those that no step shows.
    pub sha256: String,
    /// Its steps.
    pub changes: Vec<Row>,
}

/// Why a saved plan can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It could not be read or written.
    #[error("{action} {file}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        file: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not a saved plan.
    #[error(
        "use {file} as a plan: it is none that `kubitect plan --out` saved ({why}); a configuration is applied by `-c {file}`"
    )]
    Other {
        /// The file.
        file: String,
        /// What is wrong with it as a plan.
        why: String,
    },
    /// A newer program saved it.
    #[error(
        "use {file} as a plan: its formatVersion is {found}, and this program reads {VERSION}; plan again"
    )]
    Version {
        /// The file.
        file: String,
        /// The version.
        found: u64,
    },
    /// The plan would replace a file that is not a plan.
    #[error("save the plan to {file}: what is there is no plan, and stays; name another file")]
    Taken {
        /// The file.
        file: String,
    },
}

impl SavedPhase {
    /// A phase with these steps; `all` is a text of all its decisions, for the digest. Secrets in URLs are removed from the steps.
    pub fn new(title: &str, all: &str, changes: Vec<Row>) -> Self {
        let clean = |row: Row| Row {
            details: shown(&row.details),
            follows: false,
            ..row
        };
        Self {
            title: shown(title),
            sha256: sha256(all.as_bytes()),
            changes: changes.into_iter().map(clean).collect(),
        }
    }
}

impl SavedPlan {
    /// Reads a plan.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let bytes = contents(file).map_err(|source| Error::File {
            action: "read",
            file: file.display().to_string(),
            source,
        })?;
        Self::parse(&bytes, &file.display().to_string())
    }

    fn parse(text: &[u8], file: &str) -> Result<Self, Error> {
        let other = |why: String| Error::Other {
            file: file.to_owned(),
            why,
        };
        let value: serde_json::Value =
            serde_json::from_slice(text).map_err(|e| other(e.to_string()))?;
        match value["formatVersion"].as_u64() {
            None => return Err(other("it has no formatVersion".to_owned())),
            Some(found) if found != u64::from(VERSION) => {
                return Err(Error::Version {
                    file: file.to_owned(),
                    found,
                });
            }
            Some(_) => {}
        }
        serde_json::from_value(value).map_err(|e| other(e.to_string()))
    }

    /// Writes the plan, readable by its owner only. It replaces only another plan, or an empty file as `mktemp` makes it.
    pub fn write(&self, file: &Path) -> Result<(), Error> {
        let failed = |source| Error::File {
            action: "write",
            file: file.display().to_string(),
            source,
        };
        let mut write: fn(&Path, &[u8], u32) -> std::io::Result<()> = replace;
        match Self::read(file) {
            Ok(_) | Err(Error::Version { .. }) => {}
            Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
                write = create
            }
            Err(Error::File { source, .. }) => return Err(failed(source)),
            Err(_) if file.metadata().is_ok_and(|metadata| metadata.len() == 0) => {}
            Err(_) => {
                return Err(Error::Taken {
                    file: file.display().to_string(),
                });
            }
        }
        let whole = std::path::absolute(file).map_err(failed)?;
        if !whole.parent().is_some_and(Path::is_dir) {
            let why = "its folder is not there; make it, or name another file";
            return Err(failed(std::io::Error::new(ErrorKind::NotFound, why)));
        }
        let text = serde_json::to_string_pretty(self).map_err(|e| failed(e.into()))?;
        let text = crate::text::json(&format!("{text}\n"));
        write(file, text.as_bytes(), 0o600).map_err(failed)
    }

    /// A sentence for each difference of the current plan from this one; empty: exactly this plan would be carried out.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.kubitect != now.kubitect {
            found.push(format!(
                "Kubitect {} saved it, and this is {}",
                self.kubitect, now.kubitect
            ));
        }
        if self.cluster != now.cluster {
            found.push(format!(
                "it is of the cluster {}, and the configuration is of {}",
                self.cluster, now.cluster
            ));
        }
        if self.configuration.sha256 != now.configuration.sha256 {
            let file = now
                .configuration
                .file
                .as_deref()
                .or(self.configuration.file.as_deref());
            let file = file.map_or_else(|| "<stdin>".to_owned(), |file| file.display().to_string());
            found.push(format!("the configuration has changed: {file}"));
        }
        if self.site != now.site {
            found.push("the site file has changed".to_owned());
        }
        found.extend(self.steps_that_differ(now));
        let notes = |notes: &[String], others: &[String], what: &str| {
            let notes = notes.iter().filter(|note| !others.contains(note));
            let notes = notes.map(|note| format!("{what}: {note}"));
            notes.collect::<Vec<_>>()
        };
        found.extend(notes(&self.notes, &now.notes, "this no longer holds"));
        found.extend(notes(&now.notes, &self.notes, "this has come to hold"));
        if found.is_empty() {
            found.extend(self.hidden_differences(now));
        }
        if found.len() > NAMED {
            let more = found.len() - NAMED;
            found.truncate(NAMED);
            found.push(format!("and {more} more"));
        }
        found
    }

    /// Steps that were added, were removed, or have other details.
    fn steps_that_differ(&self, now: &Self) -> Vec<String> {
        let mut new: Vec<&Row> = now.steps().collect();
        let mut removed = Vec::new();
        for row in self.steps() {
            match new.iter().position(|other| is_same(row, other)) {
                Some(index) => drop(new.remove(index)),
                None => removed.push(row),
            }
        }
        let mut found = Vec::new();
        for row in removed {
            match new.iter().position(|other| name(row) == name(other)) {
                Some(index) => {
                    let other = new.remove(index);
                    let (was, is) = (about(row), about(other));
                    found.push(format!("{}: was {was}, and is {is}", name(row)));
                }
                None => found.push(format!("no longer to be done: {}", name(row))),
            }
        }
        found.extend(
            new.iter()
                .map(|row| format!("to be done now, too: {}", name(row))),
        );
        found
    }

    /// Differences that no step shows: phases in another order, or with other digests.
    fn hidden_differences(&self, now: &Self) -> Vec<String> {
        let titles = |saved: &Self| {
            let titles = saved.phases.iter().map(|phase| phase.title.clone());
            titles.collect::<Vec<_>>()
        };
        let (was, is) = (titles(self), titles(now));
        if was != is {
            return vec![format!(
                "the phases were: {}; and are: {}",
                was.join(", "),
                is.join(", ")
            )];
        }
        let pairs = self.phases.iter().zip(&now.phases);
        let differ = pairs.filter(|(was, is)| was != is);
        differ
            .map(|(phase, _)| {
                format!(
                    "`{}` would do its steps in another way, as after a change behind our back",
                    phase.title
                )
            })
            .collect()
    }

    fn steps(&self) -> impl Iterator<Item = &Row> {
        self.phases.iter().flat_map(|phase| &phase.changes)
    }
}

/// The content of a regular file. Anything else is not opened: reading a pipe could block for ever.
fn contents(file: &Path) -> std::io::Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        let why = "it is no regular file";
        return Err(std::io::Error::new(ErrorKind::InvalidInput, why));
    }
    let mut bytes = Vec::new();
    let open = std::fs::File::open(file)?;
    open.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether two steps are the same; the numbers of their phases may differ.
fn is_same(row: &Row, other: &Row) -> bool {
    *row == Row {
        phase: row.phase,
        ..other.clone()
    }
}

fn name(row: &Row) -> String {
    let on = match row.host.as_str() {
        "" => String::new(),
        host => format!(" on {host}"),
    };
    format!("{} {} {}{on}", row.action, row.kind, row.name)
}

/// A step's details and disruption.
fn about(row: &Row) -> String {
    match row.details.as_str() {
        "" => format!("[{}]", row.disruption),
        details => format!("`{details}` [{}]", row.disruption),
    }
}

#[cfg(test)]
mod tests;
