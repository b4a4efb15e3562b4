//! Kubeconfigs: the cluster's own, named after it and pointed at its balancer, and the user's, which it is merged into.
//!
//! The user's is edited as values: fields that are not known here stay, and so does the order of what was there. The
//! cluster's comes from a guest and is written from its parts alone.

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

/// The lists of a kubeconfig, and the field in an entry that holds its content.
const LISTS: [(&str, &str); 3] = [
    ("clusters", "cluster"),
    ("contexts", "context"),
    ("users", "user"),
];

/// The person's own, for messages.
const YOURS: &str = "your kubeconfig";

/// The cluster's, for messages.
const OURS: &str = "the cluster's kubeconfig (config/admin.conf in its folder; removed, it comes back with the next apply)";

/// How long a master may take to hand over its kubeconfig.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the administrator's kubeconfig on the first master that answers and whose API serves, names it after the cluster and
/// points it at the balancer. A master that hands over more than a kubeconfig may hold is an error, and no other is asked: somebody
/// may have it in hand. Where none answers, the error says why each does not; its sources are why the first does not.
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
            Ok(Health::Well) => read(&master, name, cluster, facts).await,
            Ok(Health::Ill(text)) => Err(Error::failed(text)),
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

/// As [`fetch`], into the file at `path`, which its owner alone can read. Says whether it is another one than was there: upgrades, and
/// Kubernetes itself once a year, make the certificate in it anew.
pub async fn bring<R: Remote>(
    cluster: &Cluster,
    facts: &Facts,
    path: &Path,
    connect: impl AsyncFn(&Label) -> Result<R, BoxError>,
) -> Result<bool, Error> {
    let ours = fetch(cluster, facts, connect).await?;
    if file::read_if_there(path)?.as_ref() == Some(&ours) {
        return Ok(false);
    }
    workdir::write(path, ours.as_bytes(), 0o600)?;
    Ok(true)
}

async fn read(
    master: &impl Remote,
    name: &Label,
    cluster: &Cluster,
    facts: &Facts,
) -> Result<String, Error> {
    let argv = ["sudo", "-n", "cat", crate::ADMIN_CONF];
    let failed = |e| Error::because("read the kubeconfig", e);
    let conf = master.run_ok(&argv, PATIENCE).await.map_err(failed)?;
    let conf = String::from_utf8(conf).map_err(|e| failed(e.into()))?;
    let server = crate::api_server(cluster, facts)?;
    let what = format!("the kubeconfig on {name}");
    Admin::read(&conf, &what)?.write(&cluster.name, &server)
}

/// The administrator's kubeconfig as kubeadm writes it → a new one whose cluster, user and context are named after the
/// cluster and that leads to `server`, as `https://192.168.113.100:6443`. Only the certificate authority, the client
/// certificate with its key, and the token are taken from it; anything else is an error that names it.
pub fn retarget(admin_conf: &str, cluster: &Label, server: &str) -> Result<String, Error> {
    Admin::read(admin_conf, "the kubeconfig on a master")?.write(cluster, server)
}

