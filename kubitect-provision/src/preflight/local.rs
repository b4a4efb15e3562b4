//! Checks of a host that are possible only where it is this machine: folders, the bridge, the firewall.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kubitect_config::Severity;
use kubitect_config::value::Name;
use rustix::fs::{StatVfsMountFlags, statvfs};

use super::{Finding, FindingKind};
use crate::trust::{self, TrustedUsers};

/// libvirt's own folder for images, which libvirt creates with its first pool at the latest. Any other folder in the configuration
/// has to exist: creating it would hide that a file system is not mounted, and destroy would not remove it.
const LIBVIRT_IMAGES: &str = "/var/lib/libvirt/images";

/// The free bytes in a folder, or in the nearest existing one above it.
pub(super) fn free(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.is_dir())?;
    let fs = statvfs(existing).ok()?;
    Some(fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// The folders in which no pool can be created.
pub(super) fn folders(host: &Name, folders: &[PathBuf]) -> Vec<Finding> {
    folders
        .iter()
        .filter_map(|folder| folder_fault(host, folder))
        .collect()
}

/// The folders in which an untrusted user could replace disks or base images.
pub(super) fn untrusted_folders(
    host: &Name,
    folders: &[PathBuf],
    users: &TrustedUsers,
) -> Vec<Finding> {
    let finding = |folder: &PathBuf| {
        let why = trust::pool(folder, users)?;
        let message = format!("the pool path {} {why} (host {host})", folder.display());
        let help = "name a folder of root's or of your own, or give it to root: chown, chmod go-w";
        let (kind, severity) = (FindingKind::Owner, Severity::Error);
        Some(Finding::new(kind, severity, host, message, help))
    };
    folders.iter().filter_map(finding).collect()
}

fn folder_fault(host: &Name, folder: &Path) -> Option<Finding> {
    let shown = folder.display();
    let (message, help) = if !folder.is_absolute() {
        (
            format!("the pool path {shown} is not absolute"),
            "write it with a leading /".to_owned(),
        )
    } else if !folder.exists() {
        if folder == Path::new(LIBVIRT_IMAGES) {
            return None;
        }
        (
            format!("the pool path {shown} does not exist"),
            format!("mount what should be there, or make it: mkdir -p {shown}"),
        )
    } else if !folder.is_dir() {
        (
            format!("the pool path {shown} is not a folder"),
            "name a folder".to_owned(),
        )
    } else if statvfs(folder).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::RDONLY)) {
        (
            format!("the pool path {shown} is on a file system that can only be read"),
            "mount it writable, or name another folder".to_owned(),
        )
    } else {
        return None;
    };
    let message = format!("{message} (host {host})");
    let (kind, severity) = (FindingKind::Folder, Severity::Error);
    Some(Finding::new(kind, severity, host, message, help))
}

/// An error if the configured bridge does not exist, or is no bridge.
pub(super) fn bridge(host: &Name, name: Option<&str>) -> Option<Finding> {
    let name = name?;
    let exists = |part: &str| Path::new("/sys/class/net").join(name).join(part).exists();
    if exists("bridge") {
        return None;
    }
    let message = if exists("") {
        format!("the network interface {name} is not a bridge (host {host})")
    } else {
        format!("there is no bridge {name} (host {host})")
    };
    let help = "make the bridge first, or correct cluster.network.bridge";
    let (kind, severity) = (FindingKind::Bridge, Severity::Error);
    Some(Finding::new(kind, severity, host, message, help))
}

/// A warning if the firewall drops what guests send to the outside; none also if its rules can't be read.
pub(super) fn firewall(host: &Name) -> Option<Finding> {
    let output = Command::new("iptables")
        .args(["-S", "FORWARD"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    forwarding(host, &String::from_utf8_lossy(&output.stdout))
}

/// The warning of [`firewall`], from the rules of the chain FORWARD as `iptables -S` lists them.
fn forwarding(host: &Name, rules: &str) -> Option<Finding> {
    let drops = rules
        .lines()
        .any(|rule| matches!(rule.trim(), "-P FORWARD DROP" | "-P FORWARD REJECT"));
    let libvirts = rules.lines().any(|rule| rule.contains("-j LIBVIRT_FW"));
    if !drops || libvirts {
        return None;
    }
    let docker = if rules.contains("DOCKER") {
        " (Docker sets this)"
    } else {
        ""
    };
    let message = format!(
        "the firewall drops forwarded packets{docker}: guests may reach nobody (host {host})"
    );
    let help = "if they do, accept the cluster's network: iptables -I FORWARD -s <cidr> -j ACCEPT, and the same with -d";
    let (kind, severity) = (FindingKind::Firewall, Severity::Warning);
    Some(Finding::new(kind, severity, host, message, help))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Name {
        "here".parse().unwrap()
    }

    fn unfit_message(folder: &str) -> String {
        folders(&host(), &[folder.into()]).remove(0).message
    }

    #[test]
    fn folders_that_can_t_hold_a_pool_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(
            folders(
                &host(),
                &[dir.path().to_owned(), "/var/lib/libvirt/images/".into()]
            )
            .is_empty()
        );
        assert_eq!(
            unfit_message("relative"),
            "the pool path relative is not absolute (host here)"
        );
        assert_eq!(
            unfit_message("/nonexistent/pool"),
            "the pool path /nonexistent/pool does not exist (host here)"
        );
        assert_eq!(
            unfit_message("/var/lib/libvirt/nonexistent"),
            "the pool path /var/lib/libvirt/nonexistent does not exist (host here)"
        );
        assert!(unfit_message(file.to_str().unwrap()).ends_with("is not a folder (host here)"));
        // The kernel's own file systems can't be written to by anybody.
        assert!(free(dir.path()).unwrap() > 0);
        assert_eq!(free(&dir.path().join("a/b")), free(dir.path()));
    }

    #[test]
    fn a_bridge_that_is_none_is_named() {
        assert!(bridge(&host(), None).is_none());
        let message = |name| bridge(&host(), Some(name)).unwrap().message;
        assert_eq!(
            message("no-such-br0"),
            "there is no bridge no-such-br0 (host here)"
        );
        assert_eq!(
            message("lo"),
            "the network interface lo is not a bridge (host here)"
        );
    }

    #[test]
    fn a_firewall_that_drops_is_a_warning_unless_libvirt_is_in_it() {
        let docker = "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n";
        let finding = forwarding(&host(), docker).unwrap();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.message.contains("Docker"), "{}", finding.message);
        assert!(forwarding(&host(), &format!("{docker}-A FORWARD -j LIBVIRT_FWI\n")).is_none());
        assert!(forwarding(&host(), "-P FORWARD ACCEPT\n").is_none());
        assert!(forwarding(&host(), "").is_none());
    }
}
