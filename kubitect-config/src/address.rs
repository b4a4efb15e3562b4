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
    let mut secrets = of_urls(text);
    let bare = bare(text).filter(|one| {
        let apart = |other: &Range<usize>| one.end <= other.start || other.end <= one.start;
        secrets.iter().all(apart)
    });
    let bare: Vec<_> = bare.collect();
    secrets.extend(bare);
    secrets.sort_by_key(|secret| secret.start);
    secrets
}

/// What can't belong to an address.
fn ends(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "\"'`<>#".contains(c)
}

/// What stands before the host of an address that lacks its beginning: `me:secret@proxy:3128`; of a proxy's any user's name.
fn bare(text: &str) -> impl Iterator<Item = Range<usize>> {
    let word = |at: usize| {
        let start = text[..at].rfind(ends).map_or(0, |before| {
            before + text[before..].chars().next().map_or(0, char::len_utf8)
        });
        let user = &text[start..at];
        let label = text[..start].trim_end_matches(['"', '\'', ' ']);
        let is_proxy =
            label.trim_end_matches([':', '"']).ends_with("proxy") && label.ends_with(':');
        let has_secret = user.contains(':') || is_proxy;
        (has_secret && !user.is_empty() && !user.contains('/')).then_some(start..at)
    };
    let ats = text.match_indices('@').filter(move |(at, _)| {
        // The last one of its word is before the host; what stands before a digest is the name of an image.
        let rest = text[at + 1..].split(ends).next().unwrap_or_default();
        !rest.contains('@') && !rest.starts_with("sha256:")
    });
    ats.filter_map(move |(at, _)| word(at))
}

fn of_urls(text: &str) -> Vec<Range<usize>> {
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
        let address = &text[start..start + text[start..].find(ends).unwrap_or(text.len() - start)];
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
        // The beginning is missing.
        for (text, without) in [
            ("u:secret@proxy:3128", "(not shown)@proxy:3128"),
            (
                "http_proxy: \"tökén@proxy:3128\" # a",
                "http_proxy: \"(not shown)@proxy:3128\" # a",
            ),
            ("a u:p@s@h, b", "a (not shown)@h, b"),
            (
                "{\"http_proxy\": \"token@proxy\"}",
                "{\"http_proxy\": \"(not shown)@proxy\"}",
            ),
            ("nginx:1.2@sha256:0a", "nginx:1.2@sha256:0a"),
            ("ssh git@h:x 10:20 me@h:22", "ssh git@h:x 10:20 me@h:22"),
        ] {
            assert_eq!(shown(text), without);
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
