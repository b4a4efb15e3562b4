//! The effects of Kubespray's playbook for upgrades on a world in memory.

use std::collections::BTreeSet;

use kubitect_config::value::Version;

use crate::joins::admin_conf;
use crate::kubernetes::{KUBEADM_CONFIG, drain};
use crate::plays::{Result, Stage, fail};

impl Stage<'_> {
    pub(super) fn upgrade(&mut self) -> Result<()> {
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

    /// The kubelet is upgraded before the control plane. It is restarted if it was installed in the same run, and by `kubeadm
    /// upgrade`.
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

    /// `kubeadm upgrade`, which replaces Kubespray's DNS by its own.
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
        // From v2.29 on kubeadm gets the option to leave the DNS alone.
        let puts_back = is_first || self.play.release.is_from(29);
        let dns = if puts_back { "Kubespray" } else { "kubeadm" };
        dns.clone_into(&mut self.state.kube.dns);
    }
}
