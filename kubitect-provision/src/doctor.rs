//! What this machine, and the hosts of a configuration, lack to carry clusters, and the command that mends it. Looks only.

mod hosts;

use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use kubitect_config::check::Check;
use kubitect_config::cluster::Connection;

use crate::Error;
use crate::home::Home;
use crate::trust::Us;

pub use hosts::hosts;

/// Where is looked: the machine itself, or a picture of one.
#[derive(Debug, Clone)]
pub struct Place {
    /// The root of its files.
    pub root: PathBuf,
    /// Where programs are searched, as `PATH`.
    pub path: OsString,
    /// Where disks go.
    pub disks: PathBuf,
    /// Whether libvirt offers KVM, where it can be asked: it is libvirt that uses it, whoever asks.
    pub offers_kvm: Option<bool>,
}

/// The memory that a small cluster takes, in GiB.
const MEMORY: u64 = 4;
/// The space that a small cluster and what it downloads take, in GiB.
const SPACE: u64 = 20;

impl Place {
    /// This machine.
    pub fn here() -> Self {
        Self {
            root: PathBuf::from("/"),
            path: std::env::var_os("PATH").unwrap_or_default(),
            disks: PathBuf::from("/var/lib/libvirt"),
            offers_kvm: offers_kvm(),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    fn has(&self, program: &str) -> bool {
        std::env::split_paths(&self.path).any(|folder| folder.join(program).is_file())
    }
}

/// Whether this machine's libvirt offers KVM; none, where it can't be asked.
fn offers_kvm() -> Option<bool> {
    let name = "localhost".parse().ok()?;
    let libvirt = crate::libvirt::connect(&name, &Connection::Local).ok()?;
    let capability = libvirt.capability().ok()?;
    Some(capability.virt.iter().any(|virt| virt == "kvm"))
}

/// Looks at all.
pub fn look(place: &Place) -> Vec<Check> {
    vec![
        processor(place),
        kvm(place),
        libvirt(place),
        memory(place),
        space(place),
        forwarding(place),
        qemu(place),
    ]
}

/// Looks whether the folder of all clusters at `path` can be used, be it that it has yet to be made.
pub fn folder(path: &Path, us: Us) -> Check {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let unread = |found| {
        Check::wrong(
            "folder",
            found,
            format!("see that {} can be read", path.display()),
        )
    };
    match Home::open_for(&path, None, us) {
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

fn processor(place: &Place) -> Check {
    let info = place.read("/proc/cpuinfo");
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

/// By what libvirt says of itself. Who asks libvirt needs no right to the device, so the device is only a hint.
fn kvm(place: &Place) -> Check {
    let there = place.at("/dev/kvm").exists();
    match (place.offers_kvm, there) {
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

fn libvirt(place: &Place) -> Check {
    let sockets = ["/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"];
    let there = sockets
        .iter()
        .map(|socket| place.at(socket))
        .find(|socket| socket.exists());
    match there.map(|socket| connect(&socket)) {
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
            "sudo apt install libvirt-daemon-system qemu-system && sudo systemctl enable --now libvirtd",
        ),
    }
}

fn connect(socket: &Path) -> std::io::Result<()> {
    UnixStream::connect(socket).map(drop)
}

fn memory(place: &Place) -> Check {
    let info = place.read("/proc/meminfo");
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let free = kib.unwrap_or_default() >> 20;
    match free >= MEMORY {
        true => Check::good("memory", format!("{free} GiB are free")),
        false => Check::wrong(
            "memory",
            format!("{free} GiB are free; a small cluster takes {MEMORY}"),
            "end what takes memory (`ps aux --sort=-rss | head` shows it)",
        ),
    }
}

fn space(place: &Place) -> Check {
    let disks = place.at(&place.disks.to_string_lossy());
    let there = disks.ancestors().find(|folder| folder.exists());
    let free = there.and_then(|folder| rustix::fs::statvfs(folder).ok());
    let free = free.map_or(0, |free| free.f_bavail.saturating_mul(free.f_frsize) >> 30);
    let found = format!("{free} GiB are free in {}", place.disks.display());
    match free >= SPACE {
        true => Check::good("space", found),
        false => Check::wrong(
            "space",
            format!("{found}; a small cluster takes {SPACE}"),
            "make room there, or name another folder in the host's `mainResourcePoolPath`",
        ),
    }
}

/// libvirt switches it on itself, with its first network that needs it.
fn forwarding(place: &Place) -> Check {
    match place.read("/proc/sys/net/ipv4/ip_forward").trim() {
        "1" => Check::good("forwarding", "IPv4 is forwarded"),
        _ => Check::note(
            "forwarding",
            "IPv4 is not forwarded yet; libvirt switches it on with its first `nat` network",
            "nothing has to be done; to see it now: sudo sysctl net.ipv4.ip_forward=1",
        ),
    }
}

/// The program that runs machines, and the one by which libvirt makes their disks.
fn qemu(place: &Place) -> Check {
    let emulator = format!("qemu-system-{}", std::env::consts::ARCH);
    // Red Hat's lies outside of PATH.
    let red_hat = place.at("/usr/libexec/qemu-kvm");
    let lacks = |program: &str, packages: &str| {
        Check::wrong(
            "QEMU",
            format!("there is no {program}"),
            format!("sudo apt install {packages}"),
        )
    };
    match (
        place.has(&emulator) || red_hat.is_file(),
        place.has("qemu-img"),
    ) {
        (false, _) => lacks(&emulator, "qemu-system qemu-utils"),
        (true, false) => lacks("qemu-img", "qemu-utils"),
        (true, true) => Check::good("QEMU", format!("{emulator} and qemu-img are there")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use kubitect_config::check::State;

    use super::*;

    /// A machine on which nothing is wrong.
    fn good() -> (tempfile::TempDir, Place, UnixListener) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/cpuinfo", "flags\t\t: fpu vmx sse\n");
        write(
            "proc/meminfo",
            "MemTotal: 9 kB\nMemAvailable:   16777216 kB\n",
        );
        write("proc/sys/net/ipv4/ip_forward", "1\n");
        write("dev/kvm", "");
        let emulator = format!("qemu-system-{}", std::env::consts::ARCH);
        for program in ["qemu-img", &emulator] {
            write(&format!("bin/{program}"), "");
        }
        fs::create_dir_all(root.join("run/libvirt")).unwrap();
        let socket = UnixListener::bind(root.join("run/libvirt/libvirt-sock"));
        let place = Place {
            path: root.join("bin").into(),
            disks: PathBuf::from("/"),
            offers_kvm: None,
            root,
        };
        (folder, place, socket.unwrap())
    }

    fn found(place: &Place, what: &str) -> Check {
        let mut all = look(place).into_iter();
        all.find(|check| check.what == what).unwrap()
    }

    #[test]
    fn each_fault_is_found_alone_and_its_cure_named() {
        // How much space this machine has is nobody's fault.
        let wrong = |place: &Place| {
            let all = look(place).into_iter();
            all.filter(|check| !check.good && check.what != "space")
                .collect::<Vec<_>>()
        };
        let (_folder, place, _socket) = good();
        assert_eq!(wrong(&place), []);
        let emulator = format!("bin/qemu-system-{}", std::env::consts::ARCH);
        for (what, path, text, cure) in [
            ("processor", "proc/cpuinfo", "flags : fpu\n", "firmware"),
            ("KVM", "dev/kvm", "", "modprobe"),
            ("libvirt", "run/libvirt/libvirt-sock", "", "apt install"),
            ("memory", "proc/meminfo", "MemAvailable: 9 kB", "memory"),
            ("QEMU", "bin/qemu-img", "", "qemu-utils"),
            ("QEMU", &emulator, "", "qemu-system"),
        ] {
            let (_folder, place, _socket) = good();
            let path = place.root.join(path);
            match text {
                "" => fs::remove_file(path).unwrap(),
                text => fs::write(path, text).unwrap(),
            }
            let found = wrong(&place);
            assert_eq!(found.len(), 1, "{what}: {found:?}");
            assert!(
                found[0].what == what && found[0].cure.contains(cure),
                "{found:?}"
            );
        }
        // A socket at which nobody listens any more.
        let (_folder, place, socket) = good();
        drop(socket);
        let found = wrong(&place);
        assert!(found[0].cure.contains("systemctl restart"), "{found:?}");
    }

    #[test]
    fn what_libvirt_says_of_kvm_counts_and_what_it_does_itself_is_no_fault() {
        let (_folder, mut place, _socket) = good();
        let state = |place: &Place, what: &str| found(place, what).state;
        // Nobody but libvirt has to be able to use the device.
        let device = place.root.join("dev/kvm");
        fs::set_permissions(&device, fs::Permissions::from_mode(0o000)).unwrap();
        assert_eq!(state(&place, "KVM"), State::Good);
        place.offers_kvm = Some(false);
        assert_eq!(state(&place, "KVM"), State::Wrong);
        fs::remove_file(&device).unwrap();
        place.offers_kvm = Some(true);
        assert_eq!(state(&place, "KVM"), State::Good);
        fs::write(place.root.join("proc/sys/net/ipv4/ip_forward"), "0").unwrap();
        assert_eq!(state(&place, "forwarding"), State::Note);
        assert!(
            look(&place)
                .iter()
                .all(|check| check.good || check.what == "space")
        );
    }

    #[test]
    fn the_folder_of_all_clusters_has_to_be_ours_alone() {
        let home = tempfile::tempdir().unwrap();
        let look = |path: &Path| folder(path, Us::new(None));
        assert!(look(home.path()).good && look(&home.path().join("not/yet")).good);
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o775)).unwrap();
        let found = look(home.path());
        assert!(
            !found.good && found.found.contains("others can write to it"),
            "{found:?}"
        );
        assert!(
            found
                .cure
                .contains(&format!("`chmod -R go-w '{}'`", home.path().display())),
            "{found:?}"
        );
    }

    #[test]
    fn space_is_that_of_the_folder_above_one_that_is_not_there() {
        let (_folder, mut place, _socket) = good();
        place.disks = PathBuf::from("/not/there");
        let space = found(&place, "space");
        assert!(
            space.found.contains(" GiB are free in /not/there"),
            "{space:?}"
        );
    }
}
