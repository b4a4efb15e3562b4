//! Checks whether this machine, and the hosts of a configuration, can carry clusters; each fault comes with the command that
//! repairs it. Changes nothing.

mod hosts;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use kubitect_config::check::Check;
use kubitect_config::cluster::Connection;

use crate::Error;
use crate::home::Home;
use crate::trust::TrustedUsers;

pub use hosts::hosts;

/// The system that is checked: this machine, or a folder that stands for one in tests.
#[derive(Debug, Clone)]
pub struct LocalSystem {
    /// The root of its files.
    pub root: PathBuf,
    /// The folders of programs, as in `PATH`.
    pub path: OsString,
    /// The folder of machines' disks.
    pub disks: PathBuf,
    /// Whether libvirt offers KVM; none: libvirt can't be asked. It is libvirt that has to be able to use it, not this process's
    /// user.
    pub offers_kvm: Option<bool>,
}

/// The memory that a small cluster needs, in GiB.
const MEMORY: u64 = 4;
/// The disk space that a small cluster and its downloads need, in GiB.
const SPACE: u64 = 20;

impl LocalSystem {
    /// This machine.
    pub fn this_machine() -> Self {
        Self {
            root: PathBuf::from("/"),
            path: std::env::var_os("PATH").unwrap_or_default(),
            disks: PathBuf::from("/var/lib/libvirt"),
            offers_kvm: offers_kvm(),
        }
    }

    fn path_of(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path_of(path)).unwrap_or_default()
    }

    fn has(&self, program: &str) -> bool {
        std::env::split_paths(&self.path).any(|folder| folder.join(program).is_file())
    }
}

/// Whether this machine's libvirt offers KVM; none: it can't be asked.
fn offers_kvm() -> Option<bool> {
    let name = "localhost".parse().ok()?;
    let libvirt = crate::libvirt::connect(&name, &Connection::Local).ok()?;
    let capability = libvirt.capability().ok()?;
    Some(capability.virt.iter().any(|virt| virt == "kvm"))
}

/// All checks of a system.
pub fn check_system(system: &LocalSystem) -> Vec<Check> {
    vec![
        processor(system),
        kvm(system),
        libvirt(system),
        memory(system),
        space(system),
        forwarding(system),
        qemu(system),
        apparmor(system),
    ]
}

/// Checks whether the folder of all clusters at `path`, which need not exist yet, can be used.
pub fn folder(path: &Path, users: TrustedUsers) -> Check {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let unread = |found| {
        Check::wrong(
            "folder",
            found,
            format!("see that {} can be read", path.display()),
        )
    };
    match Home::open_for(&path, None, users) {
        Ok(_) => Check::good("folder", format!("{} is yours alone", path.display())),
        Err(Error::Step {
            source: Some(source),
            ..
        }) => match source.downcast_ref() {
            Some(Error::Untrusted { path, why, cure }) => {
                Check::wrong("folder", format!("{}: {why}", path.display()), cure)
            }
            _ => unread(source.to_string()),
        },
        Err(error) => unread(error.to_string()),
    }
}

fn processor(system: &LocalSystem) -> Check {
    let info = system.read("/proc/cpuinfo");
    let able = info
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| {
            line.split_whitespace()
                .any(|flag| flag == "vmx" || flag == "svm")
        });
    match able || cfg!(target_arch = "aarch64") {
        true => Check::good("processor", "it can run virtual machines"),
        false => Check::wrong(
            "processor",
            "it does not offer virtualization (vmx or svm), so machines are emulated, which is slow",
            "switch it on in the firmware (VT-x, AMD-V), or, in a virtual machine, nested virtualization on its host",
        ),
    }
}

/// What libvirt reports decides. A user of libvirt needs no access to the device, so only its existence is checked: it explains
/// why libvirt has no KVM, and it is a hint where libvirt can't be asked.
fn kvm(system: &LocalSystem) -> Check {
    let has_device = system.path_of("/dev/kvm").exists();
    match (system.offers_kvm, has_device) {
        (Some(true), _) => Check::good("KVM", "libvirt offers it"),
        (None, true) => Check::good(
            "KVM",
            "/dev/kvm is there; libvirt can't be asked whether it uses it",
        ),
        (_, false) => Check::wrong(
            "KVM",
            "there is no /dev/kvm, so machines are emulated, which is slow",
            "sudo modprobe kvm_intel || sudo modprobe kvm_amd",
        ),
        (Some(false), true) => Check::wrong(
            "KVM",
            "libvirt does not offer it, though there is a /dev/kvm; machines are emulated, which is slow",
            "sudo systemctl restart libvirtd, so that it looks again; `virt-host-validate qemu` says more",
        ),
    }
}

