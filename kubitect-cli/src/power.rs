//! [`Switch`]: shuts all machines of a cluster down (workers, masters, balancers, so that the API serves as long as a worker
//! runs), or starts them again in the other order.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::cluster::Role;
use kubitect_config::row::{Action, Disruption};
use kubitect_config::value::Label;
use kubitect_config::{Facts, Remote, chain};
use kubitect_kubespray::living::{self, Startup, WaitStep};
use kubitect_provision::Outcome;
use kubitect_provision::fleet::Logins;
use kubitect_provision::power::{self, MachinesToSwitch, Stage};
use kubitect_provision::ssh::Keys;

use crate::event::{Ending, Event};
use crate::failure::Failure;
use crate::pipeline::until_cancelled;
use crate::plan::document;
use crate::run::{Run, View};

/// The power state that all machines of a cluster are to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Off; a machine whose guest has not shut down within this time is a failure.
    Off(Duration),
    /// On, and Kubernetes with its nodes Ready.
    On,
}

/// A machine has to shut down within this time, unless the caller gives another one.
pub const SHUT_DOWN: Duration = power::OFF_WAIT;

/// A cluster's machines that are shut down or started; `Display` shows their order. While this exists, no other run works on the
/// cluster.
#[must_use = "nothing is switched until it is carried out"]
pub struct Switch {
    run: Run,
    to: Power,
    machines: MachinesToSwitch,
    /// The machines on which Kubernetes is set up.
    joined: Vec<Label>,
}

kubitect_config::debug_fields!(Switch, run, to, machines);

impl Switch {
    /// Observes the machines, also those that leave. Where a host can't be reached, the machines on the others are switched all
    /// the same.
    pub fn plan(run: Run, to: Power) -> Result<Self, Failure> {
        let cluster = run.cluster();
        let machines =
            power::observe(cluster, &run.view.job.hosts, to == Power::On).map_err(|e| {
                Failure::because(format!("look at the machines of {}", cluster.name), e)
            })?;
        Ok(Self {
            to,
            joined: living::joined_nodes(&machines.noted),
            machines,
            run,
        })
    }

    /// Whether no machine is to be switched, and every host was reached.
    pub fn is_empty(&self) -> bool {
        self.machines.stages.is_empty() && self.machines.unreachable.is_empty()
    }

    /// For programs: one object, as of a plan.
    pub fn json(&self) -> serde_json::Value {
        let (action, disruption) = match self.to {
            Power::Off(_) => (Action::Stop, Disruption::Outage),
            Power::On => (Action::Start, Disruption::None),
        };
        let (machines, cluster) = (&self.machines, &self.run.cluster().name);
        let phases = machines.stages.iter().map(|stage| self.title(stage));
        let phases: Vec<_> = phases.collect();
        document(
            cluster,
            &phases,
            &machines.rows(action, disruption),
            &machines.notes(),
        )
    }

    fn title(&self, stage: &Stage) -> String {
        match self.to {
            Power::Off(_) => format!("shut down {}", stage.title()),
            Power::On => format!("start {}", stage.title()),
        }
    }

    /// The cluster.
    pub fn view(&self) -> &View {
        &self.run
    }

    /// Does it, one kind of machines after another. Needs a runtime with several threads. After a failure or a kill the same
    /// command goes on with the machines that are left.
    pub async fn carry_out(self) -> Result<(), Failure> {
        let job = &self.run.view.job;
        let ending = match self.to {
            _ if self.is_empty() => Ending::Unchanged,
            Power::Off(_) => Ending::Stopped,
            Power::On => Ending::Started,
        };
        let work = async {
            match self.to {
                Power::Off(_) if self.is_empty() => Ok(()),
                Power::On if self.is_empty() => Err(Failure::failed(format!(
                    "start {}: none of its machines is there; `kubitect apply` with its file makes them",
                    job.cluster.name
                ))),
                Power::Off(within) => self.stop(within).await,
                Power::On => self.start().await,
            }
        };
        let work = until_cancelled(&job.options.cancel, work);
        job.options.carry_out(&job.cluster.name, ending, work)
    }

