//! [`Report`]: collects the problems of a file while it is checked; [`KeyPath`]: a path into the file.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::address;
use crate::problem::{Problem, Severity};
use crate::text::{self, step};
use crate::tree::{Fault, Kind, Position, Tree};
use crate::value::Invalid;

/// A path into a configuration file: a chain of references, which allocates nothing until it is shown.
#[derive(Clone, Copy)]
pub(crate) enum KeyPath<'a> {
    Root,
    Key(&'a KeyPath<'a>, &'a str),
    Index(&'a KeyPath<'a>, usize),
}

impl<'a> KeyPath<'a> {
    pub fn key(&'a self, key: &'a str) -> Self {
        KeyPath::Key(self, key)
    }

    pub fn index(&'a self, index: usize) -> Self {
        KeyPath::Index(self, index)
    }

    fn parent(&self) -> Option<&'a KeyPath<'a>> {
        match self {
            KeyPath::Root => None,
            KeyPath::Key(parent, _) | KeyPath::Index(parent, _) => Some(parent),
        }
    }

    /// The key's position (none for items of lists) and the value.
    fn find<'t>(&self, root: &'t Tree) -> Option<(Option<&'t Tree>, &'t Tree)> {
        match self {
            KeyPath::Root => Some((None, root)),
            KeyPath::Key(parent, key) => {
                let (key, value) = parent.find(root)?.1.get(key)?;
                Some((Some(key), value))
            }
            KeyPath::Index(parent, index) => match &parent.find(root)?.1.kind {
                Kind::List(items) => Some((None, items.get(*index)?)),
                _ => None,
            },
        }
    }
}

impl fmt::Display for KeyPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyPath::Root => Ok(()),
            KeyPath::Key(KeyPath::Root, key) => f.write_str(&step("", key)),
            KeyPath::Key(parent, key) => write!(f, "{parent}{}", step(".", key)),
            KeyPath::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// The problems of one file so far.
