//! The user's own `known_hosts` (`addToKnownHosts`): Kubitect adds and removes its own lines; every other byte stays.
//!
//! Its lines come first and end in a comment that names the cluster: `… kubitect:<cluster>`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use kubitect_config::value::Label;
use kubitect_config::{Facts, NodeFacts};

use crate::{Error, file};

/// Replaces the cluster's lines in `path` by those of the machines in `facts`: of machines that have a line with this address and
/// key already, and of machines on which a login has `verified` that the key is at the address. Whether anything changed.
pub fn add(
    path: &Path,
    cluster: &Label,
    facts: &Facts,
    verified: &dyn Fn(&Label) -> bool,
) -> Result<bool, Error> {
    let entries = entries(facts, verified);
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.exists() {
        file::private_folder(folder)?;
    }
    rewrite(path, cluster, &entries)
}

/// The machines of `facts` whose addresses and keys are not in `path`.
pub fn missing(path: &Path, facts: &Facts) -> Result<Vec<Label>, Error> {
    let before = match kubitect_config::file::read(&resolved(path)?) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(file::error("read", path)(e)),
    };
    let lines = before.split(|b| *b == b'\n');
    let present: BTreeSet<_> = lines.flat_map(hosts_and_key).collect();
    let nodes = facts.nodes.iter();
    let missing =
        nodes.filter(|node| !present.contains(&(node.ip.to_string(), node.host_key.clone())));
    Ok(missing.map(|node| node.name.clone()).collect())
}

/// Removes the cluster's lines from `path`. Whether there were any.
pub fn remove(path: &Path, cluster: &Label) -> Result<bool, Error> {
    if !path.try_exists().map_err(file::error("read", path))? {
        return Ok(false);
    }
    rewrite(path, cluster, &[])
}

/// Whether lines of this cluster are in `path`.
pub fn has(path: &Path, cluster: &Label) -> bool {
    let mark = format!("kubitect:{cluster}");
    kubitect_config::file::read(path)
        .is_ok_and(|bytes| bytes.split(|b| *b == b'\n').any(|l| is_ours(l, &mark)))
}

struct Entry {
    address: Ipv4Addr,
    key: String,
    /// Whether a login has verified that the key is at the address.
    verified: bool,
}

fn entries(facts: &Facts, verified: &dyn Fn(&Label) -> bool) -> Vec<Entry> {
    let entry = |node: &NodeFacts| Entry {
        address: node.ip,
        key: node.host_key.clone(),
        verified: verified(&node.name),
    };
    facts.nodes.iter().map(entry).collect()
}

fn rewrite(path: &Path, cluster: &Label, entries: &[Entry]) -> Result<bool, Error> {
    // If the file is a link, as into a folder of dot files, its target is replaced and the link stays.
    let path = resolved(path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let _lock = file::lock(folder)?;
    let before = match kubitect_config::file::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(file::error("read", &path)(e)),
    };
    let after = rewritten(&before, cluster, entries);
    if after == before {
        return Ok(false);
    }
    write(&path, folder, &after).map_err(file::error("write", &path))?;
    Ok(true)
}

/// The new content: the cluster's lines, then all other lines, unchanged.
fn rewritten(before: &[u8], cluster: &Label, entries: &[Entry]) -> Vec<u8> {
    let mark = format!("kubitect:{cluster}");
    let foreign: Vec<&[u8]> = before
        .split_inclusive(|b| *b == b'\n')
        .filter(|line| !is_ours(line, &mark))
        .collect();
    let in_foreign: BTreeSet<(String, String)> = foreign
        .iter()
        .flat_map(|line| hosts_and_key(line))
        .collect();
    let previous: BTreeSet<(String, String)> = before
        .split_inclusive(|b| *b == b'\n')
        .filter(|line| is_ours(line, &mark))
        .flat_map(hosts_and_key)
        .collect();
    let mut after = Vec::with_capacity(before.len());
    for Entry {
        address,
        key,
        verified,
    } in entries
    {
        if !verified && !previous.contains(&(address.to_string(), key.clone())) {
            continue;
        }
        // A user who has answered ssh's question has a line of the same host and key.
        if !in_foreign.contains(&(address.to_string(), key.clone())) {
            after.extend_from_slice(format!("{address} {key} {mark}\n").as_bytes());
        }
    }
    after.extend(foreign.concat());
    after
}

/// Whether a line is Kubitect's: it ends with the cluster's mark.
fn is_ours(line: &[u8], mark: &str) -> bool {
    !line.starts_with(b"#")
        && line.trim_ascii().rsplit(|b| *b == b' ').next() == Some(mark.as_bytes())
}

/// Each host of a line with the line's key. Lines with hashed hosts and lines with markers (`@…`) are skipped.
fn hosts_and_key(line: &[u8]) -> Vec<(String, String)> {
    let line = String::from_utf8_lossy(line);
    let mut fields = line.split_ascii_whitespace();
    match (fields.next(), fields.next(), fields.next()) {
        (Some(hosts), Some(kind), Some(key)) if !hosts.starts_with(['#', '@', '|']) => hosts
            .split(',')
            .map(|host| (host.to_owned(), format!("{kind} {key}")))
            .collect(),
        _ => Vec::new(),
    }
}

/// The path without links; the path itself if there is no file.
fn resolved(path: &Path) -> Result<PathBuf, Error> {
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(e) => Err(file::error("read", path)(e)),
    }
}

/// Replaces the file, keeping its mode and owner.
fn write(path: &Path, folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let existing = match path.metadata() {
        Ok(metadata) => Some(metadata),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    let mut file = tempfile::Builder::new()
        .prefix(file::TEMPORARY)
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    io::Write::write_all(&mut file, bytes)?;
    if let Some(existing) = existing {
        let ours = file.as_file().metadata()?;
        if (existing.uid(), existing.gid()) != (ours.uid(), ours.gid()) {
            fchown(file.as_file(), Some(existing.uid()), Some(existing.gid()))?;
        }
        file.as_file().set_permissions(existing.permissions())?;
    }
    file.as_file().sync_all()?;
    fail::fail_point!("provision::file-aside");
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
