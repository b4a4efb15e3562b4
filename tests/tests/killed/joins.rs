//! How machines become nodes: the steps of kubeadm and kubelets in the playbooks, and the state after a step that failed.

use std::collections::{BTreeMap, BTreeSet};

use crate::kubelet::mark;
use crate::kubernetes::KUBEADM_CONFIG;
use crate::plays::{Result, Stage, fail};
use crate::state::{AUTHORITY, CERTIFICATE, CONFIG, KUBELET_CONF, MANIFEST, Node, ROOT_CONF};

impl Stage<'_> {
    /// `kubeadm init` on the first control plane, `kubeadm join` on another one; neither where the kubelet's configuration
    /// exists.
    pub(super) fn master(&mut self, name: &str, masters: &[String]) -> Result<()> {
        self.fits(name)?;
        let is_first = name == masters[0];
        let tainted = !self.play.group("kube_node").iter().any(|node| node == name);
        let has_run = self.has(name, CONFIG);
        let members = self.endpoints();
        // Up to v2.23.3 every run writes the inventory's members into all manifests. Later releases write them only for a master
        // that joins, from the list that was published last, and do not change the running ones.
        let old = self.play.release.tag < "v2.24.0".parse().unwrap();
        let published = self.state.kube.published.clone();
        let listed = match old || published.is_empty() {
            true => members.clone(),
            false => published,
        };
        if !is_first {
            if !self.state.serves(self.host, &masters[0]) || !self.state.kube.initialised {
                return fail(
                    name,
                    format!("{} creates no token to join with", masters[0]),
                );
            }
            // The release's own reset, which does not know that kubeadm does not manage etcd.
            if !has_run && self.has(name, MANIFEST) {
                self.state
                    .guests
                    .get_mut(name)
                    .unwrap()
                    .reset_kubeadm(false);
            }
        }
        self.certificate(name, masters, has_run)?;
        if !has_run {
            self.put(name, MANIFEST, "");
            if is_first {
                // Others get it when they join.
                self.put(name, KUBELET_CONF, "");
            }
            let id = self.state.kube.id;
            self.put(
                name,
                kubitect_kubespray::ADMIN_CONF,
                admin_conf(id, &self.play.version()),
            );
            self.ends(name, "manifest")?;
            self.put(name, CONFIG, "");
            self.ends(name, "config")?;
            let guest = self.state.guests.get_mut(name).unwrap();
            guest.api = Some(listed);
            guest.api_version = self.play.version();
            guest.arguments = guest.files[KUBEADM_CONFIG].clone();
            self.ends(name, "api")?;
            self.registers(name)?;
            self.ends(name, "registered")?;
            self.state.kube.initialised = true;
            if self.state.kube.published.is_empty() {
                self.state.kube.published.clone_from(&members);
            }
            self.ends(name, "initialised")?;
            mark(self.state.kube.nodes.get_mut(name).unwrap(), tainted);
            self.ends(name, "marked")?;
        }
        if is_first && !(self.state.serves(self.host, name) && self.state.kube.initialised) {
            return fail(name, "kubeadm token create: there is no API server");
        }
        let guest = self.state.guests.get_mut(name).unwrap();
        if old && guest.api.is_some() {
            guest.api = Some(members);
        }
        let conf = admin_conf(self.state.kube.id, &self.play.version());
        self.put(name, kubitect_kubespray::ADMIN_CONF, conf);
        self.put(name, ROOT_CONF, "");
        Ok(())
    }

    /// The API server's certificate: kubeadm creates it, and each later run checks it, with a list that may have other names. If
    /// it lacks one it is removed and created again. From v2.22 on a missing certificate fails the run.
    pub(super) fn certificate(
        &mut self,
        name: &str,
        masters: &[String],
        has_run: bool,
    ) -> Result<()> {
        let release = self.play.release;
        let wanted = self.names(name, masters);
        let missing = wanted.difference(&self.state.guests[name].names).next();
        if has_run {
            let exists = CERTIFICATE.iter().all(|path| self.has(name, path));
            if release.is_from(22) && !exists {
                return fail(
                    name,
                    "openssl x509: can't open the API server's certificate",
                );
            }
            let stops = release.is_from(22) && !release.is_from(27) && self.state.strict_openssl;
            match missing {
                None if exists => return Ok(()),
                Some(missing) if stops => {
                    let check = format!("openssl x509 -checkhost {missing}");
                    return fail(name, format!("{check}: non-zero return code"));
                }
                _ => {}
            }
            for (path, step) in CERTIFICATE.iter().zip(["certificate", "key"]) {
                if self.breaks_at(name, step) {
                    self.state.guests.get_mut(name).unwrap().files.remove(*path);
                    return fail(name, "as the test asks");
                }
            }
        }
        for path in CERTIFICATE.iter().chain([&AUTHORITY]) {
            self.put(name, path, "");
        }
        self.state.guests.get_mut(name).unwrap().names = wanted;
        Ok(())
    }

    /// The names that a certificate has to have, by the release's list or by ours.
    fn names(&self, name: &str, masters: &[String]) -> BTreeSet<String> {
        let of = |master: &String| [master.clone(), self.play.text(master, "ip")];
        let listed = |variable: &str| {
            let list = self.play.variables[variable].as_sequence();
            let list = list.into_iter().flatten();
            let list = list.map(|name| name.as_str().unwrap().to_owned());
            list.collect::<Vec<_>>()
        };
        let own_names = "supplementary_addresses_in_ssl_keys";
        let Some(list) = self.play.extra["apiserver_sans"].as_str() else {
            // With full names from a later run on: the first run writes `/etc/hosts`.
            let full = |master: &&String| self.has(master, CONFIG);
            let full = masters.iter().filter(full);
            let full = full.map(|master| format!("{master}.cluster.local"));
            let all = masters.iter().flat_map(of).chain(full);
            return all.chain(listed(own_names)).collect();
        };
        assert!(list.contains("inventory_hostname"), "{list}");
        let left_out = listed("kubitect_names_left_out");
        let names = of(&name.to_owned()).into_iter().chain(listed(own_names));
        names.filter(|name| !left_out.contains(name)).collect()
    }

    /// `kubeadm join` of a worker, unless its kubelet has joined before.
    pub(super) fn worker(&mut self, name: &str) -> Result<()> {
        self.fits(name)?;
        if self.has(name, KUBELET_CONF) {
            return Ok(());
        }
        if !self.state.kube.initialised {
            return fail(name, "there is no cluster to join");
        }
        self.put(name, CONFIG, "");
        self.ends(name, "config")?;
        self.registers(name)?;
        self.ends(name, "registered")
    }

    /// Fails in this step of kubeadm, if a test asks for it.
    pub(super) fn ends(&self, name: &str, step: &str) -> Result<()> {
        match self.breaks_at(name, step) {
            true => fail(name, "as the test asks"),
            false => Ok(()),
        }
    }

    /// The kubelet of a node gets its certificate and registers the node, once, at its start.
    fn registers(&mut self, name: &str) -> Result<()> {
        if self.state.kube.nodes.contains_key(name) && self.state.kube.initialised {
            return fail(
                name,
                format!("a Node with name \"{name}\" already exists in the cluster"),
            );
        }
        let (version, id) = (self.play.version(), self.state.kube.id);
        self.put(name, KUBELET_CONF, "");
        let guest = self.state.guests.get_mut(name).unwrap();
        guest.kubelet = Some((version.clone(), id));
        let node = Node {
            version,
            cpus: guest.cpus,
            ram: guest.ram,
            ..Node::default()
        };
        let nodes = &mut self.state.kube.nodes;
        nodes.entry(name.to_owned()).or_insert(node);
        Ok(())
    }

    /// Whether the Kubernetes on a machine is of this cluster, and of the wanted version.
    fn fits(&self, name: &str) -> Result<()> {
        let (version, id) = (self.play.version(), self.state.kube.id);
        match &self.state.guests[name].kubelet {
            Some((_, own)) if *own != id => fail(name, "it is a node of another cluster"),
            Some((runs, _)) if *runs != version => fail(
                name,
                format!("it runs {runs}, asked for is {version}: run upgrade-cluster.yml"),
            ),
            _ => Ok(()),
        }
    }

    /// The labels and taints of the inventory.
    pub(super) fn describe(&mut self, name: &str) -> Result<()> {
        let labels = self.play.of(name, "node_labels");
        let labels: Option<BTreeMap<String, String>> = serde_yaml::from_value(labels).unwrap();
        let taints: Option<Vec<String>> =
            serde_yaml::from_value(self.play.of(name, "node_taints")).unwrap();
        let Some(node) = self.state.kube.nodes.get_mut(name) else {
            return fail(name, format!("nodes \"{name}\" not found"));
        };
        node.labels.extend(labels.into_iter().flatten());
        node.taints.extend(taints.into_iter().flatten());
        Ok(())
    }
}

/// The administrator's kubeconfig, as kubeadm writes it; an upgrade renews its certificate.
pub fn admin_conf(cluster: u64, version: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: kubernetes-admin@cluster.local\nclusters:\n- name: cluster.local\n  \
         cluster: {{server: 'https://127.0.0.1:6443', certificate-authority-data: authority-{cluster}}}\ncontexts:\n\
         - name: kubernetes-admin@cluster.local\n  context: {{cluster: cluster.local, user: kubernetes-admin}}\nusers:\n\
         - name: kubernetes-admin\n  user: {{client-certificate-data: of-{version}, client-key-data: key-{cluster}}}\n"
    )
}
