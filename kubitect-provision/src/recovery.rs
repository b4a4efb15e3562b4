//! Recovers the SSH keys of a cluster whose folder was lost: host keys from the machines' seeds, access by their guest agents.

use std::path::Path;

use kubitect_config::Cluster;
use kubitect_config::cluster::Node;
use kubitect_config::yaml::{self, Limits, Value};

use crate::bounded::BoundedBuffer;
use crate::cloud_init::seed;
use crate::desired::seed_volume;
use crate::hypervisor::{Failure, Hosts};
use crate::ssh::Keys;
use crate::ssh::keys::{ensure_key, line};
use crate::{Error, file};

/// Recovers the keys that are missing in `folder`, for machines that exist; all of them have to run.
///
/// The host keys are in the seeds that the machines were first started with. The private key for logging in, unless the configuration
/// names one, exists nowhere else: a new one is made, and the machines' guest agents authorize it. After an interruption, a second
/// call goes on with the same keys.
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
        // Writes the public key beside it.
        ensure_key(&path, node.name.as_str())?;
    }
    let path = folder.join("id_ed25519");
    let lost = user_key.is_none() && !path.try_exists().map_err(file::error("read", &path))?;
    if lost {
        // It gets its final name only once all machines authorize it: a later run takes a key of that name for authorized.
        let comment = format!("kubitect-{}", cluster.name);
        let aside = folder.join("id_ed25519.new");
        let public = line(ensure_key(&aside, &comment)?.public_key());
        for node in &cluster.nodes {
            hosts
                .get(&node.host)?
                .authorize_key(&node.name, cluster.guest.user.as_str(), &public)
                .map_err(|failure| failure.on(&node.host))?;
        }
        std::fs::rename(&aside, &path).map_err(file::error("rename", &aside))?;
        let stale = folder.join("id_ed25519.new.pub");
        std::fs::remove_file(&stale).map_err(file::error("remove", &stale))?;
        ensure_key(&path, &comment)?;
    }
    Keys::read_all(folder, cluster, user_key)
}

/// The private host key of a machine, from its seed.
fn host_key(cluster: &Cluster, node: &Node, hosts: &Hosts) -> Result<String, Error> {
    let volume = seed_volume(&node.name);
    let action = || format!("read the host key of {} from {volume}", node.name);
    // One byte more than a seed can have, so that a larger volume is found to be none.
    let mut volume_bytes = BoundedBuffer::new(seed::SIZE + 1);
    let pool = cluster.main_pool_name();
    hosts
        .get(&node.host)?
        .download(&pool, &volume, 0, &mut volume_bytes)
        .map_err(|failure| failure.on(&node.host))?;
    let documents = seed::read(&volume_bytes.bytes)
        .map_err(|e| Failure::new(action(), e))
        .map_err(|failure| failure.on(&node.host))?;
    // The machine may have written to its seed, so nothing of its content gets into a message.
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
