//! What editors show by the schemas: the real YAML language server on valid files, on broken ones, and where somebody types.

mod server;

use std::path::PathBuf;

use kubitect_config::{Site, parse};
use serde::Deserialize;
use serde_json::Value;

use self::server::{Schema, Server};
use crate::{repository, yaml_files};

/// What is looked at: `tests/fixtures/editor/cases.yaml` says how to read it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    broken: Vec<Broken>,
    completion: Vec<Completion>,
    hover: Vec<Hover>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Broken {
    edit: [String; 2],
    at: String,
    says: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Completion {
    edit: [String; 2],
    offers: Vec<String>,
    #[serde(default)]
    not: Vec<String>,
    inserts: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hover {
    at: String,
    says: Vec<String>,
}

/// A file of the cases.
fn fixture(name: &str) -> String {
    let path = repository().join("tests/fixtures/editor").join(name);
    std::fs::read_to_string(&path).unwrap()
}

/// The whole file with one text in it replaced by another.
fn edited(whole: &str, [from, to]: &[String; 2]) -> String {
    if from == "ALL" {
        return to.clone();
    }
    assert!(whole.contains(from.as_str()), "no `{from}` in whole.yaml");
    whole.replacen(from.as_str(), to, 1)
}

/// A text without the mark of the cursor, and where that was.
fn cursor(text: &str) -> (String, usize) {
    let at = text.find('|').expect("a cursor");
    (text.replacen('|', "", 1), at)
}

/// The files that must pass without a word: examples, presets with the newest release in them, and the cases' own.
fn valid_files(whole: &str) -> Vec<(String, String)> {
    let newest = kubitect_config::release::default_kubernetes().to_string();
    let mut all = vec![("whole".to_owned(), whole.to_owned())];
    for folder in ["examples", "kubitect-config/presets"] {
        for path in yaml_files(folder) {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = format!("{folder}/{}", crate::stem(&path)).replace('/', "-");
            all.push((name, text.replace("NEWEST", &newest)));
        }
    }
    assert!(all.len() >= 11, "{}", all.len());
    all
}

/// What is wrong with what the editor shows, a line each.
struct Found(Vec<String>);

impl Found {
    fn push(&mut self, schema: Schema, what: &str, wrong: impl std::fmt::Debug) {
        self.0.push(format!("{schema:?}: {what}: {wrong:#?}"));
    }
}

/// One server for all cases, which starts once: that takes as long as the cases.
#[test]
fn editors_check_complete_and_explain_the_file_by_both_schemas() {
    let whole = fixture("whole.yaml");
    let parsed = parse(&whole, "whole.yaml", &Site::default());
    parsed.unwrap_or_else(|error| panic!("{:?}", error.problems()));
    let cases: Cases = serde_yaml::from_str(&fixture("cases.yaml")).unwrap();
    assert!(cases.broken.len() >= 40 && cases.completion.len() >= 20 && cases.hover.len() >= 20);

    let mut server = Server::start(&[Schema::Newer, Schema::Draft07].map(|schema| {
        let name = match schema {
            Schema::Newer => "docs/schema.json",
            Schema::Draft07 => "docs/schema-draft-07.json",
        };
        (
            schema,
            std::fs::canonicalize(repository().join(name)).unwrap(),
        )
    }));
    let mut found = Found(Vec::new());
    for schema in [Schema::Newer, Schema::Draft07] {
        diagnostics(&mut server, schema, &whole, &cases.broken, &mut found);
        completions(&mut server, schema, &whole, &cases.completion, &mut found);
        hovers(&mut server, schema, &whole, &cases.hover, &mut found);
    }
    assert!(found.0.is_empty(), "{}", found.0.join("\n"));
}

fn diagnostics(
    server: &mut Server,
    schema: Schema,
    whole: &str,
    broken: &[Broken],
    found: &mut Found,
) {
    let valid = valid_files(whole);
    for (name, text) in &valid {
        server.open(schema, name, text);
    }
    let texts: Vec<_> = broken
        .iter()
        .map(|case| edited(whole, &case.edit))
        .collect();
    for (index, text) in texts.iter().enumerate() {
        server.open(schema, &format!("broken-{index}"), text);
    }
    for (name, _) in &valid {
        let said = server.diagnostics(schema, name);
        if !said.is_empty() {
            found.push(schema, name, said);
        }
    }
    for (index, (case, text)) in broken.iter().zip(&texts).enumerate() {
        let said = server.diagnostics(schema, &format!("broken-{index}"));
        let lines: Vec<_> = text.lines().collect();
        let expected = said.iter().any(|(line, message)| {
            lines.get(*line).is_some_and(|line| line.contains(&case.at))
                && message.contains(&case.says)
        });
        if !expected {
            found.push(
                schema,
                &format!("no `{}` at `{}`", case.says, case.at),
                said,
            );
        }
    }
}

fn completions(
    server: &mut Server,
    schema: Schema,
    whole: &str,
    cases: &[Completion],
    found: &mut Found,
) {
    for (index, case) in cases.iter().enumerate() {
        let (text, at) = cursor(&edited(whole, &case.edit));
        let name = format!("completion-{index}");
        server.open(schema, &name, &text);
        let items = server.complete(schema, &name, &text, at);
        let label = |item: &Value| item["label"].as_str().unwrap_or_default().to_owned();
        let labels: Vec<_> = items.iter().map(label).collect();
        let inserts = |item: &Value, part: &str| {
            let texts = [&item["insertText"], &item["textEdit"]["newText"]];
            texts
                .iter()
                .any(|text| text.as_str().is_some_and(|text| text.contains(part)))
        };
        let first = |item: &&Value| label(item) == case.offers[0];
        let inserted = case
            .inserts
            .as_ref()
            .is_none_or(|part| items.iter().filter(first).any(|item| inserts(item, part)));
        let offered = case.offers.iter().all(|one| labels.contains(one));
        let unwanted = case.not.iter().any(|one| labels.contains(one));
        if !offered || unwanted || !inserted {
            found.push(schema, &format!("at `{}`", case.edit[1]), items);
        }
    }
}

fn hovers(server: &mut Server, schema: Schema, whole: &str, cases: &[Hover], found: &mut Found) {
    for case in cases {
        let (text, inside) = cursor(&case.at);
        let at = whole.find(&text).unwrap_or_else(|| panic!("no `{text}`")) + inside;
        let shown = server.hover(schema, "whole", whole, at);
        if !case.says.iter().all(|part| shown.contains(part.as_str())) {
            found.push(schema, &format!("over `{}`", case.at), shown);
        }
    }
}

/// Where `tests/lab/deps.sh` puts the language server that `tests/editor` pins.
fn program() -> PathBuf {
    let cache = tests::checkers::cache().expect("a home folder");
    let lock = std::fs::read(repository().join("tests/editor/package-lock.json")).unwrap();
    let digest = &kubitect_config::digest::sha256(&lock)[..12];
    let program = cache.join(format!(
        "editor-{digest}/node_modules/yaml-language-server/bin/yaml-language-server"
    ));
    assert!(
        program.exists(),
        "{} is missing: install it with tests/lab/deps.sh",
        program.display()
    );
    program
}
