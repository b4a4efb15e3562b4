//! Settings with which an existing cluster was created, and which it keeps. A release has defaults of its own: it would fail on
//! another value, or change it under running pods.

use std::collections::BTreeSet;

use kubitect_config::Cluster;
use kubitect_config::cluster::Role;
use kubitect_config::release;
use kubitect_config::value::Label;
use kubitect_config::variables::SANS;
use kubitect_config::waiting::side_by_side;
use kubitect_config::yaml::Value;

use super::kubernetes::Kubernetes;
use crate::Error;
use crate::control;
use crate::goal::{self, Goal};
use crate::group_vars::{BLOCKSIZE, BLOCKSIZE_IPV6, CILIUM_IPAM, CRIO_RUNTIME, NAMES_LEFT_OUT};

impl Kubernetes<'_> {
    /// Adds to the variables of `cluster` the settings with which the nodes of a goal's inventory were set up.
    pub(super) async fn keep_settings(
        &mut self,
        goal: &Goal,
        nodes: &[Label],
        cluster: &mut Cluster,
    ) -> Result<(), Error> {
        // A cluster that is being created gets the release's own settings, and may have no API to ask.
        if !matches!(goal, Goal::Create | Goal::Network(_)) {
            self.keep_original(cluster).await?;
        }
        let release = release::find_or_newest(&cluster.kubernetes.kubespray.version);
        if goal::sets_up_masters(goal, self.cluster)
            && release.is_some_and(goal::fails_on_missing_names)
        {
            self.leave_names_out(nodes, cluster).await?;
        }
        Ok(())
    }

    /// Keeps calico's block sizes, cilium's IPAM mode and CRI-O's container runtime, unless the file sets them. With its own
    /// defaults a release fails if calico's pool differs from them, and changes the other two under running pods.
    async fn keep_original(&mut self, cluster: &mut Cluster) -> Result<(), Error> {
        if self.original_settings.is_none() {
            let mut original = self.original_network(cluster).await?;
            original.extend(self.original_runtime(cluster).await?);
            self.original_settings = Some(original);
        }
        let variables = &mut cluster.addons.kubespray;
        for (name, value) in self.original_settings.iter().flatten() {
            if !variables.contains_key(*name) {
                variables.insert((*name).into(), value.clone());
            }
        }
        Ok(())
    }

    /// The variables of CRI-O's container runtime. CRI-O runs containers with runc if it was set up before v2.27, which sets it
    /// up with crun. crun does not know the containers that runc runs: on an upgraded node their pods can be neither ended nor
    /// recreated (Kubespray's issue 11907).
    async fn original_runtime(
        &self,
        cluster: &Cluster,
    ) -> Result<Vec<(&'static str, Value)>, Error> {
        if cluster.kubernetes.container_manager != "crio" {
            return Ok(Vec::new());
        }
        let master = self.serving_master(&[]).await?;
        let runs = control::crio_runtime(&master).await?;
        let [runtime, runc] = CRIO_RUNTIME;
        let with_runc = (runc, (runs == "runc").into());
        Ok(vec![(runtime, runs.into()), with_runc])
    }

    /// The variables of calico's block sizes and cilium's IPAM mode, as the API has them.
    async fn original_network(
        &self,
        cluster: &Cluster,
    ) -> Result<Vec<(&'static str, Value)>, Error> {
        let variables = &cluster.addons.kubespray;
        let text = |name: &str| variables.get(name).and_then(|value| value.as_str());
        let mut original = Vec::new();
        let plugin = &*cluster.kubernetes.network_plugin;
        if plugin == "calico" && text("calico_datastore") != Some("etcd") {
            let pool = text("calico_pool_name").unwrap_or("default-pool");
            let master = self.serving_master(&[]).await?;
            for (name, pool) in [
                (BLOCKSIZE, pool.to_owned()),
                (BLOCKSIZE_IPV6, format!("{pool}-ipv6")),
            ] {
                let size = control::calico_blocksize(&master, &pool).await?;
                original.extend(size.map(|size| (name, size.into())));
            }
        }
        if goal::has_cilium(cluster) {
            let master = self.serving_master(&[]).await?;
            let mode = control::cilium_ipam(&master).await?;
            original.extend(mode.map(|mode| (CILIUM_IPAM, mode.into())));
        }
        Ok(original)
    }

    /// Leaves out names that came into the file, or with a new balancer, after the API servers' certificates were issued, if the
    /// release would fail on them. A later release issues the certificates again.
    async fn leave_names_out(&self, nodes: &[Label], cluster: &mut Cluster) -> Result<(), Error> {
        let names = self.later_names(cluster);
        let is_master = |name: &&Label| {
            self.node(name)
                .is_some_and(|node| node.role == Role::Master)
        };
        let begun = |name: &&Label| is_master(name) && self.notes.contains_key(*name);
        let looks = nodes.iter().filter(begun).map(|name| {
            let names = &names;
            async move {
                let machine = self.connect(name).await?;
                control::failing_names(&machine, names)
                    .await
                    .map_err(|e| Error::because(format!("look at the certificate of {name}"), e))
            }
        });
        let mut stopping = BTreeSet::new();
        for look in side_by_side(looks).await {
            stopping.extend(look?);
        }
        if stopping.is_empty() {
            return Ok(());
        }
        let list: Vec<_> = stopping.iter().map(String::as_str).collect();
        self.say(format!(
            "warning: the API servers' certificates do not get {} yet: Kubespray {} stops where a name is missing and openssl is 3.2 \
             or later; the upgrade to Kubespray v2.27 adds what is missing",
            list.join(", "),
            cluster.kubernetes.kubespray.version
        ));
        let list: Vec<String> = stopping.into_iter().collect();
        cluster
            .addons
            .kubespray
            .insert(NAMES_LEFT_OUT.into(), list.into());
        Ok(())
    }

    /// The names for the certificates that may have come after the certificates were issued.
    fn later_names(&self, cluster: &Cluster) -> Vec<String> {
        let variables = &cluster.addons.kubespray;
        let own = variables.get(SANS).and_then(|value| value.as_sequence());
        let own = own.into_iter().flatten().filter_map(|name| name.as_str());
        let kube_vip = variables.get("kube_vip_address");
        let kube_vip = kube_vip.and_then(|value| value.as_str());
        // A template's value is known to Ansible only.
        let is_literal = |name: &&str| !name.is_empty() && !name.contains('{');
        let balancers = self.cluster.role(Role::LoadBalancer);
        let balancers = balancers.filter_map(|node| self.facts.node(&node.name));
        own.chain(kube_vip)
            .filter(is_literal)
            .map(str::to_owned)
            .chain(balancers.map(|facts| facts.ip.to_string()))
            .collect()
    }
}
