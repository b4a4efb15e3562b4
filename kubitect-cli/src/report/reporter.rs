//! [`Reporter`]: events of a run on a terminal, as lines, or as JSON, and all of them in the run's log.

mod events;

use std::fmt::Display;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kubitect_config::text;
use kubitect_config::value::Label;
use kubitect_config::waiting::clock;
use kubitect_config::watch::Watch;
use kubitect_kubespray::Playing;
use serde_json::{Value, json};

use super::block::Block;
use super::log::Log;
use super::plans::{fitted, of_plan};
use super::view::View;
use super::words::{RFC3339, safe, time};
use crate::event::VERSION;
use crate::failure::Failure;

/// How often the block is brought up to date.
const TICK: Duration = Duration::from_millis(250);
/// How long nothing is said at most where nothing is drawn again.
const SILENCE: Duration = Duration::from_secs(30);

/// Shows events and keeps them in a log. Shared by all stages of a run.
#[derive(Debug)]
pub struct Reporter {
    view: View,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    start: Instant,
    log: Option<Log>,
    /// What was told before there was a log.
    early: String,
    watch: Watch,
    /// What Ansible is at.
    playing: Playing,
    /// The phase in which the run stopped.
    stopped_in: Option<String>,
    /// On a terminal only.
    block: Option<Block>,
    /// When something was last shown.
    shown: Instant,
}

impl State {
    fn note(&mut self, text: &str) {
        match &mut self.log {
            Some(log) => log.write(text),
            None => self.early.push_str(text),
        }
    }

    /// Shows text that stays.
    fn show(&mut self, text: &str) {
        self.shown = Instant::now();
        let text = &fitted(text, &std::io::stderr());
        match &mut self.block {
            Some(block) => block.print(text),
            // Nowhere to tell that stderr is gone; the work itself matters more.
            None => drop(std::io::stderr().write_all(text.as_bytes())),
        }
    }

    /// A line with the time since the start.
    fn timed(&self, line: &str) -> String {
        let elapsed = self.start.elapsed().as_secs();
        format!("{:>3}:{:02} {line}\n", elapsed / 60, elapsed % 60)
    }

    /// Draws the block again, or says what is waited for if nothing has been said for long.
    fn tick(&mut self, quiet: bool) {
        let playing = self.playing.line();
        if let Some(block) = &mut self.block {
            let lines = self.watch.lines(playing);
            block.show(lines.iter().map(|line| safe(line)).collect());
        } else if !quiet
            && self.shown.elapsed() >= SILENCE
            && let Some(waited) = self.watch.waited(playing)
        {
            let line = self.timed(&format!("… {}", safe(&waited)));
            self.show(&line);
        }
    }
}

impl Reporter {
    /// A reporter without a log, which shows what the command line asks for.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            view: View::current(),
            state: Arc::new(Mutex::new(State {
                start: now,
                log: None,
                early: String::new(),
                watch: Watch::default(),
                playing: Playing::default(),
                stopped_in: None,
                block: None,
                shown: now,
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run begins: time counts from now, and what goes on is shown until this is dropped.
    pub fn begin(&self, tasks: impl IntoIterator<Item = (String, usize)>) {
        let mut state = self.state();
        state.start = Instant::now();
        state.playing.tasks.extend(tasks);
        state.block = self.view.redraws().then(Block::default);
        let (weak, quiet) = (
            Arc::downgrade(&self.state),
            self.view.quiet || self.view.json,
        );
        drop(state);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(TICK);
                let Some(state) = weak.upgrade() else { return };
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.tick(quiet);
            }
        });
    }

    /// From now on all is also written into `log`; so is what was told before.
    pub fn keep(&self, mut log: Log) {
        let mut state = self.state();
        log.write(&std::mem::take(&mut state.early));
        state.log = Some(log);
    }

    /// A line in the log alone.
    pub fn note(&self, line: impl Display) {
        self.said(&line.to_string(), false);
    }

    /// A line that stays, and is no event of a run.
    pub fn line(&self, line: impl Display) {
        let line = line.to_string();
        self.stays(&line);
        self.emit(&json!({"type": "line", "text": line}));
    }

    /// A line that stays.
    fn stays(&self, line: &str) {
        self.said(line, !self.view.quiet || line.starts_with("warning: "));
    }

    /// A line of the log, which people see too if `shown`.
    fn said(&self, line: &str, shown: bool) {
        let mut state = self.state();
        // What a machine says in several lines passes for none of ours.
        let line = state.timed(&safe(line).replace('\n', "\n       "));
        state.note(&line);
        if shown && !self.view.json {
            state.show(&line);
        }
    }

    /// An event for programs, if it is they who watch.
    pub fn emit(&self, event: &Value) {
        if !self.view.json {
            return;
        }
        let time = time(RFC3339);
        let mut all = json!({"formatVersion": VERSION, "time": time});
        if let (Some(all), Some(event)) = (all.as_object_mut(), event.as_object()) {
            all.extend(event.clone());
        }
        let line = text::json(&format!(
            "{}\n",
            kubitect_config::address::shown(&all.to_string())
        ));
        // Nowhere to tell that stdout is gone; the work itself matters more.
        let _ = std::io::stdout().write_all(line.as_bytes());
    }

