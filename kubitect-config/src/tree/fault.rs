//! [`Fault`]: errors in the YAML itself.

use std::ops::Range;

use saphyr_parser::Span;

use super::Position;

/// An error in the YAML itself.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The path of the value that it is about; empty if that is not known.
    pub path: String,
    pub start: Position,
    pub end: Position,
    pub code: &'static str,
    pub message: String,
    pub help: String,
}

impl Fault {
    pub(super) fn new(
        span: Span,
        code: &'static str,
        message: impl Into<String>,
        help: &str,
    ) -> Self {
        Self {
            path: String::new(),
            start: span.start.into(),
            end: span.end.into(),
            code,
            message: message.into(),
            help: help.to_owned(),
        }
    }
}

/// A fault if the text has a control character that YAML forbids. They have to be found before the parser runs: it takes a NUL
/// for the end of the text, which would hide the rest, and a single carriage return for a line's end, so that its line numbers
/// would differ from an editor's.
pub(super) fn control_character(text: &str) -> Option<Fault> {
    for (number, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        for (column, c) in line.chars().enumerate() {
            if c.is_control() && !matches!(c, '\t' | '\u{85}') {
                let start = Position {
                    line: number + 1,
                    column: column + 1,
                };
                let end = Position {
                    column: column + 2,
                    ..start
                };
                return Some(Fault {
                    path: String::new(),
                    start,
                    end,
                    code: "yaml-control-character",
                    message: format!("the file contains the control character {c:?}"),
                    help: match c {
                        '\r' => {
                            "remove it, or let all lines end as those of Unix (`dos2unix -c mac`)"
                        }
                        _ => "remove it; YAML is plain text",
                    }
                    .to_owned(),
                });
            }
        }
    }
    None
}

/// The bytes of the blanks between a key's colon and its value, if the fault is that there are tabs among them. The caller
/// replaces them.
pub(super) fn tabs_after_colon(text: &str, fault: &Fault) -> Option<Range<usize>> {
    if fault.code != CODE {
        return None;
    }
    let mut begin = 0;
    let mut lines = text.split_inclusive('\n');
    for line in lines.by_ref().take(fault.start.line.saturating_sub(1)) {
        begin += line.len();
    }
    let line = lines.next()?;
    let end = match line.char_indices().nth(fault.start.column - 1) {
        Some((index, _)) => index,
        None => line.len(),
    };
    let before = line[..end].trim_end_matches([' ', '\t']);
    let has_tab = line[before.len()..end].contains('\t');
    (before.ends_with(':') && has_tab).then_some(begin + before.len()..begin + end)
}

/// The byte at which a blank is missing after a key's colon (`key:value`), which YAML reads as one word.
fn missing_blank(line: &str) -> Option<usize> {
    let start = line.len() - line.trim_start_matches([' ', '-']).len();
    let word = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let rest = line[start..].trim_start_matches(word);
    let after = rest.strip_prefix(':')?;
    let is_key = rest.len() < line.len() - start;
    let glued = after.starts_with(|c: char| c.is_ascii_alphanumeric() || "\"'[{".contains(c));
    (is_key && glued && !after.contains(": ")).then(|| line.len() - after.len())
}

/// The probable cause of an error that the parser reports in line `index` (from 0), where the parser's message would not help:
/// the line (from 0), the byte in it, the message and the help.
fn cause(lines: &[&str], index: usize) -> Option<(usize, usize, String, &'static str)> {
    let conflict = |line: &&str| line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ");
    if let Some(number) = lines.iter().position(conflict) {
        let message = "this line marks a conflict that git found when it merged".to_owned();
        let help = "settle the conflict, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>";
        return Some((number, 0, message, help));
    }
    let above = (0..index).rev().find(|number| {
        let line = lines[*number].trim_start();
        !line.is_empty() && !line.starts_with('#')
    });
    for number in above.into_iter().chain([index]) {
        let line = lines.get(number)?;
        let odd = |(_, c): &(usize, char)| c.is_whitespace() && !c.is_ascii();
        if let Some((byte, c)) = line.char_indices().find(odd) {
            let message = format!(
                "this line has a blank that is none of YAML's ({})",
                c.escape_unicode()
            );
            return Some((number, byte, message, "replace it by a plain blank"));
        }
        if let Some(byte) = missing_blank(line) {
            let message = "a blank is missing after the colon".to_owned();
            return Some((number, byte, message, "write `key: value`"));
        }
    }
    None
}

const CODE: &str = "yaml-syntax";

/// The fault for an error of the parser, with the probable cause instead of the parser's message, if one is found.
pub(super) fn scan_fault(text: &str, error: &saphyr_parser::ScanError) -> Fault {
    let mark = *error.marker();
    let lines: Vec<&str> = text.lines().collect();
    let index = mark.line().saturating_sub(1);
    // The parser reports a text of several lines at its first line; the tab is in a later one.
    let end = if error.info().contains("tab") {
        lines.len()
    } else {
        index + 1
    };
    let indents = lines.iter().enumerate().take(end).skip(index);
    let mut tabs = indents.filter_map(|(number, line)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        let tab = indent.find('\t')?;
        Some((number + 1, indent[..tab].chars().count() + 1))
    });
    if let Some((line, column)) = tabs.next() {
        let start = Position { line, column };
        return Fault {
            path: String::new(),
            start,
            end: Position {
                column: start.column + 1,
                ..start
            },
            code: "yaml-tab",
            message: "this line is indented with a tab".to_owned(),
            help: "YAML is indented with spaces; set the editor to insert them".to_owned(),
        };
    }
    if let Some((number, byte, message, help)) = cause(&lines, index) {
        let start = Position {
            line: number + 1,
            column: lines[number][..byte].chars().count() + 1,
        };
        return Fault {
            path: String::new(),
            start,
            end: start,
            code: CODE,
            message,
            help: help.to_owned(),
        };
    }
    Fault::new(
        Span::empty(mark),
        CODE,
        format!("this is not YAML: {}", error.info()),
        "check the indentation, colons and quotes on this line and the one above",
    )
}
