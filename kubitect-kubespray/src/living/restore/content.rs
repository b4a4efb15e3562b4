//! [`Content`]: what a snapshot of etcd holds, read from its file on this machine before any master is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kubitect_config::digest::hex;
use kubitect_config::text;
use kubitect_config::value::Version;
use sha2::{Digest, Sha256};

use super::bolt::Database;
use super::proto::{all, bytes, number};
use crate::Error;

/// The length of the SHA-256 that etcd appends to a snapshot, in bytes.
const DIGEST: u64 = 32;
/// The largest snapshot that is restored, in bytes: twice the largest database that etcd's documentation suggests (8 GiB).
const LARGEST: u64 = 16 << 30;
/// The most nodes, and the longest name of a node, in a snapshot: the file is not trusted with this machine's memory.
const NODES: usize = 12_000;
const NAME: usize = 253;

const NODE: &str = "/registry/minions/";
const LEASE: &str = "/registry/leases/kube-node-lease/";
const AUTHORITY: &str = "/registry/configmaps/kube-system/kube-root-ca.crt";
const SETTINGS: &str = "/registry/configmaps/kube-system/kubeadm-config";
const REGISTRY: &str = "/registry/";

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its file.
    pub file: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// etcd's revision: the number of the last change in it.
    pub revision: u64,
    /// When it was taken, by the last renewal of a node's lease in it; none, if it has no such lease.
    pub taken: Option<SystemTime>,
    /// The names of the nodes in it.
    pub nodes: BTreeSet<String>,
    /// The certificate of the cluster's authority; none, if the snapshot is encrypted or does not have it.
    pub authority: Option<String>,
    /// The Kubernetes version in kubeadm's settings.
    pub kubernetes: Option<Version>,
    /// etcd's cluster version, on which its members had agreed, as `3.5.0`.
    pub etcd: Option<Version>,
}

impl Content {
    /// Reads a whole snapshot.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |why: String| {
            let path = path.display();
            Error::failed(format!("read {path} as a snapshot of etcd: {why}"))
        };
        // Looked at before it is opened: opening a named pipe would wait.
        let metadata = path.metadata().map_err(Error::file("look at", path))?;
        let length = saved_length(&metadata).map_err(failed)?;
        let file = File::open(path).map_err(Error::file("open", path))?;
        let sha256 = digests(&file, length, path)?.ok_or_else(|| {
            failed("its content is not what was saved: the digest at its end is another".to_owned())
        })?;
        let mut history = History::default();
        let database = Database::open(file, length).map_err(failed)?;
        database
            .walk(b"key", &mut |key, value| history.change(key, value))
            .map_err(failed)?;
        if !history.is_kubernetes {
            return Err(failed("there is nothing of Kubernetes in it".to_owned()));
        }
        Ok(Self {
            file: path.to_owned(),
            bytes: length + DIGEST,
            sha256,
            etcd: cluster_version(&database).map_err(failed)?,
            ..history.content()
        })
    }
}

/// The length of the database in such a file, before its digest.
fn saved_length(metadata: &Metadata) -> Result<u64, String> {
    let length = metadata.len().checked_sub(DIGEST);
    match length.filter(|length| length % 512 == 0) {
        _ if !metadata.is_file() => Err("it is no file".to_owned()),
        Some(length) if length > LARGEST => Err(too_large(length)),
        Some(length) => Ok(length),
        None => Err(
            "it does not end as `etcdctl snapshot save` ends it; it is none, or only a part of one"
                .to_owned(),
        ),
    }
}

fn too_large(bytes: u64) -> String {
    let (has, most) = (bytes >> 30, LARGEST >> 30);
    format!("it has {has} GiB; more than {most} GiB are not restored")
}

/// etcd's cluster version.
fn cluster_version(database: &Database) -> Result<Option<Version>, String> {
    let mut version = None;
    database.walk(b"cluster", &mut |key, value| {
        if key == b"clusterVersion" {
            version = std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse().ok());
        }
        Ok(())
    })?;
    Ok(version)
}

