//! Switching machines off, by their own guests, and on again: several at the same time. Their definitions are not changed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kubitect_config::Cluster;
use kubitect_config::cluster::{Node, Role};
use kubitect_config::row::{Action, Disruption, Kind, Row};
use kubitect_config::value::{Label, Name};
use kubitect_config::waiting::{AT_ONCE, in_threads};

use crate::blocking::run_within;
use crate::error::{Error, chain, human_duration};
use crate::event::Event;
use crate::gather::{self, Leaving};
use crate::hypervisor::{Failure, Hosts, Hypervisor};
use crate::machine::evidence_of;
use crate::observe::{self, Notes, Observed, PowerState};
use crate::plan::Plan;
use crate::planner;

/// The time limit of a shutdown. It is long because services have grace periods, machines may be emulated, and the host may be
/// busy.
pub const OFF_WAIT: Duration = Duration::from_secs(5 * 60);

/// The time after which a guest that is still on is asked again: one that is booting ignores the first request.
const ASK_AGAIN: Duration = Duration::from_secs(20);
/// The longest time between two checks whether it is off.
const PAUSE: Duration = Duration::from_secs(2);

/// All machines of one role, which are switched together: so that the masters, and with them a majority of etcd, start together.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Their role.
    pub role: Role,
    /// The machines.
    pub nodes: Vec<Node>,
    /// The names of all machines that leave the cluster: Kubernetes on them is not waited for.
    leaving: Vec<Label>,
}

/// The stages of these machines, in order. Off: workers, masters, balancers, so that pods end while the API still serves. `on`:
/// the reverse.
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
        leaving: leaving.iter().map(|machine| machine.name.clone()).collect(),
    };
    let stages = roles.into_iter().map(stage);
    stages.filter(|stage| !stage.nodes.is_empty()).collect()
}

impl Stage {
    /// The name of the role, in the plural.
    pub fn title(&self) -> &'static str {
        match self.role {
            Role::LoadBalancer => "balancers",
            Role::Master => "masters",
            Role::Worker => "workers",
        }
    }

    /// Whether a machine is of this stage and stays in the cluster: Kubernetes on it is waited for.
    pub fn awaits(&self, name: &Label) -> bool {
        self.nodes.iter().any(|node| node.name == *name) && !self.leaving.contains(name)
    }
}

/// The machines of a cluster that a stop or start switches.
#[derive(Debug)]
pub struct MachinesToSwitch {
    /// The machines, in order; for a stop only those that are on.
    pub stages: Vec<Stage>,
    /// Machines that the configuration names and that do not exist.
    pub missing: Vec<Label>,
    /// A sentence for each host that can't be reached, and one for the machines there, which are not switched.
    pub unreachable: Vec<String>,
    /// The notes of the machines.
    pub noted: Notes,
    /// The networks and pools that have to be started before machines.
    pub prerequisites: Plan,
}

impl MachinesToSwitch {
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

    /// A sentence for each machine or host that is not switched.
    pub fn notes(&self) -> Vec<String> {
        let missing = self.missing.iter();
        let missing = missing.map(|name| format!("{name} is not there"));
        self.unreachable.iter().cloned().chain(missing).collect()
    }
}

/// The machines, a line for each stage, and the hosts that can't be reached.
impl fmt::Display for MachinesToSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (stage, number) in self.stages.iter().zip(1..) {
            let names: Vec<_> = stage.nodes.iter().map(|node| node.name.as_str()).collect();
            writeln!(f, "  {number}. {:9}  {}", stage.title(), names.join(", "))?;
        }
        self.unreachable
            .iter()
            .try_for_each(|sentence| writeln!(f, "! {sentence}"))
    }
}

/// Observes the machines of a cluster that are to be switched `on` or off, also those that leave the cluster.
pub fn observe(cluster: &Cluster, hosts: &Hosts, on: bool) -> Result<MachinesToSwitch, Error> {
    let observed = observe::observe_reachable(cluster, hosts);
    let leaving = gather::leaving(cluster, &observed);
    let machines = gather::observed_machines(cluster, &observed);
    let power_of = |node: &Node| machines.get(&node.name)?.0;
    let wanted = cluster.nodes.iter();
    let existing = wanted.filter_map(|node| Some((node.clone(), power_of(node)?)));
    let all = existing.chain(leaving.iter().map(|m| (m.node(), m.power)));
    let switched = all.filter(|(_, power)| on || power.is_on());
    let switched: Vec<_> = switched.map(|(node, _)| node).collect();
    let names = |filter: &dyn Fn(&Node) -> bool| -> Vec<Label> {
        let nodes = cluster.nodes.iter().filter(|node| filter(node));
        nodes.map(|node| node.name.clone()).collect()
    };
    let unknown = names(&|node| !machines.contains_key(&node.name));
    Ok(MachinesToSwitch {
        stages: stages(on, &switched, &leaving),
        missing: names(&|node| {
            machines
                .get(&node.name)
                .is_some_and(|(power, _)| power.is_none())
        }),
        unreachable: unreachable(&observed, &unknown),
        noted: observed.notes(&cluster.name),
        prerequisites: match on {
            true => planner::prerequisites(cluster, &observed)?,
            false => Plan::empty(&cluster.name),
        },
    })
}

