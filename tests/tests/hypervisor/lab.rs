//! The lab's libvirt, with a folder for pools and an image.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use kubitect_config::cluster::{Connection, Node, Role, VirtType};
use kubitect_config::value::{GiB, Label, Mac, Name};
use kubitect_config::{Cluster, Site};
use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::libvirt::Libvirt;
use kubitect_provision::resource::Format;
use kubitect_provision::{Error, Hosts, Inputs, LocalImage, apply, plan, plan_destroy};
use sha2::{Digest, Sha256};

use crate::failing::Failing;

/// A folder for pools, an image, and the lab's libvirt.
pub struct Lab {
    folder: tempfile::TempDir,
    pub real: Arc<dyn Hypervisor>,
    pub image: LocalImage,
}

impl Lab {
    pub fn new() -> Self {
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
        let host: Name = "localhost".parse().unwrap();
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

    pub fn cluster(&self, name: &str, net: u8, cpu: u32) -> Cluster {
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

    /// A cluster of two balancers, three masters and two workers.
    pub fn seven(&self, name: &str, net: u8) -> Cluster {
        let one = self.cluster(name, net, 1);
        let mut cluster = one.clone();
        cluster.nodes.clear();
        let like = |node: &Node, role: Role, id: u8| {
            let label: Label = format!("{name}-{}-{id}", role.infix()).parse().unwrap();
            Node {
                role,
                id: id.to_string().parse().unwrap(),
                mac: Mac::derived(label.as_str()),
                name: label,
                ip: Some(
                    format!("10.66.{net}.{}", 10 * (role as u8 + 1) + id)
                        .parse()
                        .unwrap(),
                ),
                ram: GiB(1),
                data_disks: Vec::new(),
                ..node.clone()
            }
        };
        for (role, count) in [
            (Role::LoadBalancer, 2),
            (Role::Master, 3),
            (Role::Worker, 2),
        ] {
            let nodes = (1..=count).map(|id| like(&one.nodes[0], role, id));
            cluster.nodes.extend(nodes);
        }
        cluster
    }

    /// Removes the folders of pools that are no more.
    pub fn sweep(&self) {
        for entry in std::fs::read_dir(self.folder.path().join("pools")).unwrap() {
            std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
    }

    pub fn hosts(&self) -> Hosts {
        Self::with(self.real.clone())
    }

    fn with(hypervisor: Arc<dyn Hypervisor>) -> Hosts {
        Hosts::from_hypervisors(BTreeMap::from([("localhost".parse().unwrap(), hypervisor)]))
    }

    pub fn failing(&self, left: usize, after: bool) -> Hosts {
        Self::with(Arc::new(Failing {
            real: self.real.clone(),
            left: AtomicUsize::new(left),
            after,
        }))
    }

    pub fn apply(&self, cluster: &Cluster, hosts: &Hosts) -> Result<(), Error> {
        let plan = plan(cluster, hosts)?;
        let seeds = plan.needs_seeds().map(|node| (node.clone(), seed(node)));
        let inputs = Inputs {
            seeds: seeds.collect(),
            image: Some(self.image.clone()),
            journal: None,
        };
        apply(&plan, hosts, &inputs, &AtomicBool::new(false), &|_| {})
    }

    pub fn destroy(&self, cluster: &Cluster, hosts: &Hosts) -> Result<(), Error> {
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
    pub fn inventory(&self) -> String {
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

pub fn seed(node: &Label) -> Vec<u8> {
    let mut bytes = format!("seed of {node} ").into_bytes().repeat(50_000);
    // Whole blocks, as the images have that machines get.
    bytes.resize(2 << 20, 0);
    bytes
}
