//! `addons.kubespray`, variable by variable: those that are Kubitect's own or that it relies on are errors; those that the
//! release does not read, or reads as another type, are warnings.

use crate::yaml::{Mapping, Value};

use super::conditions;
use crate::problem::Severity;
use crate::release::Release;
use crate::release::names::{self, Kind, Names};
use crate::report::{At, Report, quote};
use crate::variables::{self, SANS};

/// The variables as they are handed to Kubespray: a truth value or a number in quotes is one where the release takes no
/// text.
pub(super) fn variables(
    kubespray: &Mapping,
    release: Option<&Release>,
    at: &At,
    report: &mut Report,
) -> Mapping {
    let mut result = Mapping::new();
    for (key, value) in kubespray {
        // All keys of a file are texts.
        let Some(name) = key.as_str() else { continue };
        let is_ours = ours(name, value, &at.key(name), report);
        let mut value = value.clone();
        if let (false, Some(release)) = (is_ours, release) {
            value = known(name, value, kubespray, release, at, report);
        }
        result.insert(key.clone(), value);
    }
    result
}

/// Whether the variable is Kubitect's own, or has a value that Kubitect can't work with; reports it.
fn ours(name: &str, value: &Value, at: &At, report: &mut Report) -> bool {
    const CODE: &str = "addon-variable";
    let mut error = |message: String, help: String| match report.key(at) {
        Some(key) => report.at_key(at, key, Severity::Error, CODE, message, help),
        None => report.error(at, CODE, message, help),
    };
    if let Some(instead) = variables::managed(name) {
        error(
            format!("{} cannot be set here", quote(name)),
            instead.to_owned(),
        );
    } else if let Some(relied) = variables::broken(name, value) {
        error(
            format!("{} cannot be changed: {}", quote(name), relied.why),
            format!("leave it out, or write `{name}: {}`", relied.values[0]),
        );
    } else if name == SANS {
        if !value.is_sequence() {
            report.error(at, CODE, "it must be a list", "write the names as a list");
        }
    } else if name == "authorization_modes" {
        let has = |mode: &str| {
            value
                .as_sequence()
                .is_some_and(|modes| modes.iter().any(|one| one == mode))
        };
        if !(has("Node") && has("RBAC")) {
            error(
                "`authorization_modes` must have Node and RBAC: nodes and load balancers are let in by them".to_owned(),
                "write `authorization_modes: [Node, RBAC]`, and others beside them".to_owned(),
            );
        }
    } else if name == "kube_kubeadm_apiserver_extra_args" {
        let of = value.as_mapping().into_iter().flat_map(Mapping::keys);
        for argument in of.filter_map(Value::as_str) {
            if variables::API_SERVER_ARGUMENTS.contains(&argument) {
                error(
                    format!(
                        "{} of {} cannot be set: Kubitect relies on what it is",
                        quote(argument),
                        quote(name)
                    ),
                    "leave it out".to_owned(),
                );
            }
        }
    } else {
        return false;
    }
    true
}

/// What the release makes of the variable; the value that it is to get.
fn known(
    name: &str,
    value: Value,
    all: &Mapping,
    release: &Release,
    at: &At,
    report: &mut Report,
) -> Value {
    let names = names::names(release);
    let at = &at.key(name);
    let Some(kind) = names.get(name) else {
        if !is_read_by_others(name, all) {
            unknown(name, names, release, at, report);
        }
        return value;
    };
    let Some(text) = value.as_str() else {
        mismatch(name, &value, *kind, release, at, report);
        return value;
    };
    if text.contains("{{") || text.contains("{%") {
        return value;
    }
    match kind {
        Kind::Boolean => match variables::truth(text) {
            Some(is) => quoted(name, is, release, at, report),
            None => value,
        },
        Kind::Number => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => quoted(name, number, release, at, report),
            _ => value,
        },
        _ => {
            version(name, text, *kind, release, at, report);
            mismatch(name, &value, *kind, release, at, report);
            value
        }
    }
}

/// A truth value or a number that was written as text.
fn quoted(
    name: &str,
    value: impl Into<Value> + ToString,
    release: &Release,
    at: &At,
    report: &mut Report,
) -> Value {
    report.warning(
        at,
        "addon-variable-quoted",
        format!(
            "{} is text, and no text in Kubespray {}",
            quote(name),
            release.tag
        ),
        format!(
            "it is passed on as `{0}`: write `{name}: {0}`, without quotation marks",
            value.to_string()
        ),
    );
    value.into()
}

