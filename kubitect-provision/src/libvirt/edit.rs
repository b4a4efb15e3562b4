//! [`Edits`]: changes to an XML text. All other text stays as it is, character by character.

use std::ops::Range;

use roxmltree::Node;

use super::xml::{Element, attribute};

/// Changes to a text, in any order. No two of them may be to the same element or attribute.
pub(super) struct Edits<'a> {
    text: &'a str,
    changes: Vec<(Range<usize>, String)>,
}

impl<'a> Edits<'a> {
    /// No changes yet to this text.
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            text,
            changes: Vec::new(),
        }
    }

    /// Replaces an element.
    pub(super) fn replace(&mut self, node: Node<'_, '_>, element: &Element) {
        self.changes.push((node.range(), written(element)));
    }

    /// Removes an element.
    pub(super) fn remove(&mut self, node: Node<'_, '_>) {
        self.changes.push((node.range(), String::new()));
    }

    /// Sets an attribute.
    pub(super) fn set(&mut self, node: Node<'_, '_>, name: &'static str, value: impl ToString) {
        let new = attribute(name, &value.to_string());
        let old = node.attribute_node(name).map(|old| old.range());
        let change = match old {
            Some(range) => (range, new.trim_start().to_owned()),
            None => {
                let end = self.name(node).end;
                (end..end, new)
            }
        };
        self.changes.push(change);
    }

    /// Removes an attribute.
    pub(super) fn unset(&mut self, node: Node<'_, '_>, name: &'static str) {
        if let Some(old) = node.attribute_node(name) {
            self.changes.push((old.range(), String::new()));
        }
    }

    /// Sets the text of an element to a number, which needs no escaping. The element must have a text.
    pub(super) fn number(&mut self, node: Node<'_, '_>, value: impl Into<u64>) {
        if let Some(old) = node.first_child().filter(Node::is_text) {
            self.changes.push((old.range(), value.into().to_string()));
        }
    }

    /// Appends elements to this element's content.
    pub(super) fn append(&mut self, node: Node<'_, '_>, elements: &[Element]) {
        let new: String = elements.iter().map(written).collect();
        let range = node.range();
        let own = &self.text[range.clone()];
        let change = match own.strip_suffix("/>") {
            Some(_) => {
                let name = &self.text[self.name(node)];
                (range.end - 2..range.end, format!(">{new}</{name}>"))
            }
            None => {
                let end = range.start + own.rfind("</").unwrap_or(own.len());
                (end..end, new)
            }
        };
        self.changes.push(change);
    }

    /// The text with all changes.
    pub(super) fn done(mut self) -> String {
        // The sort is stable: what is appended to one element stays in its order.
        self.changes
            .sort_by_key(|(range, _)| (range.start, range.end));
        let mut text = String::new();
        let mut end = 0;
        for (range, new) in self.changes {
            text.push_str(&self.text[end..range.start]);
            text.push_str(&new);
            end = range.end;
        }
        text.push_str(&self.text[end..]);
        text
    }

    /// The range of an element's name in its start tag, with the prefix.
    fn name(&self, node: Node<'_, '_>) -> Range<usize> {
        let start = node.range().start + 1;
        let rest = &self.text[start..];
        let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>');
        start..start + end.unwrap_or(rest.len())
    }
}

fn written(element: &Element) -> String {
    element.document().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::xml::find;
    use super::*;

    #[test]
    fn what_is_not_changed_stays_to_the_letter() {
        let text = "<d:a  xmlns:d='u' k='v'\n ><!-- < & --><n>4</n><b x='>'/><c q=\"1\"/><gone/> é </d:a>\n";
        let document = roxmltree::Document::parse(text).unwrap();
        let root = document.root_element();
        let child = |name: &str| find(root, &[name]).unwrap();
        let mut edits = Edits::of(text);
        edits.append(root, &[Element::new("last")]);
        edits.append(root, &[Element::text("more", "<&>")]);
        edits.set(root, "k", "a'b\"<\n");
        edits.set(root, "new", 1);
        edits.number(child("n"), 5_u32);
        edits.append(child("b"), &[Element::new("in")]);
        edits.replace(child("c"), &Element::new("instead").attr("of", "c"));
        edits.remove(child("gone"));
        assert_eq!(
            edits.done(),
            "<d:a new=\"1\"  xmlns:d='u' k=\"a&apos;b&quot;&lt;&#10;\"\n ><!-- < & --><n>5</n><b x='>'><in/></b>\
             <instead of=\"c\"/> é <last/><more>&lt;&amp;&gt;</more></d:a>\n"
        );
        assert_eq!(Edits::of(text).done(), text);
    }

    #[test]
    fn an_attribute_goes() {
        let text = "<cpu mode='host-passthrough' migratable='on'/>";
        let document = roxmltree::Document::parse(text).unwrap();
        let mut edits = Edits::of(text);
        edits.unset(document.root_element(), "migratable");
        edits.unset(document.root_element(), "model");
        assert_eq!(edits.done(), "<cpu mode='host-passthrough' />");
    }
}
