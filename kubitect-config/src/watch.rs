//! [`Watch`]: the current phase and steps of a run, with how long each has taken: as lines for a terminal, and as a sentence
//! without one. It gives texts, and writes nothing.

use std::time::{Duration, Instant};

use crate::waiting::clock;

/// The most steps that are shown.
const SHOWN: usize = 10;

/// The current state of a run.
#[derive(Debug, Default)]
pub struct Watch {
    phase: Option<Phase>,
    steps: Vec<Step>,
    /// The phases that have ended, with their durations.
    pub ended: Vec<(String, Duration)>,
    /// The last message of this phase. It is shown if no step is active: the run then probably waits for that.
    last_message: Option<(String, Instant)>,
}

#[derive(Debug)]
struct Phase {
    title: String,
    /// Its number: `phase 3 of 8`.
    number: String,
    next: Option<String>,
    since: Instant,
}

#[derive(Debug)]
struct Step {
    what: String,
    detail: String,
    since: Instant,
}

impl Watch {
    /// Begins a phase, with its number (`phase 3 of 8`), its title and the title of the next one. Gives a line about the one that
    /// ends.
    pub fn phase(&mut self, number: String, title: String, next: Option<String>) -> Option<String> {
        let ended = self.end_phase();
        self.phase = Some(Phase {
            title,
            number,
            next,
            since: Instant::now(),
        });
        ended
    }

    /// Ends the phase, and gives a line that says so.
    pub fn end_phase(&mut self) -> Option<String> {
        self.last_message = None;
        self.steps.clear();
        let Phase {
            title,
            number,
            since,
            ..
        } = self.phase.take()?;
        let took = since.elapsed();
        let line = format!("{number}: {title}: done in {}", clock(took));
        self.ended.push((title, took));
        Some(line)
    }

    /// The current phase: its title and number.
    pub fn current_phase(&self) -> Option<String> {
        let phase = self.phase.as_ref()?;
        Some(format!("{} ({})", phase.title, phase.number))
    }

    /// Begins a step.
    pub fn begin(&mut self, what: &str) {
        self.end(what);
        self.steps.push(Step {
            what: what.to_owned(),
            detail: String::new(),
            since: Instant::now(),
        });
    }

    /// Sets the progress of a step.
    pub fn detail(&mut self, what: &str, detail: String) {
        if let Some(step) = self.steps.iter_mut().find(|step| step.what == what) {
            step.detail = detail;
        }
    }

    /// Ends a step, and gives its duration.
    pub fn end(&mut self, what: &str) -> Duration {
        let index = self.steps.iter().position(|step| step.what == what);
        index.map_or(Duration::ZERO, |index| {
            self.steps.remove(index).since.elapsed()
        })
    }

    /// Records a message that does not belong to a step.
    pub fn message(&mut self, line: &str) {
        self.last_message = Some((line.to_owned(), Instant::now()));
    }

    /// Sets the reason why a step is not done yet; the step begins if it has not begun.
    pub fn waits(&mut self, what: &str, why: String) {
        if !self.steps.iter().any(|step| step.what == what) {
            self.begin(what);
        }
        self.detail(what, why);
    }

    /// For a terminal: a line for the phase, one for `other`, and one for each step. Empty before the first phase and step.
    pub fn lines(&self, other: Option<String>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(phase) = &self.phase {
            let next = phase.next.as_ref().map(|next| format!(" · next: {next}"));
            lines.push(format!(
                "{}: {} · {}{}",
                phase.number,
                phase.title,
                clock(phase.since.elapsed()),
                next.unwrap_or_default()
            ));
        }
        lines.extend(other.iter().map(|other| format!("  {other}")));
        let steps = self.steps.iter().take(SHOWN);
        lines.extend(steps.map(|step| format!("  {}", step.line(&[]))));
        if let ([], None, Some((message, since))) = (&self.steps[..], &other, &self.last_message) {
            lines.push(format!("  {message} · {}", clock(since.elapsed())));
        }
        lines.extend(self.more().map(|more| format!("  … {more}")));
        lines
    }

    /// The number of steps that are not shown, as text.
    fn more(&self) -> Option<String> {
        match self.steps.len().saturating_sub(SHOWN) {
            0 => None,
            more => Some(format!("and {more} more")),
        }
    }

