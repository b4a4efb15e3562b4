//! Addresses that hold a secret: what stands before the host (`https://TOKEN@host/`) and in the query (`?sig=…`), other users
//! and logs would see.

use std::ops::Range;

/// Instead of a secret.
pub(crate) const HIDDEN: &str = "(not shown)";

/// Whether an address in `text` holds a secret: over HTTP anything before its host, as a token is a user's name there;
/// over SSH a password, but no user's name (`ssh://git@host/`).
pub fn holds_secret(text: &str) -> bool {
    secrets(text)
        .iter()
        .any(|secret| !text[..secret.start].ends_with('?'))
}

/// The text without the secrets of the addresses in it: signed addresses have theirs in the query.
pub fn shown(text: &str) -> String {
    let mut shown = String::new();
    let mut end = 0;
    for secret in secrets(text) {
        shown += &text[end..secret.start];
        shown += HIDDEN;
        end = secret.end;
    }
    shown + &text[end..]
}

/// Where in the text the secrets of the addresses in it stand, in bytes and in order.
pub fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find("://") {
        let before = &text[from..from + found];
        let start = from + found + 3;
        let authority = text[start..].split('/').next().unwrap_or_default();
        from = start + authority.len();
        let word = |c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c);
        let scheme = before.rsplit(word).next().unwrap_or_default();
        if let Some((user, _)) = authority.rsplit_once('@')
            && (user.contains(':') || !scheme.contains("ssh"))
        {
            secrets.push(start..start + user.len());
        }
        let end = |c: char| c.is_whitespace() || c.is_control() || "\"'`<>#".contains(c);
        let address = &text[start..start + text[start..].find(end).unwrap_or(text.len() - start)];
        if let Some(query) = address.find('?').map(|at| start + at + 1) {
            let whole = query..start + address.len();
            if !whole.is_empty() && secrets.last().is_none_or(|last| last.end <= query) {
                secrets.push(whole.clone());
            }
            from = from.max(whole.end);
        }
    }
    secrets
}

/// The host of an address: without who logs in, the port and what follows; none where it names none.
pub fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority
            .split_once(':')
            .map_or(authority, |(host, _)| host),
    };
    (!host.is_empty()).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_passwords_are_noticed_and_names_of_ssh_are_not() {
        for (url, without) in [
            (
                "https://me:s@git.example/x",
                "https://(not shown)@git.example/x",
            ),
            (
                "https://TOKEN@git.example",
                "https://(not shown)@git.example",
            ),
            (
                "HTTP://TOKEN@git.example:80/a@b",
                "HTTP://(not shown)@git.example:80/a@b",
            ),
            (
                "ssh://git:s@git.example/x",
                "ssh://(not shown)@git.example/x",
            ),
            (
                "https://me:s@h/x.img?sig=SECRET&b=https://t@u then",
                "https://(not shown)@h/x.img?(not shown) then",
            ),
            (
                "https://a@b@c/x https://h/y http://d@e",
                "https://(not shown)@c/x https://h/y http://(not shown)@e",
            ),
        ] {
            assert!(holds_secret(url), "{url}");
            assert_eq!(shown(url), without);
        }
        for (url, is) in [
            (
                "qemu+ssh://me@198.51.100.7:22/system?x=a@b",
                Some("198.51.100.7"),
            ),
            ("https://[2001:db8::1]:443/x", Some("2001:db8::1")),
            ("qemu:///system", None),
            ("plain", None),
        ] {
            assert_eq!(host(url), is, "{url}");
        }
        for url in [
            "https://git.example:8443/kubespray",
            "ssh://git@git.example:22/kubespray",
            "git+ssh://git@git.example/kubespray",
            "git@git.example:team/kubespray",
            "/srv/a:b@c/kubespray",
            "https://git.example/a:b@c",
            "file:///srv/kubespray",
            "https://git.example/x?",
            "://",
            "",
        ] {
            assert!(!holds_secret(url), "{url}");
            assert_eq!(shown(url), url);
        }
        // A query is no reason to refuse an address, and not shown.
        for (url, without) in [
            ("https://h/x?a=b#c", "https://h/x?(not shown)#c"),
            (
                "qemu+ssh://me@h/system?keyfile=/x",
                "qemu+ssh://me@h/system?(not shown)",
            ),
            ("`https://h/x?a=b`, as", "`https://h/x?(not shown)`, as"),
        ] {
            assert_eq!(shown(url), without);
        }
    }
}
