//! [`Keys`]: the private key for logins on a cluster's machines, and the host keys that Kubitect gives them.
//!
//! In the cluster's `.ssh` folder (0700): `id_ed25519` and `id_ed25519.pub`, unless the cluster's file names a private key;
//! `id_converted`, a copy of the named key if `ssh` can't read its format; `hosts/<node>` and `hosts/<node>.pub`; and
//! `known_hosts` for programs that Kubitect starts. An existing key is never replaced: machines use it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubitect_config::Cluster;
use kubitect_config::cluster::Node;
use kubitect_config::value::Label;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{PrivateKey, PublicKey};

use super::private_key::{self, UsableKey, public_path};
use crate::{Error, file};

/// The file with the private key that the cluster's file names, converted to OpenSSH's format where `ssh` may not read its own.
const CONVERTED: &str = "id_converted";

/// The keys of one cluster.
#[derive(Clone)]
pub struct Keys {
    folder: PathBuf,
    user_path: PathBuf,
    user: Arc<PrivateKey>,
    hosts: BTreeMap<Label, PrivateKey>,
    /// Why the host keys of further machines can't be used.
    broken: BTreeMap<Label, Arc<Error>>,
}

/// The keys that a machine gets with its seed: its host key, and the public key that may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct MachineKeys {
    /// The public key that may log in, as a line of `authorized_keys`.
    pub authorized: String,
    /// The machine's private host key, in OpenSSH's format.
    pub host_private: String,
    /// The machine's public host key: `ssh-ed25519 AAAA…`.
    pub host_public: String,
}

impl MachineKeys {
    /// Explanations in the place of keys, for documents that are only shown.
    pub fn placeholder() -> Self {
        Self {
            authorized: "ssh-ed25519 (the public key that apply makes)".to_owned(),
            host_private: "(the private host key that apply makes)".to_owned(),
            host_public: "ssh-ed25519 (the public host key that apply makes)".to_owned(),
        }
    }
}