    async fn stop(&self, within: Duration) -> Result<(), Failure> {
        let job = &self.run.view.job;
        let name = &job.cluster.name;
        for stage in self.announced_stages() {
            let off = job.fleet.shut_down(&stage.nodes, within);
            off.map_err(|e| {
                Failure::because(
                    format!(
                        "stop {name}: what is off stays off, and the same command goes on with the others. `kubitect console NODE` \
                         shows what a machine waits for; `virsh destroy NODE` on its host cuts its power, and what its guest has \
                         not written is lost"
                    ),
                    e,
                )
            })?;
            fail::fail_point!("cli::powered");
        }
        self.all_done(&self.machines.unreachable)
    }

    async fn start(&self) -> Result<(), Failure> {
        let job = &self.run.view.job;
        for name in &self.machines.missing {
            let events = &job.options.events;
            events.warn(format!("{name} is not there; `kubitect apply` makes it"));
        }
        let mut started = Started::new(self.keys()?);
        started
            .failures
            .extend_from_slice(&self.machines.unreachable);
        let prerequisites = job.fleet.start_prerequisites(&self.machines.prerequisites);
        let failed = prerequisites.err().map(|e| chain(&e));
        started.failures.extend(failed);
        for (stage, number) in self.announced_stages().zip(1..) {
            let serves = self.start_stage(stage, &mut started).await?;
            if let Some(next) = self.machines.stages.get(number).filter(|_| !serves) {
                let (these, others) = (stage.title(), next.title());
                started.failures.push(format!(
                    "none of the {these} serves, so that the {others} were not started"
                ));
                break;
            }
            fail::fail_point!("cli::powered");
        }
        self.all_done(&started.failures)
    }

    /// A failure with these texts, if there are any.
    fn all_done(&self, failures: &[String]) -> Result<(), Failure> {
        let (verb, state) = match self.to {
            Power::Off(_) => ("stop", "off"),
            Power::On => ("start", "on"),
        };
        let name = &self.run.cluster().name;
        match failures.is_empty() {
            true => Ok(()),
            false => Err(Failure::because(
                format!(
                    "{verb} all of {name}: what is {state} stays {state}, and the same command goes on with what is missing"
                ),
                failures.join("\n"),
            )),
        }
    }

    /// The stages; each is announced by an event when the iterator returns it.
    fn announced_stages(&self) -> impl Iterator<Item = &Stage> {
        let stages = &self.machines.stages;
        stages.iter().zip(1..).map(move |(stage, number)| {
            self.run.view.job.options.events.send(Event::Phase {
                number,
                total: stages.len(),
                title: self.title(stage),
                next: stages.get(number).map(|next| self.title(next)),
            });
            stage
        })
    }

    /// The keys of the machines, as far as this machine has them. None is created: no machine would know it.
    fn keys(&self) -> Result<Keys, Failure> {
        let job = &self.run.view.job;
        job.available_keys()?.ok_or_else(|| {
            Failure::failed(format!(
                "start {}: the key that opens its machines is not in {}, so that none could be asked whether it serves; \
                 `kubitect apply` with its file starts them and brings the key back",
                job.cluster.name,
                job.dir.ssh().display()
            ))
        })
    }

    /// Starts the machines of a stage, and waits until they can be logged in on, and until Kubernetes serves on them where it is
    /// set up. One that fails is noted, and the others go on.
    ///
    /// Returns whether the next stage can be started: at least one machine serves, or none of the stage has to. Those that have
    /// to are the balancers that stay, and the nodes that have joined and stay.
    async fn start_stage(&self, stage: &Stage, started: &mut Started) -> Result<bool, Failure> {
        let job = &self.run.view.job;
        let mut on = Vec::new();
        for (node, result) in stage.nodes.iter().zip(job.fleet.start(&stage.nodes)) {
            match result {
                Ok(()) => on.push(&node.name),
                Err(error) => started.failures.push(chain(&error)),
            }
        }
        let awaited = |name: &Label| on.contains(&name) && stage.awaits(name);
        let (up, late) = job.wait_until_ready(awaited, &started.keys).await?;
        started.failures.extend(late.iter().map(|e| chain(e)));
        let serving: Vec<_> = up.nodes.iter().map(|node| node.name.clone()).collect();
        started.add(up);
        let has_to_serve = |name: &Label| {
            stage.awaits(name) && (stage.role == Role::LoadBalancer || self.joined.contains(name))
        };
        let mut serving: Vec<_> = serving.iter().filter(|name| has_to_serve(name)).collect();
        if stage.role != Role::LoadBalancer {
            self.wait_kubernetes(stage, &mut serving, started).await?;
        }
        let mut nodes = stage.nodes.iter();
        Ok(!serving.is_empty() || !nodes.any(|node| has_to_serve(&node.name)))
    }

