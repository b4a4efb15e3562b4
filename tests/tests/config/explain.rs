//! What problems mean: every code in the sources is explained, and `docs/troubleshooting.md` is made from the same table.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use kubitect_config::explain::{SMALLEST, all};

use crate::{assert_fresh, repository};

/// Functions that take a code, or make a problem with one.
const TAKE: [&str; 9] = [
    "error", "warning", "parse", "checked", "at_key", "new", "name", "whole", "fault",
];

/// The sources of kubitect-config, without their tests.
fn sources() -> Vec<String> {
    fn collect(folder: &Path, all: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                collect(&path, all);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                all.push(path);
            }
        }
    }
    let mut all = Vec::new();
    collect(&repository().join("kubitect-config/src"), &mut all);
    let text = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        text.split("#[cfg(test)]").next().unwrap().to_owned()
    };
    all.iter().map(text).collect()
}

/// Whether a word is written as a code: `address-duplicate`.
fn is_code(word: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    word.split('-').all(part)
}

/// The arguments of a call, from what follows its opening bracket.
fn arguments(rest: &str) -> Vec<String> {
    let (mut all, mut one) = (Vec::new(), String::new());
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in rest.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(one.trim().to_owned());
                one.clear();
                continue;
            }
            _ => {}
        }
        one.push(c);
    }
    all.push(one.trim().to_owned());
    all
}

/// The codes that a source gives: bare words among the arguments of a call, and those of constants and fields.
fn codes(source: &str, found: &mut BTreeSet<String>) {
    let mut add = |word: &str| {
        let word = word
            .strip_prefix('"')
            .and_then(|word| word.strip_suffix('"'));
        if let Some(word) = word.filter(|word| is_code(word)) {
            found.insert(word.to_owned());
        }
    };
    for (at, _) in source.match_indices('(') {
        let before = &source[..at];
        // As in `parse::<Label>(`.
        let before = match before.rsplit_once("::<") {
            Some((before, _)) if source[..at].ends_with('>') => before,
            _ => before,
        };
        let name = before
            .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
            .next();
        if name.is_some_and(|name| TAKE.contains(&name)) {
            arguments(&source[at + 1..]).iter().for_each(|one| add(one));
        }
    }
    for start in ["code: ", "CODE: &str = "] {
        for rest in source.split(start).skip(1) {
            add(rest.split([',', ';', '\n']).next().unwrap_or_default());
        }
    }
}

#[test]
fn every_code_in_the_sources_is_explained_and_no_other() {
    let mut found = BTreeSet::new();
    for source in sources() {
        codes(&source, &mut found);
    }
    let explained: BTreeSet<_> = all().keys().cloned().collect();
    assert!(found.len() > 90, "{found:?}");
    assert_eq!(found, explained);
}

/// What the tests of files have seen is explained, too.
#[test]
fn every_code_of_the_fixtures_is_explained() {
    let mut seen = 0;
    for folder in ["invalid", "valid", "cases"] {
        let folder = repository().join("tests/fixtures").join(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "snap") {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            for kind in [": error[", ": warning["] {
                for rest in text.split(kind).skip(1) {
                    let code = rest.split(']').next().unwrap();
                    assert!(all().contains_key(code), "{code}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 200, "{seen}");
}

#[test]
fn the_page_of_troubleshooting_is_fresh() {
    let mut page = String::from(
        "# Troubleshooting by code\n\n\
         <!-- Made from kubitect-config/data/problems.yaml by the tests: UPDATE_DOCS=1 cargo test --workspace --test config -->\n\n\
         `validate`, `plan` and `apply` give each problem of a file with its place, what is wrong, what to do, and a code in brackets.\n\
         `kubitect explain CODE` shows what stands here. Examples are lines over this file:\n\n```yaml\n# kubitect.yaml\n",
    );
    page += SMALLEST;
    page += "```\n";
    for (code, one) in all() {
        write!(page, "\n## {code}\n\n{}\n", one.means).unwrap();
        match (&one.example, &one.none) {
            (Some(example), _) => {
                let example = example.replace('\t', "→   ").replace('\u{1}', "␁");
                write!(page, "\n```text\n{}\n```\n", example.trim_end()).unwrap();
            }
            (None, why) => {
                writeln!(page, "\nNo example: {}", why.as_deref().unwrap_or_default()).unwrap();
            }
        }
        writeln!(page, "\n**What to do.** {}", one.mend).unwrap();
    }
    assert_fresh("docs/troubleshooting.md", &page);
}
