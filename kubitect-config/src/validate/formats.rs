//! The formats of texts that have no type of their own: accounts, paths, URLs.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::address;
use crate::text::line;
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

/// Accounts that machines already have, or that a package adds, so that cloud-init cannot add them: those in the images of all
/// supported distros (Debian's base-passwd, RHEL's setup, systemd and others), of Kubernetes, and of the balancer's packages. A
/// *group* of that name does no harm: it becomes the account's own.
#[rustfmt::skip]
const TAKEN: [&str; 70] = [
    "_apt", "_chrony", "_rpc", "_ssh", "adm", "backup", "bin", "chrony",
    "clevis", "cockpit-ws", "cockpit-wsinstance", "daemon", "dbus", "dhcpcd", "etcd", "ftp",
    "fwupd-refresh", "games", "geoclue", "gnats", "halt", "haproxy", "irc", "keepalived_script",
    "kube", "landscape", "libstoragemgmt", "list", "lp", "lxd", "mail", "man",
    "messagebus", "news", "nfsnobody", "nobody", "ntp", "ntpsec", "operator", "polkitd",
    "pollinate", "postfix", "proxy", "root", "rpc", "rpcuser", "saslauth", "setroubleshoot",
    "shutdown", "sshd", "sssd", "statd", "sync", "sys", "syslog", "systemd-coredump",
    "systemd-journal-remote", "systemd-network", "systemd-oom", "systemd-resolve", "systemd-timesync", "tcpdump", "tftp", "tss",
    "unbound", "unscd", "usbmux", "uucp", "uuidd", "www-data",
];

/// An account that can be added to a new machine.
pub(super) fn new_login(text: &str) -> Result<(), Invalid> {
    login(text)?;
    if TAKEN.contains(&text) {
        return Err(Invalid::new(
            "must not be an account that a distro's machines have anyway; `k8s` is the default",
        ));
    }
    Ok(())
}

/// The name of a network interface or a bridge: in Linux at most 15 bytes.
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

/// An absolute path, without `..` and control characters.
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
                let home = ["$HOME/", "${HOME}/"]
                    .iter()
                    .find_map(|home| text.strip_prefix(home));
                Invalid::new(match home {
                    Some(rest) => format!("must be an absolute path: write `~/{rest}`"),
                    None => "must be an absolute path, beginning with `/` or `~/`".to_owned(),
                })
            }
        }),
    }
}

/// A text that can be an argument of a command: nothing in it ends the word or begins an option. Invisible characters and too
/// long texts, which `line` changes, are refused, too.
fn plain_word(text: &str) -> Result<(), Invalid> {
    let forbidden = |c: char| c.is_whitespace() || "\"'`<>\\{}|^".contains(c);
    if text.starts_with('-') || text.contains(forbidden) || line(text) != text {
        return Err(Invalid::new(
            "must not begin with `-`, nor contain blanks, quotes, control characters or any of <>\\{}|^",
        ));
    }
    Ok(())
}

/// A URL whose host, if it has one, is a valid name or address.
fn named_host(url: &str) -> Result<(), Invalid> {
    match address::host(url) {
        Some(host) => host_name(host).map_err(|_| {
            Invalid::new("must name a host, or its address of four numbers from 0 to 255")
        }),
        None => Ok(()),
    }
}

/// Checks the authority of a URL, `user@host:port`, and gives the user, if it has one. The host is a name or an address; an IPv6
/// address is in brackets.
fn authority_user(authority: &str) -> Result<Option<&str>, Invalid> {
    let (user, host_and_port) = match authority.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, authority),
    };
    let (host, port) = match host_and_port.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or((rest, "?")),
        None => host_and_port.split_at(host_and_port.find(':').unwrap_or(host_and_port.len())),
    };
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let is_port = |text: &str| is_number(text) && text.parse::<u16>().is_ok_and(|port| port > 0);
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    let is_bracketed = host_and_port.starts_with('[');
    if host_name(host).is_ok() && host.contains(':') == is_bracketed && port_fits {
        return Ok(user);
    }
    Err(Invalid::new(
        "must name a host, or its address of four numbers from 0 to 255, and behind a `:` no more than its port",
    ))
}

/// An http(s) URL.
pub(super) fn http(text: &str) -> Result<(), Invalid> {
    plain_word(text)?;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            authority_user(authority).map(drop)
        }
        _ => Err(Invalid::new("must be an http:// or https:// address")),
    }
}

/// An item of the list that is reached without a proxy: one name, address or range.
pub(super) fn no_proxy(text: &str) -> Result<(), Invalid> {
    plain_word(text)?;
    if text.is_empty() || text.contains([',', ';']) {
        return Err(Invalid::new(
            "must be one name, address or range; write each as an item of its own",
        ));
    }
    Ok(())
}

/// The source of an image: a path or an http(s) URL.
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

