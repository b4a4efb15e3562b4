//! Sizes that are possible, and hardly what was meant: MiB where GiB are written, disks that hold no Kubernetes.

use super::root::key;
use crate::cluster::Role;
use crate::raw;
use crate::report::{At, Report};

const CODE: &str = "size-doubtful";
/// From here on, in GiB, MiB is more likely to be meant.
const MUCH: u32 = 1024;
/// A system, Kubernetes' programs and images need about as much, in GiB.
const DISK: u32 = 5;

/// Looks at the sizes of all machines, each where it is written.
pub(super) fn sizes(raw: &raw::Nodes, at: &At, report: &mut Report) {
    let balancer = &raw.load_balancer;
    let at_role = at.key(key(Role::LoadBalancer));
    let (at_default, at_instances) = (at_role.key("default"), at_role.key("instances"));
    let default = &balancer.default;
    size(
        (default.ram, default.main_disk_size),
        0,
        &at_default,
        report,
    );
    for (index, one) in balancer.instances.iter().enumerate() {
        let at = at_instances.index(index);
        size((one.ram, one.main_disk_size), 0, &at, report);
    }
    for (role, raw) in [(Role::Master, &raw.master), (Role::Worker, &raw.worker)] {
        let at_role = at.key(key(role));
        let (at_default, at_instances) = (at_role.key("default"), at_role.key("instances"));
        let default = &raw.default;
        size(
            (default.ram, default.main_disk_size),
            DISK,
            &at_default,
            report,
        );
        for (index, one) in raw.instances.iter().enumerate() {
            let at = at_instances.index(index);
            size((one.ram, one.main_disk_size), DISK, &at, report);
        }
    }
}

fn size((ram, disk): (Option<u32>, Option<u32>), least: u32, at: &At, report: &mut Report) {
    let mut much = |key: &str, value: Option<u32>| {
        let Some(value) = value.filter(|value| *value >= MUCH && value.is_multiple_of(MUCH)) else {
            return;
        };
        let message = format!("{value} GiB are {} TiB: sizes are in GiB", value / MUCH);
        let help = format!("write `{key}: {}` if {value} MiB are meant", value / MUCH);
        report.warning(&at.key(key), CODE, message, help);
    };
    much("ram", ram);
    much("mainDiskSize", disk.filter(|disk| *disk >= 4 * MUCH));
    if let Some(disk) = disk.filter(|disk| *disk < least) {
        let message =
            format!("{disk} GiB are hardly enough for a system, Kubernetes and its images");
        let help = "use 10 or more";
        report.warning(&at.key("mainDiskSize"), CODE, message, help);
    }
}
