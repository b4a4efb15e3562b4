//! Memory, processors and disk space against the plan. Pure.

use kubitect_config::Severity;
use kubitect_config::value::Name;

use super::{Demand, Finding};

/// Virtual processors to one of the host's, above which machines wait for each other most of the time.
const CPU_RATIO: u32 = 4;
/// Machines may ask for so many times the host's memory: they rarely use what they are given, and libvirt gives it
/// only when it is used. More than this can't end well.
const MEMORY_RATIO: u64 = 2;
/// What a disk takes at the least soon after the first boot.
const DISK_FLOOR: u64 = 512 << 20;

/// What stands against the plan on this host.
pub(super) fn findings(host: &Name, demand: &Demand) -> Vec<Finding> {
    let finding = |severity, message: String, help: &str| Finding {
        severity,
        host: host.clone(),
        message,
        help: help.to_owned(),
    };
    let mut findings = Vec::new();
    for (severity, message) in memory(demand).into_iter().chain(processors(demand)) {
        let help = "give machines less, spread them over more hosts, or stop what else runs there";
        findings.push(finding(severity, format!("{message} (host {host})"), help));
    }
    for (severity, message) in disk(demand) {
        let help = "free space there, or configure smaller disks or another pool path";
        findings.push(finding(severity, format!("{message} (host {host})"), help));
    }
    findings
}

fn memory(demand: &Demand) -> Option<(Severity, String)> {
    let total = demand.memory_mib;
    let needed: u64 = demand.machines.iter().map(|(_, memory, _)| memory).sum();
    if total == 0 {
        // A host that does not tell can't be judged.
        return None;
    }
    if let Some((name, memory, _)) = demand
        .machines
        .iter()
        .find(|(_, memory, _)| *memory > total)
    {
        let message = format!(
            "{name} asks for {} of memory and the host has {}",
            gib(*memory),
            gib(total)
        );
        return Some((Severity::Error, message));
    }
    if needed > total.saturating_mul(MEMORY_RATIO) {
        let message = format!(
            "machines ask for {} of memory and the host has {}",
            gib(needed),
            gib(total)
        );
        return Some((Severity::Error, message));
    }
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
    let needed: u32 = demand.machines.iter().map(|(.., cpus)| cpus).sum();
    let widest = demand.machines.iter().max_by_key(|(.., cpus)| *cpus);
    match widest {
        _ if demand.cpus == 0 => None,
        Some((name, _, cpus)) if *cpus > demand.cpus => Some((
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
    let judged = demand.folders.iter().filter_map(|(folder, (disks, free))| {
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
    judged.collect()
}

/// MiB in words.
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
                .map(|i| (format!("m{i}"), each_gib << 10, 2))
                .collect(),
            cpus: 8,
            memory_mib: total_gib << 10,
            memory_free_mib: Some(free_gib << 10),
            ..Demand::default()
        }
    }

    fn told(demand: &Demand) -> Vec<(Severity, String)> {
        findings(&"big".parse().unwrap(), demand)
            .into_iter()
            .map(|finding| (finding.severity, finding.message))
            .collect()
    }

    #[test]
    fn what_fits_is_not_mentioned() {
        assert!(told(&demand(7, 4, 64, 60)).is_empty());
        assert!(told(&Demand::default()).is_empty());
    }

    #[test]
    fn memory_may_be_promised_but_not_twice_over() {
        let warning = "machines may use 28 GiB of memory and 20 GiB are free: they run until they really use it (host big)";
        assert_eq!(
            told(&demand(7, 4, 24, 20)),
            [(Severity::Warning, warning.to_owned())]
        );
        let error = "machines ask for 52 GiB of memory and the host has 24 GiB (host big)";
        assert_eq!(
            told(&demand(13, 4, 24, 20))[0],
            (Severity::Error, error.to_owned())
        );
        let error = "m0 asks for 25 GiB of memory and the host has 24 GiB (host big)";
        assert_eq!(
            told(&demand(1, 25, 24, 20)),
            [(Severity::Error, error.to_owned())]
        );
    }

    #[test]
    fn too_many_processors_are_a_warning() {
        let mut demand = demand(17, 1, 64, 60);
        let crowd = "machines have 34 processors and the host 8, so they will be slow (host big)";
        assert_eq!(told(&demand), [(Severity::Warning, crowd.to_owned())]);
        demand.machines = vec![("wide".to_owned(), 1024, 9)];
        let wide = "wide has 9 processors and the host 8, so it will be slow (host big)";
        assert_eq!(told(&demand), [(Severity::Warning, wide.to_owned())]);
    }

    #[test]
    fn disks_may_be_promised_but_a_full_folder_is_an_error() {
        let with = |free: Option<u64>| {
            let disks = vec![32 << 30; 4];
            told(&Demand {
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
