//! The conditions of Kubespray's playbooks before they change anything: asserted by the releases, or without which they would
//! fail.

use kubitect_config::release::Release;

use crate::machine::{VIP, servers};
use crate::plays::{Result, Stage, fail};
use crate::state::{CONFIG, CRIO, MARK};

/// The size of calico's blocks that a release sets where no variable does.
pub fn blocks(release: &Release) -> u64 {
    match release.is_from(20) {
        true => 26,
        false => 24,
    }
}

/// The same for IPv6.
pub fn blocks_ipv6(release: &Release) -> u64 {
    match release.is_from(20) {
        true => 122,
        false => 116,
    }
}

/// How cilium gives pods their addresses in a release.
pub fn ipam(release: &Release) -> &'static str {
    match release.is_from(22) {
        true => "cluster-pool",
        false => "kubernetes",
    }
}

impl Stage<'_> {
    /// The checks of every playbook.
    pub fn check(&self) -> Result<()> {
        let play = self.play;
        let first = &play.nodes()[0];
        let members = play.group("etcd").len();
        if members.is_multiple_of(2) && !play.is_set("ignore_assert_errors") {
            return fail(first, format!("{members} etcd members: an even number"));
        }
        let version = play.version().parse().unwrap();
        if !play.release.supports(&version) {
            return fail(
                first,
                format!("{} does not set up {version}", play.release.tag),
            );
        }
        // From v2.20.0 on the pool is compared with the variables; earlier releases compare it with their own default.
        let wanted = play.variables["calico_pool_blocksize"].as_u64();
        let wanted = wanted.unwrap_or(blocks(play.release));
        let calico = play.variables["kube_network_plugin"] == "calico";
        let assigned = self.state.kube.blocks;
        let creates = play.playbook == "cluster.yml" && !play.limited;
        if calico && self.state.kube.network && !creates && wanted != assigned {
            return fail(
                first,
                format!("calico's pool has blocks of /{assigned}, and the inventory /{wanted}"),
            );
        }
        let kube = &self.state.kube;
        let own = play.variables["calico_pool_blocksize_ipv6"].as_u64();
        let own = own.unwrap_or(blocks_ipv6(play.release));
        if kube.blocks_ipv6 != 0 && !creates && own != kube.blocks_ipv6 {
            return fail(first, "spec.blockSize: field is immutable");
        }
        let own = play.variables["cilium_ipam_mode"].as_str();
        let own = own.unwrap_or(ipam(play.release));
        if !kube.ipam.is_empty() && !creates && own != kube.ipam {
            return fail(
                first,
                format!("pods lose their addresses: {} becomes {own}", kube.ipam),
            );
        }
        self.multus()?;
        self.macvlan()?;
        let removed = play.extra["node"].as_str().unwrap_or_default();
        let hosts = play.nodes();
        let cleaned = play.extra["reset_nodes"] != false;
        for name in &hosts {
            let left_alone = removed.split(',').any(|node| node == name) && !cleaned;
            if (play.hosts.contains(name) || play.playbook == "facts.yml") && !left_alone {
                self.reach(name)?;
                if let Some((program, _)) = self.state.guests[name].busy.first() {
                    return fail(name, format!("`{program}` of an earlier run is in the way"));
                }
            }
        }
        Ok(())
    }

    /// The last of multus' tasks asks each node for the result of an earlier task, also a node that the run leaves out, and also
    /// where multus is off: loops are evaluated before conditions.
    fn multus(&self) -> Result<()> {
        let play = self.play;
        let asks = [21, 24, 25].contains(&play.release.tag.minor().1);
        let networks = play.tags.is_empty() || play.has_tag("network");
        let plays = ["cluster.yml", "scale.yml", "upgrade-cluster.yml"];
        let runs = plays.contains(&&*play.playbook) && networks;
        let all = play.nodes().iter().all(|name| play.hosts.contains(name));
        let knows = play.variables["multus_manifest_2"]["results"].is_sequence();
        match asks && runs && !all && !knows {
            true => fail(
                &play.hosts[0],
                "'HostVarsVars object' has no attribute 'multus_manifest_2'",
            ),
            false => Ok(()),
        }
    }

    /// macvlan's tasks ask each node that takes pods for facts that the run has gathered of it.
    fn macvlan(&self) -> Result<()> {
        let play = self.play;
        let networks = play.tags.is_empty() || play.has_tag("network");
        let plays = ["cluster.yml", "scale.yml", "upgrade-cluster.yml"];
        let runs = plays.contains(&&*play.playbook) && networks;
        let asked = play.group("kube_node").into_iter();
        let mut left_out = asked.filter(|name| !play.hosts.contains(name));
        match left_out.next() {
            Some(name) if runs && play.variables["kube_network_plugin"] == "macvlan" => fail(
                &play.hosts[0],
                format!("{name}: 'HostVarsVars object' has no attribute 'node_pod_cidr'"),
            ),
            _ => Ok(()),
        }
    }

    /// CRI-O is set up on a node and restarted. Containers that run were started by the runtime of before, and no other one can
    /// end them.
    pub fn crio(&mut self, name: &str) -> Result<()> {
        let variables = &self.play.variables;
        if variables["container_manager"] != "crio" {
            return Ok(());
        }
        let runs = match self.play.release.is_from(27) {
            true => variables["crio_default_runtime"].as_str().unwrap_or("crun"),
            false => "runc",
        };
        let has = variables["runc_enabled"] == true || !self.play.release.is_from(27);
        if runs == "runc" && !has {
            return fail(name, "crio does not start: it knows no runtime runc");
        }
        let conf = format!("[crio.runtime]\ndefault_runtime = \"{runs}\"\n");
        let files = &self.state.guests[name].files;
        match files.get(CRIO).is_some_and(|before| *before != conf) {
            true => fail(
                name,
                format!("Killing container failed: /run/{runs}/1/status"),
            ),
            false => {
                self.put(name, CRIO, conf);
                Ok(())
            }
        }
    }

    /// Ansible logs in as the inventory says.
    fn reach(&self, name: &str) -> Result<()> {
        let unreachable = |why: &str| {
            fail(
                name,
                format!("Failed to connect to the host via ssh: {why}"),
            )
        };
        if !self.state.answers(self.host, name) || self.state.guests[name].deaf {
            return unreachable("No route to host");
        }
        let ip = self.play.text(name, "ansible_host");
        if self.state.address(self.host, name).as_deref() != Some(&*ip) {
            return unreachable("Connection timed out");
        }
        let key = self.play.text(name, "ansible_ssh_private_key_file");
        let public = std::fs::read_to_string(format!("{key}.pub")).unwrap_or_default();
        let keys = &self.state.guests[name].keys;
        let knows = |text: &str| keys.iter().any(|key| text.contains(key));
        if !knows(&public) {
            return unreachable("Permission denied (publickey)");
        }
        let known_hosts = std::path::Path::new(&key).with_file_name("known_hosts");
        let known_hosts = std::fs::read_to_string(known_hosts).unwrap_or_default();
        let pinned = known_hosts
            .lines()
            .find(|line| line.starts_with(&format!("{ip},")));
        if !pinned.is_some_and(knows) {
            return unreachable("Host key verification failed.");
        }
        Ok(())
    }

    /// Whether a limited run has the facts of the hosts that it leaves out, and the balancers answer.
    pub fn prepared(&self) -> Result<()> {
        let nodes = self.play.nodes();
        for name in nodes.iter().filter(|name| !self.play.hosts.contains(name)) {
            if !self.play.facts.join(name).exists() {
                return fail(
                    &self.play.hosts[0],
                    format!("no facts of {name}: run the facts playbook without --limit first"),
                );
            }
        }
        let address = self.play.variables["loadbalancer_apiserver"]["address"].as_str();
        let Some(address) = address else {
            assert_eq!(self.play.group("haproxy"), [""; 0]);
            return Ok(());
        };
        let has_address =
            |name: &&String| self.state.address(self.host, name).as_deref() == Some(address);
        let served = match address {
            VIP => self.state.holder.as_ref(),
            _ => self.state.guests.keys().find(has_address),
        };
        let served = served.map(|name| &self.state.guests[name]);
        let behind = served.map_or(Vec::new(), |guest| servers(guest, kubitect_lb::API));
        let serving = |name: &String| self.state.serves(self.host, name);
        let drained = |name: &String| {
            let server = format!("{}/{name}", kubitect_lb::API);
            served.is_some_and(|guest| guest.drained.contains(&server))
        };
        let leads = behind.iter().any(|name| serving(name) && !drained(name));
        let living = self.state.guests.keys().any(serving);
        if behind.is_empty() || (living && !leads) {
            return fail(
                &self.play.hosts[0],
                "cannot reach the load balancer, or it leads to no master that serves",
            );
        }
        Ok(())
    }

    /// The first control plane of the inventory, from which others get what they join with, has joined.
    pub fn first(&self) -> Result<()> {
        let masters = self.play.group("kube_control_plane");
        let joined = |name: &&String| self.state.serves(self.host, name);
        let first = &masters[0];
        if masters.iter().any(|name| joined(&name)) && !joined(&first) {
            return fail(first, "it is new and stands first in kube_control_plane");
        }
        // Up to v2.29 the API is asked for the first one, and may name a node that the inventory does not have.
        let nodes = self.state.kube.nodes.iter();
        let mut marked = nodes.filter(|(_, node)| node.labels.contains_key(MARK));
        if self.play.release.tag < "v2.30.0".parse().unwrap()
            && let Some((stranger, _)) = marked.next().filter(|(name, _)| !masters.contains(name))
        {
            return fail(first, format!("{stranger} is no host of the inventory"));
        }
        let by_name = masters.iter().filter(joined).min();
        let asks_api = self.play.release.tag < "v2.28.0".parse().unwrap();
        // Where all have joined no certificate key is needed.
        let joins = masters.iter().any(|name| !self.has(name, CONFIG));
        match by_name {
            Some(other) if asks_api && joins && other != first => fail(
                first,
                format!("{other} would be asked for the key to join with"),
            ),
            _ => Ok(()),
        }
    }
}
