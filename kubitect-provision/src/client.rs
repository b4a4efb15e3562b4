//! What OpenSSH's client is given to reach a cluster's machines by their names: `ssh_config` in its folder.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kubitect_config::yaml::{Limits, read_as};
use kubitect_config::{Cluster, Facts, chain};

use crate::home::{ClusterDir, Home, write_whole};
use crate::ssh::{Keys, client_config};
use crate::{Error, gather};

/// Writes it from what the last run knew of the machines and from the addresses that the file itself gives; its path, and what stands in
/// it. A machine that is another one by now has another key, and `ssh` says so.
pub fn write_client_config(home: &Home, cluster: &Cluster) -> Result<(PathBuf, Facts), Error> {
    let dir = home.cluster(&cluster.name);
    let facts = match (remembered(&dir)?, by_file(home, cluster)?) {
        (Some(mut facts), fixed) => {
            let fixed = fixed.map(|fixed| fixed.nodes).unwrap_or_default();
            let new = fixed.into_iter();
            let new = new.filter(|node| facts.node(&node.name).is_none());
            let new: Vec<_> = new.collect();
            facts.nodes.extend(new);
            // The configuration was checked; what the last run knew is only read.
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

/// What the last run knew of the machines.
fn remembered(dir: &ClusterDir) -> Result<Option<Facts>, Error> {
    let path = dir.facts();
    let text = match kubitect_config::file::read_text(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| Error::io("read", &path, e))?,
    };
    let broken = |e| {
        let what = "which `ssh` goes by; remove it, and the next `kubitect apply` writes it";
        Error::because(format!("read {}, {what}", path.display()), chain(&e))
    };
    read_as(&text, Limits::OWN).map(Some).map_err(broken)
}

/// The machines whose addresses the file gives, if all keys are here.
fn by_file(home: &Home, cluster: &Cluster) -> Result<Option<Facts>, Error> {
    let own = cluster.guest.private_key.as_deref();
    let own = own.map(|path: &Path| home.expand(path)).transpose()?;
    let folder = home.cluster(&cluster.name).ssh();
    let Some(keys) = Keys::existing(&folder, cluster, own.as_deref())? else {
        return Ok(None);
    };
    if !keys.known_hosts_path().exists() {
        keys.write_known_hosts(cluster.nodes.iter().map(|node| (&node.name, node.ip)))?;
    }
    Ok(Some(gather::configured(cluster, &keys)))
}
