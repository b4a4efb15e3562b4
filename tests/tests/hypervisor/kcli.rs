//! The same seven machines made and removed by kcli, where it is installed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kubitect_config::Cluster;

/// How long kcli takes to make and start these machines, and to remove them; none where it is not installed.
///
/// They lie in a pool of their own, over a base image, on a network that is there already, each with a seed.
pub fn made_and_removed(cluster: &Cluster) -> Option<[Duration; 2]> {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let home = folder.path();
    let (settings, plan) = (home.join(".kcli"), home.join("plan.yml"));
    std::fs::create_dir(&settings).unwrap();
    let client =
        "default: {client: local, pool: kcli-speed}\nlocal: {type: kvm, host: localhost}\n";
    std::fs::write(settings.join("config.yml"), client).unwrap();
    std::fs::write(&plan, machines(cluster)).unwrap();
    let pool = home.join("pool");
    let pool = pool.to_str().unwrap();
    if !kcli(home, &["create", "pool", "-p", pool, "kcli-speed"])? {
        panic!("kcli makes no pool");
    }
    image(&Path::new(pool).join("image.qcow2"));
    assert!(kcli(
        home,
        &["create", "network", "-c", "10.66.250.0/24", "kcli-speed"]
    )?);
    let timed = |arguments: &[&str]| {
        let began = Instant::now();
        let good = kcli(home, arguments)?;
        assert!(good, "kcli {arguments:?} failed");
        Some(began.elapsed())
    };
    let made = timed(&["create", "plan", "-f", plan.to_str().unwrap(), "kcli-speed"])?;
    let there = domains();
    let removed = timed(&["delete", "plan", "--yes", "kcli-speed"])?;
    assert!(kcli(home, &["delete", "network", "--yes", "kcli-speed"])?);
    assert!(kcli(home, &["delete", "pool", "--yes", "kcli-speed"])?);
    // It says that all is well when it has made nothing, too.
    assert_eq!(
        (there, domains()),
        (cluster.nodes.len(), 0),
        "machines of kcli's"
    );
    Some([made, removed])
}

/// The machines as kcli takes them: of the same size, emulated as ours are.
fn machines(cluster: &Cluster) -> String {
    let machines = cluster.nodes.iter().map(|node| {
        format!(
            "kcli-{}: {{image: image.qcow2, memory: {}, numcpus: {}, disks: [{}], nets: [kcli-speed], virttype: qemu, nested: false}}\n",
            node.name,
            node.ram.0 * 1024,
            node.cpu,
            node.main_disk.0
        )
    });
    machines.collect()
}

fn image(path: &Path) {
    let mut command = Command::new("qemu-img");
    command
        .args(["create", "-q", "-f", "qcow2"])
        .arg(path)
        .arg("64M");
    assert!(command.status().expect("qemu-img is installed").success());
}

/// Whether it ended well; none where there is no kcli.
fn kcli(home: &Path, arguments: &[&str]) -> Option<bool> {
    let output = Command::new("kcli")
        .args(arguments)
        .env("HOME", home)
        .output();
    let output = output.ok()?;
    let said = [output.stdout, output.stderr].concat();
    println!(
        "kcli {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&said).trim()
    );
    Some(output.status.success())
}

/// How many machines of kcli's run.
fn domains() -> usize {
    let mut command = Command::new("virsh");
    let output = command
        .args(["-c", "qemu:///system", "list", "--name"])
        .output();
    let names = output.expect("virsh is installed").stdout;
    let names = String::from_utf8_lossy(&names).into_owned();
    names
        .lines()
        .filter(|name| name.starts_with("kcli-"))
        .count()
}
