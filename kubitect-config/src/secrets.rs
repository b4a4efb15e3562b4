//! [`Secrets`]: takes keys, tokens and passwords out of texts that leave this machine.
//!
//! By structure first: what a file holds under a name that stands for a secret is taken out, and remembered, so that it is found
//! wherever else it stands. By pattern second: what looks like a secret in logs and in what machines say.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::address;
use crate::yaml::{self, Limits, Value};

/// What stands in place of a secret.
pub const REMOVED: &str = "[removed]";

/// Shorter ones are words of their own elsewhere.
const SHORTEST: usize = 4;

/// The secrets of this machine that are known by their values.
#[derive(Default)]
pub struct Secrets(BTreeSet<String>);

impl Secrets {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a secret, and each line of one that has several.
    pub fn know(&mut self, secret: &str) {
        for line in secret.lines().map(str::trim) {
            let is_frame = line.starts_with("-----");
            if line.len() >= SHORTEST && !is_frame && !is_ordinary(line) {
                self.0.insert(line.to_owned());
            }
        }
    }

    /// Remembers what a file of YAML holds under names of secrets and in addresses, and gives the file without it, comments
    /// left out; none, where it can't be read.
    pub fn yaml(&mut self, text: &str) -> Option<String> {
        let mut value = yaml::read(text, Limits::OWN).ok()?;
        self.value(&mut value, false);
        yaml::write(&value).ok().map(|text| self.without(&text))
    }

    fn value(&mut self, value: &mut Value, is_secret: bool) {
        match value {
            Value::Mapping(keys) => {
                for (key, value) in keys.iter_mut() {
                    let name = key.as_str().unwrap_or_default();
                    self.value(value, is_secret || names_secret(name));
                }
            }
            Value::Sequence(items) => {
                for item in items {
                    self.value(item, is_secret);
                }
            }
            Value::String(text) if is_secret => {
                self.know(text);
                *value = Value::String(REMOVED.to_owned());
            }
            Value::Number(number) if is_secret => {
                self.know(&number.to_string());
                *value = Value::String(REMOVED.to_owned());
            }
            Value::String(text) => {
                for range in address::secrets(text) {
                    let secret = &text[range];
                    // The name of who logs in is no secret beside a password.
                    self.know(secret.rsplit(':').next().unwrap_or_default());
                    self.know(secret);
                }
            }
            _ => {}
        }
    }

    /// A text without the secrets that are known, and without what looks like one.
    pub fn without(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // The longest first: one may be a part of another.
        let mut known: Vec<_> = self.0.iter().collect();
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in known {
            text = text.replace(secret.as_str(), REMOVED);
        }
        for (pattern, shown) in &*PATTERNS {
            let replaced = pattern.replace_all(&text, |found: &Captures| {
                let part = |name| found.name(name).map_or("", |part| part.as_str());
                format!("{}{shown}{}", part("before"), part("after"))
            });
            text = replaced.into_owned();
        }
        // Line by line: an address ends with its line.
        let lines: Vec<_> = text.split('\n').map(address::shown).collect();
        lines.join("\n")
    }
}

/// Words that are values of settings, too.
fn is_ordinary(text: &str) -> bool {
    let word = text.to_ascii_lowercase();
    [
        "true", "false", "none", "null", "auto", "default", "secret", "token", "password", REMOVED,
    ]
    .contains(&word.as_str())
}

/// Whether a key's name says that its value is secret.
fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '_', '.'], "");
    let holds = |word: &&str| name.contains(*word);
    let is_place = ["path", "file", "dir", "name", "url"]
        .iter()
        .any(|end| name.ends_with(end));
    SECRET.iter().any(holds) && !is_place
}

/// Parts of names that stand for secrets.
const SECRET: [&str; 14] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "certificatekey",
    "encryptionkey",
    "keydata",
    "certificatedata",
    "registryauth",
];

