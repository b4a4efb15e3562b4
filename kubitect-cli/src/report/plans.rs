//! Plans as people see them: folded or with all steps, no wider than the terminal, and with colours where these are wanted.

use std::fmt::Display;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use kubitect_config::row::painted;
use kubitect_config::{address, text};
use rustix::termios::tcgetwinsize;

use super::problems::colors;
use super::view::View;

/// For a terminal that is narrower, lines are as wide as this.
const NARROWEST: usize = 40;
/// The rest of an indented line that is too long is indented by so many columns more.
const HANGING: usize = 4;

/// A plan for this stream: folded; with `--verbose` all its steps before.
pub fn of_plan(folded: impl Display, steps: &str, stream: &(impl IsTerminal + AsFd)) -> String {
    let steps = match View::current().verbose {
        true => steps,
        false => "",
    };
    let clean = text::lines(&address::shown(&format!("{steps}{folded}")));
    match colors() && stream.is_terminal() {
        true => painted(&fitted(&clean, stream)),
        false => fitted(&clean, stream),
    }
}

/// The columns of the stream's terminal, if it is one.
pub fn width(stream: &impl AsFd) -> Option<usize> {
    let size = tcgetwinsize(stream).map(|size| usize::from(size.ws_col));
    let width = size.ok().filter(|width| *width > 0);
    width.map(|width| width.max(NARROWEST))
}

/// Text wrapped to the width of the stream's terminal, if it is one; words are never cut.
pub fn fitted(text: &str, stream: &impl AsFd) -> String {
    let Some(width) = width(stream) else {
        return text.to_owned();
    };
    let lines = text.split('\n');
    let lines = lines.map(
        |line| match line.len() - line.trim_start_matches(' ').len() {
            0 => text::wrapped(line, width, 0),
            indent => text::wrapped(line, width, indent + HANGING),
        },
    );
    lines.collect::<Vec<_>>().join("\n")
}
