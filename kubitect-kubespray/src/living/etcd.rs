//! etcd and the API servers while masters come and go: each API server has a member that it may ask, and nothing keeps a new
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

use super::kubernetes::{Kubernetes, SERVES};
use super::membership::address_of;
use super::stage::Task;
use crate::control::{self, EtcdMember};
use crate::goal::{Goal, network_in_etcd};
use crate::{Error, joining};

/// Where Kubespray has etcd keep its data, if nothing else is said.
const ETCD_DATA: &str = "/var/lib/etcd";
/// How long etcd may take to elect a leader: Kubespray's election timeout is 5 s.
const ELECTED: Duration = Duration::from_secs(20);
/// The same where a member has to start first.
const STARTED: Duration = Duration::from_secs(60);

impl Kubernetes<'_> {
    /// Every API server that stays uses exactly the etcd members that stay, and so do masters that join later. One after
    /// another restarts; behind a balancer the API goes on.
    pub(super) async fn members(&mut self, task: &Task) -> Result<(), Error> {
        let failed = |e| Error::because("give the API servers etcd's members", e);
        let masters = self.staying(&[]);
        let members: BTreeSet<_> = masters.iter().cloned().collect();
        let addresses = self.addresses(&masters);
        let master = self.master(&[]).await?;
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
        let master = self.master(&[]).await?;
        control::publish_members(&master, &addresses)
            .await
            .map_err(failed)?;
        fail::fail_point!("kubespray::members-published");
        self.network_members(&members, task).await?;
        for name in &members {
            self.change_note(name, |note| note.members = members.clone())?;
        }
        Ok(())
    }

    /// Before masters leave: every API server that stays has to list a member that answers and stays. Those that do not
    /// (Kubespray v2.26.0 to v2.27.0 left them with the first master's alone) get all that do, also where the API is lost
    /// already. If one can't, nobody leaves.
    pub(super) async fn keep_api_servers(&self, leaving: &[Label]) -> Result<(), Error> {
        let is_master = |name: &Label| self.node(name).is_none_or(|n| n.role == Role::Master);
        if !leaving.iter().any(is_master) {
            return Ok(());
        }
        self.start_second().await?;
        let staying = self.staying(leaving);
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
                answering.extend(self.facts.node(name).map(|known| known.ip));
            }
            machines.push((name, listed));
        }
        let mut changed = false;
        for (name, listed) in machines {
            let known = |ip: &Ipv4Addr| listed.contains(&control::endpoint(*ip));
            if answering.is_empty() || answering.iter().any(known) {
                continue;
            }
            self.use_members(name, &answering).await?;
            changed = true;
        }
        if changed {
            let master = self.master(leaving).await?;
            control::publish_members(&master, &answering)
                .await
                .map_err(|e| Error::because("name etcd's members to those that join", e))?;
        }
        Ok(())
    }

    /// Has the API server of a master use these members.
    async fn use_members(&self, name: &Label, members: &[Ipv4Addr]) -> Result<(), Error> {
        let machine = self.connect(name).await?;
        let what = format!("give the API server of {name} etcd's members");
        let restarted = self
            .waiting(what.clone(), async |waits| {
                control::use_members(&machine, members, SERVES, waits).await
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

    /// Has a network plugin that keeps its data in etcd learn of the members.
    async fn network_members(
        &mut self,
        masters: &BTreeSet<Label>,
        task: &Task,
    ) -> Result<(), Error> {
        let release = release::find_or_newest(&task.at.kubespray);
        if !release.is_some_and(|release| network_in_etcd(self.cluster, release)) {
            return Ok(());
        }
        // Kubespray keeps pods away from each for a moment, and would forget to let them come back if it were killed.
        for name in masters {
            self.hold(name).await?;
        }
        let present = self.present(&[]);
        self.play(&Goal::AfterMembers, task, &present).await?;
        let master = self.master(&[]).await?;
        for name in masters {
            self.take_pods(name, &master).await?;
            self.change_note(name, |note| note.busy = false)?;
        }
        Ok(())
    }

    /// An error if this release can't add the machine to etcd.
    pub(super) fn can_join(
        &self,
        name: &Label,
        listed: &[EtcdMember],
        task: &Task,
    ) -> Result<(), Error> {
        let release = &task.at.kubespray;
        let members: Vec<_> = listed
            .iter()
            .flat_map(|member| &member.peer_urls)
            .filter_map(|url| address_of(url))
            .collect();
        let ip = self.facts.node(name).map(|known| known.ip);
        let hidden = ip.and_then(|ip| joining::hidden(release, ip, &members));
        match joining::refused(release).or(hidden) {
            Some(refusal) => Err(Error::Refused {
                what: format!("join {name}"),
                reasons: vec![refusal.of(name).on(name)],
            }),
            None => Ok(()),
        }
    }

    /// An error if etcd lists a member that Kubespray would not: with it, no further one starts, and the second of a cluster of
    /// one would take its majority.
    pub(super) fn knows_all(
        &self,
        name: &Label,
        listed: &[EtcdMember],
        present: &[Label],
    ) -> Result<(), Error> {
        let addresses = self.addresses(present);
        let known = |member: &&EtcdMember| addresses.iter().any(|ip| member.is_at(*ip));
        match listed.iter().find(|member| !known(member)) {
            None => Ok(()),
            Some(member) => Err(Error::failed(format!(
                "join {name}: etcd lists a member at {} that is no master of this cluster that has joined, and beside it no new \
                 one starts. If it is a master, take it out of the configuration and apply; else take it out of etcd \
                 (`{}` on a master). Then apply again",
                member.peer_urls.join(", "),
                control::by_hand(&format!("member remove {:x}", member.id))
            ))),
        }
    }

    /// Sets aside what an etcd has left on the machine of a master that etcd does not list: with it, the new member would
    /// never start.
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

    /// Starts the second member of a cluster of one, if it was announced and has not started: until it does, etcd takes no
    /// change and can't even list its members. Whether the master is to join or to leave now does not matter.
    pub(super) async fn start_second(&self) -> Result<(), Error> {
        let joined: Vec<_> = self.joined_masters().into_iter().collect();
        let [first] = &joined[..] else {
            return Ok(());
        };
        let begun = self
            .notes
            .keys()
            .filter(|name| *name != first && self.is_master(name) && !self.silent.contains(*name));
        let mut begun = begun.peekable();
        if begun.peek().is_none() {
            return Ok(());
        }
        let first = self.connect(first).await?;
        // One that has just started elects itself.
        if self.is_led(&first, ELECTED).await {
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

    /// Starts etcd on a master that may be the second member; whether etcd has a majority then.
    async fn start_member(&self, name: &Label, first: &Arc<dyn Remote>) -> Result<bool, Error> {
        self.say(format!(
            "{name}: etcd waits for it as its second member, and it does not serve; it is started"
        ));
        let failed = |e| Error::because(format!("start etcd on {name}"), e);
        let second = self.connect(name).await?;
        control::restart_etcd(&second).await.map_err(failed)?;
        if self.is_led(first, STARTED).await {
            return Ok(true);
        }
        // Of two members both have all that was ever taken: nothing is lost with the data of one. Of more, a majority may have it
        // without the first. Where kubeadm has been, a master may have joined, and its etcd is for somebody to look at.
        let is_one_of_two = control::announced(&second).await.map_err(failed)? == 2;
        if !is_one_of_two || control::traces(&second).await.map_err(failed)?.any() {
            return Ok(false);
        }
        self.set_data_aside(name).await?;
        control::restart_etcd(&second).await.map_err(failed)?;
        Ok(self.is_led(first, STARTED).await)
    }

    /// Whether the etcd member of this master has a leader within this time.
    async fn is_led(&self, master: &Arc<dyn Remote>, limit: Duration) -> bool {
        let what = "wait for a leader of etcd".to_owned();
        let mut lacks = false;
        let missing = self.waiting(what, async |waits| {
            control::wait(limit, waits, async || {
                // One that does not answer, or not in time, is another matter.
                lacks = false;
                lacks = !control::has_leader(master).await.unwrap_or(true);
                lacks.then(|| "there is none".to_owned())
            })
            .await
        });
        missing.await;
        !lacks
    }

    /// The masters that have joined and are wanted, but for these, as they have joined.
    fn staying(&self, but: &[Label]) -> Vec<Label> {
        let mut names: Vec<_> = self
            .joined_masters()
            .into_iter()
            .filter(|name| self.is_wanted(name) && !but.contains(name))
            .collect();
        let joined = |name: &Label| self.notes.get(name).map_or(0, |note| note.joined);
        names.sort_by_key(|name| (joined(name), name.clone()));
        names
    }

    fn addresses(&self, names: &[Label]) -> Vec<Ipv4Addr> {
        let known = names.iter().filter_map(|name| self.facts.node(name));
        known.map(|known| known.ip).collect()
    }
}
