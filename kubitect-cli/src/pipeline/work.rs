//! [`Work`]: carries out the phases of a plan, one by one. Nothing is decided here: the plan has decided.

use std::sync::Arc;

use kubitect_config::remote::{BoxFuture, Machines, Remote};
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Facts};
use kubitect_kubespray::living::{self, Context, Kubernetes};
use kubitect_kubespray::{OnEvent, Workdir, control};
use kubitect_lb::Balancers;
use kubitect_provision::change::Change;
use kubitect_provision::fleet::Logins;
use kubitect_provision::ssh::Keys;

use super::prepare;
use crate::failure::Failure;
use crate::job::Job;
use crate::phase::{Make, Phase, RestartBalancer};
use crate::plan::Plan;

/// Receives the events of balancers.
type OnBalancers<'a> = &'a (dyn Fn(kubitect_lb::Event) + Send + Sync);

/// A plan that is carried out.
pub struct Work<'a> {
    /// The cluster and its hosts.
    pub job: &'a Job,
    /// The keys of its machines.
    pub keys: &'a Keys,
    /// The plan.
    pub plan: &'a Plan,
    /// Receives the events of balancers.
    pub on_balancers: OnBalancers<'a>,
    /// Receives the events of Kubernetes.
    pub on_kubernetes: OnEvent<'a>,
    /// The machines, from the first phase on.
    pub running: Option<Running<'a>>,
}

/// Machines that run, and the Kubernetes on them.
pub struct Running<'a> {
    facts: Facts,
    access: Arc<Access<'a>>,
    kubernetes: Kubernetes<'a>,
}

/// The machines and balancers of the cluster, as the crate for Kubernetes reaches them: it depends on neither of their crates.
struct Access<'a> {
    cluster: &'a Cluster,
    logins: Logins<'a>,
    on_event: OnBalancers<'a>,
}

impl Access<'_> {
    fn balancers(&self) -> Balancers<'_> {
        Balancers {
            cluster: self.cluster,
            facts: &self.logins.facts,
            machines: &self.logins,
            on_event: self.on_event,
        }
    }
}

impl living::Access for Access<'_> {
    fn machines(&self) -> &dyn Machines {
        &self.logins
    }

    fn balance<'a>(&'a self, master: &'a Label, away: bool) -> BoxFuture<'a, ()> {
        Box::pin(async move { Ok(self.balancers().take_out_of_rotation(master, away).await?) })
    }
}

impl<'a> Work<'a> {
    /// Carries out one phase.
    pub async fn carry_out(&mut self, phase: &Phase) -> Result<(), Failure> {
        let (job, keys) = (self.job, self.keys);
        if let Phase::Make(make) = phase {
            self.running = Some(self.make(make).await?);
            return Ok(());
        }
        let Some(running) = &mut self.running else {
            return Err(Failure::failed(format!("{phase}: no machine runs yet")));
        };
        let Running {
            facts,
            access,
            kubernetes,
        } = running;
        match phase {
            Phase::Make(_) => Ok(()),
            Phase::Use { change, kubelet } => {
                let then = async |node: &Label, session: Arc<dyn Remote>| match kubelet {
                    true => control::restart_kubelet(&session)
                        .await
                        .map_err(|e| Failure::because(format!("tell the kubelet of {node}"), e)),
                    false => Ok(()),
                };
                job.take_in_use(change, facts, keys, then).await
            }
            Phase::GiveUpAddress(names) => {
                access.balancers().give_up_address(names).await;
                Ok(())
            }
            Phase::Balance {
                leaving, give_up, ..
            } => {
                let machines = self.plan.leaving.iter();
                let masters = machines.filter(|own| leaving.contains(&own.name));
                let masters: Vec<_> = masters
                    .filter_map(|own| Some((own.node(), own.facts(String::new())?)))
                    .collect();
                Ok(access.balancers().set_up(&masters, give_up).await?)
            }
            Phase::Restart {
                change,
                if_refused,
                has_kubelet,
            } => {
                if *if_refused && !is_refused(job, change)? {
                    return Ok(());
                }
                let node = job.node_of(change)?;
                let restart = async || Ok(job.restart(change, keys)?);
                if !has_kubelet {
                    restart().await?;
                    return Ok(job.ready(&[node], facts, keys).await?);
                }
                let boot = async || Ok::<_, Failure>(job.boot_id(node, facts, keys).await?);
                kubernetes.restart(node, restart, boot).await
            }
            Phase::RestartBalancers(balancers) => {
                restart_balancers(job, keys, access, balancers).await
            }
            Phase::Kubernetes(task) => Ok(kubernetes.carry_out(task).await?),
            Phase::Remove(changes) => Ok(job.remove(changes, facts, keys)?),
        }
    }

    /// Makes machines, and prepares Kubespray while they boot.
    async fn make(&self, make: &Make) -> Result<Running<'a>, Failure> {
        let (job, keys, leaving) = (self.job, self.keys, &self.plan.leaving);
        let machines = async {
            let made = job.make(&make.changes, &make.awaited, leaving, keys).await;
            Ok::<_, Failure>(made?)
        };
        let (tools, facts) = tokio::try_join!(biased; prepare(job, &make.releases), machines)?;
        let mut all = facts.clone();
        for own in leaving {
            let key = keys.host_key_line(&own.name);
            all.nodes.extend(key.and_then(|key| own.facts(key)));
        }
        let access = Arc::new(Access {
            cluster: &job.cluster,
            logins: Logins {
                fleet: &job.fleet,
                facts: all.clone(),
                keys,
            },
            on_event: self.on_balancers,
        });
        let context = Context {
            cluster: &job.cluster,
            access: access.clone(),
            tools,
            workdir: Workdir::new(job.dir.config_dir(), job.dir.logs()),
            backups: job.dir.backups(),
            timeouts: job.options.site.timeouts,
            on_event: self.on_kubernetes,
        };
        Ok(Running {
            facts,
            access,
            kubernetes: Kubernetes::new(context, all, &self.plan.nodes),
        })
    }
}

/// Whether libvirt refused to hot-plug a machine's processors, so that a restart is necessary. Where it did not, an event says so.
fn is_refused(job: &Job, change: &Change) -> Result<bool, Failure> {
    let refused = job.fleet.is_refused(change)?;
    if !refused {
        let name = &change.name;
        let events = &job.options.events;
        events.note(format!("{name}: has its processors, and is not restarted"));
    }
    Ok(refused)
}

async fn restart_balancers(
    job: &Job,
    keys: &Keys,
    access: &Access<'_>,
    balancers: &[RestartBalancer],
) -> Result<(), Failure> {
    let mut names = Vec::new();
    for own in balancers {
        names.push(job.node_of(&own.change)?.name.clone());
    }
    let restart = async |name: &Label| {
        let own = balancers
            .iter()
            .find(|own| own.change.name == name.as_str());
        let Some(RestartBalancer { change, if_refused }) = own else {
            return Ok(false);
        };
        if *if_refused && !is_refused(job, change)? {
            return Ok(false);
        }
        job.restart(change, keys)?;
        let node = job.node_of(change)?;
        job.ready(&[node], &access.logins.facts, keys).await?;
        Ok::<_, Failure>(true)
    };
    access.balancers().restart(&names, restart).await
}
