//! [`Switch`]: all machines of a cluster switched off, or on again, in an order in which nothing is lost: workers, masters, balancers,
//! and back.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::cluster::Role;
use kubitect_config::row::{Action, Disruption};
use kubitect_config::value::Label;
use kubitect_config::{Facts, Remote, chain};
use kubitect_kubespray::living::{self, Back, Step};
use kubitect_provision::Outcome;
use kubitect_provision::fleet::Logins;
use kubitect_provision::power::{self, Stage, There};
use kubitect_provision::ssh::Keys;

use crate::event::{Ending, Event};
use crate::failure::Failure;
use crate::pipeline::until_cancelled;
use crate::plan::document;
use crate::run::{Run, View};

/// What all machines of a cluster are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Off; a machine whose guest has not shut down within this time is a failure.
    Off(Duration),
    /// On, and Kubernetes with its nodes Ready.
    On,
}

/// How long a machine may take to shut down, where nobody says otherwise.
pub const SHUT_DOWN: Duration = power::OFF_WAIT;

/// A cluster's machines that are switched off or on: in which order, `Display` shows. While this is held, no other run works on
/// the cluster.
#[must_use = "nothing is switched until it is carried out"]
pub struct Switch {
    run: Run,
    to: Power,
    there: There,
    /// The machines on which Kubernetes is set up.
    joined: Vec<Label>,
}

kubitect_config::shown_by!(Switch, run, to, there);

impl Switch {
    /// Looks at the machines, those that leave among them. A host that can't be reached hides no other.
    pub fn plan(run: Run, to: Power) -> Result<Self, Failure> {
        let cluster = run.cluster();
        let there = power::look(cluster, &run.view.job.hosts, to == Power::On).map_err(|e| {
            Failure::because(format!("look at the machines of {}", cluster.name), e)
        })?;
        Ok(Self {
            to,
            joined: living::finished(&there.noted),
            there,
            run,
        })
    }

    /// Whether no machine is concerned.
    pub fn is_empty(&self) -> bool {
        self.there.stages.is_empty() && self.there.away.is_empty()
    }

