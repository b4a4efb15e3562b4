//! From nothing to running machines and back, whole and interrupted.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Instant;

use kubitect_config::cluster::{Connection, VirtType};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Facts, NodeFacts, Site};
use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::libvirt::Libvirt;
use kubitect_provision::observe::PowerState;
use kubitect_provision::resource::Format;
use kubitect_provision::{Error, Hosts, Inputs, LocalImage, apply, machine, plan, plan_destroy};
use sha2::{Digest, Sha256};

use crate::failing::Failing;

/// A folder for pools, an image, and the lab's libvirt.
struct Lab {
    folder: tempfile::TempDir,
    real: Arc<dyn Hypervisor>,
    image: LocalImage,
}

impl Lab {
    fn new() -> Self {
        assert!(
            std::env::var_os("KUBITECT_IN_LAB").is_some(),
            "this ring changes the libvirt at qemu:///system: run it in the lab, with KUBITECT_IN_LAB=1"
        );
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        std::fs::create_dir(folder.path().join("pools")).unwrap();
        let path = folder.path().join("image.qcow2");
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2"])
            .arg(&path)
            .arg("64M")
            .status()
            .expect("qemu-img is installed");
        assert!(made.success());
        // Some megabytes, so that an upload takes more than one message.
        let written = Command::new("qemu-io")
            .args(["-c", "write -P 7 0 8M"])
            .arg(&path)
            .output()
            .expect("qemu-io is installed");
        assert!(written.status.success());
        let digest = Sha256::digest(std::fs::read(&path).unwrap());
        let host: Label = "localhost".parse().unwrap();
        Self {
            real: Arc::new(Libvirt::connect(&host, &Connection::Local).unwrap()),
            image: LocalImage {
                path,
                sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
                virtual_size: 64 << 20,
                format: Format::Qcow2,
            },
            folder,
        }
    }

    fn cluster(&self, name: &str, net: u8, cpu: u32) -> Cluster {
        let yaml = format!(
            "
hosts:
  - name: localhost
    connection:
      type: local
    mainResourcePoolPath: {pools}
    dataResourcePools:
      - name: fast
        path: {pools}
cluster:
  name: {name}
  network:
    mode: nat
    cidr: 10.66.{net}.0/24
  nodeTemplate:
    user: k8s
    os:
      distro: debian
  nodes:
    master:
      instances:
        - id: 1
          ip: 10.66.{net}.10
          cpu: {cpu}
          ram: 2
          mainDiskSize: 4
    worker:
      instances:
        - id: 1
          ram: 2
          mainDiskSize: 4
          dataDisks:
            - name: rook
              pool: fast
              size: 1
kubernetes:
  version: v1.23.7
  networkPlugin: calico
  kubespray:
    version: v2.19.0
",
            pools = self.folder.path().join("pools").display()
        );
        let site = Site {
            virt_type: VirtType::Qemu,
            ..Site::default()
        };
        kubitect_config::parse(&yaml, "test.yaml", &site)
            .expect("the test's configuration is valid")
            .cluster
    }

    fn hosts(&self) -> Hosts {
        Self::with(self.real.clone())
    }

    fn with(hypervisor: Arc<dyn Hypervisor>) -> Hosts {
        Hosts::from_hypervisors(BTreeMap::from([("localhost".parse().unwrap(), hypervisor)]))
    }

    fn failing(&self, left: usize, after: bool) -> Hosts {
        Self::with(Arc::new(Failing {
            real: self.real.clone(),
            left: AtomicUsize::new(left),
            after,
        }))
    }

    fn apply(&self, cluster: &Cluster, hosts: &Hosts) -> Result<(), Error> {
        let plan = plan(cluster, hosts)?;
        let seeds = plan.needs_seeds().map(|node| (node.clone(), seed(node)));
        let inputs = Inputs {
            seeds: seeds.collect(),
            image: Some(self.image.clone()),
            journal: None,
        };
        apply(&plan, hosts, &inputs, &AtomicBool::new(false), &|_| {})
    }

    fn destroy(&self, cluster: &Cluster, hosts: &Hosts) -> Result<(), Error> {
        let plan = plan_destroy(&cluster.name, hosts)?;
        apply(
            &plan,
            hosts,
            &Inputs::default(),
            &AtomicBool::new(false),
            &|_| {},
        )
    }

    /// All domains, networks, pools and volumes of libvirt, and all files in the pools' folder.
    fn inventory(&self) -> String {
        let mut names = Vec::new();
        for domain in self.real.domains().unwrap() {
            names.push(format!("domain {} {:?}", domain.name, domain.power));
        }
        for network in self.real.networks().unwrap() {
            names.push(format!(
                "network {} {} {:?}",
                network.name, network.active, network.reservations
            ));
        }
        for pool in self.real.pools().unwrap() {
            names.push(format!("pool {} {}", pool.name, pool.active));
            for volume in pool
                .volumes
                .iter()
                .filter(|volume| !volume.name.contains("console.log"))
            {
                let lies_over = volume
                    .backing
                    .as_ref()
                    .map(|path| path.display().to_string());
                names.push(format!(
                    "volume {} {} {} {lies_over:?}",
                    volume.name, volume.format, volume.capacity
                ));
            }
        }
        files(&self.folder.path().join("pools"), &mut names);
        names.sort();
        names.join("\n")
    }
}

