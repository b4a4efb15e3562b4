//! Machines switched off by their own guests, and on again: several at the same time, and nothing of them changed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kubitect_config::Cluster;
use kubitect_config::cluster::{Node, Role};
use kubitect_config::row::{Action, Disruption, Kind, Row};
use kubitect_config::value::{Label, Name};
use kubitect_config::waiting::{AT_ONCE, in_threads};

use crate::blocking::answer;
use crate::error::{Error, humane, told};
use crate::event::Event;
use crate::gather::{self, Leaving};
use crate::hypervisor::{Failure, Hosts, Hypervisor};
use crate::machine::evidence_of;
use crate::observe::{self, Notes, Observed, PowerState};
use crate::plan::Plan;
use crate::planner;

/// How long a machine's guest may take to shut down: services with a grace period of their own, emulated, on a busy host.
pub const OFF_WAIT: Duration = Duration::from_secs(5 * 60);

/// How often a guest that does not go off is asked again: one that was still booting did not hear the first time.
const ASK_AGAIN: Duration = Duration::from_secs(20);
/// How often is looked whether it is off, at most.
const PAUSE: Duration = Duration::from_secs(2);

/// All machines of one kind, which are switched together: so a majority of etcd's members comes back together.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Their kind.
    pub role: Role,
    /// The machines.
    pub nodes: Vec<Node>,
    /// Those of all machines that leave the cluster: nobody waits for what is on them.
    leaving: Vec<Label>,
}

/// These machines in the order in which nothing is lost: workers, masters, balancers off, and back `on` again.
pub fn stages(on: bool, nodes: &[Node], leaving: &[Leaving]) -> Vec<Stage> {
    let mut roles = [Role::LoadBalancer, Role::Master, Role::Worker];
    if !on {
        roles.reverse();
    }
    let stage = |role| Stage {
        role,
        nodes: nodes
            .iter()
            .filter(|node| node.role == role)
            .cloned()
            .collect(),
        leaving: leaving.iter().map(|own| own.name.clone()).collect(),
    };
    let stages = roles.into_iter().map(stage);
    stages.filter(|stage| !stage.nodes.is_empty()).collect()
}

impl Stage {
    /// What they are called.
    pub fn title(&self) -> &'static str {
        match self.role {
            Role::LoadBalancer => "balancers",
            Role::Master => "masters",
            Role::Worker => "workers",
        }
    }

    /// Whether a machine is one of them that stays: what is on it is waited for.
    pub fn awaits(&self, name: &Label) -> bool {
        self.nodes.iter().any(|node| node.name == *name) && !self.leaving.contains(name)
    }
}

/// What there is of a cluster to be switched.
#[derive(Debug)]
pub struct There {
    /// The machines, in order: those that are on, where they are to be off.
    pub stages: Vec<Stage>,
    /// Machines that are wanted and not there.
    pub missing: Vec<Label>,
    /// Hosts that can't be reached, and which machines are left as they are therefore: a sentence each.
    pub away: Vec<String>,
    /// What is noted of the machines.
    pub noted: Notes,
    /// What has to be started before machines are.
    pub ground: Plan,
}

impl There {
    /// A step for each machine, phase by phase.
    pub fn rows(&self, action: Action, disruption: Disruption) -> Vec<Row> {
        let stages = self.stages.iter().zip(1..);
        let rows = stages.flat_map(|(stage, phase)| {
            stage.nodes.iter().map(move |node| Row {
                phase,
                ..Row::new(
                    action,
                    Kind::Domain,
                    node.name.as_str(),
                    node.host.to_string(),
                )
                .disturbing(disruption)
            })
        });
        rows.collect()
    }

    /// What is not switched, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let missing = self.missing.iter();
        let missing = missing.map(|name| format!("{name} is not there"));
        self.away.iter().cloned().chain(missing).collect()
    }
}

/// The machines, a line for each kind, and the hosts that can't be reached.
impl fmt::Display for There {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (stage, number) in self.stages.iter().zip(1..) {
            let names: Vec<_> = stage.nodes.iter().map(|node| node.name.as_str()).collect();
            writeln!(f, "  {number}. {:9}  {}", stage.title(), names.join(", "))?;
        }
        self.away
            .iter()
            .try_for_each(|away| writeln!(f, "! {away}"))
    }
}

/// Looks at the machines of a cluster that are to be switched `on` or off, those that leave among them.
pub fn look(cluster: &Cluster, hosts: &Hosts, on: bool) -> Result<There, Error> {
    let observed = observe::look_around(cluster, hosts);
    let leaving = gather::leaving(cluster, &observed);
    let seen = gather::seen(cluster, &observed);
    let power_of = |node: &Node| seen.get(&node.name)?.0;
    let own = cluster.nodes.iter();
    let there = own.filter_map(|node| Some((node.clone(), power_of(node)?)));
    let all = there.chain(leaving.iter().map(|own| (own.node(), own.power)));
    let meant = all.filter(|(_, power)| on || power.is_on());
    let meant: Vec<_> = meant.map(|(node, _)| node).collect();
    let names = |is_meant: &dyn Fn(&Node) -> bool| -> Vec<Label> {
        let nodes = cluster.nodes.iter().filter(|node| is_meant(node));
        nodes.map(|node| node.name.clone()).collect()
    };
    let unseen = names(&|node| !seen.contains_key(&node.name));
    Ok(There {
        stages: stages(on, &meant, &leaving),
        missing: names(&|node| {
            seen.get(&node.name)
                .is_some_and(|(power, _)| power.is_none())
        }),
        away: away(&observed, &unseen),
        noted: observed.notes(&cluster.name),
        ground: match on {
            true => planner::ground(cluster, &observed)?,
            false => Plan::empty(&cluster.name),
        },
    })
}

