//! Kubeconfigs: the cluster's own, with the cluster's name and its balancer's address, and the user's, into which it is merged.
//!
//! The user's is changed value by value: fields that this program does not know stay, and so does the order. The cluster's comes
//! from a machine, which is not trusted: only a few checked fields of it are used (module `admin`).

mod admin;
pub mod file;

use std::path::Path;
use std::time::Duration;

use kubitect_config::cluster::Role;
use kubitect_config::remote::BoxError;
use kubitect_config::value::Label;
use kubitect_config::yaml::{self, Limits, Mapping, Value};
use kubitect_config::{Cluster, Facts, Remote, chain};

use crate::control::{self, Health};
use crate::{Error, workdir};
use admin::Admin;

pub use admin::MAX_BYTES;

/// The lists of a kubeconfig, each with the field that holds an entry's content.
const LISTS: [(&str, &str); 3] = [
    ("clusters", "cluster"),
    ("contexts", "context"),
    ("users", "user"),
];

/// The user's kubeconfig, in messages.
const USER_KUBECONFIG: &str = "your kubeconfig";

/// The cluster's own kubeconfig, in messages.
const CLUSTER_KUBECONFIG: &str = "the cluster's kubeconfig (config/admin.conf in its folder; removed, it comes back with the next apply)";

/// How long reading the kubeconfig on a master may take.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// Reads the administrator's kubeconfig on the first master that answers and whose API serves, and gives it the cluster's name
/// and the balancer's address.
///
/// A kubeconfig with fields that are not accepted is an error, and no other master is tried: that master may be compromised. If
/// no master serves, the error says why for each; its sources are those of the first.
pub async fn fetch<R: Remote>(
    cluster: &Cluster,
    facts: &Facts,
    connect: impl AsyncFn(&Label) -> Result<R, BoxError>,
) -> Result<String, Error> {
    let mut failed: Vec<(&Label, BoxError)> = Vec::new();
    for node in cluster.role(Role::Master) {
        let name = &node.name;
        let master = match connect(name).await {
            Ok(master) => master,
            Err(error) => {
                failed.push((name, error));
                continue;
            }
        };
        let read = match control::api_health(&master).await {
            Ok(Health::Healthy) => read(&master, name, cluster, facts).await,
            Ok(Health::Unhealthy(text)) => Err(Error::failed(text)),
            Err(error) => Err(error),
        };
        match read {
            Ok(text) => return Ok(text),
            Err(error @ Error::Kubeconfig { .. }) => return Err(error),
            Err(error) => failed.push((name, error.into())),
        }
    }
    let what = "read the kubeconfig on a master whose API serves";
    let mut failed = failed.into_iter();
    let Some((name, first)) = failed.next() else {
        return Err(Error::failed(what));
    };
    let others = failed.map(|(name, error)| format!("\n  {name}: {}", chain(&*error)));
    let what = format!("{what}{}", others.collect::<String>());
    Err(Error::because(
        what,
        Error::because(name.to_string(), first),
    ))
}

/// As [`fetch`], into the file at `path`, which only its owner can read. Returns whether the file changed: an upgrade renews the
/// certificate in it, and so does Kubernetes once a year.
pub async fn fetch_into<R: Remote>(
    cluster: &Cluster,
    facts: &Facts,
    path: &Path,
    connect: impl AsyncFn(&Label) -> Result<R, BoxError>,
) -> Result<bool, Error> {
    let conf = fetch(cluster, facts, connect).await?;
    if file::read_optional(path)?.as_ref() == Some(&conf) {
        return Ok(false);
    }
    workdir::write(path, conf.as_bytes(), 0o600)?;
    Ok(true)
}

/// Reads the kubeconfig on one master.
async fn read(
    master: &impl Remote,
    name: &Label,
    cluster: &Cluster,
    facts: &Facts,
) -> Result<String, Error> {
    let argv = ["sudo", "-n", "cat", crate::ADMIN_CONF];
    let failed = |e| Error::because("read the kubeconfig", e);
    let conf = master.run_ok(&argv, READ_LIMIT).await.map_err(failed)?;
    let conf = String::from_utf8(conf).map_err(|e| failed(e.into()))?;
    let server = crate::api_server(cluster, facts)?;
    let what = format!("the kubeconfig on {name}");
    Admin::read(&conf, &what)?.write(&cluster.name, &server)
}

/// kubeadm's kubeconfig of the administrator → a new one whose cluster, user and context have the cluster's name, with the
/// address `server`, as `https://192.168.113.100:6443`. Only the certificate authority, the client certificate with its key, and
/// the token are taken over; any other field is an error that names it.
pub fn retarget(admin_conf: &str, cluster: &Label, server: &str) -> Result<String, Error> {
    Admin::read(admin_conf, "the kubeconfig on a master")?.write(cluster, server)
}

