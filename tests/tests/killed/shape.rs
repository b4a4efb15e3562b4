//! [`Shape`]: the values of a cluster's configuration in these tests.

/// A cluster.
#[derive(Debug, Clone)]
pub struct Shape {
    pub balancers: u32,
    pub masters: Vec<u32>,
    pub workers: Vec<Worker>,
    pub master_cpu: u32,
    pub master_ram: u32,
    /// Kubernetes and Kubespray.
    pub release: [&'static str; 2],
    pub plugin: &'static str,
    /// The container runtime.
    pub manager: &'static str,
    /// Variables of Kubespray's, as `name: value`.
    pub variables: &'static [&'static str],
    pub forwards: bool,
    pub addon: bool,
    /// The machines on a second host, as `worker-2`. With one, all are on a bridge.
    pub other: &'static [&'static str],
}

#[derive(Debug, Clone)]
pub struct Worker {
    pub id: u32,
    pub cpu: u32,
    pub ram: u32,
    pub main_disk: u32,
    /// Names and sizes.
    pub disks: Vec<(&'static str, u32)>,
    pub label: Option<&'static str>,
    pub taint: bool,
}

impl Worker {
    pub fn new(id: u32) -> Self {
        Self {
            id,
            cpu: 2,
            ram: 2,
            main_disk: 8,
            disks: Vec::new(),
            label: None,
            taint: false,
        }
    }

    /// Every third worker has a leased address instead of a fixed one.
    fn is_leased(&self) -> bool {
        self.id % 3 == 2
    }
}

/// The address that the host leases to a worker.
pub fn lease(id: u32) -> String {
    format!("10.9.0.{}", 200 + id)
}

impl Shape {
    /// Two balancers that share an address, three masters, two workers.
    pub fn base() -> Self {
        Self {
            balancers: 2,
            masters: vec![1, 2, 3],
            workers: vec![Worker::new(1), Worker::new(2)],
            master_cpu: 2,
            master_ram: 2,
            release: ["v1.23.7", "v2.19.0"],
            plugin: "calico",
            manager: "containerd",
            variables: &[],
            forwards: false,
            addon: false,
            other: &[],
        }
    }

    /// The configuration; its image lies in `image`.
    pub fn yaml(&self, image: &str) -> String {
        let ([kubernetes, kubespray], plugin, manager) = (self.release, self.plugin, self.manager);
        let host = |name: &str, last: u32| {
            format!(
                "  - name: {name}\n    connection: {{type: remote, user: me, ip: 10.255.255.{last}}}\n    \
                 mainResourcePoolPath: /pools\n    dataResourcePools: [{{name: fast, path: /fast}}]\n"
            )
        };
        let mut text = format!("hosts:\n{}", host("box", 1));
        let mut network = "mode: nat";
        if !self.other.is_empty() {
            text += &host("other", 2);
            network = "mode: bridge, bridge: br0";
        }
        let on = |name: String| match self.other.contains(&name.as_str()) {
            true => "host: other, ",
            false => "",
        };
        text += &format!(
            "cluster:\n  name: demo\n  network: {{{network}, cidr: 10.9.0.0/24}}\n  nodeTemplate:\n    user: k8s\n    \
             ssh: {{addToKnownHosts: true}}\n    os: {{distro: debian, source: {image}}}\n  nodes:\n    loadBalancer:\n      \
             vip: {}\n",
            crate::machine::VIP
        );
        if self.forwards {
            text += "      forwardPorts: [{name: http, port: 80, targetPort: 30080}]\n";
        }
        text += "      instances:\n";
        for id in 1..=self.balancers {
            let on = on(format!("lb-{id}"));
            text += &format!(
                "        - {{id: {id}, {on}ip: 10.9.0.10{id}, ram: 1, mainDiskSize: 8}}\n"
            );
        }
        let (cpu, ram) = (self.master_cpu, self.master_ram);
        text += "    master:\n      instances:\n";
        for id in &self.masters {
            let on = on(format!("master-{id}"));
            text += &format!(
                "        - {{id: {id}, {on}ip: 10.9.0.1{id}, cpu: {cpu}, ram: {ram}, mainDiskSize: 8}}\n"
            );
        }
        if !self.workers.is_empty() {
            text += "    worker:\n      instances:\n";
        }
        for worker in &self.workers {
            let Worker {
                id,
                cpu,
                ram,
                main_disk,
                disks,
                label,
                taint,
            } = worker;
            text += &format!(
                "        - id: {id}\n          cpu: {cpu}\n          ram: {ram}\n          mainDiskSize: {main_disk}\n"
            );
            if !on(format!("worker-{id}")).is_empty() {
                text += "          host: other\n";
            }
            if !worker.is_leased() {
                text += &format!("          ip: 10.9.0.2{id}\n");
            }
            if !disks.is_empty() {
                text += "          dataDisks:\n";
            }
            for (name, size) in disks {
                text += &format!("            - {{name: {name}, pool: fast, size: {size}}}\n");
            }
            if let Some(label) = label {
                text += &format!("          labels: {{tier: {label}}}\n");
            }
            if *taint {
                text += "          taints: [\"only=db:NoSchedule\"]\n";
            }
        }
        text += &format!(
            "kubernetes:\n  version: {kubernetes}\n  networkPlugin: {plugin}\n  manager: {manager}\n  kubespray: {{version: {kubespray}}}\n  \
             other: {{mergeKubeconfig: true}}\n"
        );
        let addon = self.addon.then_some(&"metrics_server_enabled: true");
        let variables: Vec<_> = self.variables.iter().chain(addon).copied().collect();
        if !variables.is_empty() {
            text += &format!("addons:\n  kubespray: {{{}}}\n", variables.join(", "));
        }
        text
    }
}
