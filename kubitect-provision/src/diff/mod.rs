//! (Desired, Observed) → [`Plan`]. Pure.

mod added;
pub(crate) mod disk;
mod domain;
mod network;
mod pool;
mod saved;
mod strange;
mod unwanted;

use std::collections::BTreeSet;

use kubitect_config::value::{Label, Name};
use kubitect_config::{Refusal, RefusalKind};

use crate::change::{Action, Change, Disruption, Kind, Part, Spared, Step};
use crate::desired::{Desired, DesiredHost, Machine};
use crate::error::Error;
use crate::observe::{DomainState, HostState, Observed, PowerState};
use crate::plan::Plan;
use crate::resource::{Mark, Network};

/// What leads from what is observed to what is desired; an error if something foreign stands in the way.
pub fn diff(cluster: &Label, desired: &Desired, observed: &Observed) -> Result<Plan, Error> {
    let nothing = HostState::default();
    let machines = || desired.hosts.values().flat_map(|host| &host.machines);
    let wanted: BTreeSet<&str> = machines().map(|m| m.domain.name.as_str()).collect();
    let elsewhere = |name: &Name| {
        let others = desired.hosts.iter().filter(|(other, _)| *other != name);
        let machines = others.flat_map(|(_, host)| &host.machines);
        let mut volumes = observed.disks_elsewhere(name, |_| true);
        volumes.extend(machines.flat_map(Machine::volumes).map(str::to_owned));
        let machines = BTreeSet::new();
        Spared { volumes, machines }
    };
    let mut changes = Vec::new();
    for (name, host) in &desired.hosts {
        let mut there = observed.hosts.get(name).unwrap_or(&nothing).clone();
        let cut_off = cut_off(cluster, host, &mut there);
        let elsewhere = elsewhere(name);
        let mut diff = HostDiff::new(cluster, name, &there, &wanted, &elsewhere);
        diff.switch_off(cut_off);
        let others = observed.hosts.iter().filter(|(other, _)| *other != name);
        diff.run(host, &others.collect::<Vec<_>>())?;
        changes.append(&mut diff.changes);
    }
    for (name, there) in &observed.hosts {
        if !desired.hosts.contains_key(name) {
            let elsewhere = elsewhere(name);
            let mut diff = HostDiff::new(cluster, name, there, &wanted, &elsewhere);
            diff.abandoned()?;
            changes.append(&mut diff.changes);
        }
    }
    // Stable: within a part, the order stays.
    changes.sort_by_key(|change| change.part);
    Ok(Plan {
        cluster: cluster.clone(),
        changes,
    })
}

struct HostDiff<'a> {
    cluster: &'a Label,
    host: &'a Name,
    there: &'a HostState,
    /// The names of all machines that are wanted, on whichever host.
    wanted: &'a BTreeSet<&'a str>,
    /// What is other hosts': in a folder that hosts share, this host has it, too.
    elsewhere: &'a Spared,
    /// Machines with disks that can't be attached while they run.
    waiting: Vec<(Label, String)>,
    changes: Vec<Change>,
}

/// The machines that run and are plugged into a network which is down. libvirt does not plug them in again when it starts
/// the network: that takes a new start of theirs, so that all else sees them as if they were off already.
///
/// With each stands what it has only while it runs.
fn cut_off(
    cluster: &Label,
    wanted: &DesiredHost,
    there: &mut HostState,
) -> Vec<(Label, Vec<String>)> {
    let down = |network: &Network| there.network(&network.name).is_none_or(|n| !n.active);
    if !wanted.network.as_ref().is_some_and(down) {
        return Vec::new();
    }
    let mut names = Vec::new();
    for machine in &wanted.machines {
        let name = &machine.domain.name;
        let mut domains = there.domains.iter_mut();
        let found = domains.find(|d| d.name == name.as_str() && d.is_of(cluster));
        if let Some(domain) = found.filter(|domain| domain.live.is_some()) {
            let lost = added::only_live(&machine.domain, domain);
            domain.live = None;
            domain.power = PowerState::Off;
            names.push((name.clone(), lost));
        }
    }
    names
}