/// A sentence for each host that was not seen, and one for the machines on them.
fn away(observed: &Observed, unseen: &[Label]) -> Vec<String> {
    let names: Vec<_> = unseen.iter().map(Label::as_str).collect();
    let left = format!("left as they are: {}", names.join(", "));
    let left = Some(left).filter(|_| !names.is_empty());
    observed.problems().into_iter().chain(left).collect()
}

/// A machine that is switched off.
pub(crate) struct Off<'a> {
    /// Its host.
    pub host: &'a Name,
    /// The host's libvirt.
    pub hypervisor: &'a Arc<dyn Hypervisor>,
    /// Whose machine it is.
    pub cluster: &'a Label,
    /// How long it may take.
    pub within: Duration,
    /// Whether it is no longer wanted.
    pub stopped: &'a dyn Fn() -> bool,
}

impl Off<'_> {
    /// Has a machine shut down by its own guest, and waits until it has. Its power is never cut: what the guest has not
    /// written yet would be lost.
    pub(crate) fn switch(&self, name: &Label) -> Result<(), Error> {
        let started = Instant::now();
        let end = started + self.within;
        let mut asked: Option<Instant> = None;
        let mut said = "its host does not answer".to_owned();
        loop {
            let power = self.ask(end, name, |verbs, name| verbs.domain_state(name));
            let Some(power) = power? else {
                return Err(self.still_on(name, said));
            };
            let Some(there) = power?.filter(|there| there.live.is_some()) else {
                return Ok(());
            };
            if asked.is_none() {
                said = "it was asked to shut down and did not go off".to_owned();
            }
            if Instant::now() >= end {
                return Err(self.still_on(name, said));
            }
            if asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN) {
                asked = Some(Instant::now());
                if there.power == PowerState::Paused {
                    let resumed = self.ask(end, name, |verbs, name| verbs.start_domain(name));
                    resumed?.transpose()?;
                }
                // It may have gone off just now; then asking fails, and the next look tells.
                let heard = self.ask(end, name, |verbs, name| verbs.shut_down_domain(name))?;
                if let Some(Err(error)) = heard {
                    said = format!("last answer: {}", told(&error));
                }
                continue;
            }
            // Often at first, so that what goes off at once is not waited for.
            let pause = started.elapsed() / 4 + Duration::from_millis(10);
            // The last look is made before the time is over.
            let left = end.saturating_duration_since(Instant::now());
            std::thread::sleep(pause.min(PAUSE).min(left / 2));
        }
    }

    /// What libvirt answers to a question about a machine until `end`; nothing: it has not answered.
    fn ask<T: Send + 'static>(
        &self,
        end: Instant,
        name: &Label,
        question: impl FnOnce(&dyn Hypervisor, &Label) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Option<Result<T, Error>>, Error> {
        let (verbs, name) = (Arc::clone(self.hypervisor), name.clone());
        let left = end.saturating_duration_since(Instant::now());
        let answer = answer(left, self.stopped, move || question(verbs.as_ref(), &name));
        match (self.stopped)() {
            true => Err(Error::Cancelled),
            false => Ok(answer.map(|answer| answer.map_err(|failure| failure.on(self.host)))),
        }
    }

    fn still_on(&self, name: &Label, answer: String) -> Error {
        let console = evidence_of((self.host, self.hypervisor), self.cluster, name);
        let lines = console.into_iter().map(|line| format!("console: {line}"));
        Error::Timeout {
            what: format!("{name} off"),
            after: self.within,
            evidence: std::iter::once(answer).chain(lines).collect(),
        }
    }
}

/// Has machines shut down by their own guests, all at the same time, and waits for each no longer than `within`. All are waited
/// for before one that did not go off is an error. What is off already is no error.
pub fn shut_down(
    cluster: &Label,
    nodes: &[Node],
    hosts: &Hosts,
    within: Duration,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<(), Error> {
    let stopped = || cancelled.load(Ordering::Relaxed);
    let waits = format!("its guest has been asked (at most {})", humane(within));
    let switched = in_threads(AT_ONCE, nodes, |node| {
        let what = format!("shut down {}", node.name);
        on_event(Event::Started { what: what.clone() });
        let why = waits.clone();
        on_event(Event::Waiting {
            what: what.clone(),
            why,
        });
        let off = hosts.get(&node.host).and_then(|hypervisor| {
            let off = Off {
                host: &node.host,
                hypervisor,
                cluster,
                within,
                stopped: &stopped,
            };
            off.switch(&node.name)
        });
        fail::fail_point!("provision::switched");
        on_event(Event::ended(what, &off));
        off
    });
    all(switched)
}

/// Starts machines that are off, and resumes those that are paused; what became of each, in their order.
pub fn start(
    nodes: &[Node],
    hosts: &Hosts,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Vec<Result<(), Error>> {
    in_threads(AT_ONCE, nodes, |node| {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        let what = format!("start {}", node.name);
        on_event(Event::Started { what: what.clone() });
        let on = hosts.get(&node.host).and_then(|hypervisor| {
            let started = hypervisor.start_domain(&node.name);
            started.map_err(|failure| failure.on(&node.host))
        });
        fail::fail_point!("provision::switched");
        on_event(Event::ended(what, &on));
        on
    })
}

/// One error of a machine that stays on, or several as one.
fn all(results: Vec<Result<(), Error>>) -> Result<(), Error> {
    let mut errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    if errors.iter().any(|error| matches!(error, Error::Cancelled)) {
        return Err(Error::Cancelled);
    }
    match errors.pop() {
        None => Ok(()),
        Some(only) if errors.is_empty() => Err(only),
        Some(last) => {
            errors.push(last);
            Err(Error::StillOn(errors))
        }
    }
}