/// The user's kubeconfig, if there is one, with the entries of `conf`, the cluster's own kubeconfig. They replace the entries of
/// the same cluster, or are appended. A current context stays as it is.
pub fn merge(existing: Option<&str>, cluster: &Label, conf: &str) -> Result<String, Error> {
    // The file in the cluster's folder may be from an older version of this program: it passes the same checks.
    let admin = Admin::read(conf, CLUSTER_KUBECONFIG)?;
    let new = parse(&admin.write(cluster, admin.server())?, CLUSTER_KUBECONFIG)?;
    let mut config = match existing {
        Some(text) if !text.trim().is_empty() => parse(text, USER_KUBECONFIG)?,
        _ => Mapping::from_iter([
            ("apiVersion".into(), "v1".into()),
            ("kind".into(), "Config".into()),
        ]),
    };
    refuse_foreign(&config, &new)?;
    for (list, _) in LISTS {
        let additions = entries(&new, list, CLUSTER_KUBECONFIG)?;
        let mut all = entries(&config, list, USER_KUBECONFIG)?;
        for addition in additions {
            let name = addition.get("name");
            match all.iter_mut().find(|old| old.get("name") == name) {
                Some(old) => *old = addition,
                None => all.push(addition),
            }
        }
        config.insert(list.into(), Value::Sequence(all));
    }
    let current = config.get("current-context").and_then(Value::as_str);
    if current.is_none_or(str::is_empty)
        && let Some(context) = new.get("current-context")
    {
        config.insert("current-context".into(), context.clone());
    }
    crate::write_yaml(USER_KUBECONFIG, &config)
}

/// An error unless `conf` has only the fields of a cluster's own kubeconfig. Others, as a program that kubectl would run, are
/// refused.
pub fn check_own(conf: &str) -> Result<(), Error> {
    Admin::read(conf, CLUSTER_KUBECONFIG).map(drop)
}

/// Whether a kubeconfig contains the cluster whose own kubeconfig is `conf`, and no other cluster, context or user.
pub fn holds_only(existing: &str, cluster: &Label, conf: &str) -> bool {
    let (Ok(existing), Ok(conf)) = (
        parse(existing, USER_KUBECONFIG),
        parse(conf, CLUSTER_KUBECONFIG),
    ) else {
        return false;
    };
    let name = Some(cluster.as_str());
    let is_own = |entry: &Value| entry.get("name").and_then(Value::as_str) == name;
    let mut lists = LISTS
        .iter()
        .map(|(list, _)| entries(&existing, list, USER_KUBECONFIG));
    let only = lists.all(|all| all.is_ok_and(|all| all.iter().all(is_own)));
    only && entry(&existing, "clusters", cluster.as_str()).is_some()
        && foreign_entry(&existing, &conf).is_none()
}

/// An error if it is already clear, before the cluster exists, that it can't be merged into the user's kubeconfig. `server` is
/// the cluster's address, if it is known.
pub fn check(existing: Option<&str>, cluster: &Label, server: Option<&str>) -> Result<(), Error> {
    let Some(text) = existing.filter(|text| !text.trim().is_empty()) else {
        return Ok(());
    };
    let config = parse(text, USER_KUBECONFIG)?;
    for (list, _) in LISTS {
        entries(&config, list, USER_KUBECONFIG)?;
    }
    let fields = server.map(|server| ("server".into(), server.into()));
    let entry = Mapping::from_iter([
        ("name".into(), cluster.as_str().into()),
        ("cluster".into(), Value::Mapping(Mapping::from_iter(fields))),
    ]);
    let clusters = Value::Sequence(vec![entry.into()]);
    refuse_foreign(
        &config,
        &Mapping::from_iter([("clusters".into(), clusters)]),
    )
}

/// The user's kubeconfig without the entries of the cluster whose own kubeconfig is `conf`. `None` if it has no entries of this
/// cluster.
pub fn remove(existing: &str, cluster: &Label, conf: &str) -> Result<Option<String>, Error> {
    let admin = Admin::read(conf, CLUSTER_KUBECONFIG)?;
    let conf = parse(&admin.write(cluster, admin.server())?, CLUSTER_KUBECONFIG)?;
    if existing.trim().is_empty() {
        return Ok(None);
    }
    let mut config = parse(existing, USER_KUBECONFIG)?;
    if foreign_entry(&config, &conf).is_some() {
        return Ok(None);
    }
    let mut removed = false;
    for (list, _) in LISTS {
        let own = entries(&conf, list, CLUSTER_KUBECONFIG)?;
        let mut all = entries(&config, list, USER_KUBECONFIG)?;
        let before = all.len();
        all.retain(|old| !own.iter().any(|own| own.get("name") == old.get("name")));
        if all.len() != before {
            removed = true;
            config.insert(list.into(), Value::Sequence(all));
        }
    }
    if !removed {
        return Ok(None);
    }
    if config.get("current-context") == conf.get("current-context") {
        config.insert("current-context".into(), "".into());
    }
    crate::write_yaml(USER_KUBECONFIG, &config).map(Some)
}

