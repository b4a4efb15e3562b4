//! [`Reporter`]: shows the events of a run, redrawn on a terminal, as lines, or as JSON, and writes them to the run's log.

mod events;

use std::fmt::Display;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kubitect_config::text;
use kubitect_config::value::Label;
use kubitect_config::waiting::clock;
use kubitect_config::watch::Watch;
use kubitect_kubespray::PlaybookProgress;
use serde_json::{Value, json};

use super::block::Block;
use super::clean::{RFC3339, safe, time};
use super::log::Log;
use super::plans::{fitted, of_plan};
use super::view::View;
use crate::event::VERSION;
use crate::failure::Failure;

/// The block is redrawn this often.
const TICK: Duration = Duration::from_millis(250);
/// Without a block: after so long without a line, one says what is waited for.
const SILENCE: Duration = Duration::from_secs(30);

/// Shows events and writes them to a log. Shared by all parts of a run.
#[derive(Debug)]
pub struct Reporter {
    view: View,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    start: Instant,
    log: Option<Log>,
    /// The text of before the log was opened.
    before_log: String,
    watch: Watch,
    /// What Ansible is at.
    playbook: PlaybookProgress,
    /// The phase in which the run failed.
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
            None => self.before_log.push_str(text),
        }
    }

    /// Shows permanent text.
    fn show(&mut self, text: &str) {
        self.shown = Instant::now();
        let text = &fitted(text, &std::io::stderr());
        match &mut self.block {
            Some(block) => block.print(text),
            // A failure can't be shown where stderr is closed; the work goes on.
            None => drop(std::io::stderr().write_all(text.as_bytes())),
        }
    }

    /// A line with the time since the start.
    fn timed(&self, line: &str) -> String {
        let elapsed = self.start.elapsed().as_secs();
        format!("{:>3}:{:02} {line}\n", elapsed / 60, elapsed % 60)
    }

    /// Redraws the block; without one, says what is waited for if nothing was shown for long.
    fn tick(&mut self, quiet: bool) {
        let playbook = self.playbook.line();
        if let Some(block) = &mut self.block {
            let lines = self.watch.lines(playbook);
            block.show(lines.iter().map(|line| safe(line)).collect());
        } else if !quiet
            && self.shown.elapsed() >= SILENCE
            && let Some(waited) = self.watch.waiting_for(playbook)
        {
            let line = self.timed(&format!("… {}", safe(&waited)));
            self.show(&line);
        }
    }
}

impl Reporter {
    /// A reporter without a log, with the view that the command line asks for.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            view: View::current(),
            state: Arc::new(Mutex::new(State {
                start: now,
                log: None,
                before_log: String::new(),
                watch: Watch::default(),
                playbook: PlaybookProgress::default(),
                stopped_in: None,
                block: None,
                shown: now,
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run begins: its time counts from now, and its progress is shown until this is dropped.
    pub fn begin(&self, tasks: impl IntoIterator<Item = (String, usize)>) {
        let mut state = self.state();
        state.start = Instant::now();
        state.playbook.task_counts.extend(tasks);
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

    /// From now on all is also written to `log`, and at once what was reported before.
    pub fn log_to(&self, mut log: Log) {
        let mut state = self.state();
        log.write(&std::mem::take(&mut state.before_log));
        state.log = Some(log);
    }

    /// A line only in the log.
    pub fn note(&self, line: impl Display) {
        self.write_line(&line.to_string(), false);
    }

    /// A permanent line that is no event of a run.
    pub fn line(&self, line: impl Display) {
        let line = line.to_string();
        self.show_line(&line);
        self.emit(&json!({"type": "line", "text": line}));
    }

    /// A permanent line of the log, which people see, too; with `--quiet` only a warning.
    fn show_line(&self, line: &str) {
        self.write_line(line, !self.view.quiet || line.starts_with("warning: "));
    }

    /// A line of the log, which people see, too, if `shown`.
    fn write_line(&self, line: &str, shown: bool) {
        let mut state = self.state();
        // Further lines are indented, so that none of a machine's text looks like a line of this program.
        let line = state.timed(&safe(line).replace('\n', "\n       "));
        state.note(&line);
        if shown && !self.view.json {
            state.show(&line);
        }
    }

    /// An event for programs, with `--output json`.
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
        // A failure can't be shown where stdout is closed; the work goes on.
        let _ = std::io::stdout().write_all(line.as_bytes());
    }

    /// The changes to a cluster that a person approves: folded, and with all steps in the log. With `--quiet`, and without a
    /// question, only the line with the sum is shown.
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

    /// Several permanent lines, without the time.
    pub fn text(&self, text: impl Display) {
        let text = safe(&text.to_string());
        let mut state = self.state();
        state.note(&text);
        if !self.view.json {
            state.show(&text);
        }
    }

    /// The run has succeeded: shows each phase with its time, then these lines, then the log's path.
    pub fn done(&self, lines: &[String]) {
        let ended = self.stop();
        let mut text = String::new();
        for (title, took) in &ended {
            text += &format!("  {:>6}  {title}\n", clock(*took));
        }
        let slowest = self.state().playbook.slowest();
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

    /// The run has succeeded: writes that only to the log.
    pub fn end_well(&self) {
        self.stop();
        self.note("exit code 0");
    }

    /// The run has failed: shows in which phase, then these lines, then the log's path with the line of the failure. The log also
    /// gets the failure and the exit code.
    pub fn failed(&self, failure: &str, code: u8, lines: &[String]) {
        let phase = self.state().watch.current_phase();
        self.state().stopped_in.clone_from(&phase);
        self.stop();
        let log = self.state().log.as_ref().map(|log| {
            let line = log.lines + 1;
            format!("log: {}:{line}", log.path.display())
        });
        self.note(format!("kubitect: {failure}"));
        let stopped = phase.as_ref().map(|phase| format!("stopped in {phase}"));
        let mut text = String::new();
        let lines = stopped.iter().chain(lines).chain(&log);
        lines.for_each(|line| text += &format!("  {line}\n"));
        self.text(&text);
        self.note(format!("exit code {code}"));
    }

    /// The last event for programs: how the command ended, always in the same form.
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

    /// Writes to the log that the process ends at once, because of a second signal. Another thread may hold the log: it is waited
    /// for only for a moment.
    pub fn cut_short(&self, code: u8) {
        for _ in 0..20 {
            if let Ok(mut state) = self.state.try_lock() {
                let phase = state.watch.current_phase();
                let phase = phase.map(|phase| format!(" in {phase}"));
                let line = format!(
                    "interrupted twice: ended at once{}",
                    phase.unwrap_or_default()
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

    /// Stops the display of progress. Returns the phases that have ended, with their times.
    fn stop(&self) -> Vec<(String, Duration)> {
        let mut state = self.state();
        state.playbook.stop();
        state.watch.end_phase();
        if let Some(mut block) = state.block.take() {
            block.show(Vec::new());
        }
        state.watch.ended.clone()
    }

    /// The number of tasks of each playbook that ran.
    pub fn tasks(&self) -> std::collections::BTreeMap<String, usize> {
        self.state().playbook.task_counts.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_line_never_looks_like_one_of_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(folder.path(), "apply").unwrap();
        let path = log.path.clone();
        let reporter = Reporter::new();
        reporter.log_to(log);
        reporter.note("m1: no\n  0:00 exit code 0");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(
            text.contains("m1: no") && !text.contains("\n  0:00 exit"),
            "{text}"
        );
    }
}
