//! [`Saved`]: a plan in a file, so that somebody can look at it before it is carried out, and what differs from it when it is. It
//! holds digests and what a plan shows, and no secret.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::address::shown;
use crate::digest::sha256;
use crate::file::{create, replace};
use crate::row::Row;

/// The version of the file's form. It changes when a field goes or means something else, not when one comes.
pub const VERSION: u32 = 1;

/// The largest file that is read, in bytes: a plan of 10,000 machines has a third of it.
const MAX_BYTES: u64 = 64 << 20;

/// The most differences that are named.
const NAMED: usize = 12;

/// A plan that was saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// The version of this form.
    pub format_version: u32,
    /// The version of the program that made the plan.
    pub kubitect: String,
    /// When, in UTC (RFC 3339).
    pub time: String,
    /// The cluster.
    pub cluster: String,
    /// What was planned.
    pub configuration: Configuration,
    /// The SHA-256 of what the site file says.
    pub site: String,
    /// The parts of the run, in their order.
    pub phases: Vec<SavedPhase>,
    /// What no step shows.
    pub notes: Vec<String>,
}

/// The configuration that a plan was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The file; none: it came from standard input.
    pub file: Option<PathBuf>,
    /// The SHA-256 of its text.
    pub sha256: String,
}

/// A part of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPhase {
    /// What it does.
    pub title: String,
    /// The SHA-256 of all that is decided of it, also of what no step shows.
    pub sha256: String,
    /// Its steps.
    pub changes: Vec<Row>,
}

/// Why a file is no saved plan, or can't be made one.
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
        /// What the system said.
        source: std::io::Error,
    },
    /// It is something else.
    #[error(
        "use {file} as a plan: it is none that `kubitect plan --out` saved ({why}); a configuration is applied by `-c {file}`"
    )]
    Other {
        /// The file.
        file: String,
        /// What of it is not as it has to be.
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
    /// It would take the place of something else.
    #[error("save the plan to {file}: what is there is no plan, and stays; name another file")]
    Taken {
        /// The file.
        file: String,
    },
}

impl SavedPhase {
    /// A phase with these steps; `all` is a text of all that is decided of it. Secrets of addresses are not in it.
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

impl Saved {
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

    /// Writes it for its owner alone. Only another plan is replaced, or an empty file, as `mktemp` makes it.
    pub fn write(&self, file: &Path) -> Result<(), Error> {
        let failed = |source| Error::File {
            action: "write",
            file: file.display().to_string(),
            source,
        };
        let mut put: fn(&Path, &[u8], u32) -> std::io::Result<()> = replace;
        match Self::read(file) {
            Ok(_) | Err(Error::Version { .. }) => {}
            Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => put = create,
            Err(Error::File { source, .. }) => return Err(failed(source)),
            Err(_) if file.metadata().is_ok_and(|there| there.len() == 0) => {}
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
        put(file, text.as_bytes(), 0o600).map_err(failed)
    }

    /// What would be done now and differs from this plan, a sentence each; empty: exactly this plan would be carried out.
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

    /// Steps that came, went, or have other details.
    fn steps_that_differ(&self, now: &Self) -> Vec<String> {
        let mut new: Vec<&Row> = now.steps().collect();
        let mut gone = Vec::new();
        for row in self.steps() {
            match new.iter().position(|other| is_same(row, other)) {
                Some(at) => drop(new.remove(at)),
                None => gone.push(row),
            }
        }
        let mut found = Vec::new();
        for row in gone {
            match new.iter().position(|other| name(row) == name(other)) {
                Some(at) => {
                    let other = new.remove(at);
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

    /// Where all steps are the same: phases in another order, or with other contents than the steps show.
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

/// What is in a regular file. Whatever else it is, it is not opened: a pipe would be waited for.
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

/// Whether two steps are one, be it in phases of other numbers.
fn is_same(one: &Row, other: &Row) -> bool {
    *one == Row {
        phase: one.phase,
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

/// What a step says beside its name.
fn about(row: &Row) -> String {
    match row.details.as_str() {
        "" => format!("[{}]", row.disruption),
        details => format!("`{details}` [{}]", row.disruption),
    }
}

#[cfg(test)]
mod tests;
