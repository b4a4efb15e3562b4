//! `supplementary_addresses_in_ssl_keys`: further names and addresses of the API server in its certificates, as kubeadm
//! takes them.

use std::net::IpAddr;

use super::conditions::is_expression;
use crate::report::{KeyPath, Report, quote};
use crate::yaml::Value;

pub(super) fn names(value: &Value, path: &KeyPath, report: &mut Report) {
    let Some(items) = value.as_sequence() else {
        let help = "write the names as a list";
        report.error(path, "addon-variable", "it must be a list", help);
        return;
    };
    for (index, item) in items.iter().enumerate() {
        let (shown, text) = match item {
            item if is_expression(item) => continue,
            Value::String(text) if is_name(text) => continue,
            Value::String(text) if text.is_empty() => ("nothing".to_owned(), ""),
            Value::String(text) => (quote(&crate::address::shown(text)), text.as_str()),
            Value::Null => ("nothing".to_owned(), ""),
            Value::Sequence(_) => ("a list".to_owned(), ""),
            Value::Mapping(_) => ("a mapping".to_owned(), ""),
            other => (quote(&scalar(other)), ""),
        };
        let help = match suggestion(text) {
            Some(name) => format!("write `{name}`"),
            None if text.contains(',') => "write each name as an item of its own".to_owned(),
            None => "write a DNS name of lower-case letters, digits, `-` and `.`, which may begin with `*.`, or an address"
                .to_owned(),
        };
        let message = format!("{shown} is no name that a certificate can be for");
        report.error(&path.index(index), "certificate-name", message, help);
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        _ => String::new(),
    }
}

/// Whether a text is an IP address or a DNS name, also with `*.` before it. The last part of a name is never a number: so
/// `10.0.0.300` is neither.
fn is_name(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_part = |part: &str| {
        (1..=63).contains(&part.len())
            && part.chars().all(inner)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.chars().all(|c| c.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(is_part) && !is_number
}

/// The name to suggest for a URL, or for a name in upper case, with a port or with a dot at its end.
fn suggestion(text: &str) -> Option<String> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    };
    let host = host.trim().trim_end_matches('.').to_ascii_lowercase();
    is_name(&host).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kubeadm_takes() {
        for name in [
            "api.example.org",
            "*.example.org",
            "api",
            "10.0.0.1",
            "2001:db8::1",
            "1.api",
            "a-b.c",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "*",
            "a.*.b",
            "my_api.lan",
            "API",
            "10.0.0.300",
            "1",
            "a..b",
            "-a",
            "a.",
            "a,b",
            "[::1]",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn the_name_in_a_url_is_suggested() {
        for (text, name) in [
            ("https://api.example.org", Some("api.example.org")),
            (
                "https://me:s@API.example.org:6443/x",
                Some("api.example.org"),
            ),
            ("10.0.0.1:6443", Some("10.0.0.1")),
            ("[2001:db8::1]:6443", Some("2001:db8::1")),
            ("api.example.org.", Some("api.example.org")),
            ("my_api.lan", None),
            ("", None),
            ("10.0.0.300", None),
        ] {
            assert_eq!(suggestion(text).as_deref(), name, "{text}");
        }
    }
}
