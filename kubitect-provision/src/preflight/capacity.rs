//! Whether a host has the memory, processors and disk space that the plan needs. Pure.

use kubitect_config::Severity;
use kubitect_config::value::Name;

use super::{Demand, Finding, FindingKind, StartedMachine};

/// The most virtual processors for each of the host's: above this ratio, machines wait for each other most of the time.
const CPU_RATIO: u32 = 4;
/// The memory of all machines may be so many times the host's: the host allocates memory only when a guest uses it, and guests
/// rarely use all of theirs. Above this ratio, they would run out of memory.
const MEMORY_RATIO: u64 = 2;
/// The bytes that a disk takes at least, soon after the first boot.
const DISK_FLOOR: u64 = 512 << 20;

/// What prevents the plan on this host, or may prevent it.
pub(super) fn findings(host: &Name, demand: &Demand) -> Vec<Finding> {
    let finding = |kind, (severity, message): (Severity, String), help: &str| {
        let message = format!("{message} (host {host})");
        Finding::new(kind, severity, host, message, help)
    };
    let help_with_load =
        "give machines less, spread them over more hosts, or stop what else runs there";
    let memory = memory(demand).map(|found| finding(FindingKind::Memory, found, help_with_load));
    let processors =
        processors(demand).map(|found| finding(FindingKind::Processors, found, help_with_load));
    let help_with_space = "free space there, or configure smaller disks or another pool path";
    let disks = disk(demand).into_iter();
    let disks = disks.map(|found| finding(FindingKind::Space, found, help_with_space));
    memory.into_iter().chain(processors).chain(disks).collect()
}

/// Too much memory is an error only if a machine is new or gets more. Otherwise the host carries these machines already, and
/// refusing the plan would also refuse their repair: a warning.
fn memory(demand: &Demand) -> Option<(Severity, String)> {
    let total = demand.memory_mib;
    if total == 0 {
        // The host does not report its memory.
        return None;
    }
    let grows = |machine: &&StartedMachine| machine.memory_mib > machine.defined_mib;
    let mut growing = demand.machines.iter().filter(grows);
    if let Some(machine) = growing.clone().find(|machine| machine.memory_mib > total) {
        let message = format!(
            "{} asks for {} of memory and the host has {}",
            machine.name,
            gib(machine.memory_mib),
            gib(total)
        );
        return Some((Severity::Error, message));
    }
    let started: u64 = demand.machines.iter().map(|m| m.memory_mib).sum();
    let all = started.saturating_add(demand.other_machines_mib);
    if !demand.machines.is_empty() && all > total.saturating_mul(MEMORY_RATIO) {
        let severity = match growing.next() {
            Some(_) => Severity::Error,
            None => Severity::Warning,
        };
        let message = format!(
            "machines ask for {} of memory and the host has {}",
            gib(all),
            gib(total)
        );
        return Some((severity, message));
    }
    let additional = |machine: &StartedMachine| machine.memory_mib.saturating_sub(machine.live_mib);
    let needed: u64 = demand.machines.iter().map(additional).sum();
    let free = demand.memory_free_mib.unwrap_or(total).min(total);
    (needed > free).then(|| {
        let message = format!(
            "machines may use {} of memory and {} are free: they run until they really use it",
            gib(needed),
            gib(free)
        );
        (Severity::Warning, message)
    })
}

fn processors(demand: &Demand) -> Option<(Severity, String)> {
    let needed: u32 = demand.machines.iter().map(|machine| machine.vcpus).sum();
    let widest = demand.machines.iter().max_by_key(|machine| machine.vcpus);
    match widest {
        _ if demand.cpus == 0 => None,
        Some(StartedMachine {
            name, vcpus: cpus, ..
        }) if *cpus > demand.cpus => Some((
            Severity::Warning,
            format!(
                "{name} has {cpus} processors and the host {}, so it will be slow",
                demand.cpus
            ),
        )),
        _ if needed > demand.cpus.saturating_mul(CPU_RATIO) => Some((
            Severity::Warning,
            format!(
                "machines have {needed} processors and the host {}, so they will be slow",
                demand.cpus
            ),
        )),
        _ => None,
    }
}

fn disk(demand: &Demand) -> Vec<(Severity, String)> {
    let findings = demand.folders.iter().filter_map(|(folder, (disks, free))| {
        let free = (*free)?;
        let full: u64 = disks.iter().sum();
        let floor = disks.iter().map(|disk| DISK_FLOOR.min(*disk)).sum::<u64>();
        let folder = folder.display();
        if free < floor {
            let message = format!(
                "{} new or larger disks in {folder} and {} are free there",
                disks.len(),
                gib(free >> 20)
            );
            Some((Severity::Error, message))
        } else if free < full {
            let message = format!(
                "disks in {folder} may grow to {} and {} are free there",
                gib(full >> 20),
                gib(free >> 20)
            );
            Some((Severity::Warning, message))
        } else {
            None
        }
    });
    findings.collect()
}

