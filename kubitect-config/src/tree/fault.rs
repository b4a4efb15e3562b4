//! [`Fault`]: what is wrong with the YAML itself.

use saphyr_parser::Span;

use super::Position;

/// A fault of the YAML itself.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The path of what it is about, as far as it is known.
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

/// YAML forbids most control characters; the parser takes a NUL for the end of the text, which would hide the rest.
pub(super) fn control_character(text: &str) -> Option<Fault> {
    for (number, line) in text.split('\n').enumerate() {
        for (column, c) in line.chars().enumerate() {
            if c.is_control() && !matches!(c, '\t' | '\r' | '\u{85}') {
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
                    help: "remove it; YAML is plain text".to_owned(),
                });
            }
        }
    }
    None
}

/// The parser's own error, with the commonest cause named.
pub(super) fn scan_fault(text: &str, error: &saphyr_parser::ScanError) -> Fault {
    let mark = *error.marker();
    let line = text
        .lines()
        .nth(mark.line().saturating_sub(1))
        .unwrap_or("");
    let indent = &line[..line.len() - line.trim_start().len()];
    if let Some(tab) = indent.find('\t') {
        let start = Position {
            line: mark.line(),
            column: indent[..tab].chars().count() + 1,
        };
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
    Fault::new(
        Span::empty(mark),
        "yaml-syntax",
        format!("this is not YAML: {}", error.info()),
        "check the indentation, colons and quotes on this line and the one above",
    )
}
