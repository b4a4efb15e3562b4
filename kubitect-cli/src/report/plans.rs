//! Plans as people see them: folded or whole, no wider than the terminal, and with colours where they are wanted.

use std::fmt::Display;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use kubitect_config::row::painted;
use kubitect_config::{address, text};
use rustix::termios::tcgetwinsize;

use super::problems::colors;
use super::view::View;

/// Narrower terminals break lines themselves.
const NARROWEST: usize = 40;
/// How much further than a line that is set in its rest is, if it is too long.
const BELOW: usize = 4;

/// A plan for this stream: folded, after all its steps if the command line asks for them.
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

/// Text with lines that are not wider than the stream's terminal, if it is one and they have blanks.
pub fn fitted(text: &str, stream: &impl AsFd) -> String {
    let Some(width) = width(stream) else {
        return text.to_owned();
    };
    let lines = text.split('\n');
    let lines = lines.map(
        |line| match line.len() - line.trim_start_matches(' ').len() {
            0 => text::wrapped(line, width, 0),
            set_in => text::wrapped(line, width, set_in + BELOW),
        },
    );
    lines.collect::<Vec<_>>().join("\n")
}
