//! [`PRESETS`]: cluster files to begin with. Their Kubernetes is the newest that the newest Kubespray of the table sets up.

use crate::release;
use crate::value::{Label, Version};

/// A cluster file to begin with.
#[derive(Debug)]
pub struct Preset {
    /// Its name, as `export preset --name` takes it.
    pub name: &'static str,
    text: &'static str,
}

macro_rules! presets {
    ($($name:literal)+) => {
        [$(Preset {
            name: $name,
            text: include_str!(concat!("../presets/", $name, ".yaml")),
        }),+]
    };
}

/// All presets, the simplest first.
pub const PRESETS: [Preset; 6] = presets! {
    "minimal" "getting-started" "example-single-node" "example-multi-worker" "example-multi-master" "example-ha-cluster"
};

/// The placeholder of the Kubernetes version in the files.
const VERSION: &str = "NEWEST";

impl Preset {
    /// The preset with this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Its purpose in one line: the file's first comment.
    pub fn about(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches("# ")
    }

    /// The name of its cluster.
    pub fn cluster(&self) -> String {
        let mut lines = self.text.lines();
        let name = lines.find_map(|line| line.strip_prefix("  name: "));
        name.unwrap_or_default().to_owned()
    }

    /// The file, with the cluster's name replaced if one is given.
    pub fn named(&self, name: Option<&Label>) -> String {
        let line = |name: &str| format!("\n  name: {name}\n");
        match name {
            Some(name) => self
                .text()
                .replacen(&line(&self.cluster()), &line(name.as_str()), 1),
            None => self.text(),
        }
    }

    /// The file.
    pub fn text(&self) -> String {
        match newest() {
            Some(version) => self.text.replace(VERSION, &version.to_string()),
            None => self.text.to_owned(),
        }
    }
}

/// The newest Kubernetes that the newest Kubespray of the table sets up.
fn newest() -> Option<Version> {
    let (minor, [_, patch]) = release::all().last()?.minors().max()?;
    Some(Version::new(minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Site, parse};

    #[test]
    fn every_preset_is_valid_for_the_newest_release() {
        let newest = release::all().last().unwrap();
        for preset in &PRESETS {
            let parsed = parse(&preset.text(), preset.name, &Site::default());
            let parsed = parsed.unwrap_or_else(|error| panic!("{:?}", error.problems()));
            assert_eq!(parsed.warnings, [], "{}", preset.name);
            assert_eq!(parsed.cluster.kubernetes.kubespray.version, newest.tag);
            assert!(preset.about().ends_with('.'));
            assert!(preset.name.ends_with(parsed.cluster.name.as_str()));
        }
    }
}
