//! The effects of Kubespray's playbooks on etcd's members in a world in memory, and on kubeadm's list of them.

use std::collections::BTreeSet;

use crate::kubernetes::KUBEADM_CONFIG;
use crate::plays::{Result, Stage, fail};
use crate::state::{ISSUES, Kube, Member, State, endpoint};

impl Stage<'_> {
    /// Members are started together, or join a running one, one by one.
    pub(super) fn etcd(&mut self) -> Result<()> {
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
                // Kubespray then starts it as a new cluster of all members, and the data of that stay.
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
                .is_some_and(|fault| fault.host == name && fault.step == "announced");
            // A new member gets the group as its list, and refuses one that is not etcd's own.
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

    /// The first member of etcd gets the script that issues certificates, where it is in the run.
    pub(super) fn issues(&mut self) {
        let first = &self.play.group("etcd")[0];
        if self.play.hosts.contains(first) {
            self.put(first, ISSUES, "");
        }
    }

    /// The inventory's etcd endpoints.
    pub(super) fn endpoints(&self) -> BTreeSet<String> {
        let hosts = self.play.group("etcd").into_iter();
        hosts
            .map(|name| endpoint(&self.play.text(&name, "ip")))
            .collect()
    }

    /// Every run on a master writes kubeadm's configuration with the inventory's members to it.
    pub(super) fn configure(&mut self, name: &str) {
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
}