/// The user's kubeconfig, if there is one, with the cluster in it whose own kubeconfig is `ours`: in the place of the
/// entries of the same cluster, else after the others. The current context stays as it is, where there is one.
pub fn merge(existing: Option<&str>, cluster: &Label, ours: &str) -> Result<String, Error> {
    // What lies in the cluster's folder may be an older release's: it goes through the same needle's eye.
    let admin = Admin::read(ours, OURS)?;
    let new = parse(&admin.write(cluster, admin.server())?, OURS)?;
    let mut config = match existing {
        Some(text) if !text.trim().is_empty() => parse(text, YOURS)?,
        _ => Mapping::from_iter([
            ("apiVersion".into(), "v1".into()),
            ("kind".into(), "Config".into()),
        ]),
    };
    refuse_foreign(&config, &new)?;
    for (list, _) in LISTS {
        let additions = entries(&new, list, OURS)?;
        let mut all = entries(&config, list, YOURS)?;
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
    crate::write_yaml(YOURS, &config)
}

/// An error unless `ours` is a cluster's own kubeconfig and nothing else: what else one can hold, as a program to run, is refused.
pub fn check_own(ours: &str) -> Result<(), Error> {
    Admin::read(ours, OURS).map(drop)
}

/// Whether a kubeconfig holds the cluster whose own is `ours`, and no other one, context or user.
pub fn holds_only(existing: &str, cluster: &Label, ours: &str) -> bool {
    let (Ok(existing), Ok(ours)) = (parse(existing, YOURS), parse(ours, OURS)) else {
        return false;
    };
    let name = Some(cluster.as_str());
    let is_own = |entry: &Value| entry.get("name").and_then(Value::as_str) == name;
    let mut lists = LISTS
        .iter()
        .map(|(list, _)| entries(&existing, list, YOURS));
    let only = lists.all(|all| all.is_ok_and(|all| all.iter().all(is_own)));
    only && entry(&existing, "clusters", cluster.as_str()).is_some()
        && foreign(&existing, &ours).is_none()
}

/// An error if what is known of a cluster beforehand says that it could not be merged into the user's kubeconfig.
/// `server` is where the cluster will be reached, if that is known.
pub fn check(existing: Option<&str>, cluster: &Label, server: Option<&str>) -> Result<(), Error> {
    let Some(text) = existing.filter(|text| !text.trim().is_empty()) else {
        return Ok(());
    };
    let config = parse(text, YOURS)?;
    for (list, _) in LISTS {
        entries(&config, list, YOURS)?;
    }
    let known = server.map(|server| ("server".into(), server.into()));
    let entry = Mapping::from_iter([
        ("name".into(), cluster.as_str().into()),
        ("cluster".into(), Value::Mapping(Mapping::from_iter(known))),
    ]);
    let clusters = Value::Sequence(vec![entry.into()]);
    refuse_foreign(
        &config,
        &Mapping::from_iter([("clusters".into(), clusters)]),
    )
}

/// The user's kubeconfig without the entries of the cluster whose own kubeconfig is `ours`, as far as they are of the same
/// one; `None` if nothing of it is there.
pub fn remove(existing: &str, cluster: &Label, ours: &str) -> Result<Option<String>, Error> {
    let admin = Admin::read(ours, OURS)?;
    let ours = parse(&admin.write(cluster, admin.server())?, OURS)?;
    if existing.trim().is_empty() {
        return Ok(None);
    }
    let mut config = parse(existing, YOURS)?;
    if foreign(&config, &ours).is_some() {
        return Ok(None);
    }
    let mut removed = false;
    for (list, _) in LISTS {
        let gone = entries(&ours, list, OURS)?;
        let mut all = entries(&config, list, YOURS)?;
        let before = all.len();
        all.retain(|old| !gone.iter().any(|gone| gone.get("name") == old.get("name")));
        if all.len() != before {
            removed = true;
            config.insert(list.into(), Value::Sequence(all));
        }
    }
    if !removed {
        return Ok(None);
    }
    if config.get("current-context") == ours.get("current-context") {
        config.insert("current-context".into(), "".into());
    }
    crate::write_yaml(YOURS, &config).map(Some)
}

fn refuse_foreign(config: &Mapping, ours: &Mapping) -> Result<(), Error> {
    match foreign(config, ours) {
        Some(reason) => Err(Error::Kubeconfig {
            what: YOURS.to_owned(),
            reason,
        }),
        None => Ok(()),
    }
}

/// What in `config` has the name of a cluster of `ours` and is not of it, and what to do about it.
///
/// A merge is written whole: the context and the user of that name are ours only if there is a cluster of ours, too.
fn foreign(config: &Mapping, ours: &Mapping) -> Option<String> {
    let clusters = ours.get("clusters")?.as_sequence()?;
    clusters
        .iter()
        .filter_map(|cluster| cluster.get("name")?.as_str())
        .find_map(|name| {
            let content = |config| entry(config, "clusters", name)?.remove("cluster");
            if entry(config, "clusters", name).is_none() {
                return stray(config, name);
            }
            let (theirs, ours) = (content(config)?, content(ours)?);
            is_another(&theirs, &ours).then(|| {
                format!(
                    "it has a cluster `{name}` already that is another one (neither its server nor its certificate \
                     authority is the same); rename that, or remove it with `kubectl config delete-cluster {name}`, \
                     `delete-context {name}` and `delete-user {name}`"
                )
            })
        })
}

/// Whether two clusters' contents lead to different ones. One of which nothing is known yet can't be compared.
fn is_another(theirs: &Value, ours: &Value) -> bool {
    let known = ["server", "certificate-authority-data"]
        .map(|field| (theirs.get(field), ours.get(field)))
        .into_iter()
        .filter(|(_, ours)| ours.is_some());
    let same: Vec<_> = known.map(|(theirs, ours)| theirs == ours).collect();
    !same.is_empty() && !same.contains(&true)
}

/// A context or a user of the name of a cluster that is not there: somebody else's.
fn stray(config: &Mapping, name: &str) -> Option<String> {
    let is_there = |list| entry(config, list, name).is_some();
    let (found, them, commands) = match (is_there("contexts"), is_there("users")) {
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
         there is for another one; rename {them} in the file, or remove {them} with `kubectl config` ({commands}), or \
         leave out kubernetes.other.mergeKubeconfig"
    ))
}

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
        // Its errors quote places and keys, no values: no secret gets into a message.
        Err(error) if what == YOURS => {
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
