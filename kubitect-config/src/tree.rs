//! [`Tree`]: a YAML document with the position of every value.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};
use serde_yaml::{Mapping, Number, Value};

use crate::report::step;

/// How deep values may nest; a configuration needs about ten levels.
const MAX_DEPTH: usize = 64;

/// How many values a document may have once its aliases are written out. A cluster of 10,000 nodes has a quarter.
const MAX_WEIGHT: usize = 250_000;

/// A place in the text: line from 1, column in characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub line: usize,
    pub column: usize,
}

impl From<Marker> for Position {
    fn from(marker: Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

/// A YAML value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub start: Position,
    pub end: Position,
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Text as written (escapes resolved). Only a plain one can mean a number, a truth value or nothing.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Tree>),
    /// A mapping; keys are scalars and unique.
    Map(Vec<(Tree, Tree)>),
}

impl Tree {
    /// The scalar's text; empty for lists and mappings.
    pub fn text(&self) -> &str {
        match &self.kind {
            Kind::Scalar { text, .. } => text,
            _ => "",
        }
    }

    /// The value of a mapping's key, and the key.
    pub fn get(&self, key: &str) -> Option<(&Tree, &Tree)> {
        match &self.kind {
            Kind::Map(entries) => entries
                .iter()
                .find(|(k, _)| k.text() == key)
                .map(|(k, v)| (k, v)),
            _ => None,
        }
    }

    /// The plain value, as serde_yaml would read it.
    pub fn value(&self) -> Value {
        match &self.kind {
            Kind::Scalar { text, plain } => scalar(text, *plain),
            Kind::List(items) => Value::Sequence(items.iter().map(Self::value).collect()),
            Kind::Map(entries) => Value::Mapping(
                entries
                    .iter()
                    .map(|(key, value)| (key.value(), value.value()))
                    .collect::<Mapping>(),
            ),
        }
    }

    /// What it adds to [`MAX_WEIGHT`]: long texts count, as an alias multiplies them too.
    fn weight(&self) -> usize {
        match &self.kind {
            Kind::Scalar { text, .. } => 1 + text.len() / 32,
            Kind::List(items) => 1 + items.iter().map(Self::weight).sum::<usize>(),
            Kind::Map(entries) => {
                1 + entries
                    .iter()
                    .map(|(key, value)| key.weight() + value.weight())
                    .sum::<usize>()
            }
        }
    }
}

