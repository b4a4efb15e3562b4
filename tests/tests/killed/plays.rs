//! The effects of Kubespray's playbooks on a world in memory; their conditions are in `demands`.

use std::collections::BTreeSet;

use kubitect_provision::fake::FakeHost;

use crate::ansible::{Failed, Fault, Play};
use crate::demands::{blocks, blocks_ipv6, ipam};
use crate::state::{CNI, CONFIG, ISSUES, MARK, NAME_SERVERS, Node, RELEASES, ROOT_CONF, State};

pub type Result<T> = std::result::Result<T, Failed>;

/// A failure on a host.
pub fn fail<T>(host: &str, why: impl Into<String>) -> Result<T> {
    let (host, why) = (host.to_owned(), why.into());
    Err(Failed { host, why })
}

/// A playbook, and the world that it works on.
pub struct Stage<'a> {
    pub play: &'a Play,
    pub state: &'a mut State,
    pub host: &'a FakeHost,
    pub fault: Option<&'a Fault>,
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
    /// The facts of all hosts are cached for the plays that leave some out.
    fn facts(&self) -> Result<()> {
        for name in self.play.nodes() {
            std::fs::write(self.play.facts.join(name), "{}").unwrap();
        }
        Ok(())
    }

    /// Whether a test asks for a failure here.
    pub(super) fn breaks(&self, name: &str) -> bool {
        self.breaks_at(name, "")
    }

    /// Whether a test asks for a failure in this step on this host.
    pub(super) fn breaks_at(&self, name: &str, step: &str) -> bool {
        self.fault
            .is_some_and(|fault| fault.host == name && fault.step == step)
    }

    fn cluster(&mut self) -> Result<()> {
        self.prepared()?;
        if self.play.tags.is_empty() || self.play.has_tag("download") {
            for name in self.play.hosts.clone() {
                self.put(&name, RELEASES, "");
            }
        }
        let masters = self.play.group("kube_control_plane");
        if self.play.has_tag("client") {
            for name in self.play.hosts.clone() {
                if !self.has(&name, kubitect_kubespray::ADMIN_CONF) {
                    return fail(&name, "there is no admin.conf to copy");
                }
                self.put(&name, ROOT_CONF, "");
            }
        }
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
            // It counts the control plane nodes: one that the inventory does not have is one too many.
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

    /// The last play: where NetworkManager manages the name servers, and they change, all masters' API servers restart, and
    /// nothing waits for them.
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

    /// The network plugin: a daemon set, which also runs on nodes that join later.
    fn network(&mut self) -> Result<()> {
        let hosts = self.play.hosts.iter();
        if let Some(name) = hosts.clone().find(|name| !self.has(name, RELEASES)) {
            return fail(
                name,
                format!("{RELEASES}/cni-plugins-linux-amd64-1.9.1.tgz does not exist"),
            );
        }
        let first = &self.play.group("kube_control_plane")[0];
        if self.play.hosts.contains(first) && !self.has(first, ROOT_CONF) {
            return fail(
                first,
                "kubectl: dial tcp [::1]:8080: connect: connection refused",
            );
        }
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
                    // The release's default.
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
    pub(super) fn addons(&mut self) -> Result<()> {
        let bears = BTreeSet::from([MARK.to_owned()]);
        let takes = |name: &String| self.state.takes(self.host, name, &bears);
        let are_new = self.play.addons.is_some();
        if are_new && !self.state.kube.nodes.keys().any(takes) {
            return fail(&self.play.hosts[0], "no node takes the addon's pod");
        }
        self.state.kube.addons.clone_from(&self.play.addons);
        Ok(())
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

    /// The state after a join that failed: the API lists the node, and its kubelet does not run.
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
            // It starts by itself later, or not at all.
            if !self.breaks_at(&name, "network") {
                self.on_host(&name);
            }
            self.describe(&name)?;
        }
        Ok(())
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
                if self.state.balanced().any(|to| to.contains(name)) {
                    return fail(name, "its API server stops, and a balancer leads there");
                }
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