    /// What is to be done to a cluster, as a person approves it: folded, with all its steps in the log. Who asked for quiet and is
    /// not asked sees its sum.
    pub fn proposal(&self, cluster: &Label, folded: impl Display, steps: &str, asks: bool) {
        let folded = safe(&folded.to_string());
        let mut state = self.state();
        state.note(&safe(&format!("{steps}{folded}")));
        if self.view.json {
            return;
        }
        let sum = format!("{cluster}: ");
        let sum = folded.lines().find(|line| line.starts_with(&sum));
        match sum.filter(|_| self.view.quiet && !asks) {
            Some(sum) => state.show(&format!("{sum}\n")),
            None => state.show(&of_plan(&folded, steps, &std::io::stderr())),
        }
    }

    /// Several lines that stay, without the time.
    pub fn text(&self, text: impl Display) {
        let text = safe(&text.to_string());
        let mut state = self.state();
        state.note(&text);
        if !self.view.json {
            state.show(&text);
        }
    }

    /// The run has ended well: what there is now, and what comes next, a line each; each phase with its time before.
    pub fn done(&self, lines: &[String]) {
        let ended = self.stop();
        let mut text = String::new();
        for (title, took) in &ended {
            text += &format!("  {:>6}  {title}\n", clock(*took));
        }
        let slowest = self.state().playing.slowest();
        let log = self
            .state()
            .log
            .as_ref()
            .map(|log| format!("log: {}", log.path.display()));
        let lines = slowest.iter().chain(lines).chain(&log);
        lines.for_each(|line| text += &format!("  {line}\n"));
        self.text(&text);
        self.note("exit code 0");
    }

    /// The run has ended well without a word to people; the log is told.
    pub fn end_well(&self) {
        self.stop();
        self.note("exit code 0");
    }

    /// The run has ended early, for this reason: where, that it can go on, and with what exit code, in the log too.
    pub fn failed(&self, failure: &str, code: u8, lines: &[String]) {
        let place = self.state().watch.place();
        self.state().stopped_in.clone_from(&place);
        self.stop();
        let log = self.state().log.as_ref().map(|log| {
            let line = log.lines + 1;
            format!("log: {}:{line}", log.path.display())
        });
        self.note(format!("kubitect: {failure}"));
        let stopped = place.as_ref().map(|place| format!("stopped in {place}"));
        let mut text = String::new();
        let lines = stopped.iter().chain(lines).chain(&log);
        lines.for_each(|line| text += &format!("  {line}\n"));
        self.text(&text);
        self.note(format!("exit code {code}"));
    }

    /// The last event for programs: how the command ended, in one form whatever ended it.
    pub fn end(&self, result: &Result<(), Failure>) {
        let state = self.state();
        let phases = state.watch.ended.iter();
        let phases = phases
            .map(|(title, took)| json!({"title": title, "seconds": took.as_secs()}))
            .collect::<Vec<_>>();
        let mut end = json!({"type": "end", "ok": result.is_ok(), "phases": phases});
        if let (Err(failure), Some(end)) = (result, end.as_object_mut()) {
            end.insert("phase".to_owned(), json!(state.stopped_in));
            if let Value::Object(own) = failure.json() {
                end.extend(own);
            }
        }
        drop(state);
        self.emit(&end);
    }

    /// The process is about to end at once, because it was asked a second time: the log says so, unless somebody holds it.
    pub fn cut_short(&self, code: u8) {
        for _ in 0..20 {
            if let Ok(mut state) = self.state.try_lock() {
                let place = state.watch.place().map(|place| format!(" in {place}"));
                let line = format!(
                    "interrupted twice: ended at once{}",
                    place.unwrap_or_default()
                );
                let lines = format!(
                    "{}{}",
                    state.timed(&line),
                    state.timed(&format!("exit code {code}"))
                );
                state.note(&lines);
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Nothing goes on any more. The phases that ended.
    fn stop(&self) -> Vec<(String, Duration)> {
        let mut state = self.state();
        state.playing.stop();
        state.watch.end_phase();
        if let Some(mut block) = state.block.take() {
            block.show(Vec::new());
        }
        state.watch.ended.clone()
    }

    /// How many tasks each playbook had.
    pub fn tasks(&self) -> std::collections::BTreeMap<String, usize> {
        self.state().playing.tasks.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_somebody_else_passes_for_none_of_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), "apply").unwrap();
        let path = log.path.clone();
        let reporter = Reporter::new();
        reporter.keep(log);
        reporter.note("m1: no\n  0:00 exit code 0");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(
            text.contains("m1: no") && !text.contains("\n  0:00 exit"),
            "{text}"
        );
    }
}
