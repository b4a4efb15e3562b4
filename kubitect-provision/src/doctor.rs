//! What this machine lacks to carry clusters, and the command that mends it. Looks only.

use std::ffi::OsString;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Error;
use crate::home::Home;
use crate::trust::Us;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What, as `KVM`.
    pub what: &'static str,
    /// Whether it is as it should be.
    pub good: bool,
    /// What was found.
    pub found: String,
    /// The command that mends it, or what to do; empty where nothing is wrong.
    pub cure: String,
}

/// Where is looked: the machine itself, or a picture of one.
#[derive(Debug, Clone)]
pub struct Place {
    /// The root of its files.
    pub root: PathBuf,
    /// Where programs are searched, as `PATH`.
    pub path: OsString,
    /// Where disks go.
    pub disks: PathBuf,
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

/// Looks at all.
pub fn look(place: &Place) -> Vec<Check> {
    let mut checks = vec![
        processor(place),
        kvm(place),
        libvirt(place),
        memory(place),
        space(place),
        forwarding(place),
    ];
    for (program, what, package) in [
        ("qemu-img", "QEMU", "qemu-utils"),
        ("git", "git", "git"),
        ("python3", "Python", "python3-venv"),
        ("ssh", "SSH", "openssh-client"),
    ] {
        checks.push(check(
            what,
            place.has(program),
            (
                format!("{program} is there"),
                format!("there is no {program} in PATH"),
            ),
            format!("sudo apt install {package}"),
        ));
    }
    checks
}

/// Looks whether the folder of all clusters at `path` can be used, be it that it has yet to be made.
pub fn folder(path: &Path, us: Us) -> Check {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (good, found, cure) = match Home::open_for(&path, None, us) {
        Ok(_) => (
            true,
            format!("{} is yours alone", path.display()),
            String::new(),
        ),
        Err(Error::Step {
            source: Some(source),
            ..
        }) => match source.downcast_ref() {
            Some(Error::Untrusted { path, why, cure }) => {
                (false, format!("{}: {why}", path.display()), cure.clone())
            }
            _ => (
                false,
                source.to_string(),
                format!("see that {} can be read", path.display()),
            ),
        },
        Err(error) => (
            false,
            error.to_string(),
            format!("see that {} can be read", path.display()),
        ),
    };
    check("folder", good, (found.clone(), found), cure)
}

fn check(what: &'static str, good: bool, found: (String, String), cure: String) -> Check {
    Check {
        what,
        good,
        found: if good { found.0 } else { found.1 },
        cure: if good { String::new() } else { cure },
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
    check(
        "processor",
        able || cfg!(target_arch = "aarch64"),
        (
            "it can run virtual machines".to_owned(),
            "it does not offer virtualization (vmx or svm), so machines are emulated, which is slow".to_owned(),
        ),
        "switch it on in the firmware (VT-x, AMD-V), or, in a virtual machine, nested virtualization on its host".to_owned(),
    )
}

fn kvm(place: &Place) -> Check {
    let device = place.at("/dev/kvm");
    let (good, found, cure) = match fs::OpenOptions::new().read(true).write(true).open(&device) {
        Ok(_) => (true, "/dev/kvm can be used", ""),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => (
            false,
            "there is no /dev/kvm",
            "sudo modprobe kvm_intel || sudo modprobe kvm_amd",
        ),
        Err(_) => (
            false,
            "/dev/kvm may not be used by you",
            "sudo usermod --append --groups kvm \"$USER\", and log in again",
        ),
    };
    check(
        "KVM",
        good,
        (found.to_owned(), found.to_owned()),
        cure.to_owned(),
    )
}

fn libvirt(place: &Place) -> Check {
    let sockets = ["/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"];
    let there = sockets
        .iter()
        .map(|socket| place.at(socket))
        .find(|socket| socket.exists());
    let (good, found, cure) = match there.map(|socket| connect(&socket)) {
        Some(Ok(())) => (true, "its socket answers", ""),
        Some(Err(e)) if e.kind() == std::io::ErrorKind::PermissionDenied => (
            false,
            "its socket may not be used by you",
            "sudo usermod --append --groups libvirt \"$USER\", and log in again",
        ),
        Some(Err(_)) => (
            false,
            "nobody answers at its socket",
            "sudo systemctl restart libvirtd",
        ),
        None => (
            false,
            "it does not run",
            "sudo apt install libvirt-daemon-system qemu-system && sudo systemctl enable --now libvirtd",
        ),
    };
    check(
        "libvirt",
        good,
        (found.to_owned(), found.to_owned()),
        cure.to_owned(),
    )
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
    let found = format!("{free} GiB are free");
    check(
        "memory",
        free >= MEMORY,
        (
            found.clone(),
            format!("{found}; a small cluster takes {MEMORY}"),
        ),
        "end what takes memory (`ps aux --sort=-rss | head` shows it)".to_owned(),
    )
}

fn space(place: &Place) -> Check {
    let disks = place.at(&place.disks.to_string_lossy());
    let there = disks.ancestors().find(|folder| folder.exists());
    let free = there.and_then(|folder| rustix::fs::statvfs(folder).ok());
    let free = free.map_or(0, |free| free.f_bavail.saturating_mul(free.f_frsize) >> 30);
    let found = format!("{free} GiB are free in {}", place.disks.display());
    check(
        "space",
        free >= SPACE,
        (
            found.clone(),
            format!("{found}; a small cluster takes {SPACE}"),
        ),
        "make room there, or name another folder in the host's `mainResourcePoolPath`".to_owned(),
    )
}

fn forwarding(place: &Place) -> Check {
    let on = place.read("/proc/sys/net/ipv4/ip_forward").trim() == "1";
    check(
        "forwarding",
        on,
        (
            "IPv4 is forwarded".to_owned(),
            "IPv4 is not forwarded; libvirt switches it on with its first `nat` network".to_owned(),
        ),
        "sudo sysctl net.ipv4.ip_forward=1".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine on which nothing is wrong.
    fn good() -> (tempfile::TempDir, Place, std::os::unix::net::UnixListener) {
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
        for program in ["qemu-img", "git", "python3", "ssh"] {
            write(&format!("bin/{program}"), "");
        }
        fs::create_dir_all(root.join("run/libvirt")).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(root.join("run/libvirt/libvirt-sock"));
        let place = Place {
            path: root.join("bin").into(),
            disks: PathBuf::from("/"),
            root,
        };
        (folder, place, socket.unwrap())
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
        type Fault<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);
        let faults: [Fault<'_>; 9] = [
            (
                "processor",
                &|root| fs::write(root.join("proc/cpuinfo"), "flags : fpu\n").unwrap(),
                "firmware",
            ),
            (
                "KVM",
                &|root| fs::remove_file(root.join("dev/kvm")).unwrap(),
                "modprobe",
            ),
            (
                "libvirt",
                &|root| fs::remove_file(root.join("run/libvirt/libvirt-sock")).unwrap(),
                "apt install",
            ),
            (
                "memory",
                &|root| fs::write(root.join("proc/meminfo"), "MemAvailable: 9 kB").unwrap(),
                "memory",
            ),
            (
                "forwarding",
                &|root| fs::write(root.join("proc/sys/net/ipv4/ip_forward"), "0").unwrap(),
                "sysctl",
            ),
            (
                "QEMU",
                &|root| fs::remove_file(root.join("bin/qemu-img")).unwrap(),
                "qemu-utils",
            ),
            (
                "git",
                &|root| fs::remove_file(root.join("bin/git")).unwrap(),
                "install git",
            ),
            (
                "Python",
                &|root| fs::remove_file(root.join("bin/python3")).unwrap(),
                "python3-venv",
            ),
            (
                "SSH",
                &|root| fs::remove_file(root.join("bin/ssh")).unwrap(),
                "openssh-client",
            ),
        ];
        for (what, plant, cure) in faults {
            let (_folder, place, _socket) = good();
            plant(&place.root);
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
    fn the_folder_of_all_clusters_has_to_be_ours_alone() {
        use std::os::unix::fs::PermissionsExt;
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
        let all = look(&place);
        let space = all.iter().find(|check| check.what == "space").unwrap();
        assert!(
            space.found.contains(" GiB are free in /not/there"),
            "{space:?}"
        );
    }
}