/// A git repository: a path, a URL, or `user@host:path`. Host and user have only safe characters: git passes them to `ssh`, which
/// may put them into a shell command (`%h` and `%r` of a `ProxyCommand`).
fn repository(text: &str) -> Result<(), Invalid> {
    if text.starts_with('/') || text.starts_with("~/") {
        return path(text);
    }
    plain_word(text)?;
    if let Some(base) = repository_of_page(text) {
        return Err(Invalid::new(format!(
            "must be what git clones, not a page about it: write `{base}`, and the release as kubespray.version"
        )));
    }
    if let Some(rest) = text.strip_prefix("file://") {
        return absolute_path(rest);
    }
    let url = ["https://", "http://", "ssh://", "git://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let authority = match url {
        Some(rest) => rest.split('/').next(),
        None => scp(text),
    };
    let Some(authority) = authority.filter(|authority| !authority.is_empty()) else {
        let rule =
            "must be a git URL (https://, ssh://, file:///), user@host:path or an absolute path";
        let bare = !text.contains("://")
            && text.split_once('/').is_some_and(|(host, path)| {
                host.contains('.') && !path.is_empty() && host_name(host).is_ok()
            });
        return Err(Invalid::new(match bare {
            true => format!("{rule}: write `https://{text}`"),
            false => rule.to_owned(),
        }));
    };
    match authority_user(authority)? {
        Some(user) => host_login(user),
        None => Ok(()),
    }
}

/// The `user@host` of a repository that is written as for scp: `user@host:path`.
fn scp(text: &str) -> Option<&str> {
    let (login, path) = text.split_once(':')?;
    // git takes a path that begins with `-` for an option, and `name::` for a program of its own.
    let is_path = !path.is_empty() && !path.starts_with([':', '-']);
    (login.contains('@') && !login.contains('/') && is_path).then_some(login)
}

/// The repository that is meant by the URL of one of its pages or archives on GitHub.
fn repository_of_page(text: &str) -> Option<String> {
    let rest = text.strip_prefix("https://github.com/")?;
    let mut parts = rest.split('/');
    let (owner, name, kind) = (parts.next()?, parts.next()?, parts.next()?);
    let is_page = [
        "archive", "blob", "commit", "commits", "releases", "tags", "tree",
    ]
    .contains(&kind);
    is_page.then(|| format!("https://github.com/{owner}/{name}"))
}

/// Whether a URL's protocol is neither encrypted nor verified: anybody on the network path can change what comes from it.
pub(super) fn is_insecure(url: &str) -> bool {
    let scheme = url.split("://").next().unwrap_or_default();
    url.contains("://")
        && ["http", "git", "ftp"]
            .iter()
            .any(|insecure| scheme.eq_ignore_ascii_case(insecure))
}

/// Whether a repository is a folder on this machine.
pub(super) fn is_folder(repository: &str) -> bool {
    repository.starts_with('/') || repository.starts_with("~/") || repository.starts_with("file://")
}

/// A git repository whose URL has no password or token: it is an argument of git, which other users of this machine can see.
pub(super) fn repository_without_secret(text: &str) -> Result<(), Invalid> {
    if address::holds_secret(text) {
        return Err(Invalid::new(
            "must not hold a user name, token or password, which other users and logs would see; let git find it (a \
             credential helper, or an SSH address)",
        ));
    }
    repository(text)
}

/// A libvirt URI that a cluster file may have: one that only connects.
pub(super) fn libvirt_uri(text: &str) -> Result<(), Invalid> {
    plain_word(text)?;
    Uri::parse(text)?;
    named_host(text)
}

/// A libvirt URI that the site file allows, with any driver, transport and parameters.
pub(super) fn site_uri(text: &str) -> Result<(), Invalid> {
    plain_word(text)?;
    Uri::read(text)?;
    named_host(text)
}

/// The name or IP address of a host. The last part of a name is never a number (RFC 3696, section 2): so a text that ends in one
/// must be an address.
pub(super) fn host_name(text: &str) -> Result<(), Invalid> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
    if text.contains(':') {
        return match text.parse::<Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(Invalid::new(
                "must be an address or a host name; a port stands in `ssh.port`",
            )),
        };
    }
    if is_number(last) && text.parse::<Ipv4Addr>().is_err() {
        return Err(Invalid::new(
            "must be an address of four numbers from 0 to 255, or a host name, whose last part is no number",
        ));
    }
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let is_part = |part: &str| {
        (1..=63).contains(&part.len()) && part.chars().all(safe) && !part.starts_with('-')
    };
    if name.len() <= 253 && name.split('.').all(is_part) {
        Ok(())
    } else {
        Err(Invalid::new("must be an address or a host name"))
    }
}

/// An account on a host. Its owner made it: so more characters are allowed than in [`login`], as in `Jane.Doe` or `user@domain`.
pub(super) fn host_login(text: &str) -> Result<(), Invalid> {
    let safe = |c: char| c.is_alphanumeric() || "-_.@+$\\".contains(c);
    let has_form = (1..=256).contains(&text.len()) && !text.starts_with('-');
    let why = "must be an account's name: letters, digits and `-_.@+$\\`, and not begin with `-`";
    let valid = (has_form && text.chars().all(safe)).then_some(());
    valid.ok_or_else(|| Invalid::new(why))
}

#[cfg(test)]
mod tests;
