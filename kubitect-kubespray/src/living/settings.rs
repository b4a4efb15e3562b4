//! What a living cluster was made with: releases go by defaults of their own, and stop where they find something else.

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
    /// Adds to the variables what these nodes, on which a goal is reached, have been set up with.
    pub(super) async fn keep_settings(
        &mut self,
        goal: &Goal,
        nodes: &[Label],
        cluster: &mut Cluster,
    ) -> Result<(), Error> {
        // What is yet to be made is as the release makes it, and may have no API to ask.
        if !matches!(goal, Goal::Create | Goal::Network(_)) {
            self.keep_as_made(cluster).await?;
        }
        let release = release::find_or_newest(&cluster.kubernetes.kubespray.version);
        if goal::sets_up_masters(goal, self.cluster) && release.is_some_and(goal::stops_at_names) {
            self.leave_names_out(nodes, cluster).await?;
        }
        Ok(())
    }

    /// calico's blocks, cilium's way of giving addresses and the program with which CRI-O runs containers stay as they were made,
    /// whatever a release does by itself: it would refuse a pool that is not as its variables say, and change the others under
    /// running pods.
    async fn keep_as_made(&mut self, cluster: &mut Cluster) -> Result<(), Error> {
        if self.as_made.is_none() {
            let mut made = self.network_as_made(cluster).await?;
            made.extend(self.runtime_as_made(cluster).await?);
            self.as_made = Some(made);
        }
        let variables = &mut cluster.addons.kubespray;
        for (name, value) in self.as_made.iter().flatten() {
            if !variables.contains_key(*name) {
                variables.insert((*name).into(), value.clone());
            }
        }
        Ok(())
    }

    /// CRI-O runs containers by runc where it was set up before v2.27, which takes crun: that knows nothing of the containers which
    /// run, and their pods can neither be ended nor made again on a node that is upgraded (Kubespray's issue 11907).
    async fn runtime_as_made(
        &self,
        cluster: &Cluster,
    ) -> Result<Vec<(&'static str, Value)>, Error> {
        if cluster.kubernetes.container_manager != "crio" {
            return Ok(Vec::new());
        }
        let master = self.master(&[]).await?;
        let runs = control::crio_runtime(&master).await?;
        let [runtime, runc] = CRIO_RUNTIME;
        let with_runc = (runc, (runs == "runc").into());
        Ok(vec![(runtime, runs.into()), with_runc])
    }

    async fn network_as_made(
        &self,
        cluster: &Cluster,
    ) -> Result<Vec<(&'static str, Value)>, Error> {
        let variables = &cluster.addons.kubespray;
        let text = |name: &str| variables.get(name).and_then(|value| value.as_str());
        let mut made = Vec::new();
        let plugin = &*cluster.kubernetes.network_plugin;
        if plugin == "calico" && text("calico_datastore") != Some("etcd") {
            let pool = text("calico_pool_name").unwrap_or("default-pool");
            let master = self.master(&[]).await?;
            for (name, pool) in [
                (BLOCKSIZE, pool.to_owned()),
                (BLOCKSIZE_IPV6, format!("{pool}-ipv6")),
            ] {
                let size = control::calico_blocksize(&master, &pool).await?;
                made.extend(size.map(|size| (name, size.into())));
            }
        }
        if goal::has_cilium(cluster) {
            let master = self.master(&[]).await?;
            let mode = control::cilium_ipam(&master).await?;
            made.extend(mode.map(|mode| (CILIUM_IPAM, mode.into())));
        }
        Ok(made)
    }

    /// Names that came into the file, or balancers into the cluster, after the masters' certificates were made are left out
    /// where the release would stop at them. A later release has the certificates made again.
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
                control::stopping_names(&machine, names)
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

    /// The names in certificates that may have come later than the certificates.
    fn later_names(&self, cluster: &Cluster) -> Vec<String> {
        let variables = &cluster.addons.kubespray;
        let own = variables.get(SANS).and_then(|value| value.as_sequence());
        let own = own.into_iter().flatten().filter_map(|name| name.as_str());
        let kube_vip = variables.get("kube_vip_address");
        let kube_vip = kube_vip.and_then(|value| value.as_str());
        // What an expression comes to only Ansible knows.
        let is_known = |name: &&str| !name.is_empty() && !name.contains('{');
        let balancers = self.cluster.role(Role::LoadBalancer);
        let balancers = balancers.filter_map(|node| self.facts.node(&node.name));
        own.chain(kube_vip)
            .filter(is_known)
            .map(str::to_owned)
            .chain(balancers.map(|known| known.ip.to_string()))
            .collect()
    }
}
