//! `dataDisks`: those of a role, and those of each machine.

use std::collections::{HashMap, HashSet};

use super::host;
use crate::cluster::{DataDisk, DiskPool};
use crate::defaults;
use crate::raw;
use crate::report::{At, Report, quote};
use crate::value::{GiB, Label};

const UNIQUE: &str =
    "give each data disk of a machine a name of its own; the role's default disks count";

/// What a machine is given besides data disks, and the serial numbers of its other disks.
const TAKEN: [&str; 4] = ["cpus", "main", "kubitect-main", "kubitect-seed"];

/// The data disks that all machines of a role have.
pub(super) struct DefaultDisks<'a> {
    disks: Vec<(usize, DataDisk, &'a raw::DataDisk)>,
    at: At<'a>,
    /// What is wrong with one is reported once, where it is written, and not for every machine.
    reported: HashSet<(usize, String)>,
}

impl<'a> DefaultDisks<'a> {
    pub fn none() -> Self {
        Self {
            disks: Vec::new(),
            at: At::Root,
            reported: HashSet::new(),
        }
    }

    /// Those that are valid in themselves; `at` is the role's `default`.
    pub fn new(raw: &'a [raw::DataDisk], at: &'a At<'a>, report: &mut Report) -> Self {
        let at = at.key("dataDisks");
        let disks = raw
            .iter()
            .enumerate()
            .filter_map(|(index, raw)| Some((index, disk(raw, &at.index(index), report)?, raw)))
            .collect();
        Self {
            disks,
            at,
            reported: HashSet::new(),
        }
    }
}

/// The role's disks, then the machine's own, with names of their own, in pools that the host has.
pub(super) fn disks(
    default: &mut DefaultDisks,
    own: &[raw::DataDisk],
    host: Option<&raw::Host>,
    at: &At,
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
            report.error(&default.at.index(*index).key(key), code, message, help);
        }
        disks.push(disk.clone());
    }
    let at = at.key("dataDisks");
    for (index, raw) in own.iter().enumerate() {
        let at = at.index(index);
        let Some(disk) = disk(raw, &at, report) else {
            continue;
        };
        if !names.insert(disk.name.clone()) {
            let message = format!("the machine has a data disk `{}` already", disk.name);
            report.error(&at.key("name"), "disk-duplicate", message, UNIQUE);
        }
        if let Some(message) = missing_pool(raw, host, report) {
            report.error(&at.key("pool"), "pool-unknown", message, pool_help(host));
        }
        disks.push(disk);
    }
    disks
}

/// The volumes of data disks: host, pool and name, and whose it is.
#[derive(Default)]
pub(super) struct Volumes(HashMap<(String, DiskPool, String), String>);

impl Volumes {
    /// Claims a machine's volumes, which are named after it and the disk: disk `a-b` of worker `1` and disk `b` of worker `1-a`
    /// would be one.
    pub(super) fn claim(
        &mut self,
        node: &Label,
        host: &raw::Host,
        disks: &[DataDisk],
        at: &At,
        report: &mut Report,
    ) {
        let host = host.name.clone().unwrap_or_default();
        for disk in disks {
            let volume = format!("{node}-{}", disk.name);
            let place = (host.clone(), disk.pool.clone(), volume.clone());
            let owner = self.0.entry(place).or_insert_with(|| node.to_string());
            if *owner != *node.as_str() {
                let message = format!(
                    "the data disk `{}` of {node} would be the volume `{volume}-data-disk`, which is one of {owner} already",
                    disk.name
                );
                let help = "give one of the two disks another name";
                report.error(&at.key("id"), "disk-duplicate", message, help);
            }
        }
    }
}

/// A disk's own values; whether its pool exists depends on the host.
fn disk(raw: &raw::DataDisk, at: &At, report: &mut Report) -> Option<DataDisk> {
    let name = host::name(raw.name.as_deref(), &at.key("name"), "disk-name", report);
    if let Some(taken) = raw.name.as_deref().filter(|name| TAKEN.contains(name)) {
        let message = format!("{} is what a part of every machine is called", quote(taken));
        report.error(&at.key("name"), "disk-name", message, "choose another name");
    }
    let pool = match raw.pool.as_deref() {
        None | Some(defaults::DATA_DISK_POOL) => Some(DiskPool::Main),
        Some(pool) => report
            .parse(&at.key("pool"), "pool-name", pool)
            .map(DiskPool::Data),
    };
    if raw.size.is_none() {
        report.missing(&at.key("size"), "give the disk a `size` in GiB");
    }
    Some(DataDisk {
        name: name?,
        pool: pool?,
        size: GiB(raw.size?),
    })
}

fn missing_pool(raw: &raw::DataDisk, host: Option<&raw::Host>, report: &Report) -> Option<String> {
    let (pool, host) = (raw.pool.as_deref()?, host?);
    // A pool without a name, or under a key that is none, is said already.
    let pools = &host.data_resource_pools;
    if report.has_left_out("dataResourcePools") || pools.iter().any(|pool| pool.name.is_none()) {
        return None;
    }
    let known = pool == defaults::DATA_DISK_POOL
        || host
            .data_resource_pools
            .iter()
            .any(|one| one.name.as_deref() == Some(pool));
    (!known).then(|| {
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
