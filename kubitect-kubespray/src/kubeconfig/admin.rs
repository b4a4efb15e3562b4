//! [`Admin`]: what is taken from the kubeconfig that a master hands over, and nothing else.
//!
//! A kubeconfig can name a program that kubectl runs (`exec`, `auth-provider`), a proxy, or files of this machine. A master is a
//! guest: whoever holds it must not hold the operator's workstation, too. So the file is never copied: it is taken apart, and
//! a new one is written from the certificate authority and from what the user shows.

use kubitect_config::text;
use kubitect_config::value::Label;
use kubitect_config::yaml::{self, Limits, Mapping, Value};

use crate::Error;

/// The longest kubeconfig that is taken from a guest, in bytes. kubeadm's has 6 KiB.
pub const MAX_BYTES: usize = Limits::GUEST.bytes;

/// The fields of a user that are taken over.
const USER: [&str; 3] = ["client-certificate-data", "client-key-data", "token"];

/// The parts of a cluster's kubeconfig. It holds secrets, so it has no `Debug`.
pub(super) struct Admin {
    server: String,
    authority: String,
    /// Fields of [`USER`], in their order.
    user: Vec<(&'static str, String)>,
}

impl Admin {
    /// Takes a kubeconfig apart. What it must not have is an error that names it; values never stand in errors.
    pub(super) fn read(text: &str, what: &str) -> Result<Self, Error> {
        let parts = || -> Result<Self, String> {
            let config = match yaml::read(text, Limits::GUEST).map_err(|e| e.to_string())? {
                Value::Mapping(config) => config,
                _ => return Err("it is not a map".to_owned()),
            };
            Parts { config: &config }.take()
        };
        parts().map_err(|reason| Error::Kubeconfig {
            what: what.to_owned(),
            reason,
        })
    }

    /// The kubeconfig of a cluster of this name, reached at `server`.
    pub(super) fn write(&self, name: &Label, server: &str) -> Result<String, Error> {
        let named = |field: &str, value: Value| {
            Value::Sequence(vec![map([("name", name.as_str().into()), (field, value)])])
        };
        let cluster = map([
            ("certificate-authority-data", self.authority.as_str().into()),
            ("server", server.into()),
        ]);
        let context = map([
            ("cluster", name.as_str().into()),
            ("user", name.as_str().into()),
        ]);
        let user: Mapping = self
            .user
            .iter()
            .map(|(field, value)| (Value::from(*field), Value::from(value.as_str())))
            .collect();
        let config = map([
            ("apiVersion", "v1".into()),
            ("kind", "Config".into()),
            ("clusters", named("cluster", cluster)),
            ("contexts", named("context", context)),
            ("current-context", name.as_str().into()),
            ("users", named("user", user.into())),
        ]);
        crate::write_yaml("the cluster's kubeconfig", &config)
    }

    /// Where the cluster is reached.
    pub(super) fn server(&self) -> &str {
        &self.server
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries.map(|(key, value)| (Value::from(key), value));
    Value::Mapping(Mapping::from_iter(entries))
}

/// A kubeconfig that is being taken apart.
struct Parts<'a> {
    config: &'a Mapping,
}

impl<'a> Parts<'a> {
    fn take(&self) -> Result<Admin, String> {
        only(
            self.config,
            "",
            &[
                "apiVersion",
                "kind",
                "clusters",
                "contexts",
                "current-context",
                "preferences",
                "users",
            ],
        )?;
        for (field, wanted) in [("apiVersion", "v1"), ("kind", "Config")] {
            match self.config.get(field).map(Value::as_str) {
                None => {}
                Some(Some(found)) if found == wanted => {}
                Some(_) => return Err(format!("its {field} is not {wanted}")),
            }
        }
        match self.config.get("preferences") {
            None | Some(Value::Null) => {}
            Some(Value::Mapping(map)) if map.is_empty() => {}
            Some(_) => return Err(refused("preferences")),
        }
        let current = string(self.config, "", "current-context")?;
        let context = self.single("contexts", "context", current)?;
        only(context, "contexts[0].context.", &["cluster", "user"])?;
        let cluster = string(context, "contexts[0].context.", "cluster")?;
        let user = string(context, "contexts[0].context.", "user")?;

        let place = "clusters[0].cluster.";
        let cluster = self.single("clusters", "cluster", cluster)?;
        only(cluster, place, &["certificate-authority-data", "server"])?;
        let authority = data(cluster, place, "certificate-authority-data")?
            .ok_or_else(|| format!("it has no {place}certificate-authority-data"))?;
        let server = string(cluster, place, "server")?.to_owned();

        let place = "users[0].user.";
        let user = self.single("users", "user", user)?;
        only(user, place, &USER)?;
        let mut shown = Vec::new();
        for field in USER {
            shown.extend(data(user, place, field)?.map(|value| (field, value)));
        }
        let has = |field| shown.iter().any(|(name, _)| *name == field);
        if has(USER[0]) != has(USER[1]) || shown.is_empty() {
            return Err(format!(
                "its user has neither {} and {} nor a {}",
                USER[0], USER[1], USER[2]
            ));
        }
        Ok(Admin {
            server,
            authority,
            user: shown,
        })
    }

