//! [`Problem`]: an error or a warning about a configuration file.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::{address, text};

/// An error or a warning about a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// Line of the value, from 1.
    pub line: usize,
    /// Column of the value in characters, from 1.
    pub column: usize,
    /// The value's path, as `cluster.nodes.worker.instances[1].ip`; empty for the whole file.
    pub path: String,
    /// Whether it is an error or a warning.
    pub severity: Severity,
    /// The rule's code, as `address-duplicate`; stable across releases.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// The bytes of the file's text to mark in an excerpt: all on one line, or none.
    #[serde(skip)]
    pub span: Range<usize>,
}

impl Problem {
    /// Whether it is an error: then the file can't be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The line of the file's text that it is about, without secrets and without characters that control a terminal.
    pub fn excerpt(&self, text: &str) -> Excerpt {
        let (source, line, span) = excerpt(text, &self.span);
        Excerpt {
            text: text::in_place(&without_secrets(source)),
            line,
            span,
        }
    }
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// Its lines.
    pub text: String,
    /// The number of the first.
    pub line: usize,
    /// The bytes of the text to mark.
    pub span: Range<usize>,
}

/// The text with the secrets of the URLs in it replaced by as many bytes of `*`: so spans stay right.
fn without_secrets(text: &str) -> String {
    let mut text = text.to_owned();
    for secret in address::secrets(&text) {
        text.replace_range(secret.clone(), &"*".repeat(secret.len()));
    }
    text
}

/// The line in which `span` (in bytes) begins, its number, and the span within it. Not the whole text: a file can be large, and
/// have many problems.
fn excerpt<'a>(text: &'a str, span: &Range<usize>) -> (&'a str, usize, Range<usize>) {
    let floor = |byte: usize| {
        let byte = byte.min(text.len());
        (0..=byte)
            .rev()
            .find(|&i| text.is_char_boundary(i))
            .unwrap_or(0)
    };
    let (start, end) = (floor(span.start), floor(span.end.max(span.start)));
    let from = text[..start].rfind('\n').map_or(0, |index| index + 1);
    // The value may be a whole section: its first line is enough to recognise it.
    let to = text[start..]
        .find('\n')
        .map_or(text.len(), |index| start + index);
    let line = text[..from].matches('\n').count() + 1;
    (
        &text[from..to],
        line,
        start - from..end.min(to).max(start) - from,
    )
}

/// How severe a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file can't be used.
    Error,
    /// The file can be used.
    Warning,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(
            f,
            "{}:{}:{}: {severity}[{}]: ",
            self.file, self.line, self.column, self.code
        )?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{} (help: {})", self.message, self.help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_shows_no_token() {
        assert_eq!(
            without_secrets("url: https://TOKÉN@git.example/x # https://h/y"),
            "url: https://******@git.example/x # https://h/y"
        );
    }

    #[test]
    fn an_excerpt_is_the_line_of_the_value() {
        assert_eq!(
            excerpt("a: 1\nbé: two\nc: 3\n", &(10..13)),
            ("bé: two", 2, 5..8)
        );
        assert_eq!(excerpt("", &(0..0)), ("", 1, 0..0));
        assert_eq!(excerpt("a", &(7..9)), ("a", 1, 1..1));
    }
}
