//! Runs on real machines that are killed with SIGKILL at named points, and run again: all ends up as if nothing had happened.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use kubitect_config::Facts;
use sha2::{Digest, Sha256};

use crate::client::kubectl;
use crate::foreign::Foreign;
use crate::tools::*;
use tests::points::POINTS;

const CLUSTER: &str = "small";
const DESTROY: [&str; 4] = ["destroy", "--cluster", CLUSTER, "--auto-approve"];

/// A point, and how often it is passed before.
type Point = (&'static str, usize);

/// All machines run, and none has booted yet.
const RUNNING: Point = ("provision::phase", 0);

const CREATE: [Point; 6] = [
    // The third of the keys.
    ("provision::file-aside", 3),
    // The network is defined, not started.
    ("provision::halfway", 0),
    // The image is uploaded, and not marked as whole.
    ("provision::halfway", 2),
    // A seed is empty.
    ("provision::halfway", 4),
    // The first machine is defined, not started.
    ("provision::halfway", 12),
    // The last one runs.
    ("provision::made", 13),
];

/// One for each in [`CREATE`].
const REMOVE: [Point; 6] = [
    ("provision::begun", 0),
    ("provision::made", 0),
    ("provision::made", 4),
    // A console's log is gone, its pool is not.
    ("provision::halfway", 0),
    // All is gone but what lies on this machine.
    ("cli::destroy", 0),
    ("cli::destroy", 2),
];

const RESIZE: [Point; 4] = [
    // A disk has grown, and its guest has not noticed.
    ("provision::made", 0),
    ("provision::taken-in-use", 0),
    ("lb::swapped", 0),
    ("kubespray::labelled", 0),
];

/// What one kill led to, compared with the undisturbed run.
struct Row {
    kind: &'static str,
    point: Point,
    differences: Vec<String>,
    leftovers: Vec<String>,
    foreign: Vec<String>,
}

impl Row {
    fn is_good(&self) -> bool {
        self.differences.is_empty() && self.leftovers.is_empty() && self.foreign.is_empty()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, n) = self.point;
        write!(
            f,
            "{:8} | {:24} | {:11} | {:9} | {:7}",
            self.kind,
            format!("{name} {n}"),
            self.differences.len(),
            self.leftovers.len(),
            self.foreign.len()
        )?;
        for line in [&self.differences, &self.leftovers, &self.foreign]
            .into_iter()
            .flatten()
        {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// From nothing until all machines run, and back.
#[test]
fn killed_while_it_is_made_and_removed() {
    known(&[&CREATE[..], &REMOVE, &[RUNNING]].concat());
    let (foreign, before) = ready();
    let config = file(0);
    let apply = ["apply", "--config", &config, "--auto-approve"];
    kill_at_point(&apply, RUNNING);
    let undisturbed = definitions(0);
    expect(kubitect(&DESTROY), 0);
    assert_eq!(inventory(), before, "an undisturbed removal leaves nothing");
    let mut rows = Vec::new();
    for (create, remove) in CREATE.into_iter().zip(REMOVE) {
        kill_at_point(&apply, create);
        kill_at_point(&apply, RUNNING);
        rows.push(Row {
            kind: "create",
            point: create,
            differences: differences(&undisturbed, &definitions(0)),
            leftovers: leftovers(),
            foreign: foreign.touched(),
        });
        kill_at_point(&DESTROY, remove);
        expect(kubitect(&DESTROY), 0);
        let mut left = differences(&before, &inventory());
        left.extend(leftovers());
        rows.push(Row {
            kind: "destroy",
            point: remove,
            differences: Vec::new(),
            leftovers: left,
            foreign: foreign.touched(),
        });
    }
    judge(&rows);
    foreign.remove();
}

/// A finished cluster gets another size, label and forwarded port each time.
#[test]
fn killed_while_it_changes() {
    known(&RESIZE);
    let (foreign, before) = ready();
    for n in [0, 1] {
        let apply = kubitect(&["apply", "--config", &file(n), "--auto-approve"]);
        expect(apply, 0);
    }
    let undisturbed = living(1);
    let mut rows = Vec::new();
    for (n, point) in (2..).zip(RESIZE) {
        let config = file(n);
        let apply = ["apply", "--config", &config, "--auto-approve"];
        kill_at_point(&apply, point);
        expect(kubitect(&apply), 0);
        rows.push(Row {
            kind: "resize",
            point,
            differences: differences(&undisturbed, &living(n)),
            leftovers: leftovers(),
            foreign: foreign.touched(),
        });
    }
    expect(kubitect(&DESTROY), 0);
    let left = differences(&before, &inventory());
    judge(&rows);
    assert_eq!(left, [""; 0], "libvirt holds what it held before");
    foreign.remove();
}

/// All of these are points of the program.
fn known(points: &[Point]) {
    for (name, _) in points {
        assert!(POINTS.iter().any(|(known, _)| known == name), "{name}");
    }
}

/// Somebody else's things, and all that libvirt holds with them.
fn ready() -> (Foreign, Vec<String>) {
    std::fs::create_dir_all("/var/lib/libvirt/images/fast").expect("the data pool has a place");
    (Foreign::make(), inventory())
}

/// Prints the table, and fails unless all is well.
fn judge(rows: &[Row]) {
    println!("kind     | point                    | differences | leftovers | foreign");
    for row in rows {
        println!("{row}");
    }
    println!("{} points on real machines", rows.len());
    assert!(rows.iter().all(Row::is_good));
}

/// The cluster's file, for the n-th time.
fn file(n: u16) -> String {
    let text = std::fs::read_to_string(root().join("tests/fixtures/lab/small.yaml"));
    let mut text = text.expect("there is a fixture");
    let pairs = [
        ("size: 5".to_owned(), format!("size: {}", 5 + n)),
        (
            "        - id: 1\n          dataDisks".to_owned(),
            format!(
                "        - id: 1\n          labels: {{turn: number-{n}}}\n          mainDiskSize: {}\n          dataDisks",
                32 + 4 * n
            ),
        ),
        (
            "    loadBalancer:\n".to_owned(),
            format!(
                "    loadBalancer:\n      forwardPorts: [{{name: web, port: 80, targetPort: {}, target: workers}}]\n",
                30_000 + n
            ),
        ),
    ];
    for (this, that) in pairs {
        assert_eq!(text.matches(&this).count(), 1, "{this}");
        text = text.replace(&this, &that);
    }
    let path = home().join("small.yaml");
    std::fs::write(&path, text).expect("the file is written");
    path.display().to_string()
}

/// What is only in one of two lists.
fn differences(one: &[String], other: &[String]) -> Vec<String> {
    let only = |one: &[String], other: &[String], sign: char| {
        let other: BTreeSet<_> = other.iter().collect();
        let lines = one.iter().filter(|line| !other.contains(line));
        lines
            .map(|line| format!("{sign} {line}"))
            .collect::<Vec<_>>()
    };
    let mut all = only(one, other, '-');
    all.extend(only(other, one, '+'));
    all
}

/// What libvirt holds, with what the n-th file says in one place or another made the same.
fn definitions(n: u16) -> Vec<String> {
    let mut all = inventory();
    for domain in ["lb-1", "master-1", "worker-1"].map(|node| format!("{CLUSTER}-{node}")) {
        all.extend(definition(
            n,
            &domain,
            &stdout("virsh", &["dumpxml", "--inactive", &domain]),
        ));
        all.push(format!(
            "{domain} is {}",
            stdout("virsh", &["domstate", &domain]).trim()
        ));
    }
    let network = stdout("virsh", &["net-dumpxml", "--inactive", "small-network"]);
    all.extend(definition(n, "network", &network));
    all
}

/// The lines of an XML without what libvirt makes up anew for each definition. The bridge's address may begin as those that the
/// file gives.
fn definition(n: u16, of: &str, xml: &str) -> Vec<String> {
    xml.lines()
        .filter(|line| {
            !line.contains("<uuid>")
                && (!line.contains("<mac address=")
                    || of != "network" && line.contains("52:54:00:aa"))
        })
        .map(|line| format!("{of}: {}", plain(n, line)))
        .collect()
}

/// A text of the n-th file's as if it were any other's: digests differ with it.
fn plain(n: u16, text: &str) -> String {
    let text = text
        .replace(&format!("number-{n}"), "[N]")
        .replace(&(30_000 + n).to_string(), "[PORT]");
    let mut words = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let end = rest[at..].find(|c: char| !c.is_ascii_hexdigit());
        let end = end.map_or(rest.len(), |length| at + length);
        words.push(&rest[..at]);
        words.push(match end - at {
            16.. => "[DIGEST]",
            _ => &rest[at..end],
        });
        rest = &rest[end..];
    }
    words.push(rest);
    words.concat()
}

/// What a finished cluster is like after the n-th file: in libvirt, on its machines, in Kubernetes.
fn living(n: u16) -> Vec<String> {
    let config = file(n);
    let plan = expect(kubitect(&["plan", "--config", &config]), 0);
    let mut all = vec![text(&plan.stdout)];
    all.extend(definitions(n));
    let lsblk = "lsblk --bytes --nodeps --noheadings --output SIZE /dev/vda /dev/vdb";
    let sizes: Vec<u64> = numbers(&on("worker-1", lsblk));
    let wanted = [u64::from(32 + 4 * n), u64::from(5 + n)].map(|gib| gib << 30);
    assert_eq!(sizes, wanted, "the disks");
    let root = numbers(&on(
        "worker-1",
        "findmnt --bytes --noheadings --output SIZE /",
    ));
    all.push(format!(
        "its file system fills the main disk: {}",
        root[0] + (3 << 30) > sizes[0]
    ));
    all.push(on("lb-1", "sudo -n ls -A /etc/haproxy"));
    let haproxy = plain(n, &on("lb-1", "sudo -n cat /etc/haproxy/haproxy.cfg"));
    all.extend(haproxy.lines().map(str::to_owned));
    all.push(on("lb-1", "systemctl is-active haproxy"));
    let label = format!("turn=number-{n}");
    let labelled = expect(
        kubectl(CLUSTER, &["get", "nodes", "-l", &label, "-o", "name"]),
        0,
    );
    all.push(text(&labelled.stdout));
    all
}

fn numbers(text: &str) -> Vec<u64> {
    let words = text.split_whitespace();
    words
        .map(|word| word.parse().expect("it is a number"))
        .collect()
}

/// What a command on a machine prints.
fn on(node: &str, command: &str) -> String {
    let config = home().join("clusters").join(CLUSTER).join("config");
    let facts = std::fs::read_to_string(config.join("infrastructure.yaml"));
    let facts: Facts = serde_yaml::from_str(&facts.expect("there are facts")).expect("they are");
    let known = format!(
        "UserKnownHostsFile={}",
        config.join(".ssh/known_hosts").display()
    );
    let key = config.join(".ssh/id_ed25519").display().to_string();
    let name = format!("{CLUSTER}-{node}").parse().expect("it is a name");
    let ip = facts.node(&name).expect("it is known").ip;
    let login = format!("{}@{ip}", facts.user);
    let options = [
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        &known,
        "-i",
        &key,
    ];
    stdout("ssh", &[&options[..], &[&login, command]].concat())
}

/// What killed runs left of their work on this machine: files written aside, and folders for sockets.
fn leftovers() -> Vec<String> {
    let mut all = Vec::new();
    collect(&home(), &mut all);
    // Other clusters may be at work on this machine.
    let config = home().join("clusters").join(CLUSTER).join("config");
    let digest = Sha256::digest(config.as_os_str().as_encoded_bytes());
    let digest: String = digest[..6].iter().map(|b| format!("{b:02x}")).collect();
    for entry in std::fs::read_dir("/tmp").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("kubitect-{digest}-")) {
            all.push(format!("/tmp/{name}"));
        }
    }
    all
}

fn collect(folder: &Path, all: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(".kubitect-new-") {
            all.push(path.display().to_string());
        }
        // What clusters share is recreated as it is, and large.
        if path.is_dir() && !path.is_symlink() && name != "share" {
            collect(&path, all);
        }
    }
}
