//! [`Admin`]: the fields that are taken from a master's kubeconfig.
//!
//! A kubeconfig can name a program that kubectl runs (`exec`, `auth-provider`), a proxy, or files of this machine. An attacker
//! who controls a master must not get control of the operator's machine by it. So the file is never copied: only the certificate
//! authority and the user's credentials are read, any other field is an error, and a new file is written.

use kubitect_config::text;
use kubitect_config::value::Label;
use kubitect_config::yaml::{self, Limits, Mapping, Value};

use crate::Error;

/// The longest kubeconfig that is accepted from a machine, in bytes. kubeadm's has 6 KiB.
pub const MAX_BYTES: usize = Limits::GUEST.bytes;

/// The fields of a user that are accepted.
const USER_FIELDS: [&str; 3] = ["client-certificate-data", "client-key-data", "token"];

/// The accepted fields of a cluster's kubeconfig. It holds secrets, so it has no `Debug`.
pub(super) struct Admin {
    server: String,
    authority: String,
    /// Fields of [`USER_FIELDS`], in their order.
    user: Vec<(&'static str, String)>,
}

impl Admin {
    /// Reads a kubeconfig. A field that is not accepted is an error that names it; errors never contain values.
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

    /// The kubeconfig of a cluster with this name and the address `server`.
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

    /// The cluster's address in the kubeconfig.
    pub(super) fn server(&self) -> &str {
        &self.server
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries.map(|(key, value)| (Value::from(key), value));
    Value::Mapping(Mapping::from_iter(entries))
}

/// A parsed kubeconfig whose fields are being checked.
struct Parts<'a> {
    config: &'a Mapping,
}

impl<'a> Parts<'a> {
    /// Checks all fields and returns the accepted ones.
    fn take(&self) -> Result<Admin, String> {
        allow_only(
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
            Some(_) => return Err(refusal("preferences")),
        }
        let current = string(self.config, "", "current-context")?;
        let context = self.single("contexts", "context", current)?;
        allow_only(context, "contexts[0].context.", &["cluster", "user"])?;
        let cluster = string(context, "contexts[0].context.", "cluster")?;
        let user = string(context, "contexts[0].context.", "user")?;

        let place = "clusters[0].cluster.";
        let cluster = self.single("clusters", "cluster", cluster)?;
        allow_only(cluster, place, &["certificate-authority-data", "server"])?;
        let authority = data(cluster, place, "certificate-authority-data")?
            .ok_or_else(|| format!("it has no {place}certificate-authority-data"))?;
        let server = string(cluster, place, "server")?.to_owned();

        let place = "users[0].user.";
        let user = self.single("users", "user", user)?;
        allow_only(user, place, &USER_FIELDS)?;
        let mut credentials = Vec::new();
        for field in USER_FIELDS {
            credentials.extend(data(user, place, field)?.map(|value| (field, value)));
        }
        let has = |field| credentials.iter().any(|(name, _)| *name == field);
        if has(USER_FIELDS[0]) != has(USER_FIELDS[1]) || credentials.is_empty() {
            return Err(format!(
                "its user has neither {} and {} nor a {}",
                USER_FIELDS[0], USER_FIELDS[1], USER_FIELDS[2]
            ));
        }
        Ok(Admin {
            server,
            authority,
            user: credentials,
        })
    }

    /// The content of the entry of a list, which has to be its only one and to have this name.
    fn single(&self, list: &str, field: &str, name: &str) -> Result<&'a Mapping, String> {
        let entries = match self.config.get(list) {
            None | Some(Value::Null) => &[][..],
            Some(Value::Sequence(entries)) => entries,
            Some(_) => return Err(format!("its {list} are not a list")),
        };
        let entry = match entries {
            [] => return Err(format!("it has no {list}")),
            [entry] => entry,
            _ => return Err(refusal(&format!("{list}[1]"))),
        };
        let Value::Mapping(entry) = entry else {
            return Err(format!("{list}[0] is not a map"));
        };
        let place = format!("{list}[0].");
        allow_only(entry, &place, &["name", field])?;
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

/// The message for a field that is not accepted.
fn refusal(path: &str) -> String {
    format!(
        "it has `{path}`, which is not taken from a machine: only a certificate authority, a client certificate with its key, \
         and a token are"
    )
}

/// An error for the first key that is not in `allowed`.
fn allow_only(map: &Mapping, place: &str, allowed: &[&str]) -> Result<(), String> {
    for key in map.keys() {
        match key.as_str() {
            Some(key) if allowed.contains(&key) => {}
            Some(key) => return Err(refusal(&format!("{place}{}", text::line(key)))),
            None => return Err(format!("a key of {place} is not text")),
        }
    }
    Ok(())
}

/// A field that has to be text.
fn string<'a>(map: &'a Mapping, place: &str, field: &str) -> Result<&'a str, String> {
    match map.get(field) {
        Some(Value::String(value)) => Ok(value),
        Some(_) => Err(format!("{place}{field} is not text")),
        None => Err(format!("it has no {place}{field}")),
    }
}

/// A field with base64 or a token, if there is one. Only letters, digits and the special characters of both are accepted.
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
mod tests;
