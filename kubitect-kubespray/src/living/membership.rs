//! Nodes leave Kubernetes and join it; masters leave etcd and join it, never without a majority.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use kubitect_config::Remote;
use kubitect_config::cluster::Role;
use kubitect_config::value::Label;

use super::kubernetes::{DRAIN, Kubernetes, READY, states};
use super::plan::Task;
use crate::Error;
use crate::control::{self, Health};
use crate::goal::Goal;

impl Kubernetes<'_> {
    pub(super) async fn leave(
        &mut self,
        names: &[Label],
        reachable: bool,
        task: &Task,
    ) -> Result<(), Error> {
        self.keep_api_servers(names).await?;
        let master = self.master(names).await?;
        let there = states(&master).await?;
        let there = |name: &Label| there.iter().any(|state| state.name == name.as_str());
        let mut asked = Vec::new();
        for name in names {
            let drained = there(name) && reachable && self.connect(name).await.is_ok();
            if drained {
                self.say(format!("{name}: its pods are moved elsewhere"));
                self.hold(name).await?;
                control::drain(&master, name, DRAIN)
                    .await
                    .map_err(|e| Error::because(format!("drain {name}"), e))?;
                fail::fail_point!("kubespray::drained");
                asked.push(name.clone());
            }
            // From here on it has to join anew if it is wanted again before it is gone.
            if self.has_joined(name) {
                self.change_note(name, |note| note.finished = false)?;
            }
            if self.node(name).is_none_or(|node| node.role == Role::Master) {
                self.leave_etcd(name, &master).await?;
            }
            if !drained {
                control::delete_node(&master, name)
                    .await
                    .map_err(|e| Error::because(format!("take {name} out of Kubernetes"), e))?;
                fail::fail_point!("kubespray::node-deleted");
            }
        }
        if !asked.is_empty() {
            let present = self.present(&asked);
            let goal = Goal::Remove {
                nodes: asked,
                reachable: true,
            };
            self.play(&goal, task, &present).await?;
        }
        for name in names {
            self.notes.remove(name);
            self.say(format!("{name}: left Kubernetes"));
        }
        Ok(())
    }

    /// Takes a master out of etcd, if it is a member.
    async fn leave_etcd(&self, name: &Label, master: &Arc<dyn Remote>) -> Result<(), Error> {
        let failed = |e| Error::because(format!("take {name} out of etcd"), e);
        let members = control::members(master).await.map_err(failed)?;
        let own = match self.facts.node(name) {
            Some(known) => members.iter().find(|member| member.is_at(known.ip)),
            None => {
                // Its machine is gone, and its address with it: the inventory named the member after the node's id.
                let prefix = format!("{}-master-", self.cluster.name);
                let id = name.as_str().strip_prefix(&prefix);
                let own = id.map(|id| format!("etcd-{id}"));
                members
                    .iter()
                    .find(|member| Some(&member.name) == own.as_ref())
            }
        };
        let Some(member) = own else {
            return Ok(());
        };
        let others = || members.iter().filter(|other| other.id != member.id);
        let (rest, well) = (
            others().count(),
            others()
                .filter(|other| other.health == Health::Well)
                .count(),
        );
        if well < rest / 2 + 1 {
            return Err(Error::failed(format!(
                "take {name} out of etcd: of the other {rest} members {well} would answer, which is no majority; start or \
                 mend them first"
            )));
        }
        let Some(ip) = member.peer_urls.iter().find_map(|url| address_of(url)) else {
            return Err(Error::failed(format!(
                "take {name} out of etcd: its member has no address"
            )));
        };
        control::remove_member(master, ip).await.map_err(failed)?;
        fail::fail_point!("kubespray::left-etcd");
        self.say(format!("{name}: left etcd"));
        Ok(())
    }

    pub(super) async fn join_master(&mut self, name: &Label, task: &Task) -> Result<(), Error> {
        self.start_second(name).await?;
        let master = self.master(std::slice::from_ref(name)).await?;
        let mut members = self.joined_masters();
        members.insert(name.clone());
        let failed = |e| Error::because(format!("see whether {name} has joined"), e);
        let listed = control::members(&master).await.map_err(failed)?;
        let ip = self.facts.node(name).map(|known| known.ip);
        let own = ip.and_then(|ip| listed.iter().find(|member| member.is_at(ip)));
        let serves = own.is_some_and(|member| member.health == Health::Well);
        let ready = self.is_ready(&master, name).await?;
        if !(serves && ready && self.notes.contains_key(name)) {
            self.can_join(name, &listed, task)?;
            // What a machine of this name was before it was made anew, or half-way joined, is in its way.
            if own.is_some() && !serves {
                self.leave_etcd(name, &master).await?;
            }
            if !serves {
                self.set_data_aside(name).await?;
            }
            self.forget_unready(name, &master).await?;
            self.note(name, &task.at, &members, false)?;
            let present = self.present(std::slice::from_ref(name));
            let played = self
                .play(&Goal::AddMaster(name.clone()), task, &present)
                .await;
            if let Err(error) = played {
                if let Err(also) = self.start_second(name).await {
                    self.say(format!("warning: {also}"));
                }
                return Err(error);
            }
            control::wait_ready(&master, name, Some(&task.at.kubernetes), None, READY)
                .await
                .map_err(|e| Error::because(format!("wait for {name}"), e))?;
        }
        self.take_pods(name, &master).await?;
        self.note(name, &task.at, &members, true)?;
        self.say(format!("{name}: joined"));
        Ok(())
    }

    pub(super) async fn join_workers(&mut self, names: &[Label], task: &Task) -> Result<(), Error> {
        let master = self.master(&[]).await?;
        for name in names {
            self.forget_unready(name, &master).await?;
            self.note(name, &task.at, &BTreeSet::new(), false)?;
        }
        let present = self.present(names);
        self.play(&Goal::AddWorkers(names.to_vec()), task, &present)
            .await?;
        for name in names {
            control::wait_ready(&master, name, Some(&task.at.kubernetes), None, READY)
                .await
                .map_err(|e| Error::because(format!("wait for {name}"), e))?;
            self.take_pods(name, &master).await?;
            self.note(name, &task.at, &BTreeSet::new(), true)?;
            self.say(format!("{name}: joined"));
        }
        Ok(())
    }

    /// Takes a node object that is not Ready out of the way of the machine that is to join under its name.
    async fn forget_unready(&self, name: &Label, master: &Arc<dyn Remote>) -> Result<(), Error> {
        if self.is_ready(master, name).await? {
            return Ok(());
        }
        control::delete_node(master, name)
            .await
            .map_err(|e| Error::because(format!("forget the former {name}"), e))?;
        fail::fail_point!("kubespray::node-deleted");
        Ok(())
    }
}

/// The address in `https://192.168.113.10:2380`.
pub(super) fn address_of(url: &str) -> Option<Ipv4Addr> {
    let (_, rest) = url.split_once("://")?;
    rest.rsplit_once(':')?.0.parse().ok()
}