fn libvirt(system: &LocalSystem) -> Check {
    let sockets = ["/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"];
    let socket = sockets
        .iter()
        .map(|socket| system.path_of(socket))
        .find(|socket| socket.exists());
    match socket.map(|socket| connect(&socket)) {
        Some(Ok(())) => Check::good("libvirt", "its socket answers"),
        Some(Err(e)) if e.kind() == std::io::ErrorKind::PermissionDenied => Check::wrong(
            "libvirt",
            "its socket may not be used by you",
            "sudo usermod --append --groups libvirt \"$USER\", and log in again",
        ),
        Some(Err(_)) => Check::wrong(
            "libvirt",
            "nobody answers at its socket",
            "sudo systemctl restart libvirtd",
        ),
        None => Check::wrong(
            "libvirt",
            "it does not run",
            "sudo apt install libvirt-daemon-system qemu-system-x86 && sudo systemctl enable --now libvirtd",
        ),
    }
}

fn connect(socket: &Path) -> std::io::Result<()> {
    UnixStream::connect(socket).map(drop)
}

fn memory(system: &LocalSystem) -> Check {
    let info = system.read("/proc/meminfo");
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let Some(free) = kib.map(|kib| kib >> 20) else {
        return Check::note(
            "memory",
            "how much is free can't be read from /proc/meminfo",
            format!("see that {MEMORY} GiB are free, which a small cluster takes"),
        );
    };
    match free >= MEMORY {
        true => Check::good("memory", format!("{free} GiB are free")),
        false => Check::wrong(
            "memory",
            format!("{free} GiB are free; a small cluster takes {MEMORY}"),
            "end what takes memory (`ps aux --sort=-rss | head` shows it)",
        ),
    }
}

fn space(system: &LocalSystem) -> Check {
    let disks = system.path_of(&system.disks.to_string_lossy());
    let existing = disks.ancestors().find(|folder| folder.exists());
    let free = existing.and_then(|folder| rustix::fs::statvfs(folder).ok());
    let free = free.map_or(0, |free| free.f_bavail.saturating_mul(free.f_frsize) >> 30);
    let found = format!("{free} GiB are free in {}", system.disks.display());
    match free >= SPACE {
        true => Check::good("space", found),
        false => Check::wrong(
            "space",
            format!("{found}; a small cluster takes {SPACE}"),
            "make room there, or name another folder in the host's `mainResourcePoolPath`",
        ),
    }
}

/// No fault if it is off: libvirt switches it on with its first network that needs it.
fn forwarding(system: &LocalSystem) -> Check {
    match system.read("/proc/sys/net/ipv4/ip_forward").trim() {
        "1" => Check::good("forwarding", "IPv4 is forwarded"),
        _ => Check::note(
            "forwarding",
            "IPv4 is not forwarded yet; libvirt switches it on with its first `nat` network",
            "nothing has to be done; to see it now: sudo sysctl net.ipv4.ip_forward=1",
        ),
    }
}

/// The program that runs machines, and the one with which libvirt creates their disks.
fn qemu(system: &LocalSystem) -> Check {
    let emulator = format!("qemu-system-{}", std::env::consts::ARCH);
    // That of Red Hat is not in PATH.
    let red_hat = system.path_of("/usr/libexec/qemu-kvm");
    let lacks = |program: &str, packages: &str| {
        Check::wrong(
            "QEMU",
            format!("there is no {program}"),
            format!("sudo apt install {packages}"),
        )
    };
    match (
        system.has(&emulator) || red_hat.is_file(),
        system.has("qemu-img"),
    ) {
        (false, _) => lacks(&emulator, "qemu-system-x86 qemu-utils"),
        (true, false) => lacks("qemu-img", "qemu-utils"),
        (true, true) => Check::good("QEMU", format!("{emulator} and qemu-img are there")),
    }
}

/// Where the kernel uses AppArmor, libvirt makes a profile for each machine, and does not start a machine whose profile can't be
/// loaded.
fn apparmor(system: &LocalSystem) -> Check {
    let confined = system
        .read("/sys/module/apparmor/parameters/enabled")
        .starts_with('Y');
    let parser = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];
    match (
        confined,
        parser.iter().any(|path| system.path_of(path).exists()),
    ) {
        (true, true) => Check::good("AppArmor", "machines' profiles can be loaded"),
        (true, false) => Check::wrong(
            "AppArmor",
            "it is on, and there is no apparmor_parser, so libvirt can't load machines' profiles",
            "sudo apt install apparmor && sudo systemctl restart libvirtd",
        ),
        (false, _) => Check::good("AppArmor", "it is off"),
    }
}