impl<'a> HostDiff<'a> {
    fn new(
        cluster: &'a Label,
        host: &'a Name,
        there: &'a HostState,
        wanted: &'a BTreeSet<&'a str>,
        elsewhere: &'a Spared,
    ) -> Self {
        Self {
            cluster,
            host,
            there,
            wanted,
            elsewhere,
            waiting: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn switch_off(&mut self, names: Vec<(Label, Vec<String>)>) {
        for (name, lost) in names {
            let text = name.to_string();
            let details = "its network is down, and only a new start plugs it in again";
            let step = Step::ShutDownDomain(name);
            let change = self.push(Action::Update, Kind::Domain, &text, details, step);
            change.disruption = Disruption::Reboot;
            added::say_lost(change, &lost);
        }
    }

    fn run(&mut self, wanted: &DesiredHost, others: &[(&Name, &HostState)]) -> Result<(), Error> {
        if let Some(network) = &wanted.network {
            self.network(network, &wanted.machines)?;
        }
        for pool in &wanted.pools {
            self.pool(pool, true)?;
        }
        self.hollow(wanted);
        if self.changes.iter().any(|c| c.refusal().is_some()) {
            // With the network or a pool elsewhere or not mounted, every machine would differ.
            return Ok(());
        }
        self.image(wanted)?;
        let mut here = Vec::new();
        for machine in &wanted.machines {
            self.check_own(machine)?;
            match self.elsewhere(machine, others) {
                Some(host) => self.moved(machine, host),
                None => here.push(machine),
            }
        }
        let first = self.changes.len();
        for machine in &here {
            self.disks(machine, wanted)?;
        }
        for machine in &here {
            self.domain(machine);
            self.take_in_use(machine);
        }
        self.wake(&here, first);
        self.unwanted(wanted);
        Ok(())
    }

    /// Adds a change that disturbs nothing, unless whoever calls says otherwise of what is returned.
    fn push(
        &mut self,
        action: Action,
        kind: Kind,
        name: &str,
        details: impl Into<String>,
        step: Step,
    ) -> &mut Change {
        self.changes.push(Change {
            action,
            kind,
            name: name.to_owned(),
            host: self.host.clone(),
            disruption: Disruption::None,
            details: details.into(),
            loses: false,
            part: Part::Make,
            step,
        });
        let last = self.changes.len() - 1;
        &mut self.changes[last]
    }

    /// Adds a change that can't be made.
    fn refuse(&mut self, action: Action, kind: Kind, name: &str, refusal: Refusal) {
        let details = format!("{}; {}", refusal.why, refusal.instead);
        let step = Step::Refused(Box::new(refusal));
        let change = self.push(action, kind, name, details, step);
        let (title, host) = (change.title(), change.host.to_string());
        if let Step::Refused(refusal) = &mut change.step {
            refusal.what = title;
            refusal.host = Some(host);
            let machine = Some(name.to_owned()).filter(|_| kind == Kind::Domain);
            refusal.machines.extend(machine);
        }
    }

    fn foreign(&self, kind: &'static str, name: &str, why: String) -> Error {
        Error::Foreign {
            host: self.host.to_string(),
            kind,
            name: name.to_owned(),
            why,
        }
    }

    /// An error unless the mark is this cluster's.
    fn check_mark(&self, kind: &'static str, name: &str, mark: Option<&Mark>) -> Result<(), Error> {
        match mark {
            Some(mark) if mark.cluster == *self.cluster => Ok(()),
            Some(mark) => Err(self.foreign(
                kind,
                name,
                format!("it belongs to cluster {}", mark.cluster),
            )),
            None => Err(self.foreign(kind, name, "it has no mark of Kubitect".to_owned())),
        }
    }

    fn check_own(&self, machine: &Machine) -> Result<(), Error> {
        let name = machine.domain.name.as_str();
        match self.there.domain(name) {
            Some(there) => self.check_mark("domain", name, there.mark.as_ref()),
            None => Ok(()),
        }
    }

    /// The other host that this machine is on.
    fn elsewhere<'o>(
        &self,
        machine: &Machine,
        others: &[(&'o Name, &HostState)],
    ) -> Option<&'o Name> {
        let name = machine.domain.name.as_str();
        let has = |there: &HostState| there.domain(name).is_some_and(|d| d.is_of(self.cluster));
        others
            .iter()
            .find(|(_, there)| has(there))
            .map(|(host, _)| *host)
    }

    fn moved(&mut self, machine: &Machine, host: &Name) {
        let why = format!("it is on host {host}, and machines are not moved between hosts");
        let instead = format!(
            "add a node of another id on {}, then remove this one, or put its host back",
            self.host
        );
        let refusal = Refusal::new(RefusalKind::Host, why, instead).from_to(host, self.host);
        let name = machine.domain.name.as_str();
        self.refuse(Action::Replace, Kind::Domain, name, refusal);
    }

    /// The machine's domain, unless there is none or it must be recreated because its main disk is gone.
    fn kept(&self, machine: &Machine) -> Option<&'a DomainState> {
        let there = self.there.domain(machine.domain.name.as_str())?;
        let main = &machine.main;
        // Only a pool that is started tells what is missing in it.
        let lost = self
            .there
            .pool(&main.pool)
            .is_some_and(|pool| pool.active && pool.volume(&main.name).is_none());
        (!lost).then_some(there)
    }
}

/// Bytes as GiB, exactly where that is possible.
fn gib(bytes: u64) -> String {
    if bytes.trailing_zeros() >= 30 {
        format!("{} GiB", bytes >> 30)
    } else {
        format!("{bytes} bytes")
    }
}