fn files(folder: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("console.log") {
            continue;
        }
        names.push(path.display().to_string());
        if path.is_dir() {
            files(&path, names);
        }
    }
}

fn seed(node: &Label) -> Vec<u8> {
    format!("seed of {node} ").into_bytes().repeat(50_000)
}

/// All in one test: the libvirt is one, too.
#[test]
fn the_whole_road() {
    let lab = Lab::new();
    let one = lab.cluster("road-one", 1, 1);
    let two = lab.cluster("road-two", 2, 1);
    let hosts = lab.hosts();
    let before = lab.inventory();

    let started = Instant::now();
    lab.apply(&one, &hosts).unwrap();
    println!(
        "two machines made and started in {:.1} s",
        started.elapsed().as_secs_f32()
    );
    let started = Instant::now();
    let next = plan(&one, &hosts).unwrap();
    println!("empty plan in {:.3} s", started.elapsed().as_secs_f32());
    assert!(next.is_empty(), "{next}");
    for node in &one.nodes {
        assert_eq!(
            machine::power_state(&hosts, node).unwrap(),
            Some(PowerState::Running)
        );
        let mut bytes = Vec::new();
        let pool = one.main_pool_name();
        lab.real
            .download(&pool, &format!("{}-seed", node.name), 0, &mut bytes)
            .unwrap();
        assert!(
            bytes.starts_with(&seed(&node.name)),
            "the seed of {} arrived",
            node.name
        );
        // Nothing boots from empty disks, but the console is there to be read.
        machine::console_tail(&hosts, &one, node, 10).unwrap();
    }
    let finished = lab.inventory();

    // A lease made permanent is not undone by a later plan.
    let worker = one.nodes.last().unwrap();
    let facts = Facts {
        user: "k8s".into(),
        private_key: "/dev/null".into(),
        known_hosts: "/dev/null".into(),
        nodes: vec![NodeFacts {
            name: worker.name.clone(),
            role: worker.role,
            id: worker.id.clone(),
            host: worker.host.clone(),
            ip: "10.66.1.77".parse().unwrap(),
            mac: worker.mac,
            host_key: String::new(),
        }],
    };
    machine::reserve(&one, &hosts, &facts).unwrap();
    machine::reserve(&one, &hosts, &facts).unwrap();
    assert!(lab.inventory().contains("10.66.1.77"));
    assert!(plan(&one, &hosts).unwrap().is_empty());

    // What was stopped is started.
    machine::power_off(&hosts, worker).unwrap();
    let start = plan(&one, &hosts).unwrap();
    assert_eq!(start.changes.len(), 1, "{start}");
    lab.apply(&one, &hosts).unwrap();
    assert!(plan(&one, &hosts).unwrap().is_empty());

    // What can't be done yet is refused by name.
    let error = lab
        .apply(&lab.cluster("road-one", 1, 2), &hosts)
        .unwrap_err();
    assert!(error.to_string().contains("road-one-master-1"), "{error}");
    // A range that is taken is refused, too.
    let error = plan(&lab.cluster("road-three", 1, 1), &hosts).unwrap_err();
    assert!(matches!(error, Error::RangeTaken { .. }), "{error}");

    // Two clusters share one image; the last one takes it with it.
    lab.apply(&two, &hosts).unwrap();
    lab.destroy(&one, &hosts).unwrap();
    assert!(plan(&two, &hosts).unwrap().is_empty());
    lab.destroy(&two, &hosts).unwrap();
    assert_eq!(lab.inventory(), before);

    // Interrupted at points spread over the run, before and after the verb's effect.
    let mut points = 0;
    for left in [1, 3, 5, 6, 7, 9, 10, 12, 14, 15, 16] {
        let after = left % 2 == 0;
        assert!(
            lab.apply(&one, &lab.failing(left, after)).is_err(),
            "point {left}"
        );
        lab.apply(&one, &hosts)
            .unwrap_or_else(|error| panic!("after point {left}: {error:?}"));
        assert!(plan(&one, &hosts).unwrap().is_empty(), "after point {left}");
        assert_eq!(lab.inventory(), finished, "after point {left}");
        assert!(
            lab.destroy(&one, &lab.failing(left.min(12), !after))
                .is_err(),
            "point {left}"
        );
        lab.destroy(&one, &hosts)
            .unwrap_or_else(|error| panic!("after point {left}: {error:?}"));
        assert_eq!(lab.inventory(), before, "after point {left}");
        points += 2;
    }
    println!("{points} points of interruption");
}
