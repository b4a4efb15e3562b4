//! etcd and the API servers while masters join and leave: every API server lists a member that stays, and nothing keeps a new
//! member from starting.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::cluster::Role;
use kubitect_config::release;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Remote, chain};

use super::kubernetes::Kubernetes;
use super::membership::address_of;
use super::stage::Task;
use crate::control::{self, EtcdMember};
use crate::goal::{Goal, network_in_etcd};
use crate::{Error, joining};

/// Kubespray's default for etcd's data folder.
const ETCD_DATA: &str = "/var/lib/etcd";
/// How long etcd may take to elect a leader: Kubespray's election timeout is 5 s.
const ELECTION_LIMIT: Duration = Duration::from_secs(20);
/// How long it may take if a member has to start first.
const START_LIMIT: Duration = Duration::from_secs(60);

impl Kubernetes<'_> {
    /// Gives every API server that stays the list of exactly the etcd members that stay, and publishes it for masters that join
    /// later. The API servers restart one after another; behind a balancer the API goes on.
    pub(super) async fn give_members_to_api_servers(&mut self, task: &Task) -> Result<(), Error> {
        let failed = |e| Error::because("give the API servers etcd's members", e);
        let masters = self.staying_masters(&[]);
        let members: BTreeSet<_> = masters.iter().cloned().collect();
        let addresses = self.addresses(&masters);
        let master = self.serving_master(&[]).await?;
        let listed = control::members(&master).await.map_err(failed)?;
        let is_member = |ip: &Ipv4Addr| listed.iter().any(|member| member.is_at(*ip));
        if let Some(ip) = addresses.iter().find(|ip| !is_member(ip)) {
            return Err(Error::failed(format!(
                "give the API servers etcd's members: etcd does not list {ip}; apply again"
            )));
        }
        for name in &masters {
            self.use_members(name, &addresses).await?;
        }
        let master = self.serving_master(&[]).await?;
        control::publish_members(&master, &addresses)
            .await
            .map_err(failed)?;
        fail::fail_point!("kubespray::members-published");
        self.give_members_to_network_plugin(&members, task).await?;
        for name in &members {
            self.change_note(name, |note| note.members = members.clone())?;
        }
        Ok(())
    }

    /// Before masters leave, makes sure that every API server that stays lists a member that stays and answers. One that lists none
    /// would be lost, and gets the list of all such members: Kubespray v2.26.0 to v2.27.0 left API servers with the first master's
    /// member alone. This works also if the API is lost already. On an error no master leaves.
    pub(super) async fn give_api_servers_a_member(&self, leaving: &[Label]) -> Result<(), Error> {
        let is_master = |name: &Label| self.node(name).is_none_or(|n| n.role == Role::Master);
        if !leaving.iter().any(is_master) {
            return Ok(());
        }
        self.start_second_member().await?;
        let staying = self.staying_masters(leaving);
        let looks = staying.iter().map(|name| async move {
            let machine = self.connect(name).await?;
            let answers = control::has_leader(&machine).await.unwrap_or(false);
            let listed = control::listed_members(&machine)
                .await
                .map_err(|e| Error::because(format!("look at the API server of {name}"), e))?;
            Ok((answers, listed))
        });
        let mut machines = Vec::new();
        let mut answering = Vec::new();
        for (name, look) in staying.iter().zip(side_by_side(looks).await) {
            let (answers, listed) = look?;
            if answers {
                answering.extend(self.facts.node(name).map(|facts| facts.ip));
            }
            machines.push((name, listed));
        }
        let mut changed = false;
        for (name, listed) in machines {
            let is_listed = |ip: &Ipv4Addr| listed.contains(&control::endpoint(*ip));
            if answering.is_empty() || answering.iter().any(is_listed) {
                continue;
            }
            self.use_members(name, &answering).await?;
            changed = true;
        }
        if changed {
            let master = self.serving_master(leaving).await?;
            control::publish_members(&master, &answering)
                .await
                .map_err(|e| Error::because("publish etcd's members for masters that join", e))?;
        }
        Ok(())
    }

    /// Gives the API server of a master this list of members, and waits until it serves with it.
    async fn use_members(&self, name: &Label, members: &[Ipv4Addr]) -> Result<(), Error> {
        let machine = self.connect(name).await?;
        let what = format!("give the API server of {name} etcd's members");
        let restarted = self
            .waiting(what.clone(), async |waits| {
                control::use_members(&machine, members, self.ready_within(), waits).await
            })
            .await
            .map_err(|e| Error::because(what, e))?;
        fail::fail_point!("kubespray::members-used");
        if restarted {
            self.say(format!(
                "{name}: its API server uses {} etcd members",
                members.len()
            ));
        }
        Ok(())
    }

    /// Gives the list of members to a network plugin that stores its data in etcd.
    async fn give_members_to_network_plugin(
        &mut self,
        masters: &BTreeSet<Label>,
        task: &Task,
    ) -> Result<(), Error> {
        let release = release::find_or_newest(&task.release.kubespray);
        if !release.is_some_and(|release| network_in_etcd(self.cluster, release)) {
            return Ok(());
        }
        // Kubespray cordons each master for a moment. Noted as busy, a killed run's cordon is removed by the next run.
        for name in masters {
            self.note_busy(name).await?;
        }
        let present = self.present(&[]);
        self.play(&Goal::NetworkEtcdMembers, task, &present).await?;
        let master = self.serving_master(&[]).await?;
        for name in masters {
            self.uncordon(name, &master).await?;
            self.change_note(name, |note| note.busy = false)?;
        }
        Ok(())
    }

    /// An error, if this Kubespray release can't add the machine to etcd: see [`joining`].
    pub(super) fn check_release_can_join(
        &self,
        name: &Label,
        listed: &[EtcdMember],
        task: &Task,
    ) -> Result<(), Error> {
        let release = &task.release.kubespray;
        let members: Vec<_> = listed
            .iter()
            .flat_map(|member| &member.peer_urls)
            .filter_map(|url| address_of(url))
            .collect();
        let ip = self.facts.node(name).map(|facts| facts.ip);
        let hidden = ip.and_then(|ip| joining::address_refusal(release, ip, &members));
        match joining::release_refusal(release).or(hidden) {
            Some(refusal) => Err(Error::Refused {
                what: format!("join {name}"),
                reasons: vec![refusal.of(name).on(name)],
            }),
            None => Ok(()),
        }
    }

    /// An error, if etcd lists a member that is not in Kubespray's inventory. A new member gets its list from the inventory, and
    /// would not start with one that differs from etcd's; announced as the second of a cluster of one, it would take etcd's
    /// majority.
    pub(super) fn check_no_foreign_member(
        &self,
        name: &Label,
        listed: &[EtcdMember],
        present: &[Label],
    ) -> Result<(), Error> {
        let addresses = self.addresses(present);
        let is_present = |member: &&EtcdMember| addresses.iter().any(|ip| member.is_at(*ip));
        match listed.iter().find(|member| !is_present(member)) {
            None => Ok(()),
            Some(member) => Err(Error::failed(format!(
                "join {name}: etcd lists a member at {} that is no master of this cluster that has joined, and beside it no new \
                 one starts. If it is a master, take it out of the configuration and apply; else take it out of etcd \
                 (`{}` on a master). Then apply again",
                member.peer_urls.join(", "),
                control::manual_command(&format!("member remove {:x}", member.id))
            ))),
        }
    }

    /// Moves the data of a former etcd member aside, on a machine that etcd does not list. With them the new member would not
    /// start.
    pub(super) async fn set_data_aside(&self, name: &Label) -> Result<(), Error> {
        let failed = |e| Error::because(format!("prepare {name} for etcd"), e);
        let machine = self.connect(name).await?;
        let own = self.cluster.addons.kubespray.get("etcd_data_dir");
        let folder = own.and_then(|own| own.as_str()).unwrap_or(ETCD_DATA);
        let aside = control::set_data_aside(&machine, folder)
            .await
            .map_err(failed)?;
        fail::fail_point!("kubespray::data-aside");
        if let Some(path) = aside {
            self.say(format!(
                "{name}: the data of a former etcd member are set aside in {path}; remove them when nobody misses them"
            ));
        }
        Ok(())
    }

    /// Starts the second member of a cluster of one, if an earlier run announced it and it did not start. Until it starts, etcd
    /// accepts no change, and can't even list its members; so this comes first, whether the master is to join or to leave now.
    pub(super) async fn start_second_member(&self) -> Result<(), Error> {
        let joined: Vec<_> = self.joined_masters().into_iter().collect();
        let [first] = &joined[..] else {
            return Ok(());
        };
        let begun = self.notes.keys().filter(|name| {
            *name != first && self.is_master(name) && !self.unreachable.contains(*name)
        });
        let mut begun = begun.peekable();
        if begun.peek().is_none() {
            return Ok(());
        }
        let first = self.connect(first).await?;
        // A single member that has just started elects itself: then no second one was announced.
        if self.has_leader_within(&first, ELECTION_LIMIT).await {
            return Ok(());
        }
        let mut failed = Vec::new();
        for name in begun {
            match self.start_member(name, &first).await {
                Ok(true) => return Ok(()),
                Ok(false) => failed.push(name.to_string()),
                Err(error) => failed.push(format!("{name} ({})", chain(&error))),
            }
        }
        Err(Error::failed(format!(
            "start etcd's second member: it was announced and does not serve, so that etcd takes no change; tried were {}; \
             `journalctl -u etcd` there says why. Once it runs, apply again",
            failed.join(", ")
        )))
    }

    /// Starts etcd on a master that may be the second member. Returns whether etcd has a leader, and so a majority, after that.
    async fn start_member(&self, name: &Label, first: &Arc<dyn Remote>) -> Result<bool, Error> {
        self.say(format!(
            "{name}: etcd waits for it as its second member, and it does not serve; it is started"
        ));
        let failed = |e| Error::because(format!("start etcd on {name}"), e);
        let second = self.connect(name).await?;
        control::restart_etcd(&second).await.map_err(failed)?;
        if self.has_leader_within(first, START_LIMIT).await {
            return Ok(true);
        }
        // The second member's data may keep it from starting, and are set aside. Of two members each has every accepted change,
        // so nothing is lost. Of more members, a majority may have changes that the first one lacks: then the data stay. They
        // also stay where kubeadm was: that master may have joined, and a person has to look at its etcd.
        let is_one_of_two = control::initial_cluster_size(&second)
            .await
            .map_err(failed)?
            == 2;
        if !is_one_of_two || control::traces(&second).await.map_err(failed)?.any() {
            return Ok(false);
        }
        self.set_data_aside(name).await?;
        control::restart_etcd(&second).await.map_err(failed)?;
        Ok(self.has_leader_within(first, START_LIMIT).await)
    }

    /// Whether the etcd member of this master has a leader within this time. A member that does not answer counts as one that has.
    async fn has_leader_within(&self, master: &Arc<dyn Remote>, limit: Duration) -> bool {
        let what = "wait for a leader of etcd".to_owned();
        let mut lacks = false;
        let missing = self.waiting(what, async |waits| {
            control::wait(limit, waits, async || {
                // Only the answer that there is no leader counts. A member that does not answer may be starting.
                lacks = false;
                lacks = !control::has_leader(master).await.unwrap_or(true);
                lacks.then(|| "there is none".to_owned())
            })
            .await
        });
        missing.await;
        !lacks
    }

    /// The masters that have joined, are wanted and not in `except`, in the order in which they have joined.
    fn staying_masters(&self, except: &[Label]) -> Vec<Label> {
        let names = self.joined_masters().into_iter();
        let names = names.filter(|name| self.is_wanted(name) && !except.contains(name));
        let mut names: Vec<_> = names.collect();
        let joined = |name: &Label| self.notes.get(name).map_or(0, |note| note.joined);
        names.sort_by_key(|name| (joined(name), name.clone()));
        names
    }

    fn addresses(&self, names: &[Label]) -> Vec<Ipv4Addr> {
        let facts = names.iter().filter_map(|name| self.facts.node(name));
        facts.map(|facts| facts.ip).collect()
    }
}
