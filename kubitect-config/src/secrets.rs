//! [`Secrets`]: removes keys, tokens and passwords from texts that leave this machine.
//!
//! First by structure: in a YAML file, the value of a key that names a secret is removed and remembered, so that it is also found
//! in other texts. Of Kubespray's variables, whose names often don't say whether they hold secrets, only values that can't be one
//! stay. Then by pattern: in any text, as logs and the output of programs, whatever looks like a secret is removed.

mod classify;
mod patterns;

use std::collections::BTreeSet;

use regex::Captures;

use crate::address;
use crate::yaml::{self, Limits, Value};
use classify::{KeyMeaning, is_harmless, is_ordinary, is_plain, key_meaning};
use patterns::PATTERNS;

/// The text that replaces a secret.
pub const REMOVED: &str = "[removed]";

/// The fewest characters of a remembered secret. A shorter text may be an ordinary word, which must not be removed elsewhere.
const SHORTEST: usize = 4;
/// The same for the parts of a value whose key may name a secret.
const SHORTEST_PART: usize = 6;
/// The same for a value whose key says nothing.
const SHORTEST_VALUE: usize = 8;

/// How a value is treated, by the keys above it. In the order of caution: below a key, the more cautious one counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sensitivity {
    /// It is shown.
    Open,
    /// It is a variable of Kubespray's: it is shown only if it can't be a secret.
    Variable,
    /// Its key may name a secret: it is not shown.
    Doubtful,
    /// Its key names a secret: it is not shown.
    Secret,
}

/// The values of secrets that were found so far.
#[derive(Default)]
pub struct Secrets(BTreeSet<String>);

impl Secrets {
    /// No secrets yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers a secret; of one with several lines, each line.
    pub fn add(&mut self, secret: &str) {
        for line in secret.lines().map(str::trim) {
            let is_frame = line.starts_with("-----");
            if line.len() >= SHORTEST && !is_frame && !is_ordinary(line) {
                self.0.insert(line.to_owned());
            }
        }
    }

    /// Remembers the secrets of a YAML file, and gives the file without them and without comments; none if it can't be read.
    pub fn yaml(&mut self, text: &str) -> Option<String> {
        let mut value = yaml::read(text, Limits::OWN).ok()?;
        let addons = value.get_mut("addons");
        if let Some(variables) = addons.and_then(|addons| addons.get_mut("kubespray")) {
            self.value(variables, Sensitivity::Variable);
        }
        self.value(&mut value, Sensitivity::Open);
        yaml::write(&value).ok().map(|text| self.without(&text))
    }

    fn value(&mut self, value: &mut Value, sensitivity: Sensitivity) {
        match value {
            Value::Mapping(keys) => {
                for (key, value) in keys.iter_mut() {
                    self.value(value, sensitivity.below(key.as_str().unwrap_or_default()));
                }
                if sensitivity != Sensitivity::Open {
                    *keys = std::mem::take(keys)
                        .into_iter()
                        .map(|(key, value)| (shown_key(key), value))
                        .collect();
                }
            }
            Value::Sequence(items) => items
                .iter_mut()
                .for_each(|item| self.value(item, sensitivity)),
            Value::Tagged(tagged) => self.value(&mut tagged.value, sensitivity),
            Value::String(text) => {
                let is_shown = self.is_shown(text, sensitivity);
                if !is_shown {
                    *value = Value::String(REMOVED.to_owned());
                }
            }
            Value::Number(number) if sensitivity >= Sensitivity::Doubtful => {
                let number = number.to_string();
                self.is_shown(&number, sensitivity);
                *value = Value::String(REMOVED.to_owned());
            }
            _ => {}
        }
    }