/// What looks like a secret, with what stays before and after it.
static PATTERNS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let words = r"pass(?:word|wd|phrase)|secret|token|credential|(?:api|access|private|certificate|encryption)[-_ ]?key(?:[-_]?data)?|client[-_]key[-_]data|authorization";
    let patterns = [
        // Private keys in PEM, also as one line with `\n` in it, and what is cut off in the middle of one.
        (
            r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)".to_owned(),
            "[private key removed]",
        ),
        // PEM in base64, as in a kubeconfig.
        (r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]*".to_owned(), REMOVED),
        // JSON Web Tokens.
        (r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*".to_owned(), REMOVED),
        (r"(?i)(?P<before>\b(?:bearer|basic) )[A-Za-z0-9._~+/=-]{8,}".to_owned(), REMOVED),
        // kubeadm's bootstrap tokens.
        (r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b".to_owned(), REMOVED),
        // Options: `--token abc`, `--password=abc`.
        (
            format!(r"(?i)(?P<before>--?[a-z-]*(?:{words})[a-z-]*(?:=| +))[^\s]+"),
            REMOVED,
        ),
        // Text in quotation marks behind such a name, as in JSON; the name may be in them, too.
        (
            format!(r#"(?i)(?P<before>[a-z0-9_.-]*(?:{words})[a-z0-9_]*["']?\s*[:=]\s*")(?:[^"\\]|\\.)*"#),
            REMOVED,
        ),
        // The same within a text, where the quotation marks are escaped.
        (
            format!(r#"(?i)(?P<before>[a-z0-9_.-]*(?:{words})[a-z0-9_]*\\?["']?\s*[:=]\s*\\")(?:[^"\\]|\\[^"])*"#),
            REMOVED,
        ),
        (
            format!(r#"(?i)(?P<before>[a-z0-9_.-]*(?:{words})[a-z0-9_]*["']?\s*[:=]\s*')[^']*"#),
            REMOVED,
        ),
        // Anything else behind such a name, to the end of the line.
        (
            format!(r#"(?im)(?P<before>[a-z0-9_.-]*(?:{words})[a-z0-9_]*[:=][ \t]*)[^\s"'\[{{\\][^\n]*"#),
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
        assert_eq!(PATTERNS.len(), 10);
    }

    #[test]
    fn names_of_secrets_are_known_and_places_of_them_are_none() {
        for name in [
            "docker_password",
            "kube_token",
            "registryAuth",
            "clientSecret",
            "client-key-data",
            "API_KEY",
        ] {
            assert!(names_secret(name), "{name}");
        }
        for name in [
            "privateKeyPath",
            "token_file",
            "keyfile",
            "name",
            "kube_version",
            "secret_name",
        ] {
            assert!(!names_secret(name), "{name}");
        }
    }

    #[test]
    fn what_a_file_holds_is_taken_out_and_found_elsewhere() {
        let mut secrets = Secrets::new();
        let text = "# hunter-in-a-comment\naddons:\n  kubespray:\n    registry_password: correct horse\n    pin_token: 918273\n    \
                    helm_enabled: true\nproxy:\n  http: http://me:let-me-in@proxy.example.org:3128\n";
        let shown = secrets.yaml(text).unwrap();
        for secret in ["correct horse", "918273", "let-me-in", "hunter"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("helm_enabled: true") && shown.contains("proxy.example.org:3128"));
        assert_eq!(
            secrets.without("login with correct horse, 918273 and let-me-in"),
            "login with [removed], [removed] and [removed]"
        );
    }

    #[test]
    fn what_looks_like_a_secret_is_taken_out_of_any_text() {
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE=\nAAAA\n-----END OPENSSH PRIVATE KEY-----";
        let cases = [
            (format!("a\n{key}\nb"), "b3BlbnNzaC1rZXktdjE"),
            (
                format!("{{\"key\": \"{}\"}}", key.replace('\n', "\\n")),
                "b3BlbnNzaC1rZXktdjE",
            ),
            (
                "cut -----BEGIN RSA PRIVATE KEY-----\nMIIEow".to_owned(),
                "MIIEow",
            ),
            (
                "client-key-data: LS0tLS1CRUdJTiBSU0E=".to_owned(),
                "LS0tLS1CRUdJTi",
            ),
            (
                "x eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln y".to_owned(),
                "eyJzdWIiOiJhIn0",
            ),
            (
                "Authorization: Bearer abcdefgh12345678".to_owned(),
                "abcdefgh12345678",
            ),
            (
                "kubeadm join --token abcdef.0123456789abcdef".to_owned(),
                "0123456789abcdef",
            ),
            (
                "kubeadm join --certificate-key 0011223344556677".to_owned(),
                "0011223344556677",
            ),
            ("mysql --password=let-me-in -h x".to_owned(), "let-me-in"),
            (
                "{\"registry_password\": \"a \\\"quoted\\\" one\", \"a\": 1}".to_owned(),
                "one",
            ),
            (
                "{'docker_token': 'two words', 'a': 1}".to_owned(),
                "two words",
            ),
            (
                "msg: \"{\\\"password\\\": \\\"escaped-one\\\"}\"".to_owned(),
                "escaped-one",
            ),
            (
                "    password: correct horse battery".to_owned(),
                "horse battery",
            ),
            ("HTTP_TOKEN=abcd-efgh".to_owned(), "abcd-efgh"),
            (
                "clone https://me:let-me-in@git.example.org/x.git".to_owned(),
                "let-me-in",
            ),
            (
                "clone https://ghp_0123456789@git.example.org/x.git".to_owned(),
                "ghp_0123456789",
            ),
        ];
        for (text, secret) in cases {
            let shown = Secrets::new().without(&text);
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        let text = "TASK [kubeadm | Create a token] ***\nok: [demo-master-1]\n\
                    qemu+ssh://admin@host/system\nsha256:0123456789abcdef0123456789abcdef\n\
                    privateKeyPath: ~/.ssh/id_ed25519\nkube-system   etcd-demo-master-1   1/1   Running\n";
        let shown = Secrets::new().without(text);
        for part in [
            "demo-master-1",
            "qemu+ssh://admin@host/system",
            "sha256:0123",
            "etcd-demo-master-1",
            "Running",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
    }
}
