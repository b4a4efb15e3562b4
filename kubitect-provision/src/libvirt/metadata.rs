//! Kubitect's elements in `<metadata>`: the mark, the note, the list of given hardware, a lock's holder.

use super::xml::{Element, find};
use crate::resource::Mark;

/// The namespace of the mark; its number is the version of the mark's format.
const NAMESPACE: &str = "https://kubitect.io/xmlns/libvirt/1";

/// The `<metadata>` with the mark and, if there is one, the note.
pub(super) fn metadata(mark: &Mark, note: Option<&str>) -> Element {
    let note = note.map(|note| {
        Element::new("kubitect-note:note")
            .attr("xmlns:kubitect-note", NOTE_NAMESPACE)
            .attr("text", note)
    });
    Element::new("metadata")
        .child(mark_element(mark))
        .children(note)
}

/// The element with a mark.
pub(super) fn mark_element(mark: &Mark) -> Element {
    let mut element = Element::new("kubitect:mark")
        .attr("xmlns:kubitect", NAMESPACE)
        .attr("cluster", &mark.cluster);
    if let Some(node) = &mark.node {
        element = element.attr("node", node);
    }
    if let Some(address) = &mark.address {
        element = element.attr("address", address);
    }
    element
        .attr("digest", &mark.digest)
        .attr("version", &mark.version)
}

/// The element with the mark in a domain's or network's XML.
pub(super) fn mark_node<'a, 'input>(
    root: roxmltree::Node<'a, 'input>,
) -> Option<roxmltree::Node<'a, 'input>> {
    find(root, &["metadata"])?
        .children()
        .find(|child| child.has_tag_name((NAMESPACE, "mark")))
}

/// Whether an element of `<metadata>` is one of Kubitect's.
pub(super) fn is_own(element: roxmltree::Node<'_, '_>) -> bool {
    let own = [NAMESPACE, NOTE_NAMESPACE, GIVEN_NAMESPACE];
    let namespace = element.tag_name().namespace();
    namespace.is_some_and(|namespace| own.contains(&namespace))
}

/// The mark in a domain's or network's XML; none if it is incomplete.
pub(super) fn mark(root: roxmltree::Node<'_, '_>) -> Option<Mark> {
    let element = mark_node(root)?;
    let node = match element.attribute("node") {
        Some(node) => Some(node.parse().ok()?),
        None => None,
    };
    Some(Mark {
        cluster: element.attribute("cluster")?.parse().ok()?,
        node,
        address: element
            .attribute("address")
            .and_then(|address| address.parse().ok()),
        digest: element.attribute("digest")?.to_owned(),
        version: element.attribute("version")?.to_owned(),
    })
}

/// The namespace of the note. It is not the mark's, because libvirt can only replace all of a namespace at once.
pub(super) const NOTE_NAMESPACE: &str = "https://kubitect.io/xmlns/libvirt/note/1";

/// The element with a note.
pub(super) fn note_xml(note: &str) -> String {
    Element::new("note").attr("text", note).document()
}

/// The note in a domain's XML.
pub(super) fn note(root: roxmltree::Node<'_, '_>) -> Option<String> {
    find(root, &["metadata"])?
        .children()
        .find(|child| child.has_tag_name((NOTE_NAMESPACE, "note")))?
        .attribute("text")
        .map(str::to_owned)
}

/// The namespace of a lock.
const LOCK_NAMESPACE: &str = "https://kubitect.io/xmlns/libvirt/lock/1";

/// The element with a lock's holder.
pub(super) fn lock_element(holder: &str) -> Element {
    Element::new("kubitect-lock:lock")
        .attr("xmlns:kubitect-lock", LOCK_NAMESPACE)
        .attr("holder", holder)
}

/// The holder of a lock, in its network's XML.
pub(super) fn lock(root: roxmltree::Node<'_, '_>) -> Option<String> {
    let mut children = find(root, &["metadata"])?.children();
    let element = children.find(|child| child.has_tag_name((LOCK_NAMESPACE, "lock")))?;
    element.attribute("holder").map(str::to_owned)
}

/// The namespace of the list of hardware that a domain was given and that its guest may not use yet.
pub(super) const GIVEN_NAMESPACE: &str = "https://kubitect.io/xmlns/libvirt/given/1";

/// The element with that list; none if the list is empty.
pub(super) fn given_xml(given: &[String]) -> Option<String> {
    let element = || Element::new("given").attr("what", given.join(" "));
    (!given.is_empty()).then(|| element().document())
}

