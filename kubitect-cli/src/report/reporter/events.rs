//! How a reporter shows and logs each event of a run.

use kubitect_config::waiting::clock;

use super::Reporter;
use crate::event::{Ending, Event};

impl Reporter {
    /// A phase begins.
    fn phase(&self, number: usize, total: usize, title: &str, next: Option<String>) {
        let place = format!("phase {number} of {total}");
        let begun = format!("{place}: {title}");
        let mut state = self.state();
        state.playbook.stop();
        let ended = state.watch.phase(place, title.to_owned(), next);
        let redraws = state.block.is_some();
        drop(state);
        if let Some(ended) = ended {
            self.write_line(&ended, redraws && !self.view.quiet);
        }
        self.write_line(&begun, !redraws && !self.view.quiet);
    }

    /// Shows an event. A failure is shown when the command ends, with all its lines.
    pub fn event(&self, event: &Event) {
        if self.view.json {
            self.emit(&event.json());
        }
        match event {
            Event::Phase {
                number,
                total,
                title,
                next,
            } => self.phase(*number, *total, title, next.clone()),
            Event::Machines { event } => self.machines(event),
            Event::Kubernetes { event } => self.kubespray(event),
            Event::Done {
                ending: Ending::Unchanged,
                ..
            }
            | Event::Failed { .. }
            | Event::Cancelled => {}
            _ => {
                let line = event.to_string();
                self.state().watch.message(&line);
                self.show_line(&line);
            }
        }
    }

    /// Shows an event of machines.
    fn machines(&self, event: &kubitect_provision::Event) {
        use kubitect_provision::{Event, Outcome};
        let plain = event.to_string();
        let mut state = self.state();
        let redraws = state.block.is_some();
        let (line, shown) = match event {
            Event::Started { what } => {
                state.watch.begin(what);
                (plain, self.view.verbose)
            }
            Event::Progress { what, .. } | Event::Waiting { what, .. } => {
                let detail = plain.strip_prefix(&format!("{what}: ")).unwrap_or(&plain);
                state.watch.detail(what, detail.to_owned());
                if matches!(event, Event::Progress { .. }) {
                    return;
                }
                (plain, self.view.verbose)
            }
            Event::Finished { what, outcome } => {
                let took = state.watch.end(what);
                let took = match took.as_secs() {
                    0 => String::new(),
                    _ => format!(" ({})", clock(took)),
                };
                let warned = matches!(outcome, Outcome::Warned(_));
                let shown = warned || self.view.verbose || !redraws;
                (format!("{plain}{took}"), shown)
            }
            Event::Failed { what, .. } => {
                state.watch.end(what);
                (plain, true)
            }
            _ => (plain, self.view.verbose || !redraws),
        };
        drop(state);
        self.write_line(&line, shown && !self.view.quiet);
    }

    /// Shows an event of Kubernetes. A run has hundreds of tasks and thousands of hosts' results. Tasks are shown only with
    /// `--verbose`, and of the results only failures and retries are logged: Ansible's own log has all.
    fn kubespray(&self, event: &kubitect_kubespray::Event) {
        use kubitect_kubespray::{Event, Outcome};
        let mut state = self.state();
        state.playbook.record(event);
        match event {
            Event::Said { line } => state.watch.message(line),
            Event::Waits { what, why } => state.watch.waits(what, why.clone()),
            Event::Waited { what } => drop(state.watch.end(what)),
            _ => {}
        }
        drop(state);
        let shown = match event {
            Event::HostDone { outcome, .. } => match outcome {
                Outcome::Failed | Outcome::Unreachable => true,
                Outcome::Retried => self.view.verbose,
                _ => return,
            },
            Event::PlayStarted { .. }
            | Event::TaskStarted { .. }
            | Event::Waits { .. }
            | Event::Waited { .. } => self.view.verbose,
            _ => true,
        };
        self.write_line(&event.to_string(), shown && !self.view.quiet);
    }
}