    /// For programs: one object, as of a plan.
    pub fn json(&self) -> serde_json::Value {
        let (action, disruption) = match self.to {
            Power::Off(_) => (Action::Stop, Disruption::Outage),
            Power::On => (Action::Start, Disruption::None),
        };
        let (there, cluster) = (&self.there, &self.run.cluster().name);
        let phases = there.stages.iter().map(|stage| self.title(stage));
        let phases: Vec<_> = phases.collect();
        document(
            cluster,
            &phases,
            &there.rows(action, disruption),
            &there.notes(),
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

    /// Does it, one kind of machines after another. Needs a runtime of several threads. Killed or failed, the same goes on from
    /// there.
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
        for stage in self.begun() {
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
        self.all_done(&self.there.away)
    }

    async fn start(&self) -> Result<(), Failure> {
        let job = &self.run.view.job;
        for name in &self.there.missing {
            let events = &job.options.events;
            events.warn(format!("{name} is not there; `kubitect apply` makes it"));
        }
        let mut back = Returned::new(self.keys()?);
        back.late.extend_from_slice(&self.there.away);
        let ground = job.fleet.start_ground(&self.there.ground);
        back.late.extend(ground.err().map(|e| chain(&e)));
        for (stage, number) in self.begun().zip(1..) {
            let serves = self.bring_back(stage, &mut back).await?;
            if let Some(next) = self.there.stages.get(number).filter(|_| !serves) {
                let (these, others) = (stage.title(), next.title());
                back.late.push(format!(
                    "none of the {these} serves, so that the {others} were not started"
                ));
                break;
            }
            fail::fail_point!("cli::powered");
        }
        self.all_done(&back.late)
    }

    /// A failure if something is missing, for these reasons.
    fn all_done(&self, late: &[String]) -> Result<(), Failure> {
        let (verb, state) = match self.to {
            Power::Off(_) => ("stop", "off"),
            Power::On => ("start", "on"),
        };
        let name = &self.run.cluster().name;
        match late.is_empty() {
            true => Ok(()),
            false => Err(Failure::because(
                format!(
                    "{verb} all of {name}: what is {state} stays {state}, and the same command goes on with what is missing"
                ),
                late.join("\n"),
            )),
        }
    }

    /// Each stage, as it begins.
    fn begun(&self) -> impl Iterator<Item = &Stage> {
        let total = self.there.stages.len();
        self.there
            .stages
            .iter()
            .zip(1..)
            .map(move |(stage, number)| {
                self.run.view.job.options.events.send(Event::Phase {
                    number,
                    total,
                    title: self.title(stage),
                    next: self.there.stages.get(number).map(|next| self.title(next)),
                });
                stage
            })
    }

    /// The keys that the machines have, as far as they are here. None is made.
    fn keys(&self) -> Result<Keys, Failure> {
        let job = &self.run.view.job;
        job.present_keys()?.ok_or_else(|| {
            Failure::failed(format!(
                "start {}: the key that opens its machines is not in {}, so that none could be asked whether it serves; \
                 `kubitect apply` with its file starts them and brings the key back",
                job.cluster.name,
                job.dir.ssh().display()
            ))
        })
    }

    /// Starts the machines of a stage, and waits until they can be worked with and Kubernetes serves on them, where it is set
    /// up. One that does not come back keeps no other off: whether any of those that count serves.
    async fn bring_back(&self, stage: &Stage, back: &mut Returned) -> Result<bool, Failure> {
        let job = &self.run.view.job;
        let mut on = Vec::new();
        let started = stage.nodes.iter().zip(job.fleet.start(&stage.nodes));
        for (node, started) in started {
            match started {
                Ok(()) => on.push(&node.name),
                Err(error) => back.late.push(chain(&error)),
            }
        }
        let awaited = |name: &Label| on.contains(&name) && stage.awaits(name);
        let (come, late) = job.come_up(awaited, &back.keys).await?;
        back.late.extend(late.iter().map(|e| chain(e)));
        let serving: Vec<_> = come.nodes.iter().map(|node| node.name.clone()).collect();
        back.add(come);
        let counts = |name: &Label| {
            stage.awaits(name) && (stage.role == Role::LoadBalancer || self.joined.contains(name))
        };
        let mut serving: Vec<_> = serving.iter().filter(|name| counts(name)).collect();
        if stage.role != Role::LoadBalancer {
            self.serve(stage, &mut serving, back).await?;
        }
        let mut own = stage.nodes.iter();
        Ok(!serving.is_empty() || !own.any(|node| counts(&node.name)))
    }

    /// Waits until Kubernetes serves on these machines of a stage; of masters those stay in the list that do.
    async fn serve(
        &self,
        stage: &Stage,
        names: &mut Vec<&Label>,
        back: &mut Returned,
    ) -> Result<(), Failure> {
        let job = &self.run.view.job;
        let Some(facts) = back.facts.clone().filter(|_| !names.is_empty()) else {
            return Ok(());
        };
        let logins = Logins {
            fleet: &job.fleet,
            facts,
            keys: &back.keys,
        };
        let kubernetes = Back {
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
                    Ok(master) => drop(back.master.get_or_insert(master)),
                    Err(error) => back.late.push(chain(&error)),
                }
            }
        }
        match &back.master {
            Some(master) => {
                let what = format!("wait until {} are Ready", stage.title());
                let late = kubernetes.nodes(names, master, &what).await;
                back.late.extend(late.iter().map(|e| chain(e)));
            }
            None if stage.role == Role::Master => {}
            None => back.late.push(format!(
                "ask the Kubernetes of {}: none of its masters is set up",
                job.cluster.name
            )),
        }
        Ok(())
    }
}

/// What has come back of a cluster.
struct Returned {
    keys: Keys,
    /// Where its machines are.
    facts: Option<Facts>,
    /// A master that serves.
    master: Option<Arc<dyn Remote>>,
    /// Why others have not come back, each.
    late: Vec<String>,
}

impl Returned {
    fn new(keys: Keys) -> Self {
        Self {
            keys,
            facts: None,
            master: None,
            late: Vec::new(),
        }
    }

    fn add(&mut self, come: Facts) {
        match &mut self.facts {
            Some(facts) => facts.nodes.extend(come.nodes),
            None => self.facts = Some(come),
        }
    }
}

/// A step of a wait, as other steps are told.
pub(crate) fn event(what: &str, step: Step<'_>) -> kubitect_provision::Event {
    use kubitect_provision::Event;
    let what = what.to_owned();
    match step {
        Step::Begun => Event::Started { what },
        Step::Waits(why) => Event::Waiting {
            what,
            why: why.to_owned(),
        },
        Step::Ended(Ok(())) => Event::Finished {
            what,
            outcome: Outcome::Done,
        },
        Step::Ended(Err(error)) => Event::Failed {
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
        self.there.fmt(f)?;
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
