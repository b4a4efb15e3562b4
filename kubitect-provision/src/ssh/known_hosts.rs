//! The user's own `known_hosts` (`addToKnownHosts`): our lines come and go, every other byte stays.
//!
//! Our lines stand first and end in a comment that names the cluster: `… kubitect:<cluster>`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use kubitect_config::value::Label;
use kubitect_config::{Facts, NodeFacts};

use crate::{Error, file};

/// Writes the keys of machines of `facts` into `path`, in the place of those that the cluster had there: of machines that are
/// there already, and of those that have been logged in on (`proven`), so that a key is at the address. Says whether anything
/// changed.
pub fn add(
    path: &Path,
    cluster: &Label,
    facts: &Facts,
    proven: &dyn Fn(&Label) -> bool,
) -> Result<bool, Error> {
    let entries = entries(facts, proven);
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.exists() {
        file::private_folder(folder)?;
    }
    rewrite(path, cluster, &entries)
}

/// The machines of `facts` whose keys are not in `path` yet.
pub fn missing(path: &Path, facts: &Facts) -> Result<Vec<Label>, Error> {
    let before = match kubitect_config::file::read(&resolved(path)?) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(file::error("read", path)(e)),
    };
    let lines = before.split(|b| *b == b'\n');
    let there: BTreeSet<_> = lines.flat_map(hosts_and_key).collect();
    let nodes = facts.nodes.iter();
    let missing =
        nodes.filter(|node| !there.contains(&(node.ip.to_string(), node.host_key.clone())));
    Ok(missing.map(|node| node.name.clone()).collect())
}

/// Removes the cluster's lines from `path`. Says whether there were any.
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
    /// Whether the key is known to be at the address.
    proven: bool,
}

fn entries(facts: &Facts, proven: &dyn Fn(&Label) -> bool) -> Vec<Entry> {
    let entry = |node: &NodeFacts| Entry {
        address: node.ip,
        key: node.host_key.clone(),
        proven: proven(&node.name),
    };
    facts.nodes.iter().map(entry).collect()
}

fn rewrite(path: &Path, cluster: &Label, entries: &[Entry]) -> Result<bool, Error> {
    // A link into a folder of dot files stays one.
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

/// The new content: our lines, then all lines that are not ours, as they are.
fn rewritten(before: &[u8], cluster: &Label, entries: &[Entry]) -> Vec<u8> {
    let mark = format!("kubitect:{cluster}");
    let foreign: Vec<&[u8]> = before
        .split_inclusive(|b| *b == b'\n')
        .filter(|line| !is_ours(line, &mark))
        .collect();
    let known: BTreeSet<(String, String)> = foreign
        .iter()
        .flat_map(|line| hosts_and_key(line))
        .collect();
    let stood: BTreeSet<(String, String)> = before
        .split_inclusive(|b| *b == b'\n')
        .filter(|line| is_ours(line, &mark))
        .flat_map(hosts_and_key)
        .collect();
    let mut after = Vec::with_capacity(before.len());
    for Entry {
        address,
        key,
        proven,
    } in entries
    {
        if !proven && !stood.contains(&(address.to_string(), key.clone())) {
            continue;
        }
        // Whoever has answered ssh's question already has the line.
        if !known.contains(&(address.to_string(), key.clone())) {
            after.extend_from_slice(format!("{address} {key} {mark}\n").as_bytes());
        }
    }
    after.extend(foreign.concat());
    after
}

/// Whether a line ends with our mark.
fn is_ours(line: &[u8], mark: &str) -> bool {
    !line.starts_with(b"#")
        && line.trim_ascii().rsplit(|b| *b == b' ').next() == Some(mark.as_bytes())
}

/// Each host of a line with the line's key. Hashed hosts can't be read, and marked lines (`@…`) are no plain entries.
fn hosts_and_key(line: &[u8]) -> Vec<(String, String)> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(hosts), Some(kind), Some(key)) if !hosts.starts_with(['#', '@', '|']) => hosts
            .split(',')
            .map(|host| (host.to_owned(), format!("{kind} {key}")))
            .collect(),
        _ => Vec::new(),
    }
}

/// Where the file really lies; the path itself if there is none.
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
        .prefix(file::ASIDE)
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