/// That list, in a domain's XML.
pub(super) fn given(root: roxmltree::Node<'_, '_>) -> Vec<String> {
    let element = find(root, &["metadata"]).and_then(|metadata| {
        let mut children = metadata.children();
        children.find(|child| child.has_tag_name((GIVEN_NAMESPACE, "given")))
    });
    let what = element.and_then(|element| element.attribute("what"));
    what.unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What lies in the domains of living clusters.
    const GOLDEN: &str = r#"<metadata>
  <kubitect:mark xmlns:kubitect="https://kubitect.io/xmlns/libvirt/1" cluster="demo" node="demo-master-1" address="10.0.0.1" digest="d1" version="0.1.0"/>
  <kubitect-note:note xmlns:kubitect-note="https://kubitect.io/xmlns/libvirt/note/1" text="{&quot;version&quot;:1}"/>
  <kubitect-given:given xmlns:kubitect-given="https://kubitect.io/xmlns/libvirt/given/1" what="cpus memory"/>
</metadata>
"#;

    /// Whoever changes what is written or read here must still read this text: it lies on people's machines.
    #[test]
    fn golden_marks_notes_and_what_was_given() {
        let own = Mark {
            cluster: "demo".parse().unwrap(),
            node: Some("demo-master-1".parse().unwrap()),
            address: Some("10.0.0.1".parse().unwrap()),
            digest: "d1".to_owned(),
            version: "0.1.0".to_owned(),
        };
        let given_words = ["cpus".to_owned(), "memory".to_owned()];
        let note_text = "{\"version\":1}";
        let written = metadata(&own, Some(note_text)).document();
        let without_given = |line: &&str| !line.contains("kubitect-given");
        let golden: Vec<_> = GOLDEN.lines().filter(without_given).collect();
        assert_eq!(written.lines().collect::<Vec<_>>(), golden);
        let text = domain(GOLDEN);
        let document = roxmltree::Document::parse(&text).unwrap();
        let root = document.root_element();
        assert_eq!(mark(root), Some(own));
        assert_eq!(note(root).as_deref(), Some(note_text));
        assert_eq!(given(root), given_words);
        // One of another form is none of ours.
        let text = domain(&GOLDEN.replace("libvirt/1\"", "libvirt/2\""));
        let document = roxmltree::Document::parse(&text).unwrap();
        assert_eq!(mark(document.root_element()), None);
    }

    /// A domain's XML around this metadata, as libvirt gives it back.
    fn domain(metadata: &str) -> String {
        let metadata = metadata.replace("<?xml version=\"1.0\"?>", "");
        format!("<domain><name>d</name>{metadata}</domain>")
    }

    proptest! {
        /// What is noted is read back, whatever it is; and whatever somebody else put in its place does not end the program.
        #[test]
        fn fuzz_notes_and_marks(
            note_text in "[\\PC\"'<>&]{0,80}",
            words in prop::collection::vec("[!-~]{1,12}", 0..5),
            digest in "[ -~]{0,40}",
            at in any::<prop::sample::Index>(),
            other in any::<String>(),
        ) {
            let own = Mark {
                cluster: "demo".parse().unwrap(),
                node: Some("demo-master-1".parse().unwrap()),
                address: Some("10.0.0.1".parse().unwrap()),
                digest,
                version: "0.1.0".to_owned(),
            };
            let given_text = given_xml(&words).unwrap_or_default();
            // libvirt adds the namespace that it is told beside the element.
            let given_text = given_text.replace("<given", &format!("<given xmlns=\"{GIVEN_NAMESPACE}\""));
            let written = metadata(&own, Some(&note_text)).document();
            let text = domain(&written.replace("</metadata>", &format!("{given_text}</metadata>")));
            let document = roxmltree::Document::parse(&text).unwrap();
            let root = document.root_element();
            prop_assert_eq!(mark(root), Some(own));
            prop_assert_eq!(note(root), Some(note_text));
            prop_assert_eq!(given(root), words);

            let mut broken: Vec<char> = text.chars().collect();
            let at = at.index(broken.len());
            broken.splice(at..at + 1, other.chars());
            let broken: String = broken.into_iter().collect();
            if let Ok(document) = roxmltree::Document::parse(&broken) {
                let root = document.root_element();
                let _ = (mark(root), note(root), given(root));
            }
        }

        /// Elements of ours as somebody else would plant them: twice, in other places and namespaces, without attributes or with odd ones.
        #[test]
        fn fuzz_planted_marks(
            elements in prop::collection::vec((
                prop::sample::select(vec!["mark", "note", "given", "lock", "metadata", "name"]),
                prop::sample::select(vec![NAMESPACE, NOTE_NAMESPACE, GIVEN_NAMESPACE, LOCK_NAMESPACE, "", "x"]),
                prop::collection::btree_map(
                    prop::sample::select(vec!["cluster", "node", "address", "digest", "version", "text", "what", "holder"]),
                    "|demo|demo-master-1|a{70}|-|10\\.0\\.0\\.1|999\\.1\\.1\\.1|::1|&#10;|&#x9b;[a-z]?|é/\\.\\./",
                    0..6,
                ),
                any::<bool>(),
            ), 0..8),
        ) {
            let mut inside = String::new();
            for (name, namespace, attributes, nested) in &elements {
                let mut element = format!("<{name} xmlns=\"{namespace}\"");
                for (name, value) in attributes {
                    element += &format!(" {name}=\"{value}\"");
                }
                inside = match nested {
                    true => format!("{element}>{inside}</{name}>"),
                    false => format!("{inside}{element}/>"),
                };
            }
            let text = format!("<domain>{inside}<metadata>{inside}</metadata><metadata>{inside}</metadata></domain>");
            let document = roxmltree::Document::parse(&text).unwrap();
            let root = document.root_element();
            if let Some(mark) = mark(root) {
                let written = domain(&metadata(&mark, note(root).as_deref()).document());
                let document = roxmltree::Document::parse(&written).unwrap();
                prop_assert_eq!(super::mark(document.root_element()), Some(mark));
                prop_assert_eq!(note(document.root_element()), note(root));
            }
            let _ = (given(root), lock(root), mark_node(root).map(is_own));
        }
    }
}