/// A scalar by YAML 1.2's core schema, with serde_yaml's own reading of numbers.
fn scalar(text: &str, plain: bool) -> Value {
    if !plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => text
            .parse::<Number>()
            .map_or_else(|_| Value::String(text.to_owned()), Value::Number),
        _ => Value::String(text.to_owned()),
    }
}

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
    fn new(span: Span, code: &'static str, message: impl Into<String>, help: &str) -> Self {
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

/// Reads one YAML document. The tree is missing where the text cannot be read to its end, or is empty.
pub(crate) fn read(text: &str) -> (Option<Tree>, Vec<Fault>) {
    let mut reader = Reader::default();
    if let Some(fault) = control_character(text) {
        return (None, vec![fault]);
    }
    match reader.read(text) {
        Ok(tree) => (tree, reader.faults),
        Err(fault) => {
            reader.faults.push(fault);
            (None, reader.faults)
        }
    }
}

/// YAML forbids most control characters; the parser takes a NUL for the end of the text, which would hide the rest.
fn control_character(text: &str) -> Option<Fault> {
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

/// A list or mapping whose end is still to come.
struct Open {
    tree: Tree,
    anchor: usize,
    key: Option<Tree>,
    seen: HashSet<String>,
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    anchors: HashMap<usize, (Tree, usize)>,
    root: Option<Tree>,
    weight: usize,
    faults: Vec<Fault>,
}

impl Reader {
    fn read(&mut self, text: &str) -> Result<Option<Tree>, Fault> {
        let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| scan_fault(text, &error))?;
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Fault::new(
                            span,
                            "yaml-documents",
                            "a second YAML document begins here",
                            "keep one document in a file; remove the line `---` or what follows it",
                        ));
                    }
                }
                Event::Scalar(value, style, anchor, tag) => {
                    let tag = self.tag(tag.as_deref(), span);
                    let plain = style == ScalarStyle::Plain && tag.as_deref() != Some("str");
                    let tree = node(
                        span,
                        Kind::Scalar {
                            text: value.into_owned(),
                            plain,
                        },
                    );
                    self.weigh(tree.weight(), span)?;
                    self.close(tree, anchor);
                }
                Event::SequenceStart(anchor, tag) => {
                    self.tag(tag.as_deref(), span);
                    self.begin(Kind::List(Vec::new()), anchor, span)?;
                }
                Event::MappingStart(anchor, tag) => {
                    self.tag(tag.as_deref(), span);
                    self.begin(Kind::Map(Vec::new()), anchor, span)?;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    if let Some(mut open) = self.open.pop() {
                        open.tree.end = span.end.into();
                        self.merge(&mut open.tree);
                        self.close(open.tree, open.anchor);
                    }
                }
                Event::Alias(anchor) => {
                    let Some((mut tree, weight)) = self.anchors.get(&anchor).cloned() else {
                        return Err(Fault::new(
                            span,
                            "yaml-alias",
                            "this alias stands inside of what it refers to",
                            "write the value out",
                        ));
                    };
                    self.weigh(weight, span)?;
                    tree.start = span.start.into();
                    tree.end = span.end.into();
                    self.close(tree, 0);
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(self.root.take())
    }

    fn weigh(&mut self, weight: usize, span: Span) -> Result<(), Fault> {
        self.weight += weight;
        if self.weight > MAX_WEIGHT {
            return Err(Fault::new(
                span,
                "yaml-too-large",
                format!("the file has more than {MAX_WEIGHT} values once aliases are written out"),
                "a cluster file is far smaller; remove nested aliases",
            ));
        }
        Ok(())
    }

    /// The suffix of a tag of YAML's core schema; any other tag is a fault.
    fn tag(&mut self, tag: Option<&Tag>, span: Span) -> Option<String> {
        let tag = tag?;
        if tag.is_yaml_core_schema() {
            return Some(tag.suffix.clone());
        }
        self.faults.push(Fault::new(
            span,
            "yaml-tag",
            format!("the tag `{tag}` has no meaning here"),
            "remove the tag",
        ));
        None
    }

    fn begin(&mut self, kind: Kind, anchor: usize, span: Span) -> Result<(), Fault> {
        if self.open.len() == MAX_DEPTH {
            return Err(Fault::new(
                span,
                "yaml-too-deep",
                format!("values are nested more than {MAX_DEPTH} levels deep"),
                "a cluster file needs about ten; remove levels",
            ));
        }
        self.weigh(1, span)?;
        self.open.push(Open {
            tree: node(span, kind),
            anchor,
            key: None,
            seen: HashSet::new(),
        });
        Ok(())
    }

    /// Puts a complete value into the one that is open.
    fn close(&mut self, tree: Tree, anchor: usize) {
        let faults = self.faults.len();
        if anchor != 0 {
            self.anchors.insert(anchor, (tree.clone(), tree.weight()));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(tree);
            return;
        };
        match &mut open.tree.kind {
            Kind::List(items) => items.push(tree),
            Kind::Map(entries) => match open.key.take() {
                None => open.key = Some(tree),
                Some(key) if !matches!(key.kind, Kind::Scalar { .. }) => self.faults.push(Fault {
                    path: String::new(),
                    start: key.start,
                    end: key.end,
                    code: "yaml-key",
                    message: "a key must be a plain word".to_owned(),
                    help: "write `key: value`; a template's braces must be filled in first"
                        .to_owned(),
                }),
                Some(key) if !open.seen.insert(key.text().to_owned()) => {
                    let first = entries.iter().find(|(k, _)| k.text() == key.text());
                    self.faults.push(Fault {
                        path: key.text().to_owned(),
                        start: key.start,
                        end: key.end,
                        code: "yaml-duplicate-key",
                        message: format!("`{}` stands twice in this mapping", key.text()),
                        help: first.map_or_else(String::new, |(k, _)| {
                            format!("keep one of them; the first is on line {}", k.start.line)
                        }),
                    });
                }
                Some(key) => entries.push((key, tree)),
            },
            Kind::Scalar { .. } => {}
        }
        if self.faults.len() > faults {
            let parent = self.path();
            if let Some(fault) = self
                .faults
                .last_mut()
                .filter(|fault| !fault.path.is_empty())
            {
                let separator = if parent.is_empty() { "" } else { "." };
                fault.path = parent + &step(separator, &fault.path);
            }
        }
    }

    /// The path of the innermost value that is open.
    fn path(&self) -> String {
        let mut path = String::new();
        for open in &self.open {
            match (&open.tree.kind, &open.key) {
                (Kind::List(items), _) => path += &format!("[{}]", items.len()),
                (_, Some(key)) => {
                    let separator = if path.is_empty() { "" } else { "." };
                    path += &step(separator, key.text());
                }
                _ => {}
            }
        }
        path
    }

    /// Carries out `<<: *anchor`: entries of the mappings there count where the mapping itself has none.
    fn merge(&mut self, tree: &mut Tree) {
        let Kind::Map(entries) = &mut tree.kind else {
            return;
        };
        let is_merge =
            |key: &Tree| matches!(&key.kind, Kind::Scalar { text, plain: true } if text == "<<");
        let Some(index) = entries.iter().position(|(key, _)| is_merge(key)) else {
            return;
        };
        let (key, source) = entries.remove(index);
        let sources = match source.kind {
            Kind::List(items) => items,
            _ => vec![source],
        };
        let mut seen: HashSet<String> = entries.iter().map(|(k, _)| k.text().to_owned()).collect();
        for source in sources {
            let Kind::Map(more) = source.kind else {
                self.faults.push(Fault {
                    path: String::new(),
                    start: key.start,
                    end: key.end,
                    code: "yaml-merge",
                    message: "`<<` merges mappings only".to_owned(),
                    help: "let it refer to a mapping, as `<<: *name`".to_owned(),
                });
                continue;
            };
            for (key, value) in more {
                if seen.insert(key.text().to_owned()) {
                    entries.push((key, value));
                }
            }
        }
    }
}

