//! [`Watch`]: what a run is at and waits for, and for how long; as lines for a terminal, and as a sentence where there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kubitect_kubespray::Event;

/// How many things that go on are shown.
const SHOWN: usize = 10;

/// What goes on.
#[derive(Debug, Default)]
pub struct Watch {
    phase: Option<Phase>,
    steps: Vec<Step>,
    ansible: Option<Ansible>,
    /// How many tasks each playbook had when it ran last, and has had now.
    pub tasks: BTreeMap<String, usize>,
    /// The phases that have ended, and how long each took.
    pub ended: Vec<(String, Duration)>,
}

#[derive(Debug)]
struct Phase {
    title: String,
    place: String,
    next: Option<String>,
    since: Instant,
}

#[derive(Debug)]
struct Step {
    what: String,
    detail: String,
    since: Instant,
}

#[derive(Debug)]
struct Ansible {
    playbook: String,
    play: String,
    task: String,
    number: usize,
    /// Hosts that were done with a task of this play, and with this task.
    hosts: BTreeSet<String>,
    done: BTreeSet<String>,
    since: Instant,
}

impl Watch {
    /// The phase that begins: its place, as `phase 3 of 8`, its title and the title of the next one. Gives the one that ends.
    pub fn phase(&mut self, place: String, title: String, next: Option<String>) -> Option<String> {
        let ended = self.end_phase();
        self.phase = Some(Phase {
            title,
            place,
            next,
            since: Instant::now(),
        });
        ended
    }

    /// The phase has ended; a line that says so.
    pub fn end_phase(&mut self) -> Option<String> {
        self.ansible = None;
        self.steps.clear();
        let Phase {
            title,
            place,
            since,
            ..
        } = self.phase.take()?;
        let took = since.elapsed();
        let line = format!("{place}: {title}: done in {}", clock(took));
        self.ended.push((title, took));
        Some(line)
    }

    /// The phase that goes on.
    pub fn place(&self) -> Option<String> {
        let phase = self.phase.as_ref()?;
        Some(format!("{} ({})", phase.title, phase.place))
    }

    /// A step begins.
    pub fn begin(&mut self, what: &str) {
        self.end(what);
        self.steps.push(Step {
            what: what.to_owned(),
            detail: String::new(),
            since: Instant::now(),
        });
    }

    /// How far a step is.
    pub fn detail(&mut self, what: &str, detail: String) {
        if let Some(step) = self.steps.iter_mut().find(|step| step.what == what) {
            step.detail = detail;
        }
    }

    /// A step has ended; how long it took.
    pub fn end(&mut self, what: &str) -> Duration {
        let at = self.steps.iter().position(|step| step.what == what);
        at.map_or(Duration::ZERO, |at| self.steps.remove(at).since.elapsed())
    }

    /// What Ansible does.
    pub fn kubespray(&mut self, event: &Event) {
        match (event, &mut self.ansible) {
            (Event::PlaybookStarted { playbook, .. }, ansible) => {
                *ansible = Some(Ansible {
                    playbook: playbook.clone(),
                    play: String::new(),
                    task: "reading the inventory and the playbook".to_owned(),
                    number: 0,
                    hosts: BTreeSet::new(),
                    done: BTreeSet::new(),
                    since: Instant::now(),
                });
            }
            (Event::PlayStarted { play }, Some(ansible)) => {
                ansible.play.clone_from(play);
                ansible.hosts.clear();
            }
            (Event::TaskStarted { number, task }, Some(ansible)) => {
                ansible.number = *number;
                ansible.task.clone_from(task);
                ansible.done.clear();
                ansible.since = Instant::now();
            }
            (Event::HostDone { host, outcome, .. }, Some(ansible)) => {
                use kubitect_kubespray::Outcome::Retried;
                ansible.hosts.insert(host.clone());
                if *outcome != Retried {
                    ansible.done.insert(host.clone());
                }
            }
            (
                Event::PlaybookFinished {
                    playbook, tasks, ..
                },
                ansible,
            ) => {
                self.tasks.insert(playbook.clone(), *tasks);
                *ansible = None;
            }
            _ => {}
        }
    }

