//! The patterns of secrets in any text.

use std::sync::LazyLock;

use regex::Regex;

use super::REMOVED;

/// Each pattern, with the text that replaces a match. The groups `before` and `after` of a match stay.
pub static PATTERNS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let words = r"pass(?:word|wd|phrase)|secret|token|credential|(?:api|access|private|certificate|encryption|activation|auth|ipsec)[-_ ]?key(?:[-_]?data)?|client[-_]key[-_]data|authorization|(?:\b|[_-]|peer)(?:pass|pwd|psk|creds?|auth)\b";
    let patterns = [
        // Private keys in PEM; also on one line with `\n` in it, and with the end cut off.
        (
            r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)".to_owned(),
            "[private key removed]",
        ),
        // PEM in base64, as in a kubeconfig.
        (r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]*".to_owned(), REMOVED),
        // JSON Web Tokens.
        (r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*".to_owned(), REMOVED),
        // JSON in base64, as the logins of registries.
        (r"\beyJ[A-Za-z0-9+/_-]{16,}={0,2}".to_owned(), REMOVED),
        // Webhooks: whoever has the URL can post.
        (r#"(?i)(?P<before>https?://[^\s/"'?]*hook[^\s/"'?]*/)[^\s"']+"#.to_owned(), REMOVED),
        (r#"(?i)(?P<before>https?://[^\s"'?]*/[a-z-]*hooks?/)[^\s"']+"#.to_owned(), REMOVED),
        (r"(?i)(?P<before>\b(?:bearer|basic) )[A-Za-z0-9._~+/=-]{8,}".to_owned(), REMOVED),
        // kubeadm's bootstrap tokens.
        (r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b".to_owned(), REMOVED),
        // Tokens with the prefix of a known service, and password hashes as in `/etc/shadow`.
        (
            r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[a-z]-|hvs\.|AKIA|ASIA)[A-Za-z0-9_-]{12,}".to_owned(),
            REMOVED,
        ),
        (
            r#"\$(?:1|2[abxy]|5|6|7|g?y|apr1|argon2[a-z]+)\$[^\s"':,]+"#.to_owned(),
            REMOVED,
        ),
        // Options of curl and of sshpass.
        (
            r"(?m)(?P<before>(?:^|\s)(?:-u|--user)[ =]+[^\s:]+:)[^\s]+".to_owned(),
            REMOVED,
        ),
        (r"(?P<before>\bsshpass +-p *)[^\s]+".to_owned(), REMOVED),
        // Options: `--token abc`, `--password=abc`.
        (
            format!(r"(?i)(?P<before>--?[a-z-]*(?:{words})[a-z-]*(?:=| +))[^\s]+"),
            REMOVED,
        ),
        // The same as items of a list: `["--token", "abc"]`.
        (
            format!(r#"(?i)(?P<before>["']--?[a-z0-9-]*(?:{words})[a-z0-9-]*["'],?\s*["'])[^"']*"#),
            REMOVED,
        ),
        // Quoted text after such a name, as in JSON; the name may be quoted, too.
        (
            format!(r#"(?i)(?P<before>[a-z0-9_.-]*(?:{words})[a-z0-9_]*["']?[ \t]*[:=][ \t]*")(?:[^"\\]|\\.)*"#),
            REMOVED,
        ),
        // The same inside a string, with escaped quotes.
        (
            format!(r#"(?i)(?P<before>[a-z0-9_.-]*(?:{words})[a-z0-9_]*\\?["']?[ \t]*[:=][ \t]*\\")(?:[^"\\]|\\[^"])*"#),
            REMOVED,
        ),
        (
            format!(r#"(?i)(?P<before>[a-z0-9_.-]*(?:{words})[a-z0-9_]*["']?[ \t]*[:=][ \t]*')[^']*"#),
            REMOVED,
        ),
        // Anything else after such a name, to the end of the line.
        (
            format!(r#"(?im)(?P<before>[a-z0-9_.-]*(?:{words})[a-z0-9_]*(?:[:=]|[ \t]+=)[ \t]*)[^\s"'\[{{\\>][^\n]*"#),
            REMOVED,
        ),
    ];
    patterns
        .into_iter()
        .filter_map(|(pattern, shown)| Some((Regex::new(&pattern).ok()?, shown)))
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_one() {
        assert_eq!(PATTERNS.len(), 18);
    }
}