pub(crate) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    root: Option<&'a Tree>,
    /// The byte at which each line begins.
    lines: Vec<usize>,
    /// Paths of values that were reported and left out: problems that only follow from that are not reported.
    left_out: HashSet<String>,
    /// Codes of errors that become warnings.
    tolerated: &'static [&'static str],
    problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub fn new(file: &'a str, text: &'a str, root: Option<&'a Tree>) -> Self {
        // A byte order mark is not counted as a column.
        let first = if text.starts_with('\u{feff}') { 3 } else { 0 };
        let lines = std::iter::once(first)
            .chain(text.match_indices('\n').map(|(index, _)| index + 1))
            .collect();
        Self {
            file,
            text,
            root,
            lines,
            left_out: HashSet::new(),
            tolerated: &[],
            problems: Vec::new(),
        }
    }

    /// The same report, in which errors with these codes become warnings.
    pub fn tolerating(self, codes: &'static [&'static str]) -> Self {
        Self {
            tolerated: codes,
            ..self
        }
    }

    /// Reports an error at a value; if the value is missing, at its parent.
    pub fn error(
        &mut self,
        path: &KeyPath,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(path, Severity::Error, code, message.into(), help.into());
    }

    /// Reports a warning at a value; if the value is missing, at its parent.
    pub fn warning(
        &mut self,
        path: &KeyPath,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(path, Severity::Warning, code, message.into(), help.into());
    }

    /// Reports a problem at a value's key.
    pub fn at_key(
        &mut self,
        path: &KeyPath,
        key: &Tree,
        severity: Severity,
        code: &'static str,
        message: String,
        help: impl Into<String>,
    ) {
        let range = (key.start, key.end);
        self.push(
            path.to_string(),
            range,
            severity,
            code,
            message,
            help.into(),
        );
    }

    /// The key of a value; none for items of lists, and if the value is missing.
    pub fn key(&self, path: &KeyPath) -> Option<&'a Tree> {
        path.find(self.root?)?.0
    }

    /// Whether the value is plain text, without quotes.
    pub fn is_plain(&self, path: &KeyPath) -> bool {
        let found = self.root.and_then(|root| path.find(root));
        found.is_some_and(|(_, value)| matches!(value.kind, Kind::Scalar { plain: true, .. }))
    }

    /// Reports an error in the YAML itself, or an older key.
    pub fn fault(&mut self, severity: Severity, fault: Fault) {
        self.push(
            fault.path,
            (fault.start, fault.end),
            severity,
            fault.code,
            fault.message,
            fault.help,
        );
    }

    /// The typed value of a text; none if the text is not valid, which is reported.
    pub fn parse<T: FromStr<Err = Invalid>>(
        &mut self,
        path: &KeyPath,
        code: &'static str,
        text: &str,
    ) -> Option<T> {
        text.parse()
            .map_err(|error| self.invalid(path, code, text, &error))
            .ok()
    }

    /// Checks a text against a rule; none if it breaks the rule, which is reported.
    pub fn checked(
        &mut self,
        path: &KeyPath,
        code: &'static str,
        text: &str,
        rule: impl Fn(&str) -> Result<(), Invalid>,
    ) -> Option<()> {
        rule(text)
            .map_err(|error| self.invalid(path, code, text, &error))
            .ok()
    }

    fn invalid(&mut self, path: &KeyPath, code: &'static str, text: &str, error: &Invalid) {
        // Somebody may write a private key itself instead of its path: it must not be shown.
        let message = match text.contains("PRIVATE KEY") {
            true => "this is a private key itself".to_owned(),
            false => format!("{} is not valid", quote(&address::shown(text))),
        };
        self.error(path, code, message, format!("it {error}"));
    }

    /// Reports a missing key.
    pub fn missing(&mut self, path: &KeyPath, help: impl Into<String>) {
        let key = match path {
            KeyPath::Key(_, key) => *key,
            _ => "value",
        };
        self.error(path, "missing", format!("`{key}` is missing"), help);
    }

    /// Reports an empty file.
    pub fn empty(&mut self) {
        self.error(
            &KeyPath::Root,
            "empty",
            "the file is empty",
            "begin with `hosts:`, `cluster:` and `kubernetes:`; the documentation has examples",
        );
    }

    /// Reports a value that passed the schema and that the raw types do not take.
    pub fn structure_error(&mut self, message: String) {
        let help = "compare the file with the documentation of the configuration";
        self.error(&KeyPath::Root, "structure", message, help);
    }

    /// Marks a value as left out: from now on, problems at or below it are not reported, as they only follow from one that was.
    pub fn leave_out(&mut self, path: &KeyPath) {
        self.left_out.insert(path.to_string());
    }

    /// Whether a value, or one above it, was reported and left out, so that it only seems to be missing.
    pub fn is_left_out(&self, path: &KeyPath) -> bool {
        let mut ancestor = (!self.left_out.is_empty()).then_some(path);
        while let Some(current) = ancestor {
            if self.left_out.contains(&current.to_string()) {
                return true;
            }
            ancestor = current.parent();
        }
        false
    }

    /// Whether a value with this key was left out, anywhere in the file.
    pub fn has_left_out(&self, key: &str) -> bool {
        let is_it = |path: &String| path.rsplit('.').next() == Some(key);
        self.left_out.iter().any(is_it)
    }

    /// Whether there is an error.
    pub fn failed(&self) -> bool {
        self.problems
            .iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// All problems in the order of the file.
    pub fn finish(mut self) -> Vec<Problem> {
        self.problems
            .sort_by_key(|problem| (problem.line, problem.column));
        self.problems
    }

    fn add(
        &mut self,
        path: &KeyPath,
        severity: Severity,
        code: &'static str,
        message: String,
        help: String,
    ) {
        if self.is_left_out(path) {
            return;
        }
        let range = self.range(path);
        self.push(path.to_string(), range, severity, code, message, help);
    }

    /// The position of a value. For a missing one, that of the nearest value above it, by its key if it has one.
    fn range(&self, path: &KeyPath) -> (Position, Position) {
        let start = Position { line: 1, column: 1 };
        let Some(root) = self.root else {
            return (start, start);
        };
        if let Some((key, value)) = path.find(root) {
            // An empty value has no position of its own.
            let token = match key {
                Some(key) if value.start == value.end => key,
                _ => value,
            };
            return (token.start, token.end);
        }
        let mut ancestor = path.parent();
        while let Some(current) = ancestor {
            if let Some((key, value)) = current.find(root) {
                let token = key.unwrap_or(value);
                return (token.start, token.end);
            }
            ancestor = current.parent();
        }
        (start, start)
    }

    fn push(
        &mut self,
        path: String,
        (start, end): (Position, Position),
        severity: Severity,
        code: &'static str,
        message: String,
        help: String,
    ) {
        let span = self.bytes(start, end);
        let severity = match self.tolerated.contains(&code) {
            true => Severity::Warning,
            false => severity,
        };
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: start.line,
            column: start.column,
            path,
            severity,
            code,
            // They quote keys and tags of the file, which may have characters that control a terminal.
            message: text::line(&message),
            help: text::line(&help),
            span,
        });
    }

    /// The bytes from `start` to `end`; at most to the end of the first line.
    fn bytes(&self, start: Position, end: Position) -> Range<usize> {
        let begin = self
            .lines
            .get(start.line - 1)
            .copied()
            .unwrap_or(self.text.len());
        let line = self.text[begin..].lines().next().unwrap_or("");
        let byte = |column: usize| {
            line.char_indices()
                .nth(column - 1)
                .map_or(line.len(), |(index, _)| index)
        };
        let first = byte(start.column);
        let last = if end.line == start.line {
            byte(end.column)
        } else {
            line.trim_end().len()
        };
        let last = last.max(first);
        let last = without_comment(&line[first..last]).map_or(last, |length| first + length);
        begin + first..begin + last
    }
}

/// The length of a quoted text without the comment after it, which the parser counts as a part of it; none if there is no comment.
fn without_comment(text: &str) -> Option<usize> {
    let mark = text.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let mut escaped = false;
    let mut after = text.char_indices().skip(1);
    let (last, _) = after.find(|(_, c)| {
        let is_end = *c == mark && !escaped;
        escaped = mark == '"' && *c == '\\' && !escaped;
        is_end
    })?;
    text[last + 1..]
        .trim_start()
        .starts_with('#')
        .then_some(last + 1)
}

pub(crate) use crate::text::nearest;

/// A text of the file for a message: in backquotes, with control characters escaped, and cut to a limited length.
pub(crate) fn quote(text: &str) -> String {
    const MAX: usize = 80;
    let mut shown: String = text
        .chars()
        .take(MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MAX).is_some() {
        shown.push('…');
    }
    format!("`{}`", shown.replace("\\'", "'").replace("\\\"", "\""))
}
