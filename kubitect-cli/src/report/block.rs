//! [`Block`]: lines at the end of a terminal that are drawn again as they change; never wider than it, at most ten times a second.

use std::io::Write;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The lines that stand there now.
#[derive(Debug)]
pub struct Block {
    all: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl Block {
    /// One without lines, on stderr.
    pub fn new() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(10);
        Self {
            all: MultiProgress::with_draw_target(target),
            lines: Vec::new(),
        }
    }

    /// Shows these lines, and no others; each is cut where the terminal ends.
    pub fn show(&mut self, lines: &[String]) {
        while self.lines.len() > lines.len() {
            if let Some(line) = self.lines.pop() {
                line.finish_and_clear();
                self.all.remove(&line);
            }
        }
        while self.lines.len() < lines.len() {
            let style = ProgressStyle::with_template("{wide_msg}");
            let line = ProgressBar::no_length()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            self.lines.push(self.all.add(line));
        }
        for (line, text) in self.lines.iter().zip(lines) {
            line.set_message(text.clone());
        }
    }

    /// Writes text that stays, above the lines.
    pub fn print(&self, text: &str) {
        // Nowhere to tell that stderr is gone; the work itself matters more.
        self.all
            .suspend(|| drop(std::io::stderr().write_all(text.as_bytes())));
    }
}
