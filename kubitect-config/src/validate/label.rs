//! `labels` and `taints`, in Kubernetes' syntax.

use std::str::FromStr;

use crate::cluster::{Effect, Taint};
use crate::problem::Severity;
use crate::raw::Texts;
use crate::report::{KeyPath, Report, quote};
use crate::value::{Invalid, Label};

/// Reports every label that Kubernetes would refuse.
pub(super) fn check_labels(labels: &Texts, path: &KeyPath, report: &mut Report) {
    for (name, value) in labels {
        let path = path.key(name);
        if let Err(error) = key(name) {
            let message = format!("{} is not valid", quote(name));
            let help = format!("it {error}");
            match report.key(&path) {
                Some(tree) => report.at_key(&path, tree, Severity::Error, "label", message, help),
                None => report.error(&path, "label", message, help),
            }
        }
        report.checked(&path, "label", value, self::value);
    }
}

/// The taints that are valid.
pub(super) fn taints(raw: &[String], path: &KeyPath, report: &mut Report) -> Vec<Taint> {
    raw.iter()
        .enumerate()
        .filter_map(|(index, text)| report.parse(&path.index(index), "taint", text))
        .collect()
}

/// The role's taints, then the machine's own. A node has at most one taint with the same key and effect: the last one counts.
pub(super) fn merged(default: &[Taint], own: Vec<Taint>) -> Vec<Taint> {
    let mut taints: Vec<Taint> = Vec::new();
    for taint in default.iter().cloned().chain(own) {
        let same = |other: &&mut Taint| other.key == taint.key && other.effect == taint.effect;
        match taints.iter_mut().find(same) {
            Some(other) => *other = taint,
            None => taints.push(taint),
        }
    }
    taints
}

/// Whether a text is 1 to 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
fn is_word(text: &str) -> bool {
    let alphanumeric = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (1..=63).contains(&text.len())
        && alphanumeric(text.chars().next())
        && alphanumeric(text.chars().next_back())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// A label's key: `name` or `prefix/name`, where the prefix is a DNS subdomain.
fn key(text: &str) -> Result<(), Invalid> {
    let is_subdomain = |prefix: &str| {
        prefix.len() <= 253 && prefix.split('.').all(|part| part.parse::<Label>().is_ok())
    };
    let valid = match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_word(name),
        None => is_word(text),
    };
    valid.then_some(()).ok_or_else(|| {
        Invalid::new(
            "must be a Kubernetes label key: at most 63 letters, digits, `-`, `_`, `.`, with a letter or digit at both \
             ends, after an optional DNS prefix and `/`",
        )
    })
}

fn value(text: &str) -> Result<(), Invalid> {
    (text.is_empty() || is_word(text)).then_some(()).ok_or_else(|| {
        Invalid::new(
            "must be a Kubernetes label value: at most 63 letters, digits, `-`, `_`, `.`, with a letter or digit at \
             both ends, or empty",
        )
    })
}

impl FromStr for Taint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (what, effect) = text
            .rsplit_once(':')
            .ok_or_else(|| Invalid::new("must be written key=value:Effect or key:Effect"))?;
        let effect = match effect {
            "NoSchedule" => Effect::NoSchedule,
            "PreferNoSchedule" => Effect::PreferNoSchedule,
            "NoExecute" => Effect::NoExecute,
            _ => {
                return Err(Invalid::new(
                    "must end in :NoSchedule, :PreferNoSchedule or :NoExecute",
                ));
            }
        };
        let (name, value) = what.split_once('=').unwrap_or((what, ""));
        key(name)?;
        self::value(value)?;
        Ok(Self {
            key: name.to_owned(),
            value: value.to_owned(),
            effect,
        })
    }
}
