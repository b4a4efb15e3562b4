//! Words that a key may have: those of the types, and those that Kubespray's releases know, all of them together.

use serde_json::{Map, Value};

use super::words::Words;
use crate::release::{self, Release};
use crate::value::Version;

/// The words that a release knows for one key.
type List = fn(&Release) -> &[String];

/// A list of words, each with what it means.
pub(super) fn enumeration(pairs: &[(String, String)]) -> Map<String, Value> {
    let words: Value = pairs.iter().map(|(word, _)| word.as_str()).collect();
    let about: Value = pairs.iter().map(|(_, about)| about.as_str()).collect();
    let mut schema = Map::new();
    // Without a type beside it, an editor leaves the key out when it inserts the mapping around it.
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), words);
    schema.insert("enumDescriptions".to_owned(), about.clone());
    schema.insert("markdownEnumDescriptions".to_owned(), about);
    schema
}

/// Adds what follows from the table of releases: which one fits which, `validate` says.
pub(super) fn add(schema: &mut Map<String, Value>, name: &str, key: &str, words: &Words) {
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
    for (word, about) in &words.values {
        pairs.push((word.clone(), format!("{about}{}", since(word, list))));
    }
    schema.remove("examples");
    schema.extend(enumeration(&pairs));
}

/// Which releases know a word, where not all do.
fn since(word: &str, list: List) -> String {
    let knows = |release: &&Release| list(release).iter().any(|one| one == word);
    let knowing: Vec<_> = release::all().iter().filter(knows).collect();
    match (knowing.first(), knowing.last()) {
        (Some(first), Some(last)) if knowing.len() < release::all().len() => {
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
    use crate::schema::words;

    #[test]
    fn every_word_that_a_release_knows_is_described_and_no_other() {
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
            let known = release::all().iter().flat_map(list).map(String::as_str);
            let known: BTreeSet<_> = known.chain(besides.iter().copied()).collect();
            let described = words::of("Kubernetes", key).unwrap();
            let described: BTreeSet<_> = described.values.keys().map(String::as_str).collect();
            assert_eq!(described, known, "{key}");
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