    /// The content of the only entry of a list, which has this name.
    fn single(&self, list: &str, field: &str, name: &str) -> Result<&'a Mapping, String> {
        let entries = match self.config.get(list) {
            None | Some(Value::Null) => &[][..],
            Some(Value::Sequence(entries)) => entries,
            Some(_) => return Err(format!("its {list} are not a list")),
        };
        let entry = match entries {
            [] => return Err(format!("it has no {list}")),
            [entry] => entry,
            _ => return Err(refused(&format!("{list}[1]"))),
        };
        let Value::Mapping(entry) = entry else {
            return Err(format!("{list}[0] is not a map"));
        };
        let place = format!("{list}[0].");
        only(entry, &place, &["name", field])?;
        if string(entry, &place, "name")? != name {
            return Err(format!(
                "what its current context refers to is not among its {list}"
            ));
        }
        match entry.get(field) {
            Some(Value::Mapping(content)) => Ok(content),
            _ => Err(format!("{place}{field} is not a map")),
        }
    }
}

fn refused(path: &str) -> String {
    format!(
        "it has `{path}`, which is not taken from a machine: only a certificate authority, a client certificate with its key, \
         and a token are"
    )
}

/// An error for the first key that is none of `allowed`.
fn only(map: &Mapping, place: &str, allowed: &[&str]) -> Result<(), String> {
    for key in map.keys() {
        match key.as_str() {
            Some(key) if allowed.contains(&key) => {}
            Some(key) => return Err(refused(&format!("{place}{}", text::line(key)))),
            None => return Err(format!("a key of {place} is not text")),
        }
    }
    Ok(())
}

fn string<'a>(map: &'a Mapping, place: &str, field: &str) -> Result<&'a str, String> {
    match map.get(field) {
        Some(Value::String(value)) => Ok(value),
        Some(_) => Err(format!("{place}{field} is not text")),
        None => Err(format!("it has no {place}{field}")),
    }
}

