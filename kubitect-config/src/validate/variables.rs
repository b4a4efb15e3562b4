//! `addons.kubespray`, variable by variable. Variables that Kubitect sets itself are errors, and so are other values than those
//! that it relies on. Variables that the release does not read, or reads as another type, are warnings.

use crate::yaml::{Mapping, Value};

use super::{certificate, conditions};
use crate::problem::Severity;
use crate::release::Release;
use crate::release::names::{self, Kind, Names};
use crate::report::{KeyPath, Report, quote};
use crate::variables::{self, SANS};

/// The variables as Kubespray gets them. A truth value or number that is written as text becomes one, if the release does not
/// take text for that variable.
pub(super) fn variables(
    kubespray: &Mapping,
    release: Option<&Release>,
    path: &KeyPath,
    report: &mut Report,
) -> Mapping {
    let mut result = Mapping::new();
    for (key, value) in kubespray {
        // All keys of a file are text.
        let Some(name) = key.as_str() else { continue };
        let is_managed = managed(name, value, &path.key(name), report);
        let mut value = value.clone();
        if let (false, Some(release)) = (is_managed, release) {
            value = for_release(name, value, kubespray, release, path, report);
        }
        result.insert(key.clone(), value);
    }
    result
}

/// Reports a variable that the file may not set, as Kubitect sets it itself, or not to this value, as Kubitect relies on another.
/// Gives whether the variable was reported, or has a rule of its own here: then [`for_release`] does not check it.
fn managed(name: &str, value: &Value, path: &KeyPath, report: &mut Report) -> bool {
    const CODE: &str = "addon-variable";
    let mut error = |message: String, help: String| match report.key(path) {
        Some(key) => report.at_key(path, key, Severity::Error, CODE, message, help),
        None => report.error(path, CODE, message, help),
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
        certificate::names(value, path, report);
    } else if name == "authorization_modes" {
        let has = |mode: &str| {
            value
                .as_sequence()
                .is_some_and(|modes| modes.iter().any(|own| own == mode))
        };
        if !(has("Node") && has("RBAC")) {
            error(
                "`authorization_modes` must have Node and RBAC: nodes and load balancers are let in by them".to_owned(),
                "write `authorization_modes: [Node, RBAC]`, and others beside them".to_owned(),
            );
        }
    } else if name == "kube_kubeadm_apiserver_extra_args" {
        let keys = value.as_mapping().into_iter().flat_map(Mapping::keys);
        for argument in keys.filter_map(Value::as_str) {
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

/// Checks the variable against the release, and gives the value that Kubespray gets.
fn for_release(
    name: &str,
    value: Value,
    all: &Mapping,
    release: &Release,
    path: &KeyPath,
    report: &mut Report,
) -> Value {
    let names = names::names(release);
    let path = &path.key(name);
    let Some(kind) = names.get(name) else {
        if !is_read_by_others(name, all) {
            unknown(name, &value, names, release, path, report);
        }
        return value;
    };
    let asserts = ASSERTED.contains(&name) && !is_on("ignore_assert_errors", all);
    let mismatch = |value: &Value, report: &mut Report| {
        mismatch(name, value, *kind, asserts, release, path, report);
    };
    let Some(text) = value.as_str() else {
        mismatch(&value, report);
        return value;
    };
    if conditions::is_expression(&value) {
        return value;
    }
    let converted = match kind {
        Kind::Boolean => variables::truth(text).map(Value::from),
        Kind::Number => {
            let number = text.parse::<i64>().ok();
            number
                .filter(|number| number.to_string() == text)
                .map(Value::from)
        }
        _ => None,
    };
    if let Some(converted) = converted {
        // Not reported: every version is read as text (`ansible.rs`), but for this variable the release takes a number.
        if *kind == Kind::Number && name.ends_with("_version") {
            return converted;
        }
        return quoted(name, converted, release, path, report);
    }
    if *kind == Kind::Unknown && is_truth_word(text) {
        always_true(name, text, path, report);
    }
    let spelled = conditions::component_spelled(name, text, all, release);
    version(name, text, (*kind, spelled), release, path, report);
    mismatch(&value, report);
    value
}

/// Variables whose type is asserted by all releases that read them, or with which these releases calculate.
const ASSERTED: [&str; 7] = [
    "deploy_netchecker",
    "download_always_pull",
    "download_run_once",
    "helm_enabled",
    "kube_network_node_prefix",
    "kubelet_max_pods",
    "openstack_lbaas_enabled",
];

fn is_on(name: &str, all: &Mapping) -> bool {
    match all.get(name) {
        Some(Value::Bool(is)) => *is,
        Some(Value::String(text)) => variables::truth(text) == Some(true),
        _ => false,
    }
}

fn is_truth_word(text: &str) -> bool {
    text.len() > 1 && variables::truth(text).is_some()
}

/// Warns of a truth value that is written as text, where the type that the release takes is not known.
fn always_true(name: &str, text: &str, path: &KeyPath, report: &mut Report) {
    let is = variables::truth(text).unwrap_or_default();
    report.warning(
        path,
        "addon-variable-quoted",
        format!(
            "{} is text, which conditions of Ansible take for true, whatever it says",
            quote(name)
        ),
        format!("write `{name}: {is}`, without quotation marks"),
    );
}

/// Warns of a truth value or number that is written as text, and gives the converted value.
fn quoted(
    name: &str,
    converted: Value,
    release: &Release,
    path: &KeyPath,
    report: &mut Report,
) -> Value {
    let shown = match &converted {
        Value::Bool(is) => is.to_string(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let how = match report.is_plain(path) {
        true => "",
        false => ", without quotation marks",
    };
    report.warning(
        path,
        "addon-variable-quoted",
        format!(
            "{} is text, and no text in Kubespray {}",
            quote(name),
            release.tag
        ),
        format!("it is passed on as `{shown}`: write `{name}: {shown}`{how}"),
    );
    converted
}

/// Reports a value of another type than the default's: an error if the release asserts the type, else a warning.
fn mismatch(
    name: &str,
    value: &Value,
    kind: Kind,
    asserts: bool,
    release: &Release,
    path: &KeyPath,
    report: &mut Report,
) {
    // Text that begins with a digit may be a number with a unit.
    let is_amount = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let fits = match (kind, value) {
        (Kind::Boolean, Value::Null) => !asserts,
        (_, Value::Null) | (Kind::Boolean, Value::Bool(_)) => true,
        (Kind::Number, Value::String(text)) => !asserts && is_amount(text.trim_start_matches('-')),
        (Kind::Number, value) => value.is_number(),
        (Kind::List, value) => value.is_sequence(),
        (Kind::Mapping, value) => value.is_mapping(),
        (Kind::Collection, value) => value.is_sequence() || value.is_mapping(),
        (kind, _) => kind != Kind::Boolean,
    };
    if fits || conditions::checks_form(name) {
        return;
    }
    let wanted = match kind {
        Kind::Boolean => "true or false",
        Kind::Number => "a number",
        Kind::List => "a list",
        Kind::Collection => "a list or a mapping",
        _ => "a mapping",
    };
    const CODE: &str = "addon-variable-type";
    let message = format!("{} is {wanted} in Kubespray {}", quote(name), release.tag);
    let help = match value.as_str() {
        Some(text)
            if matches!(kind, Kind::List | Kind::Collection) && !text.contains([' ', '=']) =>
        {
            format!("write {}", quote(&format!("{name}: [{text}]")))
        }
        _ => format!("write {wanted}"),
    };
    match asserts {
        true => report.error(path, CODE, message + ", which refuses anything else", help),
        false => report.warning(path, CODE, message, help),
    }
}

/// Reports a version that is written with `v` where the release takes it without, or the reverse. From v2.28.0 on, releases take
/// versions without `v`; before, most were with it.
fn version(
    name: &str,
    text: &str,
    (kind, spelled): (Kind, Option<&str>),
    release: &Release,
    path: &KeyPath,
    report: &mut Report,
) {
    // Not if the release refuses the version itself: another spelling would not help.
    if !conditions::version_fits(name, text, release) {
        return;
    }
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let prefixed = text.strip_prefix('v').is_some_and(digit);
    let bare = release.is_from(28) && kind == Kind::Unknown && name.ends_with("_version");
    let (message, help) = if let Some(spelling) = spelled {
        let how = match spelling.starts_with('v') {
            true => "with",
            false => "without",
        };
        (
            format!("Kubespray {} takes {} {how} `v`", release.tag, quote(name)),
            format!("write `{name}: {spelling}`"),
        )
    } else if prefixed && (kind == Kind::Bare || bare) {
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
    // An error where the run fails early: in v2.28.0 and v2.28.1 by a `v`, in all releases without a checksum. Otherwise a
    // download fails later.
    let stops = spelled.is_some() || release.is_from(28) && !release.is_from(29) && prefixed;
    match stops {
        true => report.error(path, CODE, message, help),
        false => report.warning(path, CODE, message, help),
    }
}

/// Warns of a variable that the release does not read. Only a warning: a person's own Ansible role may read it.
fn unknown(
    name: &str,
    value: &Value,
    names: &Names,
    release: &Release,
    path: &KeyPath,
    report: &mut Report,
) {
    let tag = &release.tag;
    let guess = || {
        let near = |own: &&&str| own.len().abs_diff(name.len()) <= 1 + own.len() / 8;
        names
            .keys()
            .filter(near)
            .map(|own| (strsim::osa_distance(name, own), *own))
            .filter(|(distance, own)| *distance <= 1 + own.len() / 8)
            .min()
            .map(|(_, own)| own)
    };
    let older = names::last_with(name).filter(|last| last.tag < *tag);
    let newer = names::first_with(name).filter(|first| first.tag > *tag);
    let help = match (variables::moved(name), older, newer) {
        (Some(now), Some(last), _) => format!("the last that reads it is {}; {now}", last.tag),
        (None, Some(last), _) => format!("the last that reads it is {}; leave it out", last.tag),
        (_, None, Some(first)) => format!("the first that reads it is {}", first.tag),
        (Some(now), None, None) => now.to_owned(),
        (None, None, None) => match guess() {
            Some(guess) => format!("did you mean `{guess}`?{}", refusal(guess, value)),
            None => "leave it out, unless a role of your own reads it".to_owned(),
        },
    };
    let message = format!(
        "{} is not a variable of Kubespray {tag}, which does not read it",
        quote(name)
    );
    const CODE: &str = "addon-variable-unknown";
    match report.key(path) {
        Some(key) => report.at_key(path, key, Severity::Warning, CODE, message, help),
        None => report.warning(path, CODE, message, help),
    }
}

/// The reason if the suggested variable can't be set to this value either.
fn refusal(guess: &str, value: &Value) -> String {
    match (variables::managed(guess), variables::broken(guess, value)) {
        (Some(instead), _) => format!(" It cannot be set here: {instead}"),
        (None, Some(relied)) => format!(" It cannot be changed: {}", relied.why),
        (None, None) => String::new(),
    }
}

/// Whether the expression of another variable names it.
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
