//! [`Work`]: carries out the phases of a plan, one by one. What is done is decided there; here it is done.

use kubitect_config::Facts;
use kubitect_kubespray::living::{Context, Kubernetes};
use kubitect_kubespray::{OnEvent, Workdir};
use kubitect_provision::change::Change;

use super::adapters::Access;
use super::machines::{self, Hands};
use super::{balancers, prepare, restart};
use crate::failure::Failure;
use crate::phase::{Make, Phase};
use crate::plan::Plan;

/// A plan that is carried out.
pub struct Work<'a> {
    /// What it is done with.
    pub hands: Hands<'a>,
    /// What is done.
    pub plan: &'a Plan,
    /// Who hears of Kubernetes.
    pub on_event: OnEvent<'a>,
    /// The machines, once they run.
    pub made: Option<Made<'a>>,
}

/// Machines that run, and the Kubernetes on them.
pub struct Made<'a> {
    facts: Facts,
    kubernetes: Kubernetes<'a>,
}

impl<'a> Work<'a> {
    /// Carries out one phase.
    pub async fn carry_out(&mut self, phase: &Phase) -> Result<(), Failure> {
        let hands = self.hands;
        if let Phase::Make(make) = phase {
            self.made = Some(self.make(make).await?);
            return Ok(());
        }
        let Some(Made { facts, kubernetes }) = &mut self.made else {
            return Err(Failure::failed(format!("{phase}: no machine runs yet")));
        };
        match phase {
            Phase::Make(_) => Ok(()),
            Phase::Use { change, kubelet } => {
                restart::take_in_use(hands, facts, change, *kubelet).await
            }
            Phase::GiveUpAddress(names) => {
                balancers::give_up_address(hands, &self.plan.leaving, names).await;
                Ok(())
            }
            Phase::Balance {
                besides, give_up, ..
            } => {
                let leaving = &self.plan.leaving;
                balancers::set_up(hands, facts, leaving, besides, give_up).await
            }
            Phase::Restart {
                change,
                if_refused,
                drained,
            } => {
                if *if_refused && !restart::is_refused(hands, change)? {
                    return Ok(());
                }
                let kubernetes = drained.then_some(kubernetes);
                restart::restart(hands, facts, change, kubernetes).await
            }
            Phase::RestartBalancers(balancers) => {
                restart::restart_balancers(hands, facts, balancers).await
            }
            Phase::Kubernetes(task) => Ok(kubernetes.carry_out(task).await?),
            Phase::Remove(changes) => self.remove(changes).await,
        }
    }

    /// Makes machines, and prepares Kubespray while they boot.
    async fn make(&self, make: &Make) -> Result<Made<'a>, Failure> {
        let Hands { job, keys } = self.hands;
        let (tools, facts) = tokio::try_join!(
            biased;
            prepare(job, &make.releases),
            machines::make(self.hands, make, &self.plan.leaving),
        )?;
        let mut all = facts.clone();
        for leaving in &self.plan.leaving {
            let key = keys.host_key_line(&leaving.name);
            all.nodes.extend(key.and_then(|key| leaving.facts(key)));
        }
        let access = Access {
            job,
            facts: all.clone(),
            keys,
        };
        let context = Context {
            cluster: &job.cluster,
            access: Box::new(access),
            tools,
            workdir: Workdir::new(job.dir.config_dir(), job.dir.logs()),
            backups: job.dir.backups(),
            on_event: self.on_event,
        };
        Ok(Made {
            facts,
            kubernetes: Kubernetes::new(context, all, &self.plan.seen),
        })
    }

    /// Removes the machines and disks that are not wanted; nothing leads to them by now.
    async fn remove(&self, changes: &[Change]) -> Result<(), Failure> {
        let facts = self.made.iter().flat_map(|made| &made.facts.nodes);
        let stay = facts.map(|node| (&node.name, Some(node.ip)));
        self.hands
            .keys
            .write_known_hosts(stay)
            .map_err(|e| Failure::because("forget the host keys of what leaves", e))?;
        self.hands
            .provision(changes)?
            .map_err(|e| Failure::because("remove what is not wanted any more", e))
    }
}