/// A list or a mapping where there is another of them, or none.
fn mismatch(
    name: &str,
    value: &Value,
    kind: Kind,
    release: &Release,
    at: &At,
    report: &mut Report,
) {
    let wanted = match (kind, value) {
        (Kind::List, Value::Mapping(_) | Value::String(_)) => "a list",
        (Kind::Mapping, Value::Sequence(_) | Value::String(_)) => "a mapping",
        (Kind::Boolean, Value::Mapping(_) | Value::Sequence(_)) => "true or false",
        (Kind::Number, Value::Mapping(_) | Value::Sequence(_)) => "a number",
        _ => return,
    };
    report.warning(
        at,
        "addon-variable-type",
        format!("{} is {wanted} in Kubespray {}", quote(name), release.tag),
        format!("write {wanted}"),
    );
}

/// From v2.28.0 on versions are written without `v`; before, most had one.
fn version(name: &str, text: &str, kind: Kind, release: &Release, at: &At, report: &mut Report) {
    // Another spelling would not help.
    if !conditions::version_fits(name, text, release) {
        return;
    }
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let prefixed = text.strip_prefix('v').is_some_and(digit);
    let bare = release.is_from(28) && kind == Kind::Unknown && name.ends_with("_version");
    let (message, help) = if prefixed && (kind == Kind::Bare || bare) {
        (
            format!(
                "Kubespray {} takes {} without `v`",
                release.tag,
                quote(name)
            ),
            format!("write `{name}: {}`", &text[1..]),
        )
    } else if digit(text) && kind == Kind::Prefixed && name.ends_with("_version") {
        (
            format!("Kubespray {} takes {} with `v`", release.tag, quote(name)),
            format!("write `{name}: v{text}`"),
        )
    } else {
        return;
    };
    const CODE: &str = "addon-variable-version";
    // v2.28.0 and v2.28.1 stop at it; others look for an image or a file that is not there.
    let stops = release.is_from(28) && !release.is_from(29) && prefixed;
    match stops {
        true => report.error(at, CODE, message, help),
        false => report.warning(at, CODE, message, help),
    }
}

/// A variable of which the release knows nothing. A user's own role may read it.
fn unknown(name: &str, names: &Names, release: &Release, at: &At, report: &mut Report) {
    let tag = &release.tag;
    let guess = || {
        let near = |known: &&&str| known.len().abs_diff(name.len()) <= 1 + known.len() / 8;
        names
            .keys()
            .filter(near)
            .map(|known| (strsim::osa_distance(name, known), *known))
            .filter(|(distance, known)| *distance <= 1 + known.len() / 8)
            .min()
            .map(|(_, known)| known)
    };
    let older = names::last_with(name).filter(|last| last.tag < *tag);
    let newer = names::first_with(name).filter(|first| first.tag > *tag);
    let help = match (variables::moved(name), older, newer) {
        (Some(now), Some(last), _) => format!("the last that reads it is {}; {now}", last.tag),
        (None, Some(last), _) => format!("the last that reads it is {}; leave it out", last.tag),
        (_, None, Some(first)) => format!("the first that reads it is {}", first.tag),
        (_, None, None) => match guess() {
            Some(guess) => format!("did you mean `{guess}`?"),
            None => "leave it out, unless a role of your own reads it".to_owned(),
        },
    };
    let message = format!(
        "{} is not a variable of Kubespray {tag}, which does not read it",
        quote(name)
    );
    const CODE: &str = "addon-variable-unknown";
    match report.key(at) {
        Some(key) => report.at_key(at, key, Severity::Warning, CODE, message, help),
        None => report.warning(at, CODE, message, help),
    }
}

/// Whether another variable's expression names it.
fn is_read_by_others(name: &str, all: &Mapping) -> bool {
    all.values().any(|value| mentions(name, value))
}

fn mentions(name: &str, value: &Value) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match value {
        Value::String(text) => {
            (text.contains("{{") || text.contains("{%"))
                && text.split(|c| !is_word(c)).any(|word| word == name)
        }
        Value::Sequence(list) => list.iter().any(|value| mentions(name, value)),
        Value::Mapping(mapping) => mapping.values().any(|value| mentions(name, value)),
        _ => false,
    }
}