kubitect_config::debug_fields!(MachineKeys, authorized, host_public);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("folder", &self.folder)
            .field("user_path", &self.user_path)
            .field("hosts", &self.hosts.keys())
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads the cluster's keys from `folder` and makes those that are missing. `user_key` is the path of the private key that the
    /// cluster's file names, if it does, with `~` resolved.
    pub fn ensure(
        folder: &Path,
        cluster: &Cluster,
        user_key: Option<&Path>,
    ) -> Result<Self, Error> {
        let hosts_folder = folder.join("hosts");
        file::private_folder(folder)?;
        file::private_folder(&hosts_folder)?;
        let (user_path, user) = match user_key {
            Some(path) => named_key(folder, path, true)?,
            None => {
                let path = folder.join("id_ed25519");
                let key = ensure_key(&path, &format!("kubitect-{}", cluster.name))?;
                (path, key)
            }
        };
        let hosts = cluster
            .nodes
            .iter()
            .map(|node| {
                let key = ensure_key(&hosts_folder.join(node.name.as_str()), node.name.as_str())?;
                Ok((node.name.clone(), key))
            })
            .collect::<Result<_, Error>>()?;
        let keys = Self {
            folder: folder.to_owned(),
            user_path,
            user: Arc::new(user),
            hosts,
            broken: BTreeMap::new(),
        };
        keys.write_known_hosts(cluster.nodes.iter().map(|node| (&node.name, node.ip)))?;
        Ok(keys)
    }

    /// Reads the cluster's keys as [`Keys::ensure`] does; none if one is missing. Makes and changes nothing.
    pub fn read_all(
        folder: &Path,
        cluster: &Cluster,
        user_key: Option<&Path>,
    ) -> Result<Option<Self>, Error> {
        let keys = Self::read_available(folder, cluster, user_key)?;
        if let Some(error) = keys.iter().flat_map(|keys| keys.broken.values()).next() {
            return Err(Error::Shared(Arc::clone(error)));
        }
        let has_key = |keys: &Self, node: &Node| keys.hosts.contains_key(&node.name);
        Ok(keys.filter(|keys| cluster.nodes.iter().all(|node| has_key(keys, node))))
    }

    /// As [`Keys::read_all`], without the host keys that are missing or broken; none if the private key for logins is missing.
    pub fn read_available(
        folder: &Path,
        cluster: &Cluster,
        user_key: Option<&Path>,
    ) -> Result<Option<Self>, Error> {
        let read_if_exists = |path: PathBuf| match path.try_exists() {
            Ok(true) => read(&path).map(Some),
            Ok(false) => Ok(None),
            Err(e) => Err(file::error("read", &path)(e)),
        };
        let (user_path, user) = match user_key {
            Some(path) if !path.exists() => return Ok(None),
            Some(path) => named_key(folder, path, false)?,
            None => {
                let path = folder.join("id_ed25519");
                let Some(user) = read_if_exists(path.clone())? else {
                    return Ok(None);
                };
                (path, user)
            }
        };
        let (mut hosts, mut broken) = (BTreeMap::new(), BTreeMap::new());
        for Node { name, .. } in &cluster.nodes {
            match read_if_exists(folder.join("hosts").join(name.as_str())) {
                Ok(Some(key)) => drop(hosts.insert(name.clone(), key)),
                Ok(None) => {}
                Err(error) => drop(broken.insert(name.clone(), Arc::new(error))),
            }
        }
        Ok(Some(Self {
            folder: folder.to_owned(),
            user_path,
            user: Arc::new(user),
            hosts,
            broken,
        }))
    }

    /// The file of the private key for logins.
    pub fn private_key_path(&self) -> &Path {
        &self.user_path
    }

    /// The private key for logins.
    pub fn private_key(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.user)
    }

    /// The file of pinned host keys for programs that Kubitect starts.
    pub fn known_hosts_path(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// A machine's public host key; every node that the keys were made for has one.
    pub fn host_key(&self, node: &Label) -> Option<&PublicKey> {
        self.hosts.get(node).map(PrivateKey::public_key)
    }

    /// The machines whose host keys can't be used, and why.
    pub fn broken(&self) -> &BTreeMap<Label, Arc<Error>> {
        &self.broken
    }

    /// The error of a machine whose host key is missing or can't be used.
    pub(crate) fn no_host_key(&self, node: &Label) -> Error {
        let broken = self.broken.get(node).cloned().map(Error::Shared);
        broken.unwrap_or_else(|| Error::NoHostKey {
            machine: node.to_string(),
        })
    }

    /// A machine's public host key as one line `ssh-ed25519 AAAA…`.
    pub fn host_key_line(&self, node: &Label) -> Option<String> {
        self.host_key(node).map(line)
    }

    /// The keys for the seed of this machine.
    pub fn machine(&self, node: &Label) -> Option<MachineKeys> {
        let host = self.hosts.get(node)?;
        Some(MachineKeys {
            authorized: line(self.user.public_key()),
            host_private: host.to_openssh(LineEnding::LF).ok()?.to_string(),
            host_public: line(host.public_key()),
        })
    }

    /// Writes the file of pinned host keys: a line for each of these machines, with its name, and its address where that is known.
    pub fn write_known_hosts<'a>(
        &self,
        nodes: impl IntoIterator<Item = (&'a Label, Option<Ipv4Addr>)>,
    ) -> Result<PathBuf, Error> {
        let mut text = String::new();
        for (name, ip) in nodes {
            let Some(key) = self.host_key_line(name) else {
                continue;
            };
            if let Some(ip) = ip {
                text.push_str(&format!("{ip},"));
            }
            text.push_str(&format!("{name} {key}\n"));
        }
        let path = self.known_hosts_path();
        file::replace(&path, text.as_bytes(), 0o600)?;
        Ok(path)
    }
}

/// A public key as `ssh-ed25519 AAAA…`, without comment.
pub(crate) fn line(key: &PublicKey) -> String {
    use russh::keys::PublicKeyBase64;
    format!("{} {}", key.algorithm(), key.public_key_base64())
}