    /// Whether a value is shown; if it is not, it is remembered.
    fn is_shown(&mut self, text: &str, sensitivity: Sensitivity) -> bool {
        for range in address::secrets(text) {
            let secret = &text[range];
            // Of `user:password`, the password alone, too: logs may have it without the user.
            self.add(secret.rsplit(':').next().unwrap_or_default());
            self.add(secret);
        }
        match sensitivity {
            Sensitivity::Open => return true,
            _ if text == REMOVED => return true,
            Sensitivity::Variable if is_harmless(text) => return true,
            Sensitivity::Variable => self.suspect(text, false),
            Sensitivity::Doubtful => self.suspect(text, true),
            Sensitivity::Secret => {
                self.add(text);
                self.suspect(text, true);
            }
        }
        false
    }

    /// Remembers the parts of a value that may be secrets: the whole value if it is a single word, and its parts that mix letters
    /// and digits; all parts if the key is `doubtful`. Ordinary words are left out: they would be removed from other texts, too.
    fn suspect(&mut self, text: &str, doubtful: bool) {
        for line in text.lines().map(str::trim) {
            let is_word = !line.contains(char::is_whitespace) && !is_plain(line);
            if line.len() >= SHORTEST_VALUE && is_word && !is_harmless(line) {
                self.add(line);
            }
            let parts = line.split(|c: char| !(c.is_ascii_alphanumeric() || "+/_.~-".contains(c)));
            // A single segment of a URL's path may be a secret.
            let segments = line.contains("://").then(|| line.split('/'));
            for part in parts.chain(segments.into_iter().flatten()) {
                let mixed = |test: fn(&char) -> bool| part.chars().any(|c| test(&c));
                let random = mixed(char::is_ascii_digit) && mixed(char::is_ascii_alphabetic);
                let counts = match doubtful {
                    true => part.len() >= SHORTEST_PART,
                    false => part.len() >= SHORTEST_VALUE && random,
                };
                if counts && !is_plain(part) && !is_harmless(part) {
                    self.add(part);
                }
            }
        }
    }

    /// The text without the remembered secrets and without whatever looks like a secret.
    pub fn without(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // The longest first: a secret may be a part of another.
        let mut secrets: Vec<_> = self.0.iter().collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in secrets {
            text = text.replace(secret.as_str(), REMOVED);
        }
        for (pattern, shown) in &*PATTERNS {
            let replaced = pattern.replace_all(&text, |found: &Captures| {
                let part = |name| found.name(name).map_or("", |part| part.as_str());
                format!("{}{shown}{}", part("before"), part("after"))
            });
            text = replaced.into_owned();
        }
        // Line by line: an address ends at the end of its line at the latest.
        let lines: Vec<_> = text.split('\n').map(address::shown).collect();
        lines.join("\n")
    }
}

impl Sensitivity {
    /// The sensitivity of a value below this one, under this key.
    fn below(self, key: &str) -> Self {
        self.max(match key_meaning(key) {
            KeyMeaning::Secret => Self::Secret,
            KeyMeaning::Doubtful => Self::Doubtful,
            KeyMeaning::Other => Self::Open,
        })
    }
}

/// Whether plans show the value of a variable of Kubespray's: if its name names no secret, and its value can't be one.
pub(crate) fn may_be_shown(key: &str, value: &Value) -> bool {
    let is_open = Sensitivity::Variable.below(key) == Sensitivity::Variable;
    let is_harmless = |text: &str| is_open && is_harmless(text);
    match value {
        Value::Null | Value::Bool(_) => is_open,
        Value::Number(number) => is_harmless(&number.to_string()),
        Value::String(text) => is_harmless(text),
        Value::Sequence(items) => items.iter().all(|item| may_be_shown(key, item)),
        Value::Mapping(entries) => entries.iter().all(|(own, value)| {
            is_open && own.as_str().is_some_and(|own| may_be_shown(own, value))
        }),
        Value::Tagged(_) => false,
    }
}

