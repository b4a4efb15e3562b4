//! Each fault of a machine, planted in a folder that stands for one.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use kubitect_config::check::State;

use super::*;

/// A machine on which nothing is wrong.
fn good() -> (tempfile::TempDir, LocalSystem, UnixListener) {
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
    write("sys/module/apparmor/parameters/enabled", "Y\n");
    write("usr/sbin/apparmor_parser", "");
    write("dev/kvm", "");
    let emulator = format!("qemu-system-{}", std::env::consts::ARCH);
    for program in ["qemu-img", &emulator] {
        write(&format!("bin/{program}"), "");
    }
    fs::create_dir_all(root.join("run/libvirt")).unwrap();
    let socket = UnixListener::bind(root.join("run/libvirt/libvirt-sock"));
    let system = LocalSystem {
        path: root.join("bin").into(),
        disks: PathBuf::from("/"),
        offers_kvm: None,
        root,
    };
    (folder, system, socket.unwrap())
}

fn found(system: &LocalSystem, what: &str) -> Check {
    let mut all = check_system(system).into_iter();
    all.find(|check| check.what == what).unwrap()
}

#[test]
fn each_fault_is_found_alone_and_its_cure_named() {
    // Not the space: it is that of the machine on which the test runs.
    let wrong = |system: &LocalSystem| {
        let all = check_system(system).into_iter();
        all.filter(|check| !check.good && check.what != "space")
            .collect::<Vec<_>>()
    };
    let (_folder, system, _socket) = good();
    assert_eq!(wrong(&system), []);
    let emulator = format!("bin/qemu-system-{}", std::env::consts::ARCH);
    for (what, path, text, cure) in [
        ("processor", "proc/cpuinfo", "flags : fpu\n", "firmware"),
        ("KVM", "dev/kvm", "", "modprobe"),
        (
            "libvirt",
            "run/libvirt/libvirt-sock",
            "",
            "libvirt-daemon-system qemu-system-x86 &&",
        ),
        ("memory", "proc/meminfo", "MemAvailable: 9 kB", "memory"),
        (
            "AppArmor",
            "usr/sbin/apparmor_parser",
            "",
            "install apparmor",
        ),
        ("QEMU", "bin/qemu-img", "", "qemu-utils"),
        ("QEMU", &emulator, "", "qemu-system-x86 qemu-utils"),
    ] {
        let (_folder, system, _socket) = good();
        let path = system.root.join(path);
        match text {
            "" => fs::remove_file(path).unwrap(),
            text => fs::write(path, text).unwrap(),
        }
        let found = wrong(&system);
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        assert!(
            found[0].what == what && found[0].cure.contains(cure),
            "{found:?}"
        );
    }
    // A file that can't be read is no fault.
    let (_folder, system, _socket) = good();
    fs::remove_file(system.root.join("proc/meminfo")).unwrap();
    assert_eq!(found(&system, "memory").state, State::Note);
    // A socket that is left over from a libvirt that has ended.
    let (_folder, system, socket) = good();
    drop(socket);
    let restarted = wrong(&system);
    assert!(
        restarted[0].cure.contains("systemctl restart"),
        "{restarted:?}"
    );
}

#[test]
fn what_libvirt_says_of_kvm_counts_and_what_it_does_itself_is_no_fault() {
    let (_folder, mut system, _socket) = good();
    let state = |system: &LocalSystem, what: &str| found(system, what).state;
    // Only libvirt has to be able to use the device.
    let device = system.root.join("dev/kvm");
    fs::set_permissions(&device, fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(state(&system, "KVM"), State::Good);
    system.offers_kvm = Some(false);
    assert_eq!(state(&system, "KVM"), State::Wrong);
    fs::remove_file(&device).unwrap();
    system.offers_kvm = Some(true);
    assert_eq!(state(&system, "KVM"), State::Good);
    fs::write(system.root.join("proc/sys/net/ipv4/ip_forward"), "0").unwrap();
    assert_eq!(state(&system, "forwarding"), State::Note);
    assert!(
        check_system(&system)
            .iter()
            .all(|check| check.good || check.what == "space")
    );
}

#[test]
fn the_folder_of_all_clusters_has_to_be_ours_alone() {
    let home = tempfile::tempdir().unwrap();
    let look = |path: &Path| folder(path, TrustedUsers::new(None));
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
    let (_folder, mut system, _socket) = good();
    system.disks = PathBuf::from("/not/there");
    let space = found(&system, "space");
    assert!(
        space.found.contains(" GiB are free in /not/there"),
        "{space:?}"
    );
}
