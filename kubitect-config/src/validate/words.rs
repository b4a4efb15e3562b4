//! Rules for texts that have no type of their own: accounts, paths, addresses of things.

use crate::address;
use crate::uri::Uri;
use crate::value::Invalid;

/// An account's name (POSIX, as useradd takes it).
pub(super) fn login(text: &str) -> Result<(), Invalid> {
    let mut chars = text.chars();
    let first = chars
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let rest = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
    if first && rest && text.len() <= 32 {
        Ok(())
    } else {
        Err(Invalid::new(
            "must be 1 to 32 lower-case letters, digits, `_` or `-`, and begin with a letter or `_`",
        ))
    }
}

/// Accounts that the images, Kubernetes or the balancer's packages have or make for themselves.
const TAKEN: [&str; 14] = [
    "root",
    "daemon",
    "bin",
    "sys",
    "sync",
    "mail",
    "man",
    "nobody",
    "sshd",
    "www-data",
    "kube",
    "etcd",
    "haproxy",
    "keepalived_script",
];

/// An account that can be made on a fresh machine.
pub(super) fn new_login(text: &str) -> Result<(), Invalid> {
    login(text)?;
    if TAKEN.contains(&text) {
        return Err(Invalid::new(
            "must not be an account that the machines have anyway; `k8s` is the default",
        ));
    }
    Ok(())
}

/// The name of a network interface or a bridge (Linux takes 15 bytes).
pub(super) fn interface(text: &str) -> Result<(), Invalid> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=15).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(safe)
    {
        Ok(())
    } else {
        Err(Invalid::new(
            "must be 1 to 15 letters, digits, `-`, `_` or `.`, and begin with a letter or digit",
        ))
    }
}

/// An absolute path without surprises.
pub(super) fn absolute_path(text: &str) -> Result<(), Invalid> {
    if !text.starts_with('/') {
        return Err(Invalid::new("must be an absolute path, beginning with `/`"));
    }
    if text.contains(char::is_control) {
        return Err(Invalid::new("must not contain control characters"));
    }
    if text.split('/').any(|part| part == "..") {
        return Err(Invalid::new("must not contain `..`"));
    }
    Ok(())
}

/// A path on this machine: absolute or below the home folder.
pub(super) fn path(text: &str) -> Result<(), Invalid> {
    match text.strip_prefix("~/") {
        Some(rest) => absolute_path(&format!("/{rest}")),
        None => absolute_path(text).map_err(|error| {
            if text.starts_with('/') {
                error
            } else {
                Invalid::new("must be an absolute path, beginning with `/` or `~/`")
            }
        }),
    }
}

/// What no address may contain: it would end the word or begin an option.
fn plain_word(text: &str) -> Result<(), Invalid> {
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "\"'`<>\\{}|^".contains(c);
    if text.starts_with('-') || text.contains(forbidden) {
        return Err(Invalid::new(
            "must not begin with `-`, nor contain blanks, quotes, control characters or any of <>\\{}|^",
        ));
    }
    Ok(())
}

/// An http(s) address.
pub(super) fn http(text: &str) -> Result<(), Invalid> {
    plain_word(text)?;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') => Ok(()),
        _ => Err(Invalid::new("must be an http:// or https:// address")),
    }
}

/// Where an image lies: a path or an http(s) address.
pub(super) fn image_source(text: &str) -> Result<(), Invalid> {
    if text.starts_with('/') || text.starts_with("~/") {
        path(text)
    } else {
        http(text).map_err(|_| {
            Invalid::new(
                "must be an absolute path, or an http:// or https:// address without blanks",
            )
        })
    }
}

/// A git repository: a path, a URL, or `user@host:path`.
fn repository(text: &str) -> Result<(), Invalid> {
    if text.starts_with('/') || text.starts_with("~/") {
        return path(text);
    }
    plain_word(text)?;
    let url = ["https://", "http://", "ssh://", "git://", "file:///"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let scp = || {
        text.split_once(':').is_some_and(|(host, path)| {
            host.contains('@') && !host.contains('/') && !path.is_empty() && !path.starts_with(':')
        })
    };
    let well_formed = match url {
        // git would take a host that begins with `-` for an option of ssh.
        Some(rest) => !rest.is_empty() && !rest.starts_with(['-', '/']),
        None => scp(),
    };
    if well_formed {
        Ok(())
    } else {
        Err(Invalid::new(
            "must be a git URL (https://, ssh://, file:///), user@host:path or an absolute path",
        ))
    }
}

/// A repository that is fetched from with its address as it is; what git's arguments hold, other users see.
pub(super) fn repository_without_secret(text: &str) -> Result<(), Invalid> {
    if address::holds_secret(text) {
        return Err(Invalid::new(
            "must not hold a user name, token or password, which other users and logs would see; let git find it (a \
             credential helper, or an SSH address)",
        ));
    }
    repository(text)
}

/// A libvirt URI that every file may name.
pub(super) fn libvirt_uri(text: &str) -> Result<(), Invalid> {
    plain_word(text)?;
    Uri::parse(text).map(drop)
}

/// A libvirt URI that the site allows, whatever it does.
pub(super) fn site_uri(text: &str) -> Result<(), Invalid> {
    plain_word(text)?;
    Uri::read(text).map(drop)
}

/// The name or address of a machine.
pub(super) fn host_name(text: &str) -> Result<(), Invalid> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-.:_".contains(c);
    if (1..=253).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':')
        && text.chars().all(safe)
    {
        Ok(())
    } else {
        Err(Invalid::new("must be an address or a host name"))
    }
}