/// The SHA-256 of the whole file, if the digest at its end is the one of the content before it.
fn digests(mut file: &File, length: u64, path: &Path) -> Result<Option<String>, Error> {
    let failed = || Error::file("read", path);
    let (mut of_content, mut of_all) = (Sha256::new(), Sha256::new());
    let mut piece = vec![0; 1 << 20];
    let mut left = length;
    while left > 0 {
        let size = piece.len().min(left as usize);
        file.read_exact(&mut piece[..size]).map_err(failed())?;
        of_content.update(&piece[..size]);
        of_all.update(&piece[..size]);
        left -= size as u64;
    }
    let mut saved = [0; DIGEST as usize];
    file.read_exact(&mut saved).map_err(failed())?;
    of_all.update(saved);
    let is_whole = of_content.finalize()[..] == saved;
    Ok(is_whole.then(|| hex(&of_all.finalize())))
}

/// What the changes read so far lead to: etcd keeps each change of a key under a revision of its own.
#[derive(Default)]
struct History {
    revision: u64,
    is_kubernetes: bool,
    nodes: BTreeSet<String>,
    /// The last value of each ConfigMap that is needed.
    maps: BTreeMap<&'static str, Vec<u8>>,
    /// The last renewal of a node's lease, since 1970.
    last_renewal: Option<Duration>,
}

impl History {
    /// Takes in one change: the key of its revision, and what was put or deleted. A deletion has a `t` behind the 17 bytes of the
    /// revision.
    fn change(&mut self, revision: &[u8], value: &[u8]) -> Result<(), String> {
        let number = revision.first_chunk::<8>();
        let number = number.ok_or("one of its revisions is broken")?;
        self.revision = self.revision.max(u64::from_be_bytes(*number));
        let is_deleted = revision.last() == Some(&b't') && revision.len() == 18;
        let key = bytes(value, 1).and_then(|key| std::str::from_utf8(key).ok());
        let Some(key) = key.filter(|key| key.starts_with(REGISTRY)) else {
            return Ok(());
        };
        self.is_kubernetes = true;
        let object = bytes(value, 5).unwrap_or_default();
        if let Some(node) = key.strip_prefix(NODE) {
            self.node(&text::line(node), is_deleted)?;
        } else if key.starts_with(LEASE) && !is_deleted {
            self.last_renewal = self.last_renewal.max(renewed(object));
        } else if let Some(map) = [AUTHORITY, SETTINGS].into_iter().find(|map| *map == key) {
            match is_deleted {
                true => drop(self.maps.remove(map)),
                false => drop(self.maps.insert(map, object.to_vec())),
            }
        }
        Ok(())
    }

    fn node(&mut self, name: &str, is_deleted: bool) -> Result<(), String> {
        let fits = self.nodes.len() < NODES && name.len() <= NAME;
        match is_deleted {
            true => drop(self.nodes.remove(name)),
            false if fits => drop(self.nodes.insert(name.to_owned())),
            false => return Err("it has too many nodes, or too long names of them".to_owned()),
        }
        Ok(())
    }

    fn content(self) -> Content {
        let entry = |map: &str, key: &str| {
            let object = self.maps.get(map)?;
            entry(object, key)
        };
        let settings = entry(SETTINGS, "ClusterConfiguration").unwrap_or_default();
        let mut lines = settings.lines();
        let version = lines.find_map(|line| line.strip_prefix("kubernetesVersion:"));
        Content {
            file: PathBuf::new(),
            bytes: 0,
            sha256: String::new(),
            revision: self.revision,
            taken: self
                .last_renewal
                .map(|since| SystemTime::UNIX_EPOCH + since),
            authority: entry(AUTHORITY, "ca.crt").map(|text| text.trim().to_owned()),
            kubernetes: version.and_then(|text| text.trim().parse().ok()),
            etcd: None,
            nodes: self.nodes,
        }
    }
}

/// The protocol-buffer message of an object; none, if it is stored in another form: encrypted, or as JSON.
fn object(stored: &[u8]) -> Option<&[u8]> {
    bytes(stored.strip_prefix(b"k8s\0")?, 2)
}

/// The value of this key in a ConfigMap.
fn entry(stored: &[u8], wanted: &str) -> Option<String> {
    let entry = all(object(stored)?, 2).find(|entry| bytes(entry, 1) == Some(wanted.as_bytes()))?;
    Some(String::from_utf8_lossy(bytes(entry, 2)?).into_owned())
}

/// When a lease was renewed, since 1970.
fn renewed(stored: &[u8]) -> Option<Duration> {
    let spec = bytes(object(stored)?, 2)?;
    let seconds = number(bytes(spec, 4)?, 1)?;
    // Later than the year 9999 is no time: it could not be shown.
    (seconds < 253_402_300_800).then(|| Duration::from_secs(seconds))
}
