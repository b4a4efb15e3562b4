//! What each problem code means and what to do: the table `data/problems.yaml`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::yaml::{Limits, read_as};

/// The explanation of one problem code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// What is wrong.
    pub means: String,
    /// Lines that cause the problem, merged into [`SMALLEST`].
    #[serde(default)]
    pub example: Option<String>,
    /// Why there is no example.
    #[serde(default, skip_serializing)]
    pub none: Option<String>,
    /// Whether the example is a complete file.
    #[serde(default, skip_serializing)]
    pub whole: bool,
    /// Whether the example is a site file.
    #[serde(default, skip_serializing)]
    pub site: bool,
    /// What to do.
    pub mend: String,
}

/// The file into which the examples are merged.
pub const SMALLEST: &str = "\
hosts:
  - name: localhost
    connection:
      type: local
cluster:
  name: demo
  network:
    mode: nat
    cidr: 192.168.113.0/24
  nodes:
    master:
      instances:
        - id: 1
kubernetes:
  version: v1.35.4
";

static ALL: LazyLock<BTreeMap<String, Explanation>> = LazyLock::new(|| {
    read_as(include_str!("../data/problems.yaml"), Limits::OWN)
        .expect("the table of problems is well formed")
});

/// All explanations, by their codes.
pub fn all() -> &'static BTreeMap<String, Explanation> {
    &ALL
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.means)?;
        match (&self.example, &self.none) {
            (Some(example), _) => {
                let suffix = if self.site { ", in the site file" } else { "" };
                writeln!(f, "\nAn example{suffix}:\n")?;
                for line in example.lines() {
                    writeln!(f, "    {line}")?;
                }
            }
            (None, Some(why)) => writeln!(f, "\nNo example: {why}")?,
            (None, None) => {}
        }
        write!(f, "\nWhat to do: {}", self.mend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::Value;
    use crate::{Error, Site, parse, yaml};

    /// Merges one mapping into another, at any depth; any other value replaces the one below.
    fn merge(below: &mut Value, above: Value) {
        match (below, above) {
            (Value::Mapping(below), Value::Mapping(above)) => {
                for (key, value) in above {
                    match below.get_mut(&key) {
                        Some(own) => merge(own, value),
                        None => drop(below.insert(key, value)),
                    }
                }
            }
            (below, above) => *below = above,
        }
    }

    /// The codes of all problems of an example.
    fn codes(explanation: &Explanation, example: &str) -> Vec<&'static str> {
        let read = |text: &str| yaml::read(text, Limits::OWN).unwrap();
        let found = if explanation.site {
            Site::parse(example, "site.yaml").map(|_| Vec::new())
        } else {
            let text = if explanation.whole {
                example.to_owned()
            } else {
                let mut whole = read(SMALLEST);
                merge(&mut whole, read(example));
                yaml::write(&whole).unwrap()
            };
            parse(&text, "cluster.yaml", &Site::default()).map(|parsed| parsed.warnings)
        };
        let problems = match found {
            Err(Error::Invalid { problems, .. }) => problems,
            other => other.unwrap(),
        };
        problems.iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn each_example_gives_its_problem_and_the_smallest_file_none() {
        let smallest = parse(SMALLEST, "cluster.yaml", &Site::default()).unwrap();
        assert_eq!(smallest.warnings, []);
        let mut wrong = Vec::new();
        for (code, explanation) in all() {
            match &explanation.example {
                Some(example) => {
                    let codes = codes(explanation, example);
                    if !codes.contains(&code.as_str()) {
                        wrong.push(format!("{code}: {codes:?}"));
                    }
                }
                None => assert!(explanation.none.is_some(), "{code} does not say why"),
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn merging_a_mapping_leaves_the_other_keys() {
        let read = |text: &str| yaml::read(text, Limits::OWN).unwrap();
        let mut below = read("{a: {b: 1, c: [1]}, d: 2}");
        merge(&mut below, read("{a: {c: [2]}}"));
        assert_eq!(below, read("{a: {b: 1, c: [2]}, d: 2}"));
    }
}
