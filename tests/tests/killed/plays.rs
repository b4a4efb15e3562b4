//! What Kubespray's playbooks make of a world in memory; what they demand of it is in `demands`.

use std::collections::BTreeSet;

use kubitect_config::value::Version;
use kubitect_provision::fake::FakeHost;

use crate::ansible::{Failed, Fault, Play};
use crate::demands::{blocks, blocks_ipv6, ipam};
use crate::joins::admin_conf;
use crate::kubernetes::{KUBEADM_CONFIG, drain};
use crate::state::{CNI, CONFIG, ISSUES, Kube, MARK, Member, NAME_SERVERS, Node, State, endpoint};

pub type Result<T> = std::result::Result<T, Failed>;

/// A failure on a host.
pub fn fail<T>(host: &str, why: impl Into<String>) -> Result<T> {
    let (host, why) = (host.to_owned(), why.into());
    Err(Failed { host, why })
}

/// A playbook in the world that it works on.
pub struct Stage<'a> {
    pub play: &'a Play,
    pub state: &'a mut State,
    pub host: &'a FakeHost,
    fault: Option<&'a Fault>,
}

/// Runs a playbook.
pub fn carry_out(
    play: &Play,
    state: &mut State,
    host: &FakeHost,
    fault: Option<&Fault>,
) -> Result<()> {
    let mut stage = Stage {
        play,
        state,
        host,
        fault,
    };
    stage.check()?;
    match play.playbook.as_str() {
        "facts.yml" => stage.facts(),
        "cluster.yml" => stage.cluster(),
        "scale.yml" => stage.scale(),
        "upgrade-cluster.yml" => stage.upgrade(),
        "remove-node.yml" => stage.remove(),
        other => fail("localhost", format!("there is no playbook {other}")),
    }
}