/// The private key in `path`, which is made if there is none.
pub(crate) fn ensure_key(path: &Path, comment: &str) -> Result<PrivateKey, Error> {
    if !path.try_exists().map_err(file::error("read", path))? {
        let key =
            generate(comment).map_err(|source| unusable(path, "it could not be made", source))?;
        let text = key
            .to_openssh(LineEnding::LF)
            .map_err(|source| unusable(path, "it could not be written", source))?;
        // If another process has made it meanwhile, its key is used: a machine may have it already.
        file::create(path, text.as_bytes(), 0o600)?;
    }
    let key = read(path)?;
    let public = public_path(path);
    let text = format!("{} {comment}\n", line(key.public_key()));
    if kubitect_config::file::read(&public).ok().as_deref() != Some(text.as_bytes()) {
        file::replace(&public, text.as_bytes(), 0o644)?;
    }
    Ok(key)
}

/// A new ed25519 key.
fn generate(comment: &str) -> Result<PrivateKey, Box<dyn std::error::Error + Send + Sync>> {
    // The kernel's generator, which on Linux seeds all others.
    let mut seed = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
    Ok(PrivateKey::new(pair, comment)?)
}

/// Removes the host keys of machines that `cluster` no longer has: a later machine of such a name gets a key of its own.
pub fn remove_other_host_keys(folder: &Path, cluster: &Cluster) -> Result<(), Error> {
    let folder = folder.join("hosts");
    let entries = match std::fs::read_dir(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(file::error("list", &folder))?,
    };
    for entry in entries {
        let path = entry.map_err(file::error("list", &folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.strip_suffix(".pub").unwrap_or(&name);
        if !cluster.nodes.iter().any(|node| node.name.as_str() == name) {
            std::fs::remove_file(&path).map_err(file::error("remove", &path))?;
        }
    }
    Ok(())
}

/// Reads a private key that Kubitect made, and takes access to it from all other users.
fn read(path: &Path) -> Result<PrivateKey, Error> {
    restrict_mode(path)?;
    let text = kubitect_config::file::read_text(path).map_err(file::error("read key", path))?;
    russh::keys::decode_secret_key(&text, None).map_err(|source| {
        unusable(
            path,
            "it is broken; remove it, and the next `apply` brings it back",
            source,
        )
    })
}

/// Sets the mode of a private key to 0600 if group or others have access.
fn restrict_mode(path: &Path) -> Result<(), Error> {
    let metadata = path.symlink_metadata();
    let metadata = metadata.map_err(file::error("read key", path))?;
    if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, mode).map_err(file::error("close", path))?;
    }
    Ok(())
}

/// The private key that the cluster's file names, and the file from which `ssh` reads it. Only with `write`, a converted copy is
/// written, or an old one removed.
fn named_key(folder: &Path, path: &Path, write: bool) -> Result<(PathBuf, PrivateKey), Error> {
    let UsableKey { key, ssh_reads } = private_key::read(path)?;
    let converted = folder.join(CONVERTED);
    if !write {
        return Ok((
            if ssh_reads {
                path.to_owned()
            } else {
                converted
            },
            key,
        ));
    }
    if ssh_reads {
        return match std::fs::remove_file(&converted) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(file::error("remove", &converted)(e))
            }
            _ => Ok((path.to_owned(), key)),
        };
    }
    let text = key
        .to_openssh(LineEnding::LF)
        .map_err(|source| unusable(path, "it can't be written in OpenSSH's form", source))?;
    if kubitect_config::file::read(&converted).ok().as_deref() != Some(text.as_bytes()) {
        file::replace(&converted, text.as_bytes(), 0o600)?;
    }
    restrict_mode(&converted)?;
    Ok((converted, key))
}

fn unusable(path: &Path, help: &str, source: impl Into<crate::error::Source>) -> Error {
    Error::Key {
        path: path.to_owned(),
        help: help.to_owned(),
        source: Some(source.into()),
    }
}
