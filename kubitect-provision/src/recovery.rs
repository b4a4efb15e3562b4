//! Keys whose folder was lost, brought back as far as libvirt tells and the machines' agents let us.

use std::path::Path;

use kubitect_config::Cluster;
use kubitect_config::cluster::Node;
use kubitect_config::yaml::{self, Limits, Value};

use crate::bounded::Bounded;
use crate::cloud_init::seed;
use crate::desired::seed_volume;
use crate::hypervisor::{Failure, Hosts};
use crate::ssh::Keys;
use crate::ssh::keys::{ensure_key, line};
use crate::{Error, file};

/// Brings back what is missing of the keys in `folder` for machines that exist, all of which have to run.
///
/// Their host keys stand in the seeds that they were first started with. The private key that opens them, unless the
/// cluster names one of its own, is nowhere else: a new one is made, and the machines' agents let it in. Done again
/// after an interruption, it goes on with the same keys.
pub fn recover(
    folder: &Path,
    cluster: &Cluster,
    user_key: Option<&Path>,
    hosts: &Hosts,
) -> Result<Option<Keys>, Error> {
    let hosts_folder = folder.join("hosts");
    let mut lost = Vec::new();
    for node in &cluster.nodes {
        let path = hosts_folder.join(node.name.as_str());
        if !path.try_exists().map_err(file::error("read", &path))? {
            lost.push((path, host_key(cluster, node, hosts)?, node));
        }
    }
    file::private_folder(folder)?;
    file::private_folder(&hosts_folder)?;
    for (path, text, node) in lost {
        file::create(&path, text.as_bytes(), 0o600)?;
        // Its public half, too.
        ensure_key(&path, node.name.as_str())?;
    }
    let path = folder.join("id_ed25519");
    let lost = user_key.is_none() && !path.try_exists().map_err(file::error("read", &path))?;
    if lost {
        // Under its name it would pass for a key that all machines know.
        let comment = format!("kubitect-{}", cluster.name);
        let aside = folder.join("id_ed25519.new");
        let public = line(ensure_key(&aside, &comment)?.public_key());
        for node in &cluster.nodes {
            hosts
                .get(&node.host)?
                .let_in(&node.name, cluster.guest.user.as_str(), &public)
                .map_err(|failure| failure.on(&node.host))?;
        }
        std::fs::rename(&aside, &path).map_err(file::error("rename", &aside))?;
        let stale = folder.join("id_ed25519.new.pub");
        std::fs::remove_file(&stale).map_err(file::error("remove", &stale))?;
        ensure_key(&path, &comment)?;
    }
    Keys::existing(folder, cluster, user_key)
}

/// The private host key that a machine was given.
fn host_key(cluster: &Cluster, node: &Node, hosts: &Hosts) -> Result<String, Error> {
    let volume = seed_volume(&node.name);
    let action = || format!("read the host key of {} from {volume}", node.name);
    // One byte more than a seed has tells what is none.
    let mut volume_bytes = Bounded::new(seed::SIZE + 1);
    let pool = cluster.main_pool_name();
    hosts
        .get(&node.host)?
        .download(&pool, &volume, 0, &mut volume_bytes)
        .map_err(|failure| failure.on(&node.host))?;
    let documents = seed::read(&volume_bytes.bytes)
        .map_err(|e| Failure::new(action(), e))
        .map_err(|failure| failure.on(&node.host))?;
    // The machine could write to its seed: nothing of it gets into a message.
    let data = yaml::read(&documents.user_data, Limits::GUEST)
        .map_err(|e| Failure::new(action(), e))
        .map_err(|failure| failure.on(&node.host))?;
    let key = data
        .get("ssh_keys")
        .and_then(|keys| keys.get("ed25519_private"))
        .and_then(Value::as_str);
    key.map(str::to_owned)
        .ok_or_else(|| Failure::new(action(), "its user-data hold no host key").on(&node.host))
}