impl Stage<'_> {
    /// Facts of all hosts are kept for the plays that leave some out.
    fn facts(&self) -> Result<()> {
        for name in self.play.nodes() {
            std::fs::write(self.play.facts.join(name), "{}").unwrap();
        }
        Ok(())
    }

    /// Whether a test asks for a failure here.
    fn breaks(&self, name: &str) -> bool {
        self.breaks_at(name, "")
    }

    /// Whether a test asks for a failure in this step on this host.
    pub(super) fn breaks_at(&self, name: &str, at: &str) -> bool {
        self.fault
            .is_some_and(|fault| fault.host == name && fault.at == at)
    }

    fn cluster(&mut self) -> Result<()> {
        self.prepared()?;
        let masters = self.play.group("kube_control_plane");
        if self.play.has_tag("network") {
            return self.network();
        }
        if self.play.has_tag("coredns") {
            if self.play.hosts != masters[..1] {
                return fail(&self.play.hosts[0], "it is not the first control plane");
            }
            self.state.kube.dns = "Kubespray".to_owned();
            return Ok(());
        }
        if self.play.tags.is_empty() {
            self.first()?;
            self.etcd()?;
            let waits = self.play.release.tag >= "v2.30.0".parse().unwrap()
                && self.has(&masters[0], CONFIG);
            for name in self.play.hosts.clone() {
                if self.breaks(&name) {
                    if self.play.limited {
                        self.half_joined(&name);
                    }
                    return fail(&name, "as the test asks");
                }
                self.crio(&name)?;
                match masters.contains(&name) {
                    true => self.master(&name, &masters)?,
                    false => self.worker(&name)?,
                }
            }
            let is_ready = |name: &String| {
                let node = self.state.kube.nodes.get(name);
                node.is_some_and(|node| node.labels.contains_key(MARK))
                    && self.state.is_ready(self.host, name)
            };
            // It counts them: one that the inventory does not have is one too many.
            let marked = self.state.kube.nodes.values();
            let marked = marked.filter(|node| node.labels.contains_key(MARK)).count();
            if waits && (!masters.iter().all(is_ready) || marked != masters.len()) {
                return fail(&masters[0], "new control plane nodes do not become Ready");
            }
            if self.breaks_at(&masters[0], "network") {
                return fail(&masters[0], "as the test asks");
            }
            self.network()?;
            for name in self.play.hosts.clone() {
                self.describe(&name)?;
            }
            self.state.kube.dns = "Kubespray".to_owned();
        }
        if let Some(name) = masters
            .iter()
            .find(|name| !self.state.serves(self.host, name))
        {
            return fail(name, "its API server does not serve");
        }
        self.addons()?;
        self.name_servers();
        Ok(())
    }

    /// The last play: where NetworkManager has the name servers, and they change, all masters' API servers restart, and nobody waits.
    fn name_servers(&mut self) {
        let hosts = self.play.hosts.iter();
        let new: Vec<_> = hosts.filter(|name| !self.has(name, NAME_SERVERS)).collect();
        if !self.state.network_manager || new.is_empty() {
            return;
        }
        for name in new {
            self.put(name, NAME_SERVERS, "");
        }
        self.state.kube.away = 3;
    }

    pub(super) fn has(&self, name: &str, path: &str) -> bool {
        let guest = self.state.guests.get(name);
        guest.is_some_and(|guest| guest.files.contains_key(path))
    }

    pub(super) fn put(&mut self, name: &str, path: &str, text: impl Into<String>) {
        let guest = self.state.guests.get_mut(name).unwrap();
        guest.files.insert(path.to_owned(), text.into());
    }

    /// The network plugin: daemons, which come to nodes that join later by themselves.
    fn network(&mut self) -> Result<()> {
        let nodes = &self.state.kube.nodes;
        match self
            .play
            .hosts
            .iter()
            .find(|name| !nodes.contains_key(*name))
        {
            Some(name) => fail(name, "its network does not come up: it has not joined"),
            None => {
                let kube = &mut self.state.kube;
                let plugin = self.play.variables["kube_network_plugin"].as_str();
                let plugin = plugin.unwrap();
                if !kube.network {
                    // As the release makes them of itself.
                    kube.blocks = blocks(self.play.release);
                    let own = self.play.addons.as_deref().unwrap_or_default();
                    if own.contains("enable_dual_stack_networks: true") {
                        kube.blocks_ipv6 = blocks_ipv6(self.play.release);
                    }
                    if plugin == "cilium" || own.contains("cilium_deploy_additionally: true") {
                        ipam(self.play.release).clone_into(&mut kube.ipam);
                    }
                }
                kube.network = true;
                kube.from_hosts = ["kube-router", "macvlan"].contains(&plugin);
                for name in self.play.hosts.clone() {
                    self.on_host(&name);
                }
                Ok(())
            }
        }
    }

    /// The tasks of a network plugin on a host.
    fn on_host(&mut self, name: &str) {
        if self.state.kube.from_hosts {
            self.put(name, CNI, "");
        }
    }

    /// Addons are rolled out, and awaited.
    fn addons(&mut self) -> Result<()> {
        let bears = BTreeSet::from([MARK.to_owned()]);
        let takes = |name: &String| self.state.takes(self.host, name, &bears);
        let are_new = self.play.addons.is_some();
        if are_new && !self.state.kube.nodes.keys().any(takes) {
            return fail(&self.play.hosts[0], "no node takes the addon's pod");
        }
        self.state.kube.addons.clone_from(&self.play.addons);
        Ok(())
    }

    /// Members are begun together, or join one that lives, one by one.
    fn etcd(&mut self) -> Result<()> {
        let hosts = self.play.group("etcd");
        let is_member = |state: &State, name: &String| {
            let own = state.guests.get(name).and_then(|guest| guest.member);
            state
                .kube
                .members
                .iter()
                .any(|member| Some(member.id) == own)
        };
        if !hosts.iter().any(|name| is_member(self.state, name)) {
            if self.play.limited {
                return fail(&hosts[0], "there is no etcd to join");
            }
            let id = self.state.kube.id + 1;
            self.state.kube = Kube {
                id,
                ..Kube::default()
            };
        }
        self.issues();
        for name in hosts {
            if !self.play.hosts.contains(&name) {
                continue;
            }
            if self.play.group("kube_control_plane").contains(&name) {
                self.configure(&name);
            }
            if is_member(self.state, &name) {
                continue;
            }
            let ip = self.play.text(&name, "ip");
            let kube = &self.state.kube;
            if kube.members.iter().any(|member| member.ip == ip) {
                return fail(
                    &name,
                    "etcd lists a member of this address, whose data is lost",
                );
            }
            let well = kube
                .members
                .iter()
                .all(|member| self.state.is_well(self.host, member));
            if !well || self.breaks_at(&name, "health") {
                // Kubespray starts it as a new cluster of all members then, and what that writes stays.
                self.state.guests.get_mut(&name).unwrap().member = Some(u64::MAX);
                return fail(
                    &name,
                    "etcdserver: unhealthy cluster: no member joins while another does not answer",
                );
            }
            let kube = &mut self.state.kube;
            kube.next_member += 1;
            let id = (kube.id << 8) | kube.next_member;
            let own = self.play.text(&name, "etcd_member_name");
            kube.members.push(Member {
                id,
                name: own,
                ip: ip.clone(),
            });
            let stops = self
                .fault
                .is_some_and(|fault| fault.host == name && fault.at == "announced");
            // A new member is given the group as its list, and refuses one that is not etcd's own.
            let group = self.endpoints();
            let mut listed = self.state.kube.members.iter();
            if let Some(stranger) = listed.find(|member| !group.contains(&endpoint(&member.ip))) {
                return fail(
                    &name,
                    format!(
                        "etcd does not start: member count is unequal, {} is missing",
                        stranger.name
                    ),
                );
            }
            let initial = self.play.group("etcd").into_iter();
            let initial = initial.map(|host| {
                let own = self.play.text(&host, "etcd_member_name");
                format!("{own}=https://{}:2380", self.play.text(&host, "ip"))
            });
            let initial = initial.collect::<Vec<_>>().join(",");
            let guest = self.state.guests.get_mut(&name).unwrap();
            if guest.member.is_some() {
                return fail(
                    &name,
                    "etcd does not start: its data are of a removed member",
                );
            }
            let env =
                ["ENDPOINTS", "CACERT", "CERT", "KEY"].map(|key| format!("ETCDCTL_{key}=x\n"));
            let mut all = initial.split(',').filter_map(|own| own.split_once('='));
            let own = all.find(|(_, url)| *url == format!("https://{ip}:2380"));
            let (own, url) = own.unwrap();
            let env = format!(
                "ETCD_DATA_DIR=/var/lib/etcd\nETCD_NAME={own}\nETCD_INITIAL_ADVERTISE_PEER_URLS={url}\n{}ETCD_INITIAL_CLUSTER={initial}\n",
                env.concat()
            );
            guest.files.insert("/etc/etcd.env".to_owned(), env);
            if stops {
                return fail(&name, "as the test asks");
            }
            guest.member = Some(id);
        }
        Ok(())
    }

    /// The first member of etcd gets what issues certificates, where it is in the run.
    fn issues(&mut self) {
        let first = &self.play.group("etcd")[0];
        if self.play.hosts.contains(first) {
            self.put(first, ISSUES, "");
        }
    }

    /// Whether workers get certificates of etcd.
    fn certifies_workers(&self) -> bool {
        let variables = &self.play.variables;
        let plugin = variables["kube_network_plugin"].as_str().unwrap();
        let own = self.play.addons.as_deref().unwrap_or_default();
        ["flannel", "canal", "cilium"].contains(&plugin)
            || own.contains("cilium_deploy_additionally: true")
            || own.contains("calico_datastore: etcd")
            || !self.play.release.is_from(20)
    }

    /// The inventory's etcd endpoints.
    pub(super) fn endpoints(&self) -> BTreeSet<String> {
        let hosts = self.play.group("etcd").into_iter();
        hosts
            .map(|name| endpoint(&self.play.text(&name, "ip")))
            .collect()
    }

    /// Every run on a master leaves kubeadm's configuration with the inventory's members there.
    fn configure(&mut self, name: &str) {
        let items: String = self
            .play
            .group("etcd")
            .iter()
            .fold(String::new(), |text, host| {
                format!("{text}      - {}\n", endpoint(&self.play.text(host, "ip")))
            });
        let tainted = !self.play.group("kube_node").iter().any(|node| node == name);
        let taints = if tainted { "[NoSchedule]" } else { "[]" };
        let own = self.play.addons.as_deref().unwrap_or_default();
        let own = own.replace('\n', "; ");
        let text = format!(
            "# {own}\nkind: InitConfiguration\nnodeRegistration:\n  criSocket: unix:///run/containerd/containerd.sock\n  taints: {taints}\n---\nkind: ClusterConfiguration\netcd:\n  external:\n      endpoints:\n{items}      caFile: /ca.pem\n"
        );
        let guest = self.state.guests.get_mut(name).unwrap();
        guest.files.insert(KUBEADM_CONFIG.to_owned(), text);
    }

    /// What a join leaves that failed: the API has the node, whose kubelet does not run.
    fn half_joined(&mut self, name: &str) {
        let node = Node {
            version: self.play.version(),
            ..Node::default()
        };
        self.state.kube.nodes.entry(name.to_owned()).or_insert(node);
    }

    fn scale(&mut self) -> Result<()> {
        self.prepared()?;
        let workers = self.play.group("kube_node");
        self.issues();
        for name in self.play.hosts.clone() {
            if !workers.contains(&name) {
                continue;
            }
            let issuer = &self.play.group("etcd")[0];
            if self.certifies_workers() && !self.has(issuer, ISSUES) {
                return fail(&name, format!("bash: {ISSUES}: No such file or directory"));
            }
            if self.breaks(&name) {
                self.half_joined(&name);
                return fail(&name, "as the test asks");
            }
            self.crio(&name)?;
            self.worker(&name)?;
            self.on_host(&name);
            self.describe(&name)?;
        }
        Ok(())
    }

    fn upgrade(&mut self) -> Result<()> {
        self.prepared()?;
        self.first()?;
        let version = self.play.version();
        let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
        let masters = self.play.group("kube_control_plane");
        let members = self.endpoints();
        // These call kubeadm without its configuration.
        let tag = |text: &str| text.parse::<Version>().unwrap();
        let stale = (tag("v2.26.0")..=tag("v2.27.0")).contains(&self.play.release.tag);
        if self.play.release.tag >= "v2.30.0".parse().unwrap()
            && let Some(name) = masters
                .iter()
                .find(|name| !self.state.is_ready(self.host, name))
        {
            return fail(name, "all control planes must be Ready");
        }
        for name in self.play.hosts.clone() {
            let runs = match &self.state.guests[&name].kubelet {
                Some((runs, id)) if *id == self.state.kube.id => runs.clone(),
                _ => return fail(&name, "it has not joined"),
            };
            if minor(&version) < minor(&runs) || minor(&version) > minor(&runs) + 1 {
                return fail(
                    &name,
                    format!("it runs {runs}: {version} is no step of at most one minor version up"),
                );
            }
            let behind = |master: &&String| {
                self.state
                    .kube
                    .nodes
                    .get(*master)
                    .is_none_or(|node| node.version != version)
            };
            let is_master = masters.contains(&name);
            if !is_master && let Some(master) = masters.iter().find(behind) {
                return fail(&name, format!("{master} comes first"));
            }
            if name != masters[0] && is_master && behind(&&masters[0]) {
                return fail(&name, "the first control plane comes first");
            }
            if self.breaks(&name) {
                return fail(&name, "as the test asks");
            }
            self.crio(&name)?;
            if is_master {
                self.configure(&name);
                self.certificate(&name, &masters, true)?;
            }
            self.upgrade_kubelet(&name, &version, is_master)?;
            // A node that is cordoned is not drained, and neither is one whose pods are to stay.
            if self.play.extra["drain_nodes"] != false && !self.state.kube.nodes[&name].cordoned {
                drain(self.state, self.host, &name);
            }
            self.ends(&name, "kubelet")?;
            if is_master {
                self.upgrade_master(&name, &version, &members, stale);
            }
        }
        match self.play.hosts.iter().any(|name| masters.contains(name)) {
            true => self.addons(),
            false => Ok(()),
        }
    }

    /// The kubelet comes before the control plane. It is restarted where it was installed in the same run, and by `kubeadm upgrade`.
    fn upgrade_kubelet(&mut self, name: &str, version: &str, is_master: bool) -> Result<()> {
        let stops = self.breaks_at(name, "installed");
        let guest = self.state.guests.get_mut(name).unwrap();
        if stops {
            guest.installed = Some(version.to_owned());
            return fail(name, "as the test asks");
        }
        if guest.installed.as_deref() == Some(version) && !is_master {
            return Ok(());
        }
        guest.installed = None;
        guest.kubelet = Some((version.to_owned(), self.state.kube.id));
        let Some(node) = self.state.kube.nodes.get_mut(name) else {
            return fail(name, "Kubernetes does not know it");
        };
        (node.cpus, node.ram) = (guest.cpus, guest.ram);
        version.clone_into(&mut node.version);
        Ok(())
    }

    /// `kubeadm upgrade`, which puts its own DNS in the place of Kubespray's.
    fn upgrade_master(
        &mut self,
        name: &str,
        version: &str,
        members: &BTreeSet<String>,
        stale: bool,
    ) {
        if !stale {
            self.state.kube.published.clone_from(members);
        }
        let published = self.state.kube.published.clone();
        let guest = self.state.guests.get_mut(name).unwrap();
        guest.api = Some(published);
        if !stale {
            guest.arguments = guest.files[KUBEADM_CONFIG].clone();
        }
        version.clone_into(&mut guest.api_version);
        let conf = admin_conf(self.state.kube.id, version);
        self.put(name, kubitect_kubespray::ADMIN_CONF, conf);
        let is_first = self.play.group("kube_control_plane")[0] == name;
        // kubeadm is told to leave the DNS alone from v2.29 on.
        let puts_back = is_first || self.play.release.is_from(29);
        let dns = if puts_back { "Kubespray" } else { "kubeadm" };
        dns.clone_into(&mut self.state.kube.dns);
    }

    fn remove(&mut self) -> Result<()> {
        let play = self.play;
        let all = play.nodes();
        let names: Vec<_> = play.extra["node"]
            .as_str()
            .unwrap_or_default()
            .split(',')
            .collect();
        let masters = play.group("kube_control_plane");
        if !play.is_set("skip_confirmation") {
            return fail(&all[0], "not confirmed");
        }
        if let Some(name) = names
            .iter()
            .find(|name| !all.iter().any(|host| host == *name))
        {
            return fail(&all[0], format!("{name} is no host of the cluster"));
        }
        if names.contains(&masters[0].as_str()) || names.contains(&play.group("etcd")[0].as_str()) {
            return fail(
                &masters[0],
                "the first control plane and the first member stay",
            );
        }
        if !self.state.serves(self.host, &masters[0]) {
            return fail(&masters[0], "its API does not serve");
        }
        for name in names {
            let guest = &self.state.guests.get(name);
            let member = guest.and_then(|guest| guest.member);
            if self.state.kube.members.iter().any(|m| Some(m.id) == member) {
                return fail(name, "it is still a member of etcd");
            }
            if play.extra["reset_nodes"] != false {
                self.state.guests.get_mut(name).unwrap().reset();
            }
            if self.breaks(name) {
                return fail(name, "as the test asks");
            }
            self.state.kube.nodes.remove(name);
        }
        Ok(())
    }
}
