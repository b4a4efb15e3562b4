//! [`Balancers`]: a cluster's balancers during a run, in which masters and balancers join and leave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::cluster::{Node, Role};
use kubitect_config::remote::Machines;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Cluster, Facts, NodeFacts, Remote, chain};

use crate::machine::Machine;
use crate::rollout::settle_address;
use crate::{
    Error, Event, Rendered, State, balancers, holds, notes, render, roll_out_and, set_state,
    wait_serving,
};

/// A balancer that was restarted has to serve within this time, once its machine can be logged in on.
const SERVES: Duration = Duration::from_secs(120);

/// The balancers of a cluster during a run.
pub struct Balancers<'a> {
    /// The wanted cluster.
    pub cluster: &'a Cluster,
    /// The facts of its machines, also of those that leave.
    pub facts: &'a Facts,
    /// The way to log in on them.
    pub machines: &'a dyn Machines,
    /// Receives the events.
    pub on_event: &'a (dyn Fn(Event) + Send + Sync),
}

kubitect_config::debug_fields!(Balancers<'_>, cluster.name, facts);

impl Balancers<'_> {
    /// Rolls out the balancers' files, which lead to the wanted masters and to the `leaving_masters`.
    ///
    /// With leaving masters nothing is noted: the files are rolled out once more before these stop. The balancers in `give_up`,
    /// all of which leave, give up the virtual address once the others serve, before it is waited for.
    pub async fn set_up(
        &self,
        leaving_masters: &[(Node, NodeFacts)],
        give_up: &[Label],
    ) -> Result<(), Error> {
        let (mut cluster, mut facts) = (self.cluster.clone(), self.facts.clone());
        for (node, own) in leaving_masters {
            cluster.nodes.push(node.clone());
            facts.nodes.retain(|other| other.name != own.name);
            facts.nodes.push(own.clone());
        }
        let rendered = render(&cluster, &facts)?;
        let remotes = self.remotes(&rendered).await?;
        let once_serving = async || self.give_up_address(give_up).await;
        roll_out_and(&rendered, &remotes, self.on_event, once_serving).await?;
        if !leaving_masters.is_empty() {
            return Ok(());
        }
        fail::fail_point!("lb::rolled-out");
        let digests = notes(&rendered)?;
        for node in cluster.role(Role::LoadBalancer) {
            if let Some(digest) = digests.get(&node.name) {
                let noted = self.machines.note(node, digest);
                let what = format!("note what is set up on {}", node.name);
                noted.map_err(|source| Error::Step { what, source })?;
                fail::fail_point!("lb::noted");
            }
        }
        Ok(())
    }

    /// Stops keepalived on these balancers, which leave: another one takes the virtual address at once. One that can't be asked is
    /// only a warning: the others take the address when its machine is removed.
    pub async fn give_up_address(&self, names: &[Label]) {
        for node in names {
            if let Err(why) = self.stop_keepalived(node).await {
                self.say(format!(
                    "warning: {node} could not be asked to give the virtual address to another ({why}); the others take it when \
                     it is gone"
                ));
            }
        }
    }

    async fn stop_keepalived(&self, node: &Label) -> Result<(), String> {
        let remote = self.machines.connect(node).await;
        let remote = &remote.map_err(|e| chain(e.as_ref()))?;
        let stopped = Machine { node, remote }
            .root_ok(&["systemctl", "stop", "keepalived"])
            .await;
        stopped.map(drop).map_err(|e| chain(&e))
    }

    /// Restarts balancers one after another: the holder of the virtual address last, so that the address moves once, and each only
    /// when the one before serves. `restart` restarts one machine, and says whether it was necessary.
    pub async fn restart<E: From<Error>>(
        &self,
        names: &[Label],
        restart: impl AsyncFn(&Label) -> Result<bool, E>,
    ) -> Result<(), E> {
        let rendered = render(self.cluster, self.facts)?;
        let (mut last, mut ordered) = (Vec::new(), Vec::new());
        for name in names {
            let files = rendered.iter().find(|files| files.node == *name);
            let files = files.ok_or_else(|| Error::NoFacts { node: name.clone() })?;
            // One that can't be logged in on is taken for no holder: clients can't reach an address that it holds either.
            let holds = match self.machines.connect(&files.node).await {
                Ok(session) => holds(files, &session).await.unwrap_or(false),
                Err(_) => false,
            };
            match holds {
                true => last.push(files),
                false => ordered.push(files),
            }
        }
        ordered.extend(last);
        // The balancers that are not restarted serve meanwhile, so they have to serve before. One of them may be just booting: a
        // run that was killed has restarted it.
        let stays_on = |files: &&Rendered| !names.contains(&files.node);
        for files in rendered.iter().filter(stays_on) {
            self.wait_serving(files).await?;
        }
        for files in ordered {
            if restart(&files.node).await? {
                self.wait_serving(files).await?;
                self.say(format!("{}: serves again", files.node));
            }
        }
        let remotes = self.remotes(&rendered).await?;
        settle_address(&rendered, &remotes, self.on_event).await?;
        Ok(())
    }

    /// Connections to all of these balancers.
    async fn remotes(
        &self,
        rendered: &[Rendered],
    ) -> Result<BTreeMap<Label, Arc<dyn Remote>>, Error> {
        let logins = rendered.iter().map(|files| self.login(&files.node));
        let names = rendered.iter().map(|files| files.node.clone());
        let sessions = side_by_side(logins).await;
        let named = names.zip(sessions);
        named.map(|(name, session)| Ok((name, session?))).collect()
    }

    /// Waits until a balancer serves: before that, no other is restarted.
    async fn wait_serving(&self, files: &Rendered) -> Result<(), Error> {
        let session = self.login(&files.node).await?;
        let waited = wait_serving(files, &session, SERVES).await;
        waited.map_err(|e| Error::Step {
            what: format!(
                "wait for {} to serve: no other balancer is restarted before",
                files.node
            ),
            source: e.into(),
        })
    }

    /// Takes a master out of rotation at all balancers (`out`: it gets no new connections, HAProxy drains it), or has it take
    /// connections again.
    pub async fn take_out_of_rotation(&self, master: &Label, out: bool) -> Result<(), Error> {
        let state = if out { State::Drain } else { State::Ready };
        let balancers = balancers(self.cluster, self.facts)?;
        let logins = balancers.iter().map(|balancer| self.login(&balancer.node));
        for (balancer, session) in balancers.iter().zip(side_by_side(logins).await) {
            set_state(balancer, &session?, master, state).await?;
        }
        Ok(())
    }

    async fn login(&self, name: &Label) -> Result<Arc<dyn Remote>, Error> {
        let session = self.machines.connect(name).await;
        session.map_err(|source| Error::Step {
            what: format!("log in on {name}"),
            source,
        })
    }

    fn say(&self, line: String) {
        (self.on_event)(Event::Said { line });
    }
}
