//! [`Playing`]: what Ansible is at, from its events: for a line that somebody watches, and what took longest. How many tasks
//! playbooks have is kept from one run to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use kubitect_config::waiting::clock;

use crate::event::{Event, Outcome};
use crate::workdir;

/// Where the numbers of tasks stand, in the folder of a cluster's logs.
const TASKS: &str = "tasks.json";

/// How many tasks each playbook had when it last ran on the cluster whose logs lie in this folder; nothing where that is not known.
pub fn tasks(logs: &Path) -> BTreeMap<String, usize> {
    let text = kubitect_config::file::read(&logs.join(TASKS)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Keeps it for the next run.
pub fn remember(logs: &Path, tasks: &BTreeMap<String, usize>) {
    let text = serde_json::json!(tasks).to_string();
    // Without it, the next run shows no total.
    if let Err(error) = workdir::write(&logs.join(TASKS), text.as_bytes(), 0o600) {
        tracing::debug!(%error, "totals of tasks not remembered");
    }
}

/// What Ansible is at.
#[derive(Debug, Default)]
pub struct Playing {
    now: Option<Playbook>,
    /// How many tasks each playbook had when it ran last, and has had now.
    pub tasks: BTreeMap<String, usize>,
    /// The task that took longest, its playbook, and how long.
    slowest: Option<(String, String, Duration)>,
}

#[derive(Debug)]
struct Playbook {
    name: String,
    play: String,
    task: String,
    number: usize,
    /// Hosts that were done with a task of this play, and with this task.
    hosts: BTreeSet<String>,
    done: BTreeSet<String>,
    since: Instant,
}

impl Playing {
    /// Takes in what happens.
    pub fn take(&mut self, event: &Event) {
        if let Event::TaskStarted { .. } | Event::PlaybookFinished { .. } = event {
            self.end_task();
        }
        match (event, &mut self.now) {
            (Event::PlaybookStarted { playbook, .. }, now) => *now = Some(Playbook::new(playbook)),
            (Event::PlayStarted { play }, Some(now)) => {
                now.play.clone_from(play);
                now.hosts.clear();
            }
            (Event::TaskStarted { number, task }, Some(now)) => {
                now.number = *number;
                now.task.clone_from(task);
                now.done.clear();
                now.since = Instant::now();
            }
            (Event::HostDone { host, outcome, .. }, Some(now)) => {
                now.hosts.insert(host.clone());
                if *outcome != Outcome::Retried {
                    now.done.insert(host.clone());
                }
            }
            (
                Event::PlaybookFinished {
                    playbook, tasks, ..
                },
                now,
            ) => {
                self.tasks.insert(playbook.clone(), *tasks);
                *now = None;
            }
            _ => {}
        }
    }

    /// Nothing of it goes on any more, be it that it failed.
    pub fn stop(&mut self) {
        self.end_task();
        self.now = None;
    }

    /// The task that it was at has ended.
    fn end_task(&mut self) {
        let Some(now) = self.now.as_ref().filter(|now| now.number > 0) else {
            return;
        };
        let took = now.since.elapsed();
        let most = self
            .slowest
            .as_ref()
            .map_or(Duration::ZERO, |(.., most)| *most);
        if self.slowest.is_none() || took > most {
            self.slowest = Some((now.task.clone(), now.name.clone(), took));
        }
    }

    /// The task that took longest, in words.
    pub fn slowest(&self) -> Option<String> {
        let (task, playbook, took) = self.slowest.as_ref()?;
        Some(format!(
            "slowest task: {task} ({playbook}, {})",
            clock(*took)
        ))
    }

    /// What goes on, in a line: the play, the task, whom it waits for, and for how long.
    pub fn line(&self) -> Option<String> {
        let now = self.now.as_ref()?;
        let of = match self.tasks.get(&now.name) {
            Some(tasks) if *tasks >= now.number => format!(" of about {tasks}"),
            _ => String::new(),
        };
        let mut parts = vec![now.name.clone()];
        if !now.play.is_empty() {
            parts.push(format!("play {}", now.play));
        }
        parts.push(format!("task {}{of}", now.number));
        parts.push(clock(now.since.elapsed()));
        parts.push(now.task.clone());
        let waiting: Vec<_> = now.hosts.difference(&now.done).collect();
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
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
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
        let mut playing = Playing::default();
        let playbook = || "cluster.yml".to_owned();
        playing.tasks.insert(playbook(), 40);
        assert_eq!(playing.line(), None);
        assert_eq!(playing.slowest(), None);
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
            playing.take(&event);
        }
        playing.now.as_mut().unwrap().since -= Duration::from_secs(187);
        assert_eq!(
            playing.line().unwrap(),
            "cluster.yml · play etcd · task 12 of about 40 · 3:07 · etcd: configure 12 · waiting for m2 and 1 more"
        );
        playing.take(&Event::PlaybookFinished {
            playbook: playbook(),
            tasks: 39,
            changed: 0,
        });
        assert_eq!(playing.line(), None);
        assert_eq!(playing.tasks["cluster.yml"], 39);
        assert_eq!(
            playing.slowest().unwrap(),
            "slowest task: etcd: configure 12 (cluster.yml, 3:07)"
        );
    }
}
