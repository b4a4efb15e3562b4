//! What Kubespray's own sample inventories and pages give its variables: `validate` finds nothing wrong with their types.

use std::collections::BTreeMap;

use kubitect_config::release::{self, Release};
use kubitect_config::yaml::{self, Mapping, Value};
use kubitect_config::{Site, parse};

use crate::repository;

/// Problems of a value that Kubespray itself gives.
const WRONG: [&str; 2] = ["addon-variable-type", "addon-variable-version"];

/// One line of the data: the releases that have it, a name, a value.
struct Sample<'a> {
    first: usize,
    last: usize,
    name: &'a str,
    value: Value,
}

fn sample(line: &str) -> Sample<'_> {
    let mut parts = line.splitn(3, ' ');
    let mut part = || parts.next().unwrap();
    let (first, last) = part().split_once("..").unwrap();
    let index = |tag: &str| {
        let is = |release: &Release| release.tag.to_string() == tag;
        release::all().iter().position(is).unwrap()
    };
    Sample {
        first: index(first),
        last: index(last),
        name: part(),
        value: serde_json::from_str(part()).unwrap(),
    }
}

#[test]
fn values_of_kubesprays_own_samples_have_the_right_type() {
    let path = repository().join("tests/fixtures/kubespray-samples.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples: Vec<_> = lines.map(sample).collect();
    let mut wrong = Vec::new();
    for (index, release) in release::all().iter().enumerate() {
        // A name with several values stands in as many files.
        let mut files: Vec<Mapping> = Vec::new();
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let of = samples
            .iter()
            .filter(|sample| (sample.first..=sample.last).contains(&index));
        for sample in of {
            let times = seen.entry(sample.name).or_default();
            files.resize(files.len().max(*times + 1), Mapping::new());
            files[*times].insert(sample.name.into(), sample.value.clone());
            *times += 1;
        }
        assert!(seen.len() > 50, "{}: {}", release.tag, seen.len());
        for variables in files {
            let problems = problems(release, &variables);
            let of_types = problems
                .into_iter()
                .filter(|(code, _)| WRONG.contains(&code.as_str()));
            wrong.extend(of_types.map(|(_, problem)| format!("{}: {problem}", release.tag)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Codes and texts of all that `validate` says.
fn problems(release: &Release, variables: &Mapping) -> Vec<(String, String)> {
    let version = release.newest_kubernetes().unwrap();
    let addons = serde_json::to_string(variables).unwrap();
    let text = format!(
        "hosts: [{{name: h, connection: {{type: local}}}}]\ncluster: {{name: c, network: {{cidr: 192.168.113.0/24}}, nodes: \
         {{master: {{instances: [{{id: 1}}]}}}}}}\nkubernetes: {{version: {version}, kubespray: {{version: {}}}}}\naddons: \
         {{kubespray: {addons}}}\n",
        release.tag
    );
    let said = match parse(&text, "sample.yaml", &Site::default()) {
        Ok(parsed) => parsed.warnings,
        Err(error) => error.problems().to_vec(),
    };
    let said = said.into_iter();
    said.map(|problem| (problem.code.to_owned(), problem.to_string()))
        .collect()
}

#[test]
fn a_value_of_another_type_is_found() {
    let variables: Mapping = yaml::read_as("{helm_enabled: [true]}", yaml::Limits::OWN).unwrap();
    let problems = problems(release::newest(), &variables);
    assert!(
        problems.iter().any(|(code, _)| code == WRONG[0]),
        "{problems:?}"
    );
}
