//! Plans as people see them: folded or whole, no wider than the terminal, and with colours where they are wanted.

use std::fmt::Display;
use std::io::IsTerminal;
use std::os::fd::AsFd;

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

/// Text with lines that are not wider than the stream's terminal, if it is one and they have blanks.
pub fn fitted(text: &str, stream: &impl AsFd) -> String {
    let size = tcgetwinsize(stream).map(|size| usize::from(size.ws_col));
    let Some(width) = size.ok().filter(|width| *width > 0) else {
        return text.to_owned();
    };
    let width = width.max(NARROWEST);
    let lines = text.split('\n');
    let lines = lines.map(
        |line| match line.len() - line.trim_start_matches(' ').len() {
            0 => text::wrapped(line, width, 0),
            set_in => text::wrapped(line, width, set_in + BELOW),
        },
    );
    lines.collect::<Vec<_>>().join("\n")
}

/// With the sign of each line in its colour, and what is lost in red.
fn painted(text: &str) -> String {
    let lines = text.split_inclusive('\n').map(|line| {
        let sign = line.chars().nth(2).filter(|_| line.starts_with("  "));
        let color = match sign {
            Some('+') => 32,
            Some('~') => 33,
            Some('±') => 35,
            Some('-') => 31,
            _ => return line.to_owned(),
        };
        let rest: String = line.chars().skip(3).collect();
        let rest = rest.replace("[data-loss]", "\x1b[31m[data-loss]\x1b[0m");
        format!("  \x1b[{color}m{}\x1b[0m{rest}", sign.unwrap_or_default())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_have_colours_and_nothing_else_has() {
        let text = "  + a  [data-loss] x\n       - below\n  ± b\ndemo: 1 to add\n";
        assert_eq!(
            painted(text),
            "  \x1b[32m+\x1b[0m a  \x1b[31m[data-loss]\x1b[0m x\n       - below\n  \x1b[35m±\x1b[0m b\ndemo: 1 to add\n"
        );
    }
}
