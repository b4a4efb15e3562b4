//! A cluster, its hosts in memory, and runs of the pipeline on them.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kubitect_config::value::Name;
use kubitect_config::{Cluster, Site};
use kubitect_provision::fake::FakeHost;
use kubitect_provision::hypervisor::Hypervisor;
use kubitect_provision::observe::HostState;
use kubitect_provision::resource::Format;
use kubitect_provision::{Error, Hosts, Inputs, LocalImage, Plan, apply, plan, plan_destroy};
use sha2::{Digest, Sha256};

/// A cluster's configuration with its hosts.
pub struct World {
    pub cluster: Cluster,
    pub fakes: BTreeMap<Name, Arc<FakeHost>>,
    pub image: LocalImage,
    _image: tempfile::NamedTempFile,
}

/// A seed that contains this text, of the size that seeds have.
pub fn seed(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(kubitect_provision::cloud_init::seed::SIZE, 0);
    bytes
}

/// The cluster of a configuration.
pub fn cluster(yaml: &str) -> Cluster {
    kubitect_config::parse(yaml, "test.yaml", &Site::default())
        .expect("the test's configuration is valid")
        .cluster
}

impl World {
    /// The cluster on hosts on which `existing` is already.
    pub fn new(yaml: &str, existing: &HostState) -> Self {
        let cluster = cluster(yaml);
        let hosts: Vec<_> = cluster
            .used_hosts()
            .map(|host| host.name.to_string())
            .collect();
        let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
        Self::new_on(&hosts, yaml, existing)
    }

    /// As [`World::new`], connected to these hosts.
    pub fn new_on(hosts: &[&str], yaml: &str, existing: &HostState) -> Self {
        let cluster = cluster(yaml);
        let fakes = hosts
            .iter()
            .map(|host| {
                let fake = Arc::new(FakeHost::new(existing.clone()));
                (host.parse().expect("it is a name"), fake)
            })
            .collect();
        let bytes = b"not much of an operating system".repeat(100);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let sha256 = Sha256::digest(&bytes);
        let image = LocalImage {
            path: file.path().to_owned(),
            sha256: sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            virtual_size: 2 << 30,
            format: Format::Qcow2,
        };
        Self {
            cluster,
            fakes,
            image,
            _image: file,
        }
    }

    /// The same hosts and image with another cluster.
    pub fn with(&self, yaml: &str) -> Self {
        let mut other = Self::new(yaml, &HostState::default());
        other.fakes = self.fakes.clone();
        other
    }

    pub fn hosts(&self) -> Hosts {
        let hypervisors = self.fakes.iter().map(|(name, fake)| {
            let hypervisor: Arc<dyn Hypervisor> = fake.clone();
            (name.clone(), hypervisor)
        });
        Hosts::from_hypervisors(hypervisors.collect())
    }

    /// The only host.
    pub fn fake(&self) -> &FakeHost {
        self.fakes.values().next().expect("there is a host")
    }

    pub fn plan(&self) -> Result<Plan, Error> {
        plan(&self.cluster, &self.hosts())
    }

    pub fn carry_out(&self, plan: &Plan) -> Result<(), Error> {
        let inputs = Inputs {
            seeds: plan
                .needs_seeds()
                .map(|node| (node.clone(), seed(node.as_str())))
                .collect(),
            image: Some(self.image.clone()),
            journal: None,
        };
        apply(
            plan,
            &self.hosts(),
            &inputs,
            &AtomicBool::new(false),
            &|_| {},
        )
    }

    /// One run of `kubitect apply`, without Kubernetes.
    pub fn apply(&self) -> Result<(), Error> {
        self.carry_out(&self.plan()?)
    }

    /// One run of `kubitect destroy`.
    pub fn destroy(&self) -> Result<(), Error> {
        self.carry_out(&plan_destroy(&self.cluster.name, &self.hosts())?)
    }

    /// All that is on all hosts.
    pub fn inventory(&self) -> String {
        self.fakes.values().map(|fake| fake.inventory()).collect()
    }

    pub fn revive(&self) {
        for fake in self.fakes.values() {
            fake.revive();
        }
    }
}

/// One balancer, three masters, two workers with data disks; the second worker's address is leased.
pub const DEMO: &str = "
hosts:
  - name: box
    connection:
      type: local
    mainResourcePoolPath: /pools
    dataResourcePools:
      - name: fast
        path: /fast
cluster:
  name: demo
  network:
    mode: nat
    cidr: 192.168.113.0/24
  nodeTemplate:
    user: k8s
    os:
      distro: ubuntu
  nodes:
    loadBalancer:
      instances:
        - id: 1
          ip: 192.168.113.100
    master:
      instances:
        - id: 1
          ip: 192.168.113.10
        - id: 2
          ip: 192.168.113.11
        - id: 3
          ip: 192.168.113.12
    worker:
      instances:
        - id: 1
          ip: 192.168.113.20
          dataDisks:
            - name: rook
              pool: fast
              size: 5
            - name: logs
              size: 1
        - id: 2
kubernetes:
  version: v1.23.7
  networkPlugin: calico
  kubespray:
    version: v2.19.0
";

/// A cluster of one machine, whose name begins with the other cluster's name.
pub const TINY: &str = "
hosts:
  - name: box
    connection:
      type: local
    mainResourcePoolPath: /pools
cluster:
  name: demo-fast
  network:
    mode: nat
    cidr: 192.168.114.0/24
  nodeTemplate:
    user: k8s
    os:
      distro: ubuntu
  nodes:
    master:
      instances:
        - id: 1
kubernetes:
  version: v1.23.7
  networkPlugin: calico
  kubespray:
    version: v2.19.0
";
