//! [`Tree`]: a YAML document with the position of every value.

use saphyr_parser::Marker;

mod fault;
mod reader;
#[cfg(test)]
mod tests;

pub(crate) use fault::Fault;
pub(crate) use reader::read;

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

/// A YAML value with its position in the text.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub start: Position,
    pub end: Position,
    pub kind: Kind,
}

/// The kind of a value.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Text as written, with escapes resolved. Only plain (unquoted) text can mean a number, a truth value or null.
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

    /// The entry of a mapping: the key and its value.
    pub fn get(&self, key: &str) -> Option<(&Tree, &Tree)> {
        match &self.kind {
            Kind::Map(entries) => entries
                .iter()
                .find(|(k, _)| k.text() == key)
                .map(|(k, v)| (k, v)),
            _ => None,
        }
    }

    /// The entry of a mapping, whose value can be changed.
    pub fn entry_mut(&mut self, key: &str) -> Option<(&Tree, &mut Tree)> {
        match &mut self.kind {
            Kind::Map(entries) => entries
                .iter_mut()
                .find(|(k, _)| k.text() == key)
                .map(|(k, v)| (&*k, v)),
            _ => None,
        }
    }

    /// The value at a path of keys (`a.b.c`), which can be changed.
    pub fn path_mut(&mut self, path: &str) -> Option<&mut Tree> {
        path.split('.').try_fold(self, |tree, key| {
            tree.entry_mut(key).map(|(_, value)| value)
        })
    }

    /// Sets the position of the value and of all values in it. For YAML that is a text inside of the file: its values get the
    /// text's position.
    pub fn set_position(&mut self, start: Position, end: Position) {
        (self.start, self.end) = (start, end);
        match &mut self.kind {
            Kind::Scalar { .. } => {}
            Kind::List(items) => items
                .iter_mut()
                .for_each(|item| item.set_position(start, end)),
            Kind::Map(entries) => {
                for (key, value) in entries {
                    key.set_position(start, end);
                    value.set_position(start, end);
                }
            }
        }
    }

    /// Its share of the weight that [`read`] limits. Long texts count for more, as an alias multiplies them, too.
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