/// A sentence for each host that can't be reached, and one for the machines there.
fn unreachable(observed: &Observed, unknown: &[Label]) -> Vec<String> {
    let names: Vec<_> = unknown.iter().map(Label::as_str).collect();
    let machines = format!("left as they are: {}", names.join(", "));
    let machines = Some(machines).filter(|_| !names.is_empty());
    observed.problems().into_iter().chain(machines).collect()
}

/// The shutdown of a machine by its guest.
pub(crate) struct ShutDown<'a> {
    /// Its host.
    pub host: &'a Name,
    /// The host's libvirt.
    pub hypervisor: &'a Arc<dyn Hypervisor>,
    /// The machine's cluster.
    pub cluster: &'a Label,
    /// The time limit.
    pub within: Duration,
    /// Whether the run is to stop.
    pub stopped: &'a dyn Fn() -> bool,
}

impl ShutDown<'_> {
    /// Asks the guest of a machine to shut down, and waits until the machine is off. The power is never cut: data that the guest
    /// has not yet written to its disks would be lost.
    pub(crate) fn run(&self, name: &Label) -> Result<(), Error> {
        let started = Instant::now();
        let end = started + self.within;
        let mut asked: Option<Instant> = None;
        let mut reason = "its host does not answer".to_owned();
        loop {
            let power = self.call(end, name, |verbs, name| verbs.domain_state(name));
            let Some(power) = power? else {
                return Err(self.still_on(name, reason));
            };
            let Some(domain) = power?.filter(|domain| domain.live.is_some()) else {
                return Ok(());
            };
            if asked.is_none() {
                reason = "it was asked to shut down and did not go off".to_owned();
            }
            if Instant::now() >= end {
                return Err(self.still_on(name, reason));
            }
            if asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN) {
                asked = Some(Instant::now());
                if domain.power == PowerState::Paused {
                    let resumed = self.call(end, name, |verbs, name| verbs.start_domain(name));
                    resumed?.transpose()?;
                }
                // If it has gone off meanwhile, the request fails, and the next check sees that it is off.
                let answer = self.call(end, name, |verbs, name| verbs.shut_down_domain(name))?;
                if let Some(Err(error)) = answer {
                    reason = format!("last answer: {}", chain(&error));
                }
                continue;
            }
            // The time between checks grows, so that a machine that goes off at once is not waited for.
            let pause = started.elapsed() / 4 + Duration::from_millis(10);
            // At most half of the remaining time, so that a last check comes before the end.
            let remaining = end.saturating_duration_since(Instant::now());
            std::thread::sleep(pause.min(PAUSE).min(remaining / 2));
        }
    }

    /// The result of a call of libvirt's about a machine; none: it has not answered until `end`.
    fn call<T: Send + 'static>(
        &self,
        end: Instant,
        name: &Label,
        call: impl FnOnce(&dyn Hypervisor, &Label) -> Result<T, Failure> + Send + 'static,
    ) -> Result<Option<Result<T, Error>>, Error> {
        let (verbs, name) = (Arc::clone(self.hypervisor), name.clone());
        let remaining = end.saturating_duration_since(Instant::now());
        let answer = run_within(remaining, self.stopped, move || call(verbs.as_ref(), &name));
        match (self.stopped)() {
            true => Err(Error::Cancelled),
            false => Ok(answer.map(|answer| answer.map_err(|failure| failure.on(self.host)))),
        }
    }

    fn still_on(&self, name: &Label, reason: String) -> Error {
        let console = evidence_of((self.host, self.hypervisor), self.cluster, name);
        let lines = console.into_iter().map(|line| format!("console: {line}"));
        Error::Timeout {
            what: format!("{name} off"),
            after: self.within,
            evidence: std::iter::once(reason).chain(lines).collect(),
        }
    }
}

/// Asks the guests of machines to shut down, all at the same time, and waits for each at most `within`. The error comes after all
/// were waited for. A machine that is off already is no error.
pub fn shut_down(
    cluster: &Label,
    nodes: &[Node],
    hosts: &Hosts,
    within: Duration,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<(), Error> {
    let stopped = || cancelled.load(Ordering::Relaxed);
    let most = human_duration(within);
    let message = format!("its guest has been asked (at most {most})");
    let switched = in_threads(AT_ONCE, nodes, |node| {
        let what = format!("shut down {}", node.name);
        on_event(Event::Started { what: what.clone() });
        let why = message.clone();
        on_event(Event::Waiting {
            what: what.clone(),
            why,
        });
        let off = hosts.get(&node.host).and_then(|hypervisor| {
            let shut_down = ShutDown {
                host: &node.host,
                hypervisor,
                cluster,
                within,
                stopped: &stopped,
            };
            shut_down.run(&node.name)
        });
        fail::fail_point!("provision::switched");
        on_event(Event::ended(what, &off));
        off
    });
    summarize(switched)
}

/// Starts machines that are off, and resumes those that are paused; the result of each, in their order.
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

/// No error, the error of one machine, or those of several as one.
fn summarize(results: Vec<Result<(), Error>>) -> Result<(), Error> {
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
