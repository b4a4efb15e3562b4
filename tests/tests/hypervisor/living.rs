//! A machine with a guest that runs is given processors, memory and disks, and its disks grow and go.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kubitect_config::Cluster;
use kubitect_config::value::GiB;
use kubitect_provision::change::Part;
use kubitect_provision::observe::{DomainState, PowerState};
use kubitect_provision::resource::Format;
use kubitect_provision::{Hosts, LocalImage, machine, plan};

use crate::lab::Lab;

/// The lab's guest image, from its cache or built.
fn image() -> LocalImage {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("lab/image.sh");
    let told = Command::new(script).output().expect("the script runs");
    assert!(
        told.status.success(),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
    let told = String::from_utf8(told.stdout).unwrap();
    let (path, sha256) = told.trim().split_once(" sha256:").unwrap();
    let info = Command::new("qemu-img")
        .args(["info", "--output=json", path])
        .output()
        .expect("qemu-img is installed");
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    LocalImage {
        path: path.into(),
        sha256: sha256.to_owned(),
        virtual_size: info["virtual-size"].as_u64().unwrap(),
        format: Format::Qcow2,
    }
}

/// Waits until the guest asks for a login on its console.
fn booted(hosts: &Hosts, cluster: &Cluster, already: usize) {
    let node = &cluster.nodes[0];
    let started = Instant::now();
    loop {
        let console = machine::console_tail(hosts, cluster, node, 100_000).unwrap();
        let logins = console
            .iter()
            .filter(|line| line.contains(" login:"))
            .count();
        if logins > already {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(15 * 60),
            "no login prompt: {}",
            console[console.len().saturating_sub(20)..].join("\n")
        );
        std::thread::sleep(Duration::from_secs(3));
    }
    println!("booted in {:.0} s", started.elapsed().as_secs_f32());
}

fn state(lab: &Lab, cluster: &Cluster) -> DomainState {
    let mut domains = lab.real.domains().unwrap().into_iter();
    let name = cluster.nodes[0].name.as_str();
    domains.find(|domain| domain.name == name).unwrap()
}

fn names(disks: &[std::path::PathBuf]) -> Vec<String> {
    let name = |disk: &std::path::PathBuf| disk.file_name().unwrap().to_string_lossy().into_owned();
    let mut names: Vec<_> = disks.iter().map(name).collect();
    names.sort();
    names
}

fn change(lab: &Lab, cluster: &Cluster, hosts: &Hosts, restarts: usize) {
    let wanted = plan(cluster, hosts).unwrap();
    print!("{wanted}");
    assert_eq!(wanted.part(Part::Restart).changes.len(), restarts);
    let started = Instant::now();
    lab.apply(cluster, hosts).unwrap();
    println!("done in {:.1} s", started.elapsed().as_secs_f32());
    let next = plan(cluster, hosts).unwrap();
    assert!(next.is_empty(), "{next}");
    assert_eq!(state(lab, cluster).power, PowerState::Running);
}

/// While it lives, the lab's QEMU emulates each processor on a thread of its own: without that, libvirt adds none to a
/// guest that runs (tests/lab/bin/qemu-system-x86_64).
struct SeparateThreads;

impl SeparateThreads {
    const FILE: &str = "/etc/libvirt/a-thread-for-each-processor";

    fn ask() -> Self {
        std::fs::write(Self::FILE, "").expect("the lab's /etc/libvirt can be written");
        Self
    }
}

impl Drop for SeparateThreads {
    fn drop(&mut self) {
        // A lab that is going down has no such file any more.
        let _ = std::fs::remove_file(Self::FILE);
    }
}

#[test]
fn a_machine_that_runs_changes() {
    let _threads = SeparateThreads::ask();
    let mut lab = Lab::new();
    lab.image = image();
    let hosts = lab.hosts();
    let before = lab.inventory();
    let mut cluster = lab.cluster("living", 7, 1);
    let worker = cluster.nodes.pop().unwrap();
    cluster.nodes[0].data_disks = worker.data_disks.clone();
    lab.apply(&cluster, &hosts).unwrap();
    machine::note(&hosts, &cluster.nodes[0], "ready & <well>").unwrap();
    booted(&hosts, &cluster, 0);

    // More of everything, while it runs.
    let node = &mut cluster.nodes[0];
    node.cpu = 3;
    node.main_disk = GiB(5);
    node.data_disks[0].size = GiB(2);
    let mut disk = node.data_disks[0].clone();
    disk.name = "new".parse().unwrap();
    node.data_disks.push(disk);
    change(&lab, &cluster, &hosts, 0);
    let there = state(&lab, &cluster);
    assert_eq!(there.given, [""; 0], "noted, and noted as done");
    let live = there.live.unwrap();
    assert_eq!(live.vcpus, 3);
    let all = [
        "living-master-1-main-disk",
        "living-master-1-new-data-disk",
        "living-master-1-rook-data-disk",
        "living-master-1-seed",
    ];
    assert_eq!(names(&live.disks), all);

    // A disk goes, while it runs: its guest lets go of it.
    cluster.nodes[0].data_disks.remove(0);
    change(&lab, &cluster, &hosts, 0);
    let live = state(&lab, &cluster).live.unwrap();
    assert_eq!(names(&live.disks), [all[0], all[1], all[3]]);

    // A data disk that is lost is recreated under the guest.
    let lost = live
        .disks
        .iter()
        .find(|disk| disk.ends_with(all[1]))
        .unwrap();
    std::fs::remove_file(lost).unwrap();
    change(&lab, &cluster, &hosts, 0);

    // More memory: the guest shuts down by itself, and it is the same machine that comes back.
    cluster.nodes[0].ram = GiB(3);
    change(&lab, &cluster, &hosts, 1);
    let there = state(&lab, &cluster);
    assert_eq!(there.live.unwrap().memory_mib, 3 << 10);
    assert_eq!(there.note.as_deref(), Some("ready & <well>"));
    booted(&hosts, &cluster, 1);

    // A network that was stopped is started, and the machine is plugged into it again.
    let network = cluster.network_name();
    let stopped = Command::new("virsh")
        .args(["net-destroy", &network])
        .output();
    assert!(stopped.expect("virsh is installed").status.success());
    change(&lab, &cluster, &hosts, 0);
    let networks = lab.real.networks().unwrap();
    let bridge = networks.iter().find(|there| there.name == network);
    let bridge = bridge.and_then(|there| there.bridge.clone()).unwrap();
    let plugged = Path::new("/sys/class/net").join(bridge).join("brif");
    assert_eq!(std::fs::read_dir(plugged).unwrap().count(), 1);

    // The main disk is lost: a new machine, with the old data disk.
    let main = there
        .disks
        .iter()
        .find(|disk| disk.ends_with(all[0]))
        .unwrap();
    std::fs::remove_file(main).unwrap();
    change(&lab, &cluster, &hosts, 0);
    assert_eq!(state(&lab, &cluster).note, None);

    lab.destroy(&cluster, &hosts).unwrap();
    assert_eq!(lab.inventory(), before);
}
