//! Warnings of sizes that are allowed but probably wrong: MiB written as GiB, and disks that are too small for Kubernetes.

use super::root::key;
use crate::cluster::Role;
use crate::raw;
use crate::report::{KeyPath, Report};

const CODE: &str = "size-doubtful";
/// From this number of GiB on, MiB are more likely meant.
const MUCH: u32 = 1024;
/// The least main disk of a node, in GiB: about what the system, Kubernetes' programs and images need.
const DISK: u32 = 5;

/// Checks the sizes of all machines: those of the defaults and those of each instance.
pub(super) fn sizes(raw: &raw::Nodes, path: &KeyPath, report: &mut Report) {
    let balancer = &raw.load_balancer;
    let role_path = path.key(key(Role::LoadBalancer));
    let (default_path, instances_path) = (role_path.key("default"), role_path.key("instances"));
    let default = &balancer.default;
    size(
        (default.ram, default.main_disk_size),
        0,
        &default_path,
        report,
    );
    for (index, instance) in balancer.instances.iter().enumerate() {
        let path = instances_path.index(index);
        size((instance.ram, instance.main_disk_size), 0, &path, report);
    }
    for (role, raw) in [(Role::Master, &raw.master), (Role::Worker, &raw.worker)] {
        let role_path = path.key(key(role));
        let (default_path, instances_path) = (role_path.key("default"), role_path.key("instances"));
        let default = &raw.default;
        size(
            (default.ram, default.main_disk_size),
            DISK,
            &default_path,
            report,
        );
        for (index, instance) in raw.instances.iter().enumerate() {
            let path = instances_path.index(index);
            size((instance.ram, instance.main_disk_size), DISK, &path, report);
        }
    }
}

fn size((ram, disk): (Option<u32>, Option<u32>), least: u32, path: &KeyPath, report: &mut Report) {
    let mut much = |key: &str, value: Option<u32>| {
        let Some(value) = value.filter(|value| *value >= MUCH && value.is_multiple_of(MUCH)) else {
            return;
        };
        let message = format!("{value} GiB are {} TiB: sizes are in GiB", value / MUCH);
        let help = format!("write `{key}: {}` if {value} MiB are meant", value / MUCH);
        report.warning(&path.key(key), CODE, message, help);
    };
    much("ram", ram);
    much("mainDiskSize", disk.filter(|disk| *disk >= 4 * MUCH));
    if let Some(disk) = disk.filter(|disk| *disk < least) {
        let message =
            format!("{disk} GiB are hardly enough for a system, Kubernetes and its images");
        let help = "use 10 or more";
        report.warning(&path.key("mainDiskSize"), CODE, message, help);
    }
}