/// An error for [`foreign_entry`].
fn refuse_foreign(config: &Mapping, conf: &Mapping) -> Result<(), Error> {
    match foreign_entry(config, conf) {
        Some(reason) => Err(Error::Kubeconfig {
            what: USER_KUBECONFIG.to_owned(),
            reason,
        }),
        None => Ok(()),
    }
}

/// Which entry of `config` has the name of the cluster of `conf` but belongs to another one, and what to do about it.
///
/// A merge always writes a cluster, a context and a user. So a context or a user of this name belongs to the cluster only if
/// `config` also has the cluster itself.
fn foreign_entry(config: &Mapping, conf: &Mapping) -> Option<String> {
    let clusters = conf.get("clusters")?.as_sequence()?;
    clusters
        .iter()
        .filter_map(|cluster| cluster.get("name")?.as_str())
        .find_map(|name| {
            let content = |config| entry(config, "clusters", name)?.remove("cluster");
            if entry(config, "clusters", name).is_none() {
                return stray_entries(config, name);
            }
            let (existing, new) = (content(config)?, content(conf)?);
            is_another(&existing, &new).then(|| {
                format!(
                    "it has a cluster `{name}` already that is another one (neither its server nor its certificate \
                     authority is the same); rename that, or remove it with `kubectl config delete-cluster {name}`, \
                     `delete-context {name}` and `delete-user {name}`"
                )
            })
        })
}

/// Whether two entries describe different clusters: neither the server nor the certificate authority is the same. Fields that
/// `new` does not have yet are not compared.
fn is_another(existing: &Value, new: &Value) -> bool {
    let fields = ["server", "certificate-authority-data"]
        .map(|field| (existing.get(field), new.get(field)))
        .into_iter()
        .filter(|(_, new)| new.is_some());
    let same: Vec<_> = fields.map(|(existing, new)| existing == new).collect();
    !same.is_empty() && !same.contains(&true)
}

/// The message if `config` has a context or a user of this name, but no cluster: it belongs to something else.
fn stray_entries(config: &Mapping, name: &str) -> Option<String> {
    let has = |list| entry(config, list, name).is_some();
    let (found, pronoun, commands) = match (has("contexts"), has("users")) {
        (false, false) => return None,
        (true, false) => ("a context", "it", format!("`delete-context {name}`")),
        (false, true) => ("a user", "it", format!("`delete-user {name}`")),
        (true, true) => (
            "a context and a user",
            "them",
            format!("`delete-context {name}` and `delete-user {name}`"),
        ),
    };
    Some(format!(
        "it has {found} `{name}` already that the cluster's would take the place of, and no cluster `{name}`: what is \
         there is for another one; rename {pronoun} in the file, or remove {pronoun} with `kubectl config` ({commands}), or \
         leave out kubernetes.other.mergeKubeconfig"
    ))
}

/// Parses a kubeconfig; `what` is its name for an error.
fn parse(text: &str, what: &str) -> Result<Mapping, Error> {
    let broken = |reason| Error::Kubeconfig {
        what: what.to_owned(),
        reason,
    };
    match yaml::read(text, Limits::OWN) {
        Ok(Value::Mapping(config)) => match config.get("kind").and_then(Value::as_str) {
            Some("Config") | None => Ok(config),
            Some(_) => Err(broken("its kind is not Config".to_owned())),
        },
        Ok(_) => Err(broken("it is not a map".to_owned())),
        // The parser's errors name places and keys but no values, so they contain no secret.
        Err(error) if what == USER_KUBECONFIG => {
            Err(broken(format!("{error}; mend the file, or move it away")))
        }
        Err(error) => Err(broken(error.to_string())),
    }
}

/// The entry of this name in a list.
fn entry(config: &Mapping, list: &str, name: &str) -> Option<Mapping> {
    config
        .get(list)?
        .as_sequence()?
        .iter()
        .find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))?
        .as_mapping()
        .cloned()
}

/// All entries of a list; kubectl writes `null` for an empty one.
fn entries(config: &Mapping, list: &str, what: &str) -> Result<Vec<Value>, Error> {
    match config.get(list) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Sequence(entries)) => Ok(entries.clone()),
        Some(_) => Err(Error::Kubeconfig {
            what: what.to_owned(),
            reason: format!("its {list} are not a list"),
        }),
    }
}

#[cfg(test)]
mod tests;
