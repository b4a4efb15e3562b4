//! `ssh_config` in a cluster's folder: the configuration with which OpenSSH's client reaches the machines by name.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kubitect_config::yaml::{Limits, read_as};
use kubitect_config::{Cluster, Facts, chain};

use crate::home::{ClusterDir, Home, write_whole};
use crate::ssh::{Keys, client_config};
use crate::{Error, gather};

/// Writes `ssh_config` from the facts of the last run and from configured addresses; returns its path and the facts in it. The
/// facts may be outdated, which is safe: a machine that was replaced has another host key, and `ssh` refuses it.
pub fn write_client_config(home: &Home, cluster: &Cluster) -> Result<(PathBuf, Facts), Error> {
    let dir = home.cluster(&cluster.name);
    let facts = match (saved_facts(&dir)?, configured_facts(home, cluster)?) {
        (Some(mut facts), fixed) => {
            let fixed = fixed.map(|fixed| fixed.nodes).unwrap_or_default();
            let new = fixed.into_iter();
            let new = new.filter(|node| facts.node(&node.name).is_none());
            let new: Vec<_> = new.collect();
            facts.nodes.extend(new);
            // The user comes from the configuration, which was validated; the saved facts were not.
            facts.user.clone_from(&cluster.guest.user);
            facts
        }
        (None, Some(fixed)) => fixed,
        (None, None) => {
            return Err(Error::failed(format!(
                "find the machines of {}: there is no {}, and not all of their keys are in {}; `kubitect apply` brings both back",
                cluster.name,
                dir.facts().display(),
                dir.ssh().display()
            )));
        }
    };
    let path = dir.config_dir().join("ssh_config");
    let text = client_config(cluster, &facts).ok_or_else(|| {
        Error::failed(format!(
            "write {}: a path in it has a quotation mark, or its user is no word",
            path.display()
        ))
    })?;
    write_whole(&path, text.as_bytes(), 0o600)?;
    Ok((path, facts))
}

/// The facts that the last run saved; none: there is no such file.
fn saved_facts(dir: &ClusterDir) -> Result<Option<Facts>, Error> {
    let path = dir.facts();
    let text = match kubitect_config::file::read_text(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| Error::io("read", &path, e))?,
    };
    let broken = |e| {
        let what = "which `ssh` uses; remove it, and the next `kubitect apply` writes it";
        Error::because(format!("read {}, {what}", path.display()), chain(&e))
    };
    read_as(&text, Limits::OWN).map(Some).map_err(broken)
}

/// The facts of machines with configured addresses; none if a key is missing.
fn configured_facts(home: &Home, cluster: &Cluster) -> Result<Option<Facts>, Error> {
    let named_key = cluster.guest.private_key.as_deref();
    let named_key = named_key.map(|path: &Path| home.expand(path)).transpose()?;
    let folder = home.cluster(&cluster.name).ssh();
    let Some(keys) = Keys::read_all(&folder, cluster, named_key.as_deref())? else {
        return Ok(None);
    };
    if !keys.known_hosts_path().exists() {
        keys.write_known_hosts(cluster.nodes.iter().map(|node| (&node.name, node.ip)))?;
    }
    Ok(Some(gather::configured(cluster, &keys)))
}