/// A field that is base64 or a token: letters, digits and the few signs of both.
fn data(map: &Mapping, place: &str, field: &str) -> Result<Option<String>, String> {
    if map.get(field).is_none() {
        return Ok(None);
    }
    let value = string(map, place, field)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "+/=-_.:".contains(c);
    match !value.is_empty() && value.chars().all(fits) {
        true => Ok(Some(value.to_owned())),
        false => Err(format!("{place}{field} is neither base64 nor a token")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ADMIN;
    use super::*;
    use proptest::prelude::*;

    fn refusal(text: &str) -> String {
        match Admin::read(text, "the kubeconfig on master-1") {
            Ok(_) => panic!("taken: {text}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_could_run_or_lead_elsewhere_is_refused_by_name() {
        let user = "    client-key-data: S0VZ\n";
        let cluster = "    server: https://127.0.0.1:6443\n";
        let context = "    user: kubernetes-admin\n";
        let cases = [
            (
                user,
                "    exec: {command: sh, args: [-c, SECRET]}\n",
                "users[0].user.exec",
            ),
            (
                user,
                "    auth-provider: {name: x}\n",
                "users[0].user.auth-provider",
            ),
            (
                user,
                "    tokenFile: /etc/shadow\n",
                "users[0].user.tokenFile",
            ),
            (
                user,
                "    client-key: /etc/shadow\n",
                "users[0].user.client-key",
            ),
            (user, "    username: SECRET\n", "users[0].user.username"),
            (user, "    as: root\n", "users[0].user.as"),
            (
                cluster,
                "    proxy-url: http://10.0.0.9\n",
                "clusters[0].cluster.proxy-url",
            ),
            (
                cluster,
                "    insecure-skip-tls-verify: true\n",
                "clusters[0].cluster.insecure-skip-tls-verify",
            ),
            (
                cluster,
                "    tls-server-name: x\n",
                "clusters[0].cluster.tls-server-name",
            ),
            (
                cluster,
                "    certificate-authority: /x\n",
                "clusters[0].cluster.certificate-authority",
            ),
            (
                cluster,
                "    extensions: []\n",
                "clusters[0].cluster.extensions",
            ),
            (
                context,
                "    extensions: []\n",
                "contexts[0].context.extensions",
            ),
            ("kind: Config\n", "extensions: []\n", "extensions"),
            ("kind: Config\n", "\"\\e[2J\": 1\n", "\\u{1b}[2J"),
        ];
        for (after, added, name) in cases {
            let text = ADMIN.replace(after, &format!("{after}{added}"));
            assert_ne!(text, ADMIN);
            let error = refusal(&text);
            assert!(error.contains(&format!("`{name}`")), "{error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
        let preferences = ADMIN.replace("preferences: {}", "preferences: {colors: true}");
        assert!(refusal(&preferences).contains("`preferences`"));
        let second = ADMIN.replace("users:\n", "users:\n- name: other\n  user: {token: t}\n");
        assert!(refusal(&second).contains("`users[1]`"));
    }

    #[test]
    fn it_is_short_and_multiplies_nothing() {
        let long = format!("{ADMIN}# {}\n", "x".repeat(MAX_BYTES));
        assert!(refusal(&long).contains("longer than 256 KiB"));
        let bomb = format!("a: &a [x, x]\nb: &b [*a, *a]\n{ADMIN}");
        assert!(
            refusal(&bomb).contains("line 2, column 8: an alias"),
            "{}",
            refusal(&bomb)
        );
        let twice = ADMIN.replace("users:\n", "users: []\nusers:\n");
        assert!(refusal(&twice).contains("twice"));
        for tag in [
            "!python",
            "!!binary",
            "!!python/name:os.system",
            "!<tag:yaml.org,2002:binary>",
        ] {
            let tagged = ADMIN.replace("kind: Config", &format!("kind: {tag} Config"));
            assert!(refusal(&tagged).contains("tag"), "{tag}");
        }
    }

    /// Readers differ in what they make of these: what kubectl would run must not be in what another one does not see.
    #[test]
    fn what_readers_understand_differently_is_refused() {
        let exec = "exec: {command: sh}";
        let user = "    client-key-data: S0VZ\n";
        let in_user = |line: &str| ADMIN.replace(user, &format!("{user}    {line}\n"));
        for text in [
            format!("{ADMIN}---\n{ADMIN}"),
            format!("{ADMIN}...\n---\nusers: [{{name: x, user: {{{exec}}}}}]\n"),
            format!("%TAG ! tag:evil,2000:\n---\n{ADMIN}x: !y z\n"),
            in_user(&format!("<<: {{{exec}}}")),
            in_user("\"\\u0065xec\": {command: sh}"),
            in_user("\"ex\\\n      ec\": {command: sh}"),
            in_user("? exec\n    : {command: sh}"),
            in_user("? [exec]\n    : {command: sh}"),
            in_user("Exec: {command: sh}"),
            in_user("client-key-data: S0VZ"),
            in_user("client-certificate: /root/.ssh/id_rsa"),
            in_user("auth-provider: {name: gcp, config: {cmd-path: sh}}"),
            ADMIN.replace("S0VZ", "\"S0VZ\\0\""),
            ADMIN.replace("S0VZ", "S0\0VZ"),
            ADMIN.replace("S0VZ", "\"S0VZ\\x9b2J\""),
            ADMIN.replace("S0VZ", "S0\u{202e}VZ"),
            ADMIN.replace("S0VZ", "!!binary S0VZ"),
            ADMIN.replace("S0VZ", "12"),
        ] {
            assert_ne!(text, ADMIN);
            assert!(Admin::read(&text, "it").is_err(), "{text}");
        }
    }

    #[test]
    fn half_a_user_is_none_and_no_value_gets_into_an_error() {
        for (from, to) in [
            ("    client-key-data: S0VZ\n", ""),
            ("    client-certificate-data: Q0VSVA==\n", ""),
            ("client-key-data: S0VZ", "client-key-data: [SECRET]"),
            ("client-key-data: S0VZ", "client-key-data: \"SECRET \\n\""),
            ("    certificate-authority-data: Q0E=\n", ""),
            ("Q0E=", "12"),
            (
                "current-context: kubernetes-admin@cluster.local",
                "current-context: SECRET",
            ),
            ("kind: Config", "kind: SECRET"),
        ] {
            let text = ADMIN.replace(from, to);
            assert_ne!(text, ADMIN);
            assert!(!refusal(&text).contains("SECRET"));
        }
        let token = ADMIN.replace(
            "    client-certificate-data: Q0VSVA==\n    client-key-data: S0VZ\n",
            "    token: abc.def-ghi_j\n",
        );
        assert!(Admin::read(&token, "it").is_ok());
    }

    proptest! {
        /// Whatever a guest hands over: it is refused without a panic, or what is written of it is read again as the same,
        /// and nothing is in it but the few fields.
        #[test]
        fn fuzz_what_a_guest_hands_over(
            at in 0..ADMIN.len(),
            cut in 0..40usize,
            text in prop_oneof![any::<String>(), "[a-z:{}\\[\\]&*!|>\\-\n\"'# ]{0,60}"],
        ) {
            let mut conf = ADMIN.to_owned();
            conf.replace_range(at..(at + cut).min(ADMIN.len()), &text);
            if let Ok(admin) = Admin::read(&conf, "it") {
                let name: Label = "demo".parse().unwrap();
                let written = admin.write(&name, "https://h:6443").unwrap();
                prop_assert!(written.len() < 4096);
                let again = Admin::read(&written, "it").ok().unwrap();
                prop_assert_eq!(again.write(&name, "https://h:6443").unwrap(), written);
            }
            let _ = Admin::read(&text, "it");
        }
    }
}