fn node(span: Span, kind: Kind) -> Tree {
    Tree {
        start: span.start.into(),
        end: span.end.into(),
        kind,
    }
}

/// The parser's own error, with the commonest cause named.
fn scan_fault(text: &str, error: &saphyr_parser::ScanError) -> Fault {
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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;

    /// As serde_yaml reads it, merge keys carried out.
    fn other_parser(text: &str) -> Result<Value, serde_yaml::Error> {
        let mut value: Value = serde_yaml::from_str(text)?;
        value.apply_merge()?;
        Ok(value)
    }

    fn files(folder: &str) -> Vec<PathBuf> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(folder);
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "yaml")
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn both_parsers_agree_on_every_fixture() {
        let mut compared = 0;
        for folder in ["tests/fixtures/valid", "tests/fixtures/invalid", "examples"] {
            for path in files(folder) {
                let text = std::fs::read_to_string(&path).unwrap();
                let (tree, faults) = read(&text);
                match (tree, other_parser(&text)) {
                    (Some(tree), Ok(other)) if faults.is_empty() => {
                        assert_eq!(tree.value(), other, "{}", path.display());
                        compared += 1;
                    }
                    // What one refuses must not get through the other unnoticed.
                    (None, Ok(other)) => assert!(
                        !faults.is_empty() || other.is_null(),
                        "{}: only one parser refuses it",
                        path.display()
                    ),
                    (Some(_), Err(error)) => {
                        assert!(!faults.is_empty(), "{}: {error}", path.display())
                    }
                    _ => {}
                }
            }
        }
        assert!(compared > 90, "{compared}");
    }

    /// Any value that a configuration could have.
    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>()
                .prop_filter("equal to itself", |f| f.is_finite())
                .prop_map(Value::from),
            "[ -~äß\u{4e2d}\n]{0,20}".prop_map(Value::from),
            "[0-9+.xobe_-]{1,8}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z0-9 :#-]{1,8}", inner, 0..5).prop_map(|map| {
                    Value::Mapping(map.into_iter().map(|(k, v)| (k.into(), v)).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn both_parsers_agree_on_what_serde_yaml_writes(value in values()) {
            let text = serde_yaml::to_string(&value).unwrap();
            let (tree, faults) = read(&text);
            prop_assert!(faults.is_empty(), "{faults:?} in\n{text}");
            prop_assert_eq!(tree.map_or(Value::Null, |tree| tree.value()), other_parser(&text).unwrap());
        }

        #[test]
        fn plain_scalars_mean_the_same_to_both(text in "[0-9a-fA-FnNuUlLtTrRsSxob_.+~-]{1,8}") {
            if let Ok(other) = other_parser(&text) {
                let (tree, _) = read(&text);
                prop_assert_eq!(tree.map(|tree| tree.value()), Some(other));
            }
        }

        #[test]
        fn no_text_panics(text in "[ -~\n\t\u{0}é&*\\[\\]{}:#]{0,80}") {
            let _ = crate::parse(&text, "any", &crate::Site::default());
        }
    }
}
