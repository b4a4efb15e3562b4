//! Figures of whole processes: the time and the memory of `kubitect validate` with many workers. It asserts nothing on speed.
//! `KUBITECT` names another program than the one of this build.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The number of runs of each size. The best one counts: other processes use this machine, too.
const RUNS: usize = 15;

/// A cluster with this many workers, each with the usual keys.
fn file(workers: usize) -> String {
    let mut text = String::from(
        "hosts:\n  - name: localhost\n    connection:\n      type: local\ncluster:\n  name: large\n  network:\n    \
         mode: nat\n    cidr: 10.0.0.0/8\n  nodes:\n    loadBalancer:\n      instances:\n        - id: 1\n    master:\n      \
         instances:\n        - id: 1\n        - id: 2\n        - id: 3\n    worker:\n      default:\n        labels:\n          \
         rook: true\n      instances:\n",
    );
    for n in 1..=workers {
        let (high, low) = (n / 250, n % 250 + 1);
        writeln!(
            text,
            "        - id: {n}\n          ip: 10.1.{high}.{low}\n          mac: 52:54:00:01:{high:02x}:{low:02x}\n          \
             cpu: 4\n          ram: 8\n          labels:\n            zone: zone-{}",
            n % 3
        )
        .unwrap();
    }
    text + "kubernetes:\n  version: v1.23.7\n  kubespray:\n    version: v2.19.0\naddons:\n  kubespray:\n    \
            kube_service_addresses: 192.168.0.0/18\n    kube_pods_subnet: 172.16.0.0/12\n"
}

/// The wall time of one run.
fn wall(program: &OsString, home: &Path, file: &Path) -> Duration {
    let mut command = Command::new(program);
    validate(&mut command, home, file);
    let began = Instant::now();
    let status = command.status().unwrap();
    let wall = began.elapsed();
    assert!(status.success(), "{}: {status}", file.display());
    wall
}

/// The peak memory of one run in KiB, as GNU time reads it from the kernel.
fn peak(program: &OsString, home: &Path, file: &Path) -> u64 {
    let mut command = Command::new("/usr/bin/time");
    command.arg("--format=%M").arg(program);
    validate(&mut command, home, file);
    let output = command.stderr(Stdio::piped()).output();
    let output = output.expect("/usr/bin/time is installed by tests/lab/deps.sh");
    let said = String::from_utf8(output.stderr).unwrap();
    said.trim().parse().unwrap_or_else(|_| panic!("{said}"))
}

fn validate(command: &mut Command, home: &Path, file: &Path) {
    command
        .args(["validate", "--config"])
        .arg(file)
        .env_clear()
        .env("KUBITECT_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
}

fn main() {
    let built = env!("CARGO_BIN_EXE_kubitect-under-test");
    let program = std::env::var_os("KUBITECT").unwrap_or_else(|| built.into());
    let folder = tempfile::tempdir().unwrap();
    println!("validate, as a process: {}", Path::new(&program).display());
    println!("workers      wall   to the one before   peak memory");
    let mut before: Option<Duration> = None;
    for workers in [250, 500, 1000, 2000] {
        let path = folder.path().join(format!("{workers}.yaml"));
        std::fs::write(&path, file(workers)).unwrap();
        let walls = (0..RUNS).map(|_| wall(&program, folder.path(), &path));
        let wall = walls.min().expect("there are runs");
        let ratio = before.map_or_else(
            || "-".to_owned(),
            |before| format!("{:.2}", wall.div_duration_f64(before)),
        );
        let peak = peak(&program, folder.path(), &path) as f64 / 1024.0;
        println!(
            "{workers:>7} {:>6.1} ms {ratio:>19} {peak:>9.1} MiB",
            wall.as_secs_f64() * 1000.0
        );
        before = Some(wall);
    }
}
