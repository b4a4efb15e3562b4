//! A tree of XML elements, written by a writer that escapes.

use quick_xml::escape::escape;

/// An element with its attributes and what lies in it.
#[derive(Debug, Clone)]
pub(super) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Element>,
    text: Option<String>,
}

impl Element {
    /// An empty element.
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            attributes: Vec::new(),
            children: Vec::new(),
            text: None,
        }
    }

    /// An element around a text.
    pub(super) fn text(name: &'static str, text: impl ToString) -> Self {
        let mut element = Self::new(name);
        element.text = Some(text.to_string());
        element
    }

    /// With this attribute.
    pub(super) fn attr(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// With this element in it.
    pub(super) fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    /// With these elements in it.
    pub(super) fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    /// The document of which this is the root. Nothing in here can fail, so that no document is ever empty.
    pub(super) fn document(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text
    }

    /// Adds this element's lines, indented for this depth. Names are our own; all else is escaped.
    fn write(&self, text: &mut String, depth: usize) {
        let indent = "  ".repeat(depth);
        text.extend([indent.as_str(), "<", self.name]);
        for (name, value) in &self.attributes {
            text.push_str(&attribute(name, value));
        }
        match &self.text {
            None if self.children.is_empty() => return text.push_str("/>\n"),
            None => text.push_str(">\n"),
            Some(own) => text.extend([">", &*escape(own.as_str())]),
        }
        for child in &self.children {
            child.write(text, depth + 1);
        }
        if self.text.is_none() {
            text.push_str(&indent);
        }
        text.extend(["</", self.name, ">\n"]);
    }
}

/// An attribute as it is written, with a blank before it.
pub(super) fn attribute(name: &str, value: &str) -> String {
    // As they are, line ends and tabs of an attribute are read as blanks.
    let value = escape(value).replace('\n', "&#10;").replace('\t', "&#9;");
    format!(" {name}=\"{value}\"")
}

/// The text of the element that `path` leads to from `node`.
pub(super) fn text<'a>(node: roxmltree::Node<'a, '_>, path: &[&str]) -> Option<&'a str> {
    find(node, path)?.text().map(str::trim)
}

/// The element that `path` leads to from `node`.
pub(super) fn find<'a, 'input>(
    node: roxmltree::Node<'a, 'input>,
    path: &[&str],
) -> Option<roxmltree::Node<'a, 'input>> {
    path.iter().try_fold(node, |node, name| {
        node.children()
            .find(|child| child.tag_name().name() == *name)
    })
}

/// The elements of this name in `node`.
pub(super) fn all<'a, 'input>(
    node: roxmltree::Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = roxmltree::Node<'a, 'input>> {
    node.children()
        .filter(move |child| child.tag_name().name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Writing can't fail: what is read is what was meant, and never nothing.
        #[test]
        fn a_document_is_never_empty_and_means_what_was_written(
            value in "[\\PC\n\t\"'<>&]{0,40}",
            inner in "[\\PC\"'<>&]{0,40}",
        ) {
            let written = Element::new("a")
                .attr("of", &value)
                .child(Element::text("b", &inner))
                .document();
            let document = roxmltree::Document::parse(&written).unwrap();
            let root = document.root_element();
            prop_assert_eq!(root.attribute("of"), Some(value.as_str()));
            let read = find(root, &["b"]).unwrap().text().unwrap_or_default();
            prop_assert_eq!(read, inner);
        }
    }
}
