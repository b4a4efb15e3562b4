//! Secrets in URLs: before the host (`https://TOKEN@host/`) and in the query (`?sig=…`). They must not be shown, as other users
//! see command lines and logs.

use std::ops::Range;

/// The text that replaces a secret.
pub(crate) const HIDDEN: &str = "(not shown)";

/// Whether a URL in `text` has a secret before its host. Over HTTP that is anything, as a token can be the user's name; over SSH
/// only a password, not a user's name alone (`ssh://git@host/`).
pub fn holds_secret(text: &str) -> bool {
    secrets(text)
        .iter()
        .any(|secret| !text[..secret.start].ends_with('?'))
}

/// The text without the secrets of the URLs in it. Queries are removed, too: signed URLs have their secret there.
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

/// The byte ranges of the secrets of all URLs in the text, in order.
pub fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut secrets = of_urls(text);
    let bare = bare(text).filter(|own| {
        let disjoint = |other: &Range<usize>| own.end <= other.start || other.end <= own.start;
        secrets.iter().all(disjoint)
    });
    let bare: Vec<_> = bare.collect();
    secrets.extend(bare);
    secrets.sort_by_key(|secret| secret.start);
    secrets
}

/// Whether a character ends a URL.
fn ends(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "\"'`<>#".contains(c)
}

/// The parts before the host of URLs without a scheme: `me:secret@proxy:3128`; for a variable of a proxy also a user's name
/// alone, which may be a token.
fn bare(text: &str) -> impl Iterator<Item = Range<usize>> {
    let login = |end: usize| {
        let start = text[..end].rfind(ends).map_or(0, |before| {
            before + text[before..].chars().next().map_or(0, char::len_utf8)
        });
        let user = &text[start..end];
        let label = text[..start].trim_end_matches(['"', '\'', ' ']);
        let is_proxy =
            label.trim_end_matches([':', '"']).ends_with("proxy") && label.ends_with(':');
        let has_secret = user.contains(':') || is_proxy;
        (has_secret && !user.is_empty() && !user.contains('/')).then_some(start..end)
    };
    let signs = text.match_indices('@').filter(move |(index, _)| {
        // Only the last `@` of a word is before a host. Before `@sha256:` is the name of a container image.
        let rest = text[index + 1..].split(ends).next().unwrap_or_default();
        !rest.contains('@') && !rest.starts_with("sha256:")
    });
    signs.filter_map(move |(index, _)| login(index))
}

/// The secrets of URLs with a scheme.
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
        if let Some(query) = address.find('?').map(|index| start + index + 1) {
            let whole = query..start + address.len();
            if !whole.is_empty() && secrets.last().is_none_or(|last| last.end <= query) {
                secrets.push(whole.clone());
            }
            from = from.max(whole.end);
        }
    }
    secrets
}

/// The host of a URL, without user, port and path; none if the URL has none.
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
        // Without a scheme.
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
        // A URL with a query is allowed, but the query is not shown.
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
