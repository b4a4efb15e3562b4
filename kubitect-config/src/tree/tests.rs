//! [`read`], compared with serde_yaml.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::yaml::Value;

/// What serde_yaml reads, with merge keys applied.
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
            let (tree, faults) = read(&text, true);
            match (tree, other_parser(&text)) {
                (Some(tree), Ok(other)) if faults.is_empty() => {
                    assert_eq!(tree.value(), other, "{}", path.display());
                    compared += 1;
                }
                // A file that one parser refuses must not pass the other unnoticed.
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

#[test]
fn tabs_after_colons_are_blanks_and_tabs_in_texts_stay() {
    let text = "a:\tb\nc: |\n  d:\te\nf: \"g:\th\"\ni: [{j:\t k}, l]\nm:\t\n  n:\t\to # p:\tq\n";
    let (tree, faults) = read(text, true);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(tree.unwrap().value(), other_parser(text).unwrap());
    // Each tab costs one more pass, up to a limit.
    let many = "k:\tv\n".repeat(30_000);
    let (tree, faults) = read(&many, true);
    assert!(tree.is_none());
    assert_eq!(faults.last().unwrap().code, "yaml-syntax");
    // The fault stays where a blank in the tab's place would not help.
    for text in ["a:\t- b\n", "a:\tb: c\n", "a:\t\"b\n"] {
        let (tree, faults) = read(text, true);
        assert!(tree.is_none() && !faults.is_empty(), "{text:?}");
    }
}

#[test]
fn a_commoner_cause_is_named() {
    for (text, line, message) in [
        ("a:\n  b:c\n  d: e\n", 2, "a blank is missing"),
        (
            "a:\n<<<<<<< HEAD\n  b: c\n=======\n  b: d\n>>>>>>> x\n",
            2,
            "conflict",
        ),
        ("a:\n  b:\u{a0}c\n  d: e\n", 2, "a blank that is none"),
        ("a:\n\tb: c\n", 2, "indented with a tab"),
        // The parser reports the text to which, as it reads it, the line belongs.
        ("a:\n  b: c\n\td: e\n", 3, "indented with a tab"),
        // The colons of a time and of an address are no faults.
        (
            "a:\n  b: 12:30\n  c: http://d\n e: f\n",
            4,
            "this is not YAML",
        ),
    ] {
        let (_, faults) = read(text, true);
        let fault = faults.last().unwrap();
        assert_eq!(fault.start.line, line, "{text:?}: {}", fault.message);
        assert!(
            fault.message.contains(message),
            "{text:?}: {}",
            fault.message
        );
    }
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

/// The parser takes a single carriage return for the end of a line; editors and this crate's line numbers don't.
#[test]
fn a_carriage_return_that_ends_no_line_is_named_where_it_stands() {
    let old = "a: b\rc: d\re: f\rg: [\r";
    for text in [old, "a: 1\r\nb: \"x\ry\"\r\n", "a: |\n  x\r\r\n"] {
        let (tree, faults) = read(text, true);
        assert!(tree.is_none(), "{text:?}");
        let fault = &faults[0];
        assert_eq!(
            fault.code, "yaml-control-character",
            "{text:?}: {}",
            fault.message
        );
        assert!(fault.start.line <= text.lines().count());
    }
    let (tree, faults) = read("a: 1\r\nb: 2\r\n", true);
    assert!(tree.is_some() && faults.is_empty());
}

#[test]
fn keys_and_tags_of_a_file_steer_no_terminal() {
    for file in [
        "hosts: !%1b x\n",
        "hosts: []\n\"\\e]0;x\\a\": 1\n\"\\e]0;x\\a\": 2\n",
    ] {
        let error = crate::parse(file, "c.yaml", &crate::Site::default()).unwrap_err();
        for problem in error.problems() {
            let shown = problem.to_string();
            assert!(!shown.contains(char::is_control), "{shown:?}");
        }
    }
}

proptest! {
    #[test]
    fn both_parsers_agree_on_what_serde_yaml_writes(value in values()) {
        let text = serde_yaml::to_string(&value).unwrap();
        let (tree, faults) = read(&text, true);
        prop_assert!(faults.is_empty(), "{faults:?} in\n{text}");
        prop_assert_eq!(tree.map_or(Value::Null, |tree| tree.value()), other_parser(&text).unwrap());
    }

    #[test]
    fn plain_scalars_mean_the_same_to_both(text in "[0-9a-fA-FnNuUlLtTrRsSxob_.+~-]{1,8}") {
        if let Ok(other) = other_parser(&text) {
            let (tree, _) = read(&text, true);
            prop_assert_eq!(tree.map(|tree| tree.value()), Some(other));
        }
    }

    #[test]
    fn no_text_panics(text in "[ -~\n\t\u{0}é&*\\[\\]{}:#]{0,80}") {
        let _ = crate::parse(&text, "any", &crate::Site::default());
    }
}

/// Values of every type, and at the ends of each range.
const ODD: [&str; 36] = [
    "null",
    "true",
    "-1",
    "0",
    "1",
    "65536",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "1e308",
    ".inf",
    ".nan",
    "0x7f",
    "0o17",
    "1_000",
    "\"\"",
    "'a b'",
    "\"\\e[2J\\n\"",
    "[]",
    "[[], {}]",
    "{}",
    "{a: b, a: c}",
    "&a [*a]",
    "!!binary YQ==",
    "0.0.0.0/0",
    "255.255.255.255/32",
    "10.0.0.0/31",
    "10.0.0.0/33",
    "255.255.255.255",
    "0.0.0.0",
    "::1",
    "v99999999999.0.0",
    "../../../etc",
    "https://user:secret@h/?q=1#f",
    "|",
];

fn changed_lines(
    file: &str,
    changes: &[(prop::sample::Index, usize, prop::sample::Index)],
) -> String {
    let mut lines: Vec<String> = file.lines().map(str::to_owned).collect();
    for (index, kind, odd) in changes {
        let index = index.index(lines.len());
        let odd = odd.get(&ODD);
        match kind {
            0 => lines.insert(index, lines[index].clone()),
            1 => lines[index].insert_str(0, "  "),
            2 if lines.len() > 1 => _ = lines.remove(index),
            _ => {
                let key = lines[index]
                    .split_inclusive(": ")
                    .next()
                    .unwrap_or_default();
                lines[index] = format!("{}: {odd}", key.trim_end().trim_end_matches(':'));
            }
        }
    }
    lines.join("\n")
}

proptest! {
    /// A configuration with a part cut out and another put in: no panic, and each problem has a position in the file.
    #[test]
    fn fuzz_the_cluster_file(
        start in any::<prop::sample::Index>(),
        cut in 0..60usize,
        text in prop_oneof![any::<String>(), "[-a-z0-9:{}\\[\\]&*!|>?%@\n\"'#,. ]{0,60}"],
    ) {
        let file = include_str!("../../../examples/multi-master.yaml");
        let mut chars: Vec<char> = file.chars().collect();
        let start = start.index(chars.len());
        let end = (start + cut).min(chars.len());
        chars.splice(start..end, text.chars());
        let file: String = chars.into_iter().collect();
        if let Err(error) = crate::parse(&file, "c.yaml", &crate::Site::default()) {
            for problem in error.problems() {
                prop_assert!(problem.line <= file.lines().count() + 1, "{:?}", problem);
            }
        }
        let _ = crate::Site::parse(&file, "site.yaml");
    }

    /// Values replaced by odd ones, lines doubled, left out or indented: unlike random text, this gets as far as the checks of
    /// values.
    #[test]
    fn fuzz_the_cluster_files_values(
        file in 0..4usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..6usize, any::<prop::sample::Index>()), 1..5),
    ) {
        let file = std::fs::read_to_string(&files("examples")[file]).unwrap();
        let file = changed_lines(&file, &changes);
        if let Err(error) = crate::parse(&file, "c.yaml", &crate::Site::default()) {
            for problem in error.problems() {
                prop_assert!(problem.line <= file.lines().count() + 1, "{:?}", problem);
            }
        }
    }
}
