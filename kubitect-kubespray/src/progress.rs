//! [`PlaybookProgress`]: from Ansible's events to a status line (play, task, hosts that are waited for) and the slowest task. The
//! number of tasks of each playbook is stored for the next run; one that runs a few tags only is counted apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use kubitect_config::waiting::clock;

use crate::event::{Event, Outcome};
use crate::workdir;

/// The file with the numbers of tasks, in the folder of a cluster's logs.
const TASK_COUNTS_FILE: &str = "tasks.json";

/// Reads how many tasks each playbook had when it last ran on the cluster with this folder of logs, by its name and its tags,
/// separated by spaces; empty if that is not known.
pub fn read_task_counts(logs: &Path) -> BTreeMap<String, usize> {
    let text = kubitect_config::file::read(&logs.join(TASK_COUNTS_FILE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Writes how many tasks each playbook had, for [`read_task_counts`] in the next run.
pub fn write_task_counts(logs: &Path, tasks: &BTreeMap<String, usize>) {
    let text = serde_json::json!(tasks).to_string();
    // Without it, the next run shows no total.
    if let Err(error) = workdir::write(&logs.join(TASK_COUNTS_FILE), text.as_bytes(), 0o600) {
        tracing::debug!(%error, "totals of tasks not remembered");
    }
}

/// The progress of the playbook that runs.
#[derive(Debug, Default)]
pub struct PlaybookProgress {
    current: Option<Playbook>,
    /// How many tasks each playbook had when it last ran to its end, in an earlier run or in this one; by its name and its tags,
    /// separated by spaces.
    pub task_counts: BTreeMap<String, usize>,
    /// The slowest task, its playbook, and its duration.
    slowest: Option<(String, String, Duration)>,
}

#[derive(Debug)]
struct Playbook {
    name: String,
    /// The name and the tags.
    counted_as: String,
    play: String,
    task: String,
    number: usize,
    /// The hosts that have reported a result in this play.
    hosts: BTreeSet<String>,
    /// The hosts that have ended the current task.
    done: BTreeSet<String>,
    /// The start of the current task.
    since: Instant,
}

impl PlaybookProgress {
    /// Records an event.
    pub fn record(&mut self, event: &Event) {
        if let Event::TaskStarted { .. } | Event::PlaybookFinished { .. } = event {
            self.end_task();
        }
        match (event, &mut self.current) {
            (Event::PlaybookStarted { playbook, tags, .. }, current) => {
                *current = Some(Playbook::new(playbook, tags))
            }
            (Event::PlayStarted { play }, Some(current)) => {
                current.play.clone_from(play);
                current.hosts.clear();
            }
            (Event::TaskStarted { number, task }, Some(current)) => {
                current.number = *number;
                current.task.clone_from(task);
                current.done.clear();
                current.since = Instant::now();
            }
            (Event::HostDone { host, outcome, .. }, Some(current)) => {
                current.hosts.insert(host.clone());
                if *outcome != Outcome::Retried {
                    current.done.insert(host.clone());
                }
            }
            (Event::PlaybookFinished { tasks, .. }, current) => {
                if let Some(playbook) = current.take() {
                    self.task_counts.insert(playbook.counted_as, *tasks);
                }
            }
            _ => {}
        }
    }

    /// Records that no playbook runs any more, also after a failure.
    pub fn stop(&mut self) {
        self.end_task();
        self.current = None;
    }

    /// Records that the current task has ended.
    fn end_task(&mut self) {
        let Some(current) = self.current.as_ref().filter(|current| current.number > 0) else {
            return;
        };
        let took = current.since.elapsed();
        let most = self
            .slowest
            .as_ref()
            .map_or(Duration::ZERO, |(.., most)| *most);
        if self.slowest.is_none() || took > most {
            self.slowest = Some((current.task.clone(), current.name.clone(), took));
        }
    }

    /// A line that names the slowest task.
    pub fn slowest(&self) -> Option<String> {
        let (task, playbook, took) = self.slowest.as_ref()?;
        Some(format!(
            "slowest task: {task} ({playbook}, {})",
            clock(*took)
        ))
    }

    /// The status line: the playbook, the play, the task with its duration, and the hosts that have not ended it.
    pub fn line(&self) -> Option<String> {
        let current = self.current.as_ref()?;
        let of = match self.task_counts.get(&current.counted_as) {
            Some(tasks) if *tasks >= current.number => format!(" of about {tasks}"),
            _ => String::new(),
        };
        let mut parts = vec![current.name.clone()];
        if !current.play.is_empty() {
            parts.push(format!("play {}", current.play));
        }
        parts.push(format!("task {}{of}", current.number));
        parts.push(clock(current.since.elapsed()));
        parts.push(current.task.clone());
        let waiting: Vec<_> = current.hosts.difference(&current.done).collect();
        match &waiting[..] {
            [] => {}
            [host] => parts.push(format!("waiting for {host}")),
            [host, others @ ..] => {
                parts.push(format!("waiting for {host} and {} more", others.len()));
            }
        }
        Some(parts.join(" · "))
    }
}

impl Playbook {
    fn new(name: &str, tags: &[String]) -> Self {
        Self {
            name: name.to_owned(),
            counted_as: [&[name.to_owned()], tags].concat().join(" "),
            play: String::new(),
            task: "reading the inventory and the playbook".to_owned(),
            number: 0,
            hosts: BTreeSet::new(),
            done: BTreeSet::new(),
            since: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_and_whom_it_waits_for_are_shown_and_the_slowest_named() {
        let mut progress = PlaybookProgress::default();
        let playbook = || "cluster.yml".to_owned();
        progress.task_counts.insert(playbook(), 40);
        assert_eq!(progress.line(), None);
        assert_eq!(progress.slowest(), None);
        let host = |host: &str, outcome| Event::HostDone {
            host: host.to_owned(),
            task: String::new(),
            outcome,
            message: None,
        };
        let task = |number| Event::TaskStarted {
            number,
            task: format!("etcd: configure {number}"),
        };
        for event in [
            Event::PlaybookStarted {
                playbook: playbook(),
                tags: Vec::new(),
                log: "log".into(),
            },
            Event::PlayStarted {
                play: "etcd".to_owned(),
            },
            task(11),
            host("m1", Outcome::Ok),
            host("m2", Outcome::Changed),
            host("m3", Outcome::Ok),
            task(12),
            host("m1", Outcome::Ok),
            host("m2", Outcome::Retried),
        ] {
            progress.record(&event);
        }
        progress.current.as_mut().unwrap().since -= Duration::from_secs(187);
        assert_eq!(
            progress.line().unwrap(),
            "cluster.yml · play etcd · task 12 of about 40 · 3:07 · etcd: configure 12 · waiting for m2 and 1 more"
        );
        progress.record(&Event::PlaybookFinished {
            playbook: playbook(),
            tasks: 39,
            changed: 0,
        });
        assert_eq!(progress.line(), None);
        assert_eq!(progress.task_counts["cluster.yml"], 39);
        assert_eq!(
            progress.slowest().unwrap(),
            "slowest task: etcd: configure 12 (cluster.yml, 3:07)"
        );
    }
    #[test]
    fn a_playbook_of_a_few_tags_is_counted_apart() {
        let mut progress = PlaybookProgress::default();
        let start = |tags: &[&str]| Event::PlaybookStarted {
            playbook: "cluster.yml".to_owned(),
            tags: tags.iter().map(ToString::to_string).collect(),
            log: "log".into(),
        };
        let task = Event::TaskStarted {
            number: 7,
            task: "network: start".to_owned(),
        };
        let finished = |tasks| Event::PlaybookFinished {
            playbook: "cluster.yml".to_owned(),
            tasks,
            changed: 0,
        };
        let line_of = |progress: &mut PlaybookProgress, tags: &[&str]| {
            progress.record(&start(tags));
            progress.record(&task);
            progress.line().unwrap()
        };
        assert!(line_of(&mut progress, &[]).contains("task 7 · "));
        progress.record(&finished(1237));
        assert!(line_of(&mut progress, &["download", "network"]).contains("task 7 · "));
        progress.record(&finished(100));
        assert!(line_of(&mut progress, &["download", "network"]).contains("task 7 of about 100"));
        assert!(line_of(&mut progress, &[]).contains("task 7 of about 1237"));
    }
}
