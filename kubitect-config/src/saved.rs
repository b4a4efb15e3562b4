//! [`Saved`]: a plan in a file, so that somebody can look at it before it is carried out, and what differs from it when it is. It
//! holds digests and what a plan shows, and no secret.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::address::shown;
use crate::digest::sha256;
use crate::file::replace;
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
        match Self::read(file) {
            Ok(_) | Err(Error::Version { .. }) => {}
            Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => {}
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
        replace(file, text.as_bytes(), 0o600).map_err(failed)
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
mod tests {
    use super::*;
    use crate::row::Disruption;

    fn row(name: &str, details: &str) -> Row {
        Row {
            phase: 1,
            ..Row::new("create", "domain", name, "box".to_owned()).with(details)
        }
    }

    fn saved() -> Saved {
        Saved {
            format_version: VERSION,
            kubitect: "0.1.0".to_owned(),
            time: "2026-01-02T03:04:05Z".to_owned(),
            cluster: "demo".to_owned(),
            configuration: Configuration {
                file: Some("/home/me/cluster.yaml".into()),
                sha256: sha256(b"a"),
            },
            site: sha256(b"b"),
            phases: vec![SavedPhase::new(
                "make machines",
                "all",
                vec![row("demo-worker-1", "2 CPUs, https://t0ken@h/x")],
            )],
            notes: vec!["a note".to_owned()],
        }
    }

    /// Whoever changes this makes plans unreadable that people have saved.
    #[test]
    fn golden_file_of_a_saved_plan() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.json");
        saved().write(&file).unwrap();
        insta::assert_snapshot!(std::fs::read_to_string(&file).unwrap(), @r#"
        {
          "formatVersion": 1,
          "kubitect": "0.1.0",
          "time": "2026-01-02T03:04:05Z",
          "cluster": "demo",
          "configuration": {
            "file": "/home/me/cluster.yaml",
            "sha256": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
          },
          "site": "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",
          "phases": [
            {
              "title": "make machines",
              "sha256": "5ef5ef0364b6939c4ca61f34b393f7b368d1be8619647aaf83d5b395919ab629",
              "changes": [
                {
                  "action": "create",
                  "kind": "domain",
                  "name": "demo-worker-1",
                  "host": "box",
                  "disruption": "none",
                  "details": "2 CPUs, https://(not shown)@h/x",
                  "destructive": false,
                  "phase": 1
                }
              ]
            }
          ],
          "notes": [
            "a note"
          ]
        }
        "#);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Saved::read(&file).unwrap(), saved());
        // It replaces itself, and nothing else.
        saved().write(&file).unwrap();
        let cluster = folder.path().join("cluster.yaml");
        std::fs::write(&cluster, "hosts: []\n").unwrap();
        let error = saved().write(&cluster).unwrap_err().to_string();
        assert!(error.contains("what is there is no plan"), "{error}");
        assert_eq!(std::fs::read_to_string(&cluster).unwrap(), "hosts: []\n");
        let error = saved().write(&folder.path().join("no/plan.json"));
        let error = crate::chain(&error.unwrap_err());
        assert!(error.contains("its folder is not there"), "{error}");
    }

    /// As `mktemp` makes it.
    #[test]
    fn an_empty_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.json");
        std::fs::write(&file, "").unwrap();
        saved().write(&file).unwrap();
        assert_eq!(Saved::read(&file).unwrap(), saved());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_unopened() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        // Whoever opens it waits until somebody writes.
        let (tell, told) = std::sync::mpsc::channel();
        let path = fifo.clone();
        std::thread::spawn(move || {
            let read = Saved::read(&path).unwrap_err();
            let written = saved().write(&path).unwrap_err();
            tell.send([read, written].map(|e| crate::chain(&e)))
        });
        let told = told.recv_timeout(std::time::Duration::from_secs(60));
        let fifo = fifo.display();
        let why = "it is no regular file";
        let [read, written] = told.expect("nothing is waited for");
        assert_eq!(read, format!("read {fifo}: {why}"));
        assert_eq!(written, format!("write {fifo}: {why}"));
        // Nor is a device taken for an empty file.
        assert!(saved().write(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn what_is_no_plan_is_refused_by_name() {
        let why = |text: &str| {
            let error = Saved::parse(text.as_bytes(), "p").unwrap_err();
            error.to_string()
        };
        assert!(why("hosts: []").contains("`-c p`"));
        assert!(why("{}").contains("it has no formatVersion"));
        assert!(why(r#"{"formatVersion":1}"#).contains("missing field `kubitect`"));
        assert!(why(r#"{"formatVersion":2}"#).contains("its formatVersion is 2"));
        // Fields that come later change nothing.
        let mut more = serde_json::to_value(saved()).unwrap();
        more["more"] = true.into();
        assert_eq!(
            Saved::parse(more.to_string().as_bytes(), "p").unwrap(),
            saved()
        );
    }

    #[test]
    fn what_differs_is_said() {
        let differs = |change: &dyn Fn(&mut Saved)| {
            let mut now = saved();
            change(&mut now);
            saved().differences(&now)
        };
        assert_eq!(differs(&|now| now.time = "later".to_owned()), [""; 0]);
        assert_eq!(
            differs(&|now| {
                now.kubitect = "0.2.0".to_owned();
                now.cluster = "other".to_owned();
                now.configuration.sha256 = sha256(b"c");
                now.site = sha256(b"c");
                now.notes = vec!["another".to_owned()];
            }),
            [
                "Kubitect 0.1.0 saved it, and this is 0.2.0",
                "it is of the cluster demo, and the configuration is of other",
                "the configuration has changed: /home/me/cluster.yaml",
                "the site file has changed",
                "this no longer holds: a note",
                "this has come to hold: another",
            ]
        );
        assert_eq!(
            differs(&|now| {
                now.phases[0].changes[0].disruption = Disruption::Reboot;
                now.phases[0].changes.push(row("demo-worker-2", ""));
            }),
            [
                "create domain demo-worker-1 on box: was `2 CPUs, https://(not shown)@h/x` [none], and is `2 CPUs, \
                 https://(not shown)@h/x` [reboot]",
                "to be done now, too: create domain demo-worker-2 on box",
            ]
        );
        assert_eq!(
            differs(&|now| now.phases.clear()),
            ["no longer to be done: create domain demo-worker-1 on box"]
        );
        let more = |now: &mut Saved| now.phases.push(SavedPhase::new("use", "", Vec::new()));
        assert_eq!(
            differs(&more),
            ["the phases were: make machines; and are: make machines, use"]
        );
        let other = |now: &mut Saved| now.phases[0].sha256 = sha256(b"other");
        assert!(
            differs(&other)[0].starts_with("`make machines` would do its steps in another way")
        );
        let many = |now: &mut Saved| {
            let rows = (0..20).map(|number| row(&format!("w{number}"), ""));
            now.phases[0].changes.extend(rows);
        };
        assert_eq!(differs(&many).len(), NAMED + 1);
        assert_eq!(differs(&many)[NAMED], "and 8 more");
    }
}