    /// For a terminal: the phase, then what goes on in it. Nothing before the first phase and step.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(phase) = &self.phase {
            let next = phase.next.as_ref().map(|next| format!(" · next: {next}"));
            lines.push(format!(
                "{}: {} · {}{}",
                phase.place,
                phase.title,
                clock(phase.since.elapsed()),
                next.unwrap_or_default()
            ));
        }
        lines.extend(
            self.ansible
                .iter()
                .map(|ansible| format!("  {}", self.tell(ansible))),
        );
        let steps = self.steps.iter().take(SHOWN);
        lines.extend(steps.map(|step| format!("  {}", step.line())));
        match self.steps.len().saturating_sub(SHOWN) {
            0 => {}
            more => lines.push(format!("  … and {more} more")),
        }
        lines
    }

    /// For a pipe: what is waited for.
    pub fn waited(&self) -> Option<String> {
        let steps: Vec<_> = self.steps.iter().take(SHOWN).map(Step::line).collect();
        let ansible = self.ansible.as_ref().map(|ansible| self.tell(ansible));
        let all: Vec<_> = ansible.into_iter().chain(steps).collect();
        match all.is_empty() {
            true => self.place(),
            false => Some(all.join("; ")),
        }
    }

    fn tell(&self, ansible: &Ansible) -> String {
        let of = match self.tasks.get(&ansible.playbook) {
            Some(tasks) if *tasks >= ansible.number => format!(" of about {tasks}"),
            _ => String::new(),
        };
        let mut parts = vec![ansible.playbook.clone()];
        if !ansible.play.is_empty() {
            parts.push(format!("play {}", ansible.play));
        }
        parts.push(format!("task {}{of}", ansible.number));
        parts.push(ansible.task.clone());
        let waiting: Vec<_> = ansible.hosts.difference(&ansible.done).collect();
        match &waiting[..] {
            [] => {}
            [host] => parts.push(format!("waiting for {host}")),
            [host, others @ ..] => {
                parts.push(format!("waiting for {host} and {} more", others.len()))
            }
        }
        parts.push(clock(ansible.since.elapsed()));
        parts.join(" · ")
    }
}

impl Step {
    fn line(&self) -> String {
        let detail = match self.detail.as_str() {
            "" => String::new(),
            detail => format!(" · {detail}"),
        };
        format!("{}{detail} · {}", self.what, clock(self.since.elapsed()))
    }
}

/// Minutes and seconds, as `3:07`.
pub fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_kubespray::Outcome;

    /// The lines without how long each thing goes on.
    fn timeless(watch: &Watch) -> Vec<String> {
        let is_time = |part: &str| part.chars().all(|c| c.is_ascii_digit() || c == ':');
        let line = |line: &String| {
            let parts: Vec<_> = line.split(" · ").filter(|part| !is_time(part)).collect();
            parts.join(" · ")
        };
        watch.lines().iter().map(line).collect()
    }

    #[test]
    fn a_phase_shows_what_goes_on_in_it_and_what_comes_next() {
        let mut watch = Watch::default();
        assert_eq!(timeless(&watch), [""; 0]);
        assert_eq!(watch.waited(), None);
        let phase = |watch: &mut Watch, number: usize, title: &str, next: Option<&str>| {
            let place = format!("phase {number} of 2");
            watch.phase(place, title.to_owned(), next.map(str::to_owned))
        };
        assert_eq!(phase(&mut watch, 1, "make machines", Some("remove")), None);
        for number in 1..=12 {
            watch.begin(&format!("wait for m{number}"));
        }
        watch.detail("wait for m1", "SSH does not answer".to_owned());
        watch.end("wait for m3");
        let lines = timeless(&watch);
        assert_eq!(lines[0], "phase 1 of 2: make machines · next: remove");
        assert_eq!(lines[1], "  wait for m1 · SSH does not answer");
        assert_eq!(lines[3], "  wait for m4");
        assert_eq!(lines.last().unwrap(), "  … and 1 more");
        assert!(watch.waited().unwrap().starts_with("wait for m1 · SSH"));
        let ended = phase(&mut watch, 2, "remove", None).unwrap();
        assert!(ended.starts_with("phase 1 of 2: make machines: done in "));
        assert_eq!(timeless(&watch), ["phase 2 of 2: remove"]);
        assert_eq!(watch.waited().unwrap(), "remove (phase 2 of 2)");
    }

    #[test]
    fn of_ansible_the_task_and_whom_it_waits_for_are_shown() {
        let mut watch = Watch::default();
        let playbook = || "cluster.yml".to_owned();
        watch.tasks.insert(playbook(), 40);
        let host = |host: &str, outcome| Event::HostDone {
            host: host.to_owned(),
            task: String::new(),
            outcome,
            message: None,
        };
        let task = |number| Event::TaskStarted {
            number,
            task: "etcd: configure".to_owned(),
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
            watch.kubespray(&event);
        }
        assert_eq!(
            timeless(&watch),
            [
                "  cluster.yml · play etcd · task 12 of about 40 · etcd: configure · waiting for m2 and 1 more"
            ]
        );
        watch.kubespray(&Event::PlaybookFinished {
            playbook: playbook(),
            tasks: 39,
            changed: 0,
        });
        assert_eq!(timeless(&watch), [""; 0]);
        assert_eq!(watch.tasks["cluster.yml"], 39);
    }
}
