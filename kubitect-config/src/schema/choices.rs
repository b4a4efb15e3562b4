//! The values that a key may have: those of the raw types, and those of all Kubespray releases of the table.

use serde_json::{Map, Value};

use super::key_texts::KeyTexts;
use crate::release::{self, Release};
use crate::value::Version;

/// The values that a release allows for one key.
type List = fn(&Release) -> &[String];

/// An enumeration of words, each with its meaning.
pub(super) fn enumeration(pairs: &[(String, String)]) -> Map<String, Value> {
    let words: Value = pairs.iter().map(|(word, _)| word.as_str()).collect();
    let about: Value = pairs.iter().map(|(_, about)| about.as_str()).collect();
    let mut schema = Map::new();
    // With a type: without one, an editor omits the key when it inserts the mapping around it.
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), words);
    schema.insert("enumDescriptions".to_owned(), about.clone());
    schema.insert("markdownEnumDescriptions".to_owned(), about);
    schema
}

/// Adds the values that follow from the table of releases, of all releases together: whether a value fits the file's release, only
/// validation can say.
pub(super) fn add(schema: &mut Map<String, Value>, name: &str, key: &str, texts: &KeyTexts) {
    let list: List = match (name, key) {
        ("Kubernetes", "networkPlugin") => |release| &release.network_plugins,
        ("Kubernetes", "dnsMode") => |release| &release.dns_modes,
        ("Kubernetes", "manager") => |release| &release.container_managers,
        ("Kubernetes", "version") => {
            schema.insert("examples".to_owned(), newest_of_each_minor());
            return;
        }
        ("Kubespray", "version") => {
            let newest = release::all().iter().rev().take(3);
            let newest = newest.map(|release| release.tag.to_string());
            schema.insert("examples".to_owned(), newest.collect());
            return;
        }
        _ => return,
    };
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (word, about) in &texts.values {
        pairs.push((word.clone(), format!("{about}{}", since(word, list))));
    }
    schema.remove("examples");
    schema.extend(enumeration(&pairs));
}

/// The releases that allow a value, as a sentence; empty if all do.
fn since(word: &str, list: List) -> String {
    let allows = |release: &&Release| list(release).iter().any(|own| own == word);
    let allowing: Vec<_> = release::all().iter().filter(allows).collect();
    match (allowing.first(), allowing.last()) {
        (Some(first), Some(last)) if allowing.len() < release::all().len() => {
            format!(" Kubespray {} to {} only.", first.tag, last.tag)
        }
        _ => String::new(),
    }
}

/// The newest patch of each of the newest minor releases of Kubernetes.
fn newest_of_each_minor() -> Value {
    let minors = release::newest().minors();
    let mut versions: Vec<_> = minors
        .map(|(minor, [_, high])| Version::new(minor, high))
        .collect();
    versions.sort();
    versions.iter().rev().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::schema::key_texts;

    #[test]
    fn every_value_that_a_release_allows_is_described_and_no_other() {
        let lists: [(&str, List, &[&str]); 3] = [
            ("networkPlugin", |release| &release.network_plugins, &[]),
            ("dnsMode", |release| &release.dns_modes, &[]),
            (
                "manager",
                |release| &release.container_managers,
                &["kubespray"],
            ),
        ];
        for (key, list, besides) in lists {
            let allowed = release::all().iter().flat_map(list).map(String::as_str);
            let allowed: BTreeSet<_> = allowed.chain(besides.iter().copied()).collect();
            let described = key_texts::of("Kubernetes", key).unwrap();
            let described: BTreeSet<_> = described.values.keys().map(String::as_str).collect();
            assert_eq!(described, allowed, "{key}");
        }
    }

    #[test]
    fn a_word_of_some_releases_says_which() {
        let plugins: List = |release| &release.network_plugins;
        assert_eq!(since("calico", plugins), "");
        assert_eq!(
            since("weave", plugins),
            " Kubespray v2.19.0 to v2.28.1 only."
        );
    }
}
