//! [`Report`]: gathers problems while a file is checked; [`At`]: a path into the file.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::address;
use crate::problem::{Problem, Severity};
use crate::text::{self, step};
use crate::tree::{Fault, Kind, Position, Tree};
use crate::value::Invalid;

/// A path into a configuration file; costs nothing until it is shown.
#[derive(Clone, Copy)]
pub(crate) enum At<'a> {
    Root,
    Key(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

impl<'a> At<'a> {
    pub fn key(&'a self, key: &'a str) -> Self {
        At::Key(self, key)
    }

    pub fn index(&'a self, index: usize) -> Self {
        At::Index(self, index)
    }

    fn parent(&self) -> Option<&'a At<'a>> {
        match self {
            At::Root => None,
            At::Key(parent, _) | At::Index(parent, _) => Some(parent),
        }
    }

    /// The key's position (none for items of lists) and the value.
    fn find<'t>(&self, root: &'t Tree) -> Option<(Option<&'t Tree>, &'t Tree)> {
        match self {
            At::Root => Some((None, root)),
            At::Key(parent, key) => {
                let (key, value) = parent.find(root)?.1.get(key)?;
                Some((Some(key), value))
            }
            At::Index(parent, index) => match &parent.find(root)?.1.kind {
                Kind::List(items) => Some((None, items.get(*index)?)),
                _ => None,
            },
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Key(At::Root, key) => f.write_str(&step("", key)),
            At::Key(parent, key) => write!(f, "{parent}{}", step(".", key)),
            At::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// What has been found in one file.
pub(crate) struct Report<'a> {
    file: &'a str,
    text: &'a str,
    root: Option<&'a Tree>,
    /// Byte at which each line begins.
    lines: Vec<usize>,
    /// Paths of values that were wrong in themselves and therefore left out: what follows from that is not reported.
    left_out: HashSet<String>,
    /// Codes of errors that are warnings here.
    tolerated: &'static [&'static str],
    problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub fn new(file: &'a str, text: &'a str, root: Option<&'a Tree>) -> Self {
        // A byte order mark counts in no column.
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

    /// Makes errors of these codes warnings.
    pub fn tolerating(self, codes: &'static [&'static str]) -> Self {
        Self {
            tolerated: codes,
            ..self
        }
    }

    /// Reports an error with the value at `at`, or with its parent where it is missing.
    pub fn error(
        &mut self,
        at: &At,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(at, Severity::Error, code, message.into(), help.into());
    }

    /// Reports something doubtful.
    pub fn warning(
        &mut self,
        at: &At,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(at, Severity::Warning, code, message.into(), help.into());
    }

    /// Reports a problem with the key of a value rather than with the value.
    pub fn at_key(
        &mut self,
        at: &At,
        key: &Tree,
        severity: Severity,
        code: &'static str,
        message: String,
        help: impl Into<String>,
    ) {
        let range = (key.start, key.end);
        self.push(at.to_string(), range, severity, code, message, help.into());
    }

    /// The key that leads to a value.
    pub fn key(&self, at: &At) -> Option<&'a Tree> {
        at.find(self.root?)?.0
    }

    /// Whether the value is a word without quotation marks.
    pub fn is_plain(&self, at: &At) -> bool {
        let found = self.root.and_then(|root| at.find(root));
        found.is_some_and(|(_, value)| matches!(value.kind, Kind::Scalar { plain: true, .. }))
    }

    /// Reports a fault of the YAML itself, or what it says in an older spelling.
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

    /// A checked value from its text.
    pub fn parse<T: FromStr<Err = Invalid>>(
        &mut self,
        at: &At,
        code: &'static str,
        text: &str,
    ) -> Option<T> {
        text.parse()
            .map_err(|error| self.invalid(at, code, text, &error))
            .ok()
    }

    /// Holds a text against a rule; none if it is broken.
    pub fn checked(
        &mut self,
        at: &At,
        code: &'static str,
        text: &str,
        rule: impl Fn(&str) -> Result<(), Invalid>,
    ) -> Option<()> {
        rule(text)
            .map_err(|error| self.invalid(at, code, text, &error))
            .ok()
    }

    fn invalid(&mut self, at: &At, code: &'static str, text: &str, error: &Invalid) {
        // A key that stands where its path should is shown to nobody.
        let message = match text.contains("PRIVATE KEY") {
            true => "this is a private key itself".to_owned(),
            false => format!("{} is not valid", quote(&address::shown(text))),
        };
        self.error(at, code, message, format!("it {error}"));
    }

    /// Reports a key that must be there.
    pub fn missing(&mut self, at: &At, help: impl Into<String>) {
        let key = match at {
            At::Key(_, key) => *key,
            _ => "value",
        };
        self.error(at, "missing", format!("`{key}` is missing"), help);
    }

    /// Reports a text without any value.
    pub fn empty(&mut self) {
        self.error(
            &At::Root,
            "empty",
            "the file is empty",
            "begin with `hosts:`, `cluster:` and `kubernetes:`; the documentation has examples",
        );
    }

    /// Reports what the schema let through and the types did not take.
    pub fn structure_error(&mut self, message: String) {
        let help = "compare the file with the documentation of the configuration";
        self.error(&At::Root, "structure", message, help);
    }

    /// From now on, problems at or under `at` are consequences of one already reported.
    pub fn leave_out(&mut self, at: &At) {
        self.left_out.insert(at.to_string());
    }

    /// Whether the value at `at` was wrong in itself, and therefore seems to be missing.
    pub fn is_left_out(&self, at: &At) -> bool {
        let mut ancestor = (!self.left_out.is_empty()).then_some(at);
        while let Some(path) = ancestor {
            if self.left_out.contains(&path.to_string()) {
                return true;
            }
            ancestor = path.parent();
        }
        false
    }

    /// Whether a value of this key was wrong in itself, wherever it stands.
    pub fn has_left_out(&self, key: &str) -> bool {
        let is_it = |path: &String| path.rsplit('.').next() == Some(key);
        self.left_out.iter().any(is_it)
    }

    /// Whether an error has been found.
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
        at: &At,
        severity: Severity,
        code: &'static str,
        message: String,
        help: String,
    ) {
        if self.is_left_out(at) {
            return;
        }
        let range = self.range(at);
        self.push(at.to_string(), range, severity, code, message, help);
    }

    /// Where a value stands; a missing one: its nearest parent, by its key where it has one.
    fn range(&self, at: &At) -> (Position, Position) {
        let start = Position { line: 1, column: 1 };
        let Some(root) = self.root else {
            return (start, start);
        };
        if let Some((key, value)) = at.find(root) {
            // An empty value has no place of its own.
            let token = match key {
                Some(key) if value.start == value.end => key,
                _ => value,
            };
            return (token.start, token.end);
        }
        let mut ancestor = at.parent();
        while let Some(path) = ancestor {
            if let Some((key, value)) = path.find(root) {
                let token = key.unwrap_or(value);
                return (token.start, token.end);
            }
            ancestor = path.parent();
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
            // Keys and tags of the file are in them.
            message: text::line(&message),
            help: text::line(&help),
            span,
        });
    }

    /// The bytes from `start` to `end`, cut off at the end of the first line.
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

/// The length of a text in quotation marks, where a comment follows, which the parser counts to it.
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

/// A text of the user in a message: in backquotes, control characters made visible, of bounded length.
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
