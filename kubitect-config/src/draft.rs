//! [`Draft`]: a configuration that was read before its cluster was observed. If the file omits versions, they depend on the
//! cluster: one that exists keeps its own.

use std::path::Path;

use crate::cluster::Cluster;
use crate::error::Error;
use crate::keys::KeyJudge;
use crate::load::{CONDITIONS, Mode, Parsed, parse_as, read_stored};
use crate::problem::Problem;
use crate::release::Hop;
use crate::site::Site;

/// A configuration whose omitted versions are not known yet.
#[derive(Debug, Clone)]
pub struct Draft {
    file: String,
    text: String,
    parsed: Parsed,
    /// Whether it is from a cluster's folder.
    is_stored: bool,
}

impl Draft {
    /// Checks a configuration; `keys` judges the key files that it names, and `file` names it in problems.
    ///
    /// # Errors
    /// It has errors that do not depend on the versions that it omits.
    pub fn parse(text: String, file: String, site: &Site, keys: KeyJudge) -> Result<Self, Error> {
        let as_new = parse_as(Mode::default(), &text, &file, site, keys);
        let parsed = as_new.or_else(|error| {
            // The newest release may refuse what the cluster's own release takes: `of` checks it again with the cluster's versions.
            let mode = Mode {
                tolerated: &CONDITIONS,
                living: None,
            };
            match parse_as(mode, &text, &file, site, keys) {
                Ok(parsed) if parsed.omits_version => Ok(Parsed {
                    warnings: Vec::new(),
                    ..parsed
                }),
                _ => Err(error),
            }
        })?;
        Ok(Self {
            file,
            text,
            parsed,
            is_stored: false,
        })
    }

    /// Reads the configuration from a cluster's folder, as [`load_stored`](crate::load_stored) does.
    ///
    /// # Errors
    /// The file cannot be read, or has errors that are not tolerated.
    pub fn stored(path: &Path, site: &Site) -> Result<Self, Error> {
        let (file, text) = read_stored(path)?;
        let mode = Mode {
            tolerated: &CONDITIONS,
            living: None,
        };
        let parsed = parse_as(mode, &text, &file, site, &|_, _| None)?;
        Ok(Self {
            file,
            text,
            parsed,
            is_stored: true,
        })
    }

    /// The cluster as if it were a new one: its hosts and machines are right, its versions may be others.
    pub fn cluster(&self) -> &Cluster {
        &self.parsed.cluster
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The warnings, in the order of the file.
    pub fn warnings(&self) -> &[Problem] {
        &self.parsed.warnings
    }

    /// Whether it is from a cluster's folder.
    pub fn is_stored(&self) -> bool {
        self.is_stored
    }

    /// Whether it omits the version of Kubernetes or of Kubespray.
    pub fn omits_version(&self) -> bool {
        self.parsed.omits_version
    }

    /// The configuration for a cluster with the versions `living`; none: for a new one.
    ///
    /// # Errors
    /// It has errors with these versions.
    pub fn of(&self, living: Option<&Hop>, site: &Site) -> Result<Parsed, Error> {
        let tolerated: &[&str] = match self.is_stored {
            true => &CONDITIONS,
            false => &[],
        };
        match self.parsed.omits_version {
            true => parse_as(
                Mode { tolerated, living },
                &self.text,
                &self.file,
                site,
                &|_, _| None,
            ),
            false => Ok(self.parsed.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(kubernetes: &str) -> Result<Draft, Error> {
        let text = format!(
            "hosts: [{{name: h, connection: {{type: local}}}}]\ncluster: {{name: c, network: {{mode: nat, cidr: \
             192.168.113.0/24}}, nodes: {{master: {{instances: [{{id: 1}}]}}}}}}\nkubernetes: {kubernetes}\n"
        );
        Draft::parse(text, "c.yaml".to_owned(), &Site::default(), &|_, _| None)
    }

    fn hop([kubernetes, kubespray]: [&str; 2]) -> Hop {
        Hop {
            kubernetes: kubernetes.parse().unwrap(),
            kubespray: kubespray.parse().unwrap(),
        }
    }

    /// The versions of a draft for a cluster with these versions, or the code of the first error.
    fn of(draft: &Draft, living: Option<[&str; 2]>) -> Result<[String; 2], String> {
        let living = living.map(hop);
        match draft.of(living.as_ref(), &Site::default()) {
            Ok(parsed) => {
                let kubernetes = parsed.cluster.kubernetes;
                Ok([kubernetes.version, kubernetes.kubespray.version].map(|own| own.to_string()))
            }
            Err(error) => {
                let mut problems = error.problems().iter();
                let first = problems.find(|problem| problem.is_error());
                Err(first.map_or_else(String::new, |first| first.code.to_owned()))
            }
        }
    }

    fn versions(texts: [&str; 2]) -> Result<[String; 2], String> {
        Ok(texts.map(str::to_owned))
    }

    #[test]
    fn what_a_file_leaves_out_is_what_its_cluster_has() {
        let older = ["v1.33.5", "v2.29.1"];
        let open = draft("{version: v1.33.5}").unwrap();
        assert!(open.omits_version());
        assert_eq!(of(&open, None), versions(["v1.33.5", "v2.31.0"]));
        assert_eq!(of(&open, Some(older)), versions(older));
        let named = draft("{version: v1.33.5, kubespray: {version: v2.30.0}}").unwrap();
        assert!(!named.omits_version());
        assert_eq!(of(&named, Some(older)), versions(["v1.33.5", "v2.30.0"]));
        assert_eq!(of(&draft("{}").unwrap(), Some(older)), versions(older));
    }

    /// Network plugin weave left Kubespray with v2.29.0, and v2.27.0 sets up no Kubernetes that is the newest today.
    #[test]
    fn what_only_the_newest_release_refuses_is_right_for_a_cluster_that_has_another() {
        let living = ["v1.32.5", "v2.28.1"];
        let weave = draft("{version: v1.32.5, networkPlugin: weave}").unwrap();
        assert_eq!(of(&weave, Some(living)), versions(living));
        assert_eq!(of(&weave, None), Err("not-in-release".to_owned()));
        let pair = draft("{kubespray: {version: v2.28.1}}").unwrap();
        assert_eq!(of(&pair, Some(living)), versions(living));
        assert_eq!(of(&pair, None), Err("kubespray-pair".to_owned()));
        // An error that does not depend on the versions is reported at once.
        assert!(
            draft("{version: v1.32.5, kubespray: {version: v2.28.1}, networkPlugin: no}").is_err()
        );
        assert!(draft("{version: one}").is_err());
    }
}