    /// Waits until Kubernetes serves on these machines of a stage. Masters whose API does not serve are removed from `names`.
    async fn wait_kubernetes(
        &self,
        stage: &Stage,
        names: &mut Vec<&Label>,
        started: &mut Started,
    ) -> Result<(), Failure> {
        let job = &self.run.view.job;
        let Some(facts) = started.facts.clone().filter(|_| !names.is_empty()) else {
            return Ok(());
        };
        let logins = Logins {
            fleet: &job.fleet,
            facts,
            keys: &started.keys,
        };
        let kubernetes = Startup {
            machines: &logins,
            limit: job.options.site.timeouts.ready.into(),
            on_step: &|what, step| job.options.events.machines(event(what, step)),
        };
        if stage.role == Role::Master {
            let masters = kubernetes.masters(names).await;
            let mut serves = masters.iter().map(Result::is_ok);
            names.retain(|_| serves.next() == Some(true));
            for master in masters {
                match master {
                    Ok(master) => drop(started.master.get_or_insert(master)),
                    Err(error) => started.failures.push(chain(&error)),
                }
            }
        }
        match &started.master {
            Some(master) => {
                let what = format!("wait until {} are Ready", stage.title());
                let late = kubernetes.nodes(names, master, &what).await;
                started.failures.extend(late.iter().map(|e| chain(e)));
            }
            None if stage.role == Role::Master => {}
            None => started.failures.push(format!(
                "ask the Kubernetes of {}: none of its masters is set up",
                job.cluster.name
            )),
        }
        Ok(())
    }
}

/// What was started of a cluster so far.
struct Started {
    keys: Keys,
    /// The facts of the machines that are up.
    facts: Option<Facts>,
    /// The connection to a master whose API serves.
    master: Option<Arc<dyn Remote>>,
    /// Why other machines are not up or do not serve, a text each.
    failures: Vec<String>,
}

impl Started {
    fn new(keys: Keys) -> Self {
        Self {
            keys,
            facts: None,
            master: None,
            failures: Vec::new(),
        }
    }

    fn add(&mut self, up: Facts) {
        match &mut self.facts {
            Some(facts) => facts.nodes.extend(up.nodes),
            None => self.facts = Some(up),
        }
    }
}

/// A step of a wait, as an event of machines.
pub(crate) fn event(what: &str, step: WaitStep<'_>) -> kubitect_provision::Event {
    use kubitect_provision::Event;
    let what = what.to_owned();
    match step {
        WaitStep::Begun => Event::Started { what },
        WaitStep::Waits(why) => Event::Waiting {
            what,
            why: why.to_owned(),
        },
        WaitStep::Ended(Ok(())) => Event::Finished {
            what,
            outcome: Outcome::Done,
        },
        WaitStep::Ended(Err(error)) => Event::Failed {
            what,
            error: chain(error),
        },
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.run.view.job.cluster.name;
        let verb = match self.to {
            Power::Off(_) => "shut down",
            Power::On => "started",
        };
        writeln!(
            f,
            "{name}: these machines are {verb}, one kind after another:"
        )?;
        self.machines.fmt(f)?;
        match self.to {
            Power::Off(within) => writeln!(
                f,
                "Nothing is deleted. What runs on the cluster, and its API, do not answer until `kubitect start {name}`.\nEach guest \
                 shuts itself down, within {} s; none has its power cut.",
                within.as_secs()
            ),
            Power::On => Ok(()),
        }
    }
}
