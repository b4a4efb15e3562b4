//! [`read`]: makes a [`Tree`] from the events of the YAML parser, within limits, and collects the faults.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::fault::{Fault, control_character, scan_fault, tabs_after_colon};
use super::{Kind, Tree};
use crate::text::step;

/// The tags of YAML's core schema, the only ones that are allowed: others, as `!!binary`, are of older versions of YAML, and
/// parsers differ in them.
const CORE: [&str; 7] = ["bool", "float", "int", "map", "null", "seq", "str"];

/// The deepest nesting of values that is read; a configuration needs about ten levels.
const MAX_DEPTH: usize = 64;

/// The most values that a document may have after its aliases are expanded, so that nested aliases can't fill the memory. A
/// cluster of 10,000 nodes has a quarter of that.
const MAX_WEIGHT: usize = 250_000;

/// The most bytes that are parsed again because of tabs, which the parser does not take as blanks. Each tab costs one more pass.
const MAX_REREAD: usize = 16 << 20;

/// Reads one YAML document; without `aliases`, an alias is a fault. There is no tree if the text can't be read to its end, or is
/// empty.
pub(crate) fn read(text: &str, aliases: bool) -> (Option<Tree>, Vec<Fault>) {
    if let Some(fault) = control_character(text) {
        return (None, vec![fault]);
    }
    let mut text = Cow::Borrowed(text);
    let mut remaining = MAX_REREAD;
    loop {
        let mut reader = Reader {
            aliases,
            ..Reader::default()
        };
        let fault = match reader.read(&text) {
            Ok(tree) => return (tree, reader.faults),
            Err(fault) => fault,
        };
        remaining = remaining.saturating_sub(text.len());
        match tabs_after_colon(&text, &fault) {
            // YAML allows tabs there, and the parser does not. One blank replaces one tab: positions stay the same.
            Some(tabs) if remaining > 0 => {
                let blanks = text[tabs.clone()].replace('\t', " ");
                text.to_mut().replace_range(tabs, &blanks);
            }
            _ => {
                reader.faults.push(fault);
                return (None, reader.faults);
            }
        }
    }
}

/// A list or mapping whose end was not yet read.
struct Open {
    tree: Tree,
    anchor: usize,
    key: Option<Tree>,
    /// The lines of its keys, by key.
    key_lines: HashMap<String, usize>,
}

#[derive(Default)]
struct Reader {
    aliases: bool,
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
                    self.close(tree, anchor, span)?;
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
                        self.close(open.tree, open.anchor, span)?;
                    }
                }
                Event::Alias(anchor) => {
                    if !self.aliases {
                        return Err(Fault::new(
                            span,
                            "yaml-alias",
                            "an alias has no place here",
                            "write the value out",
                        ));
                    }
                    let Some(weight) = self.anchors.get(&anchor).map(|(_, weight)| *weight) else {
                        return Err(Fault::new(
                            span,
                            "yaml-alias",
                            "this alias stands inside of what it refers to",
                            "write the value out",
                        ));
                    };
                    self.weigh(weight, span)?;
                    let mut tree = self.anchors[&anchor].0.clone();
                    tree.start = span.start.into();
                    tree.end = span.end.into();
                    self.close(tree, 0, span)?;
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        Ok(self.root.take())
    }

    /// Adds to the weight of the document; a fault if that is too much.
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
        if tag.is_yaml_core_schema() && CORE.contains(&tag.suffix.as_str()) {
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
            key_lines: HashMap::new(),
        });
        Ok(())
    }

    /// Adds a complete value to the innermost open one: as an item, a key or the key's value.
    fn close(&mut self, tree: Tree, anchor: usize, span: Span) -> Result<(), Fault> {
        let faults = self.faults.len();
        if anchor != 0 && self.aliases {
            let weight = tree.weight();
            // A value with an anchor is stored twice: in its place and for its aliases.
            self.weigh(weight, span)?;
            self.anchors.insert(anchor, (tree.clone(), weight));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(tree);
            return Ok(());
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
                Some(key) if open.key_lines.contains_key(key.text()) => {
                    self.faults.push(Fault {
                        path: key.text().to_owned(),
                        start: key.start,
                        end: key.end,
                        code: "yaml-duplicate-key",
                        message: format!("`{}` stands twice in this mapping", key.text()),
                        help: format!(
                            "keep one of them; the first is on line {}",
                            open.key_lines[key.text()]
                        ),
                    });
                }
                Some(key) => {
                    open.key_lines.insert(key.text().to_owned(), key.start.line);
                    entries.push((key, tree));
                }
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
        Ok(())
    }

    /// The path of the innermost open value.
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

    /// Replaces `<<: *anchor` by the entries of that mapping, or of each mapping in a list; an entry that the mapping has itself,
    /// or that an earlier one of the list has, counts.
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
        let mut keys: HashSet<String> = entries.iter().map(|(k, _)| k.text().to_owned()).collect();
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
                if keys.insert(key.text().to_owned()) {
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