    /// For a pipe: a sentence with `other` and all steps. Steps that differ only in their last word, as a machine's name, are
    /// merged.
    pub fn waiting_for(&self, other: Option<String>) -> Option<String> {
        let mut groups: Vec<(&Step, Vec<&str>)> = Vec::new();
        for step in self.steps.iter().take(SHOWN) {
            match groups.iter_mut().find(|(first, _)| first.is_like(step)) {
                Some((_, others)) => others.push(step.split().1),
                None => groups.push((step, Vec::new())),
            }
        }
        let steps = groups.iter().map(|(first, others)| first.line(others));
        let all: Vec<_> = other.into_iter().chain(steps).chain(self.more()).collect();
        match (all.is_empty(), &self.last_message, self.current_phase()) {
            (false, ..) => Some(all.join("; ")),
            (true, Some((message, since)), Some(phase)) => {
                Some(format!("{phase}: {message} · {}", clock(since.elapsed())))
            }
            (true, _, phase) => phase,
        }
    }
}

impl Step {
    /// What is done, and on what: all but the last word, and the last word.
    fn split(&self) -> (&str, &str) {
        self.what.rsplit_once(' ').unwrap_or((&self.what, ""))
    }

    fn is_like(&self, other: &Self) -> bool {
        self.split().0 == other.split().0 && self.detail == other.detail
    }

    /// The step as a line, with the last words of the steps that are merged into it.
    fn line(&self, others: &[&str]) -> String {
        let detail = match self.detail.as_str() {
            "" => String::new(),
            detail => format!(" · {detail}"),
        };
        // The detail is last: it is what a narrow terminal cuts off.
        let what = [&[self.what.as_str()], others].concat().join(", ");
        format!("{what} · {}{detail}", clock(self.since.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines without their durations.
    fn timeless(watch: &Watch) -> Vec<String> {
        let is_time = |part: &str| part.chars().all(|c| c.is_ascii_digit() || c == ':');
        let line = |line: &String| {
            let parts: Vec<_> = line.split(" · ").filter(|part| !is_time(part)).collect();
            parts.join(" · ")
        };
        watch.lines(None).iter().map(line).collect()
    }

    #[test]
    fn a_phase_shows_what_goes_on_in_it_and_what_comes_next() {
        let mut watch = Watch::default();
        assert_eq!(timeless(&watch), [""; 0]);
        assert_eq!(watch.waiting_for(None), None);
        let phase = |watch: &mut Watch, number: usize, title: &str, next: Option<&str>| {
            let number = format!("phase {number} of 2");
            watch.phase(number, title.to_owned(), next.map(str::to_owned))
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
        let waited = watch.waiting_for(None).unwrap();
        let same = "wait for m2, m4, m5, m6, m7, m8, m9, m10, m11 · 0:00";
        assert_eq!(
            waited,
            format!("wait for m1 · 0:00 · SSH does not answer; {same}; and 1 more")
        );
        let ended = phase(&mut watch, 2, "remove", None).unwrap();
        assert!(ended.starts_with("phase 1 of 2: make machines: done in "));
        assert_eq!(timeless(&watch), ["phase 2 of 2: remove"]);
        assert_eq!(watch.waiting_for(None).unwrap(), "remove (phase 2 of 2)");
    }

    #[test]
    fn what_is_waited_for_is_shown_with_its_reason_and_else_what_was_said_last() {
        let mut watch = Watch::default();
        watch.phase("phase 1 of 1".to_owned(), "upgrade".to_owned(), None);
        watch.message("m1: its pods are moved elsewhere");
        assert_eq!(timeless(&watch)[1], "  m1: its pods are moved elsewhere");
        let waited = watch.waiting_for(None).unwrap();
        assert!(
            waited.starts_with("upgrade (phase 1 of 1): m1: its pods"),
            "{waited}"
        );
        let what = "wait until m1 is Ready";
        for why in ["it has not joined", "its network is not there"] {
            watch.waits(what, why.to_owned());
            let lines = timeless(&watch);
            assert_eq!(lines[1..], [format!("  wait until m1 is Ready · {why}")]);
        }
        watch.end(what);
        let lines = watch.lines(Some("cluster.yml".to_owned()));
        assert_eq!(lines[1..], ["  cluster.yml"]);
        assert_eq!(timeless(&watch)[1], "  m1: its pods are moved elsewhere");
    }
}