/// MiB as text in GiB.
fn gib(mib: u64) -> String {
    if mib.is_multiple_of(1024) {
        format!("{} GiB", mib >> 10)
    } else {
        format!("{:.1} GiB", mib as f64 / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn demand(machines: usize, each_gib: u64, total_gib: u64, free_gib: u64) -> Demand {
        Demand {
            machines: (0..machines)
                .map(|i| StartedMachine {
                    name: format!("m{i}"),
                    memory_mib: each_gib << 10,
                    vcpus: 2,
                    ..StartedMachine::default()
                })
                .collect(),
            cpus: 8,
            memory_mib: total_gib << 10,
            memory_free_mib: Some(free_gib << 10),
            ..Demand::default()
        }
    }

    fn messages(demand: &Demand) -> Vec<(Severity, String)> {
        findings(&"big".parse().unwrap(), demand)
            .into_iter()
            .map(|finding| (finding.severity, finding.message))
            .collect()
    }

    #[test]
    fn what_fits_is_not_mentioned() {
        assert!(messages(&demand(7, 4, 64, 60)).is_empty());
        assert!(messages(&Demand::default()).is_empty());
    }

    #[test]
    fn memory_may_be_promised_but_not_twice_over() {
        let warning = "machines may use 28 GiB of memory and 20 GiB are free: they run until they really use it (host big)";
        assert_eq!(
            messages(&demand(7, 4, 24, 20)),
            [(Severity::Warning, warning.to_owned())]
        );
        let error = "machines ask for 52 GiB of memory and the host has 24 GiB (host big)";
        assert_eq!(
            messages(&demand(13, 4, 24, 20))[0],
            (Severity::Error, error.to_owned())
        );
        let error = "m0 asks for 25 GiB of memory and the host has 24 GiB (host big)";
        assert_eq!(
            messages(&demand(1, 25, 24, 20)),
            [(Severity::Error, error.to_owned())]
        );
    }

    /// Running machines are restarted one after another, with the memory that they have; after a power cut, all of a host start
    /// again.
    #[test]
    fn what_machines_have_already_is_no_error() {
        let severities = |demand: &Demand| -> Vec<_> {
            let messages = messages(demand).into_iter();
            messages.map(|(severity, _)| severity).collect()
        };
        let mut existing = demand(7, 8, 24, 1);
        for machine in &mut existing.machines {
            (machine.defined_mib, machine.live_mib) = (8 << 10, 8 << 10);
        }
        assert_eq!(severities(&existing), [Severity::Warning]);
        // Three of them fit, and they use their memory already.
        existing.machines.truncate(3);
        assert_eq!(severities(&existing), []);
        // With less memory, no more is needed; with more, only the difference counts.
        existing.machines[0].memory_mib = 4 << 10;
        assert_eq!(severities(&existing), []);
        existing.machines[1].memory_mib = 10 << 10;
        let warning = "machines may use 2 GiB of memory and 1 GiB are free: they run until they really use it (host big)";
        assert_eq!(
            messages(&existing),
            [(Severity::Warning, warning.to_owned())]
        );
        // For a machine that gets more, the other machines count.
        existing.other_machines_mib = 40 << 10;
        assert_eq!(severities(&existing), [Severity::Error]);
        existing.machines.clear();
        assert_eq!(severities(&existing), []);
    }

    #[test]
    fn too_many_processors_are_a_warning() {
        let mut demand = demand(17, 1, 64, 60);
        let crowd = "machines have 34 processors and the host 8, so they will be slow (host big)";
        assert_eq!(messages(&demand), [(Severity::Warning, crowd.to_owned())]);
        demand.machines = vec![StartedMachine {
            name: "wide".to_owned(),
            memory_mib: 1024,
            vcpus: 9,
            ..StartedMachine::default()
        }];
        let wide = "wide has 9 processors and the host 8, so it will be slow (host big)";
        assert_eq!(messages(&demand), [(Severity::Warning, wide.to_owned())]);
    }

    #[test]
    fn disks_may_be_promised_but_a_full_folder_is_an_error() {
        let with = |free: Option<u64>| {
            let disks = vec![32 << 30; 4];
            messages(&Demand {
                folders: [(PathBuf::from("/pool"), (disks, free))].into(),
                ..Demand::default()
            })
        };
        assert!(with(Some(128 << 30)).is_empty());
        assert!(with(None).is_empty());
        let grown = "disks in /pool may grow to 128 GiB and 100 GiB are free there (host big)";
        assert_eq!(
            with(Some(100 << 30)),
            [(Severity::Warning, grown.to_owned())]
        );
        let full = "4 new or larger disks in /pool and 1.5 GiB are free there (host big)";
        assert_eq!(with(Some(1536 << 20)), [(Severity::Error, full.to_owned())]);
    }
}