/// The key of a mapping if it looks like a name, else [`REMOVED`]: any text can be a key, also a secret one.
fn shown_key(key: Value) -> Value {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    match key.as_str() {
        Some(text) if !text.chars().all(plain) => Value::String(REMOVED.to_owned()),
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn of_kubesprays_variables_only_values_stay_that_can_not_be_secrets() {
        let text = "\
addons:
  kubespray:
    kube_vip_bgppeers: ['192.168.7.1:65000:letmein9now:false']
    kube_proxy_mode: ipvs
    helm_enabled: true
    containerd_version: 1.7.24
    kube_pods_subnet: 10.233.64.0/18
    metallb_ip_range: ['10.0.0.5-10.0.0.9']
    pull_secrets: {.dockerconfigjson: e30=}
    exporter_args: [--db-password, correct-horse9]
    env: 'DB_PASS=battery77staple'
    hook: https://hooks.example.org/services/T0/B0/wxyz1234
    pin: 4711
    bgp_peeras: 65001
    'pass phrase as a key': 1
";
        let mut secrets = Secrets::new();
        let shown = secrets.yaml(text).unwrap();
        for secret in [
            "letmein9now",
            "e30=",
            "correct-horse9",
            "battery77staple",
            "wxyz1234",
            "phrase as",
        ] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        for part in [
            "kube_proxy_mode: ipvs",
            "helm_enabled: true",
            "1.7.24",
            "10.233.64.0/18",
            "10.0.0.5-10.0.0.9",
            "pin: 4711",
            "bgp_peeras: 65001",
            ".dockerconfigjson",
            "  env: ",
        ] {
            assert!(shown.contains(part), "no {part} in {shown}");
        }
        let log = secrets.without("peer with letmein9now, then battery77staple and correct-horse9; ipvs on 10.233.64.0/18");
        assert_eq!(
            log,
            "peer with [removed], then [removed] and [removed]; ipvs on 10.233.64.0/18"
        );
        // Older files have all variables in one text: nothing of it is shown.
        let older = Secrets::new()
            .yaml("addons:\n  kubespray: |\n    a_key: mine\n")
            .unwrap();
        assert!(!older.contains("mine"), "{older}");
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
            ("env DB_PASS=let-me-in x".to_owned(), "let-me-in"),
            ("vault_pass: let-me-in".to_owned(), "let-me-in"),
            ("my_auth: let-me-in".to_owned(), "let-me-in"),
            ("psk = let-me-in".to_owned(), "let-me-in"),
            ("\"registry_creds\": \"let-me-in\"".to_owned(), "let-me-in"),
            ("kube_vip_bgp_peerpass: let-me-in".to_owned(), "let-me-in"),
            (
                "{\"auths\": {\"x\": {\"auth\": \"dXNlcjpwdw==\"}}}".to_owned(),
                "dXNlcjpwdw",
            ),
            ("[\"--db-password\",\"let-me-in\"]".to_owned(), "let-me-in"),
            ("['--db-password', 'let-me-in']".to_owned(), "let-me-in"),
            (
                ".dockerconfigjson: eyJhdXRocyI6eyJ4Ijp7ImF1dGgiOiJkIn19fQ==".to_owned(),
                "eyJhdXRocyI6",
            ),
            (
                "POST https://hooks.slack.com/services/T0/B0/wxyz failed".to_owned(),
                "wxyz",
            ),
            (
                "POST https://discord.com/api/webhooks/12/wxyz failed".to_owned(),
                "wxyz",
            ),
            (
                "clone https://me:let-me-in@git.example.org/x.git".to_owned(),
                "let-me-in",
            ),
            ("\"ghp_abcdefghijklmnop0123\"".to_owned(), "ijklmnop"),
            ("root:$6$abcdefgh$0123456789:1".to_owned(), "0123456789"),
            ("curl -u me:let-me-in https://x".to_owned(), "let-me-in"),
            ("sshpass -p let-me-in ssh x".to_owned(), "let-me-in"),
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
                    privateKeyPath: ~/.ssh/id_ed25519\nkube-system   etcd-demo-master-1   1/1   Running\n\
                    bypass: true\nok=3 failed=0\ncilium_host_firewall => passed: 7\n";
        let shown = Secrets::new().without(text);
        for part in [
            "demo-master-1",
            "qemu+ssh://admin@host/system",
            "sha256:0123",
            "etcd-demo-master-1",
            "Running",
            "bypass: true",
            "failed=0",
            "passed: 7",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
    }
}
