//! `dataDisks`: those of a role, and those of each machine.

use std::collections::{HashMap, HashSet};

use super::host;
use crate::cluster::{DataDisk, DiskPool};
use crate::defaults;
use crate::raw;
use crate::report::{KeyPath, Report, quote};
use crate::value::{GiB, Label};

const UNIQUE: &str =
    "give each data disk of a machine a name of its own; the role's default disks count";

/// Names that no data disk may have: other parts of a machine, and the serial numbers of its other disks, have them.
const TAKEN: [&str; 4] = ["cpus", "main", "kubitect-main", "kubitect-seed"];

/// The data disks that all machines of a role have.
pub(super) struct DefaultDisks<'a> {
    disks: Vec<(usize, DataDisk, &'a raw::DataDisk)>,
    path: KeyPath<'a>,
    /// The problems that were reported, by disk and message: each is reported once, at the default, and not for every machine.
    reported: HashSet<(usize, String)>,
}

impl<'a> DefaultDisks<'a> {
    pub fn none() -> Self {
        Self {
            disks: Vec::new(),
            path: KeyPath::Root,
            reported: HashSet::new(),
        }
    }

    /// The disks that are valid by themselves; `path` is the path of the role's `default`.
    pub fn new(raw: &'a [raw::DataDisk], path: &'a KeyPath<'a>, report: &mut Report) -> Self {
        let path = path.key("dataDisks");
        let disks = raw
            .iter()
            .enumerate()
            .filter_map(|(index, raw)| Some((index, disk(raw, &path.index(index), report)?, raw)))
            .collect();
        Self {
            disks,
            path,
            reported: HashSet::new(),
        }
    }
}

/// The role's default disks, then the machine's own. Their names must differ, and their pools must exist on the host.
pub(super) fn disks(
    default: &mut DefaultDisks,
    own: &[raw::DataDisk],
    host: Option<&raw::Host>,
    path: &KeyPath,
    report: &mut Report,
) -> Vec<DataDisk> {
    let mut names = HashSet::new();
    let mut disks = Vec::new();
    for (index, disk, raw) in &default.disks {
        let fault = if !names.insert(disk.name.clone()) {
            let message = format!("there is a default data disk `{}` already", disk.name);
            Some(("name", "disk-duplicate", message, UNIQUE.to_owned()))
        } else {
            missing_pool(raw, host, report)
                .map(|message| ("pool", "pool-unknown", message, pool_help(host)))
        };
        if let Some((key, code, message, help)) = fault
            && default.reported.insert((*index, message.clone()))
        {
            report.error(&default.path.index(*index).key(key), code, message, help);
        }
        disks.push(disk.clone());
    }
    let path = path.key("dataDisks");
    for (index, raw) in own.iter().enumerate() {
        let path = path.index(index);
        let Some(disk) = disk(raw, &path, report) else {
            continue;
        };
        if !names.insert(disk.name.clone()) {
            let message = format!("the machine has a data disk `{}` already", disk.name);
            report.error(&path.key("name"), "disk-duplicate", message, UNIQUE);
        }
        if let Some(message) = missing_pool(raw, host, report) {
            report.error(&path.key("pool"), "pool-unknown", message, pool_help(host));
        }
        disks.push(disk);
    }
    disks
}

/// The owner of each data disk's volume, by host, pool and volume name.
#[derive(Default)]
pub(super) struct Volumes(HashMap<(String, DiskPool, String), String>);

impl Volumes {
    /// Records the volumes of a machine, and reports those that another machine has: the name is made from machine and disk, so
    /// disk `a-b` of worker `1` and disk `b` of worker `1-a` would be the same volume.
    pub(super) fn claim(
        &mut self,
        node: &Label,
        host: &raw::Host,
        disks: &[DataDisk],
        path: &KeyPath,
        report: &mut Report,
    ) {
        let host = host.name.clone().unwrap_or_default();
        for disk in disks {
            let volume = format!("{node}-{}", disk.name);
            let volume_key = (host.clone(), disk.pool.clone(), volume.clone());
            let owner = self.0.entry(volume_key).or_insert_with(|| node.to_string());
            if *owner != *node.as_str() {
                let message = format!(
                    "the data disk `{}` of {node} would be the volume `{volume}-data-disk`, which is one of {owner} already",
                    disk.name
                );
                let help = "give one of the two disks another name";
                report.error(&path.key("id"), "disk-duplicate", message, help);
            }
        }
    }
}

/// A disk that is valid by itself; whether its pool exists depends on the machine's host, and is checked later.
fn disk(raw: &raw::DataDisk, path: &KeyPath, report: &mut Report) -> Option<DataDisk> {
    let name = host::name(raw.name.as_deref(), &path.key("name"), "disk-name", report);
    if let Some(taken) = raw.name.as_deref().filter(|name| TAKEN.contains(name)) {
        let message = format!("{} is what a part of every machine is called", quote(taken));
        report.error(
            &path.key("name"),
            "disk-name",
            message,
            "choose another name",
        );
    }
    let pool = match raw.pool.as_deref() {
        None | Some(defaults::DATA_DISK_POOL) => Some(DiskPool::Main),
        Some(pool) => report
            .parse(&path.key("pool"), "pool-name", pool)
            .map(DiskPool::Data),
    };
    if raw.size.is_none() {
        report.missing(&path.key("size"), "give the disk a `size` in GiB");
    }
    Some(DataDisk {
        name: name?,
        pool: pool?,
        size: GiB(raw.size?),
    })
}

/// The message if the host does not have the disk's pool.
fn missing_pool(raw: &raw::DataDisk, host: Option<&raw::Host>, report: &Report) -> Option<String> {
    let (pool, host) = (raw.pool.as_deref()?, host?);
    // If a pool's name or key is wrong, that is reported already, and the disk may mean that pool.
    let pools = &host.data_resource_pools;
    if report.has_left_out("dataResourcePools") || pools.iter().any(|pool| pool.name.is_none()) {
        return None;
    }
    let exists = pool == defaults::DATA_DISK_POOL
        || host
            .data_resource_pools
            .iter()
            .any(|own| own.name.as_deref() == Some(pool));
    (!exists).then(|| {
        let host = host.name.as_deref().unwrap_or("?");
        format!("the host `{host}` has no data pool {}", quote(pool))
    })
}

fn pool_help(host: Option<&raw::Host>) -> String {
    let pools = host.map_or(&[][..], |host| &host.data_resource_pools);
    let names: Vec<&str> = std::iter::once(defaults::DATA_DISK_POOL)
        .chain(pools.iter().filter_map(|pool| pool.name.as_deref()))
        .collect();
    let names = names.join(", ");
    format!("use one of: {names}; or add it to the host's `dataResourcePools`")
}
