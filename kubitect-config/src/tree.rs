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

    /// The entry of a mapping, to be changed.
    pub fn entry_mut(&mut self, key: &str) -> Option<(&Tree, &mut Tree)> {
        match &mut self.kind {
            Kind::Map(entries) => entries
                .iter_mut()
                .find(|(k, _)| k.text() == key)
                .map(|(k, v)| (&*k, v)),
            _ => None,
        }
    }

    /// The value at a path of keys, to be changed.
    pub fn at_mut(&mut self, path: &str) -> Option<&mut Tree> {
        path.split('.').try_fold(self, |tree, key| {
            tree.entry_mut(key).map(|(_, value)| value)
        })
    }

    /// Lets it, and all in it, stand at another place: of a text that was read as YAML, that of the text.
    pub fn place(&mut self, start: Position, end: Position) {
        (self.start, self.end) = (start, end);
        match &mut self.kind {
            Kind::Scalar { .. } => {}
            Kind::List(items) => items.iter_mut().for_each(|item| item.place(start, end)),
            Kind::Map(entries) => {
                for (key, value) in entries {
                    key.place(start, end);
                    value.place(start, end);
                }
            }
        }
    }

    /// What it adds to the weight that [`read`] limits: long texts count, as an alias multiplies them too.
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
