//! [`Reporter`]: events as lines on stderr, and all of them in the run's log.

use std::fmt::Display;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use kubitect_config::text;

/// Shows events on stderr and keeps them in a log. Shared by all stages of a run.
#[derive(Debug)]
pub struct Reporter {
    start: Instant,
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    log: Option<File>,
    /// What was told before there was a log.
    early: String,
    /// A line that may be overwritten stands at the cursor.
    transient: bool,
}

impl State {
    fn note(&mut self, text: &str) {
        match &mut self.log {
            // Nowhere to tell that the log is gone; the work itself matters more.
            Some(log) => drop(log.write_all(text.as_bytes())),
            None => self.early.push_str(text),
        }
    }
}

impl Reporter {
    /// A reporter without a log.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
            state: Mutex::new(State {
                log: None,
                early: String::new(),
                transient: false,
            }),
        }
    }

    /// From now on all is also written into `log`; so is what was told before.
    pub fn keep(&self, mut log: File) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Nowhere to tell that the log is gone; the work itself matters more.
        let _ = log.write_all(std::mem::take(&mut state.early).as_bytes());
        state.log = Some(log);
    }

    /// A line that stays.
    pub fn line(&self, line: impl Display) {
        let elapsed = self.start.elapsed().as_secs();
        let line = safe(&line.to_string());
        let line = format!("{:>3}:{:02} {line}\n", elapsed / 60, elapsed % 60);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let erase = if state.transient { "\r\x1b[K" } else { "" };
        state.transient = false;
        // Nowhere to tell that stderr is gone; the work itself matters more.
        let _ = write!(std::io::stderr(), "{erase}{line}");
        state.note(&line);
    }

    /// Several lines that stay, without the time.
    pub fn text(&self, text: impl Display) {
        let text = safe(&text.to_string());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Nowhere to tell that stderr is gone; the work itself matters more.
        let _ = write!(std::io::stderr(), "{text}");
        state.note(&text);
    }

    /// What happens to machines.
    pub fn provision(&self, event: kubitect_provision::Event) {
        match event {
            kubitect_provision::Event::Progress { .. } => self.progress(event),
            _ => self.line(event),
        }
    }

    /// What happens to Kubernetes. Tasks come in hundreds and hosts' results in thousands: only what a person should
    /// see stays; all is in Ansible's log.
    pub fn kubespray(&self, event: kubitect_kubespray::Event) {
        use kubitect_kubespray::{Event, Outcome};
        match &event {
            Event::HostDone {
                outcome: Outcome::Failed | Outcome::Unreachable | Outcome::Retried,
                ..
            } => {
                self.line(event);
            }
            Event::HostDone { .. } => self.progress(event),
            _ => self.line(event),
        }
    }

    /// A line that the next one replaces, on a terminal only.
    pub fn progress(&self, line: impl Display) {
        if self.terminal {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.transient = true;
            let line = text::line(&safe(&line.to_string()));
            let mut stderr = std::io::stderr();
            let _ = write!(stderr, "\r\x1b[K       {line}").and_then(|()| stderr.flush());
        }
    }
}

/// Text that a terminal may see and a log may hold: clean, and without the secrets of addresses in it, as a proxy's.
fn safe(text: &str) -> String {
    text::lines(&kubitect_config::address::shown(text))
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn no_password_of_an_address_is_told_and_nothing_steers_the_terminal() {
        assert_eq!(
            safe("could not reach http://me:hunter2@proxy.example:3128/x"),
            "could not reach http://(not shown)@proxy.example:3128/x"
        );
        assert_eq!(
            safe("\u{1b}[0;31mfailed\u{1b}[0m: a\tb\r\nc\u{9b}2J"),
            "failed: a b\nc\\u{9b}2J"
        );
    }
}
