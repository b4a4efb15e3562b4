//! How long seven machines take to be made, started and removed, beside plain `virsh` doing the same things side by side, and kcli
//! where it is installed.
//!
//! It measures and asserts nothing: `tests/lab/test.sh speed --locked --workspace --features tests/lab --test hypervisor --
//! --nocapture speed::`. Lines read `ratio NAME VALUE LIMIT`; see docs/performance.md.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use kubitect_config::Cluster;
use kubitect_provision::change::{Change, Step};
use kubitect_provision::libvirt::{domain, network, pool, volume};
use kubitect_provision::resource::BASE_POOL;
use kubitect_provision::{plan, plan_destroy};

use crate::kcli;
use crate::lab::{Lab, seed};

/// The shortest of so many rounds counts: others use this machine, too.
const ROUNDS: usize = 3;
/// What `plan` may take on it when there is nothing to do.
const PLAN: Duration = Duration::from_millis(100);

/// Runs `virsh`, which takes a script of commands.
fn virsh(script: &str) {
    let mut command = Command::new("virsh");
    command.args(["-c", "qemu:///system", "-q", script]);
    let output = command.output().expect("virsh is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {said}");
}

/// A file for `virsh` to read.
fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// What `virsh` does for one change; what is made for a machine bears its name.
fn commands(lab: &Lab, folder: &Path, change: &Change) -> String {
    let xml = |text: String| {
        file(
            folder,
            &format!("{:?}-{}.xml", change.kind, change.name.replace('/', "-")),
            text,
        )
    };
    match &change.step {
        Step::CreateNetwork(own) => format!(
            "net-define {}; net-start {}",
            xml(network::to_xml(own)),
            own.name
        ),
        // It goes with its images, of which there are none here.
        Step::EnsurePool(own) if own.name == BASE_POOL => String::new(),
        Step::EnsurePool(own) => {
            let name = &own.name;
            format!(
                "pool-define {}; pool-build {name}; pool-start {name}",
                xml(pool::to_xml(own))
            )
        }
        Step::CreateImage(_) => String::new(),
        // Without the base image under it: that is less to do.
        Step::CreateVolume { volume: own, .. } => {
            format!("vol-create {} {}", own.pool, xml(volume::to_xml(own)))
        }
        Step::WriteSeed { node, pool, volume } => {
            let bytes = seed(node);
            let from = file(folder, volume, &bytes);
            format!(
                "vol-create-as {pool} {volume} {} --format raw; vol-upload {volume} {from} --pool {pool}",
                bytes.len()
            )
        }
        Step::CreateDomain(own) => {
            format!("define {}; start {}", xml(domain::to_xml(own)), own.name)
        }
        Step::RemoveDomain(name) => format!("destroy {name}; undefine {name}"),
        Step::RemoveVolume { pool, volume } => match volume.contains("console.log") {
            true => format!("pool-refresh {pool}; vol-delete {volume} --pool {pool}"),
            false => format!("vol-delete {volume} --pool {pool}"),
        },
        Step::RemovePool { pool, .. } => format!("pool-destroy {pool}; pool-undefine {pool}"),
        Step::RemoveNetwork(name) => format!("net-destroy {name}; net-undefine {name}"),
        Step::RemoveImage(..) | Step::ReleaseImage(..) | Step::RemoveBasePool(_) => String::new(),
        other => panic!("no command for {other:?} ({})", lab.image.path.display()),
    }
}

/// What is done by `virsh` for these changes: each machine's in their order and all machines side by side, before them what
/// belongs to no machine where that is made, and after them where it goes.
fn floor(lab: &Lab, folder: &Path, cluster: &Cluster, changes: &[Change]) -> Duration {
    let mut common = Vec::new();
    let mut own = vec![Vec::new(); cluster.nodes.len()];
    for change in changes {
        let text = commands(lab, folder, change);
        let of = cluster.nodes.iter().position(|node| {
            text.contains(&format!("{}-", node.name)) || change.name == node.name.as_str()
        });
        match of {
            _ if text.is_empty() => {}
            Some(at) => own[at].push(text),
            None => common.push(text),
        }
    }
    let common = common.join("; ");
    let removes = common.contains("net-destroy");
    let began = Instant::now();
    if !removes {
        virsh(&common);
    }
    std::thread::scope(|scope| {
        for own in &own {
            scope.spawn(|| virsh(&own.join("; ")));
        }
    });
    if removes {
        virsh(&common);
    }
    began.elapsed()
}

fn ratio(name: &str, value: Duration, to: Duration, limit: f64) {
    println!("{name}: {value:.2?} to {to:.2?}");
    println!("ratio {name} {:.2} {limit}", value.div_duration_f64(to));
}

#[test]
fn seven_machines_beside_plain_virsh() {
    let lab = Lab::new();
    let cluster = lab.seven("speed", 9);
    let hosts = lab.hosts();
    let before = lab.inventory();
    let mut best = [Duration::MAX; 7];
    let mut note = |at: usize, took: Duration| best[at] = best[at].min(took);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        lab.apply(&cluster, &hosts).unwrap();
        note(0, began.elapsed());
        let began = Instant::now();
        assert!(plan(&cluster, &hosts).unwrap().is_empty());
        note(4, began.elapsed());
        let began = Instant::now();
        lab.destroy(&cluster, &hosts).unwrap();
        note(1, began.elapsed());
        assert_eq!(lab.inventory(), before);

        let folder = tempfile::tempdir().unwrap();
        let made = plan(&cluster, &hosts).unwrap();
        note(2, floor(&lab, folder.path(), &cluster, &made.changes));
        let goes = plan_destroy(&cluster.name, &hosts).unwrap();
        note(3, floor(&lab, folder.path(), &cluster, &goes.changes));
        // Folders stay where virsh removes pools.
        lab.sweep();
        assert_eq!(lab.inventory(), before);
        for (at, took) in (5..).zip(kcli::made_and_removed(&cluster).into_iter().flatten()) {
            note(at, took);
        }
    }
    let [
        made,
        removed,
        made_floor,
        removed_floor,
        planned,
        kcli_made,
        kcli_removed,
    ] = best;
    ratio("machines-made", made, made_floor, 1.3);
    ratio("machines-removed", removed, removed_floor, 1.3);
    ratio("machines-plan", planned, PLAN, 1.0);
    if kcli_made == Duration::MAX {
        println!("kcli is not installed: nothing is compared with it");
        return;
    }
    ratio("machines-made-kcli", made, kcli_made, 0.7);
    ratio("machines-removed-kcli", removed, kcli_removed, 0.3);
}
