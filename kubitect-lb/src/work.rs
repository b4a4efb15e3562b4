//! [`Balancers`]: a cluster's balancers under work, while masters and balancers come and go.

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

/// How long a balancer that was restarted may take until it serves, once its machine can be logged in on.
const SERVES: Duration = Duration::from_secs(120);

/// The balancers of a cluster under work.
pub struct Balancers<'a> {
    /// What is wanted.
    pub cluster: &'a Cluster,
    /// What is known of its machines, those that leave among them.
    pub facts: &'a Facts,
    /// How they are reached.
    pub machines: &'a dyn Machines,
    /// Who hears of what happens.
    pub on_event: &'a (dyn Fn(Event) + Send + Sync),
}

kubitect_config::shown_by!(Balancers<'_>, cluster.name, facts);

impl Balancers<'_> {
    /// Rolls out the balancers' files, for the masters that are wanted and those `besides`; without these, it is noted. The
    /// balancers that `give_up` the virtual address, all of which leave, do it before it is looked for.
    pub async fn set_up(
        &self,
        besides: &[(Node, NodeFacts)],
        give_up: &[Label],
    ) -> Result<(), Error> {
        let (mut cluster, mut facts) = (self.cluster.clone(), self.facts.clone());
        for (node, known) in besides {
            cluster.nodes.push(node.clone());
            facts.nodes.retain(|other| other.name != known.name);
            facts.nodes.push(known.clone());
        }
        let rendered = render(&cluster, &facts)?;
        let remotes = self.remotes(&rendered).await?;
        let then = async || self.give_up_address(give_up).await;
        roll_out_and(&rendered, &remotes, self.on_event, then).await?;
        if !besides.is_empty() {
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

    /// Has these balancers, which leave, give the virtual address to another at once, where they can still be asked.
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

    /// Restarts balancers one after another: the one that holds the virtual address last, so that it moves once, and each only
    /// when the one before is proven to serve. `again` restarts one, and says whether it had to be.
    pub async fn restart<E: From<Error>>(
        &self,
        names: &[Label],
        again: impl AsyncFn(&Label) -> Result<bool, E>,
    ) -> Result<(), E> {
        let rendered = render(self.cluster, self.facts)?;
        let (mut last, mut ordered) = (Vec::new(), Vec::new());
        for name in names {
            let files = rendered.iter().find(|files| files.node == *name);
            let files = files.ok_or_else(|| Error::NoFacts { node: name.clone() })?;
            // One that does not let us in holds nothing that anybody could reach.
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
        // Those that stay on, one that a run which was killed has restarted among them, have to serve meanwhile.
        let stay = |files: &&Rendered| !names.contains(&files.node);
        for files in rendered.iter().filter(stay) {
            self.serves(files).await?;
        }
        for files in ordered {
            if again(&files.node).await? {
                self.serves(files).await?;
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
    async fn serves(&self, files: &Rendered) -> Result<(), Error> {
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

    /// Keeps new connections away from a master at all balancers (`away`), or lets them come again.
    pub async fn keep_away(&self, master: &Label, away: bool) -> Result<(), Error> {
        let state = if away { State::Drain } else { State::Ready };
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
