//! The difference between [`Desired`] and [`Observed`] as a [`Plan`]. Pure: it neither asks a host nor changes one.

mod added;
pub(crate) mod disk;
mod domain;
mod foreign;
mod network;
mod pool;
mod saved;
mod unwanted;

use std::collections::BTreeSet;

use kubitect_config::value::{Label, Name};
use kubitect_config::{Refusal, RefusalKind};

use crate::change::{Action, Change, Disruption, Kind, Part, Protected, Step};
use crate::desired::{Desired, DesiredHost, Machine};
use crate::error::Error;
use crate::observe::{DomainState, HostState, Observed, PowerState};
use crate::plan::Plan;
use crate::resource::{Mark, Network};

/// The changes that lead from the observed to the desired state; an error if something that is not this cluster's has one of its
/// names.
pub fn diff(cluster: &Label, desired: &Desired, observed: &Observed) -> Result<Plan, Error> {
    let empty = HostState::default();
    let machines = || desired.hosts.values().flat_map(|host| &host.machines);
    let names: BTreeSet<&str> = machines().map(|m| m.domain.name.as_str()).collect();
    let on_other_hosts = |name: &Name| {
        let others = desired.hosts.iter().filter(|(other, _)| *other != name);
        let machines = others.flat_map(|(_, host)| &host.machines);
        let mut volumes = observed.disks_on_other_hosts(name, |_| true);
        volumes.extend(machines.flat_map(Machine::volumes).map(str::to_owned));
        let machines = BTreeSet::new();
        Protected { volumes, machines }
    };
    let mut changes = Vec::new();
    for (name, host) in &desired.hosts {
        let mut state = observed.hosts.get(name).unwrap_or(&empty).clone();
        let disconnected = treat_disconnected_as_off(cluster, host, &mut state);
        let protected = on_other_hosts(name);
        let mut diff = HostDiff::new(cluster, name, &state, &names, &protected);
        diff.shut_down_disconnected(disconnected);
        let others = observed.hosts.iter().filter(|(other, _)| *other != name);
        diff.run(host, &others.collect::<Vec<_>>())?;
        changes.append(&mut diff.changes);
    }
    for (name, state) in &observed.hosts {
        if !desired.hosts.contains_key(name) {
            let protected = on_other_hosts(name);
            let mut diff = HostDiff::new(cluster, name, state, &names, &protected);
            diff.abandoned()?;
            changes.append(&mut diff.changes);
        }
    }
    // The sort is stable: within a part the order stays, which says what depends on what.
    changes.sort_by_key(|change| change.part);
    Ok(Plan {
        cluster: cluster.clone(),
        changes,
    })
}

/// The difference on one host, as far as it is worked out.
struct HostDiff<'a> {
    cluster: &'a Label,
    host: &'a Name,
    observed: &'a HostState,
    /// The names of all desired machines, of every host.
    desired_names: &'a BTreeSet<&'a str>,
    /// What must not be removed here, since it is another host's: hosts that share a folder see the same volumes.
    protected: &'a Protected,
    /// Disks that can't be hot-plugged, since their machine has no free port: machine and volume.
    without_port: Vec<(Label, String)>,
    changes: Vec<Change>,
}

/// Marks machines that run on a network which is down as off, and returns them, each with what it has only while it runs.
///
/// libvirt does not connect a running machine again when it starts its network: that takes a restart of the machine. So these are
/// shut down first, and the rest of the diff sees them as if they were off already.
fn treat_disconnected_as_off(
    cluster: &Label,
    desired: &DesiredHost,
    observed: &mut HostState,
) -> Vec<(Label, Vec<String>)> {
    let is_down = |network: &Network| observed.network(&network.name).is_none_or(|n| !n.active);
    if !desired.network.as_ref().is_some_and(is_down) {
        return Vec::new();
    }
    let mut disconnected = Vec::new();
    for machine in &desired.machines {
        let name = &machine.domain.name;
        let mut domains = observed.domains.iter_mut();
        let found = domains.find(|d| d.name == name.as_str() && d.is_of(cluster));
        if let Some(domain) = found.filter(|domain| domain.live.is_some()) {
            let lost = added::live_only(&machine.domain, domain);
            domain.live = None;
            domain.power = PowerState::Off;
            disconnected.push((name.clone(), lost));
        }
    }
    disconnected
}

impl<'a> HostDiff<'a> {
    fn new(
        cluster: &'a Label,
        host: &'a Name,
        observed: &'a HostState,
        desired_names: &'a BTreeSet<&'a str>,
        protected: &'a Protected,
    ) -> Self {
        Self {
            cluster,
            host,
            observed,
            desired_names,
            protected,
            without_port: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn shut_down_disconnected(&mut self, machines: Vec<(Label, Vec<String>)>) {
        for (name, lost) in machines {
            let text = name.to_string();
            let details = "its network is down, and only a new start plugs it in again";
            let step = Step::ShutDownDomain(name);
            let change = self.push(Action::Update, Kind::Domain, &text, details, step);
            change.disruption = Disruption::Reboot;
            added::report_lost(change, &lost);
        }
    }

    /// Network and pools come first, since machines need them; then disks, since a machine is defined with them; what is no longer
    /// desired comes last.
    fn run(&mut self, desired: &DesiredHost, others: &[(&Name, &HostState)]) -> Result<(), Error> {
        if let Some(network) = &desired.network {
            self.network(network, &desired.machines)?;
        }
        for pool in &desired.pools {
            self.pool(pool, true)?;
        }
        self.refuse_empty_pools(desired);
        if self.changes.iter().any(|c| c.refusal().is_some()) {
            // Without its network, or with a pool in another folder or not mounted, every machine would differ: only this first
            // cause is shown.
            return Ok(());
        }
        self.image(desired)?;
        let mut machines = Vec::new();
        for machine in &desired.machines {
            self.check_domain(machine)?;
            match self.other_host_of(machine, others) {
                Some(host) => self.refuse_move(machine, host),
                None => machines.push(machine),
            }
        }
        let first = self.changes.len();
        for machine in &machines {
            self.disks(machine, desired)?;
        }
        for machine in &machines {
            self.domain(machine);
            self.take_in_use(machine);
        }
        self.shut_down_saved(&machines, first);
        self.unwanted(desired);
        Ok(())
    }

    /// Adds a change of the first part that disturbs nothing, and returns it, so that the caller can set what differs.
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

    /// Adds a change that can't be made: with it, the whole plan is refused.
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

    /// The error of something that has a name of this cluster and is not its own.
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

    /// An error if a domain has this machine's name and is not this cluster's.
    fn check_domain(&self, machine: &Machine) -> Result<(), Error> {
        let name = machine.domain.name.as_str();
        match self.observed.domain(name) {
            Some(domain) => self.check_mark("domain", name, domain.mark.as_ref()),
            None => Ok(()),
        }
    }

    /// The other host that this machine is on.
    fn other_host_of<'o>(
        &self,
        machine: &Machine,
        others: &[(&'o Name, &HostState)],
    ) -> Option<&'o Name> {
        let name = machine.domain.name.as_str();
        let has = |host: &HostState| host.domain(name).is_some_and(|d| d.is_of(self.cluster));
        others
            .iter()
            .find(|(_, state)| has(state))
            .map(|(host, _)| *host)
    }

    /// Refuses to move a machine that is on this other host: its disks lie there, and disks are not copied between hosts.
    fn refuse_move(&mut self, machine: &Machine, host: &Name) {
        let why = format!("it is on host {host}, and machines are not moved between hosts");
        let instead = format!(
            "add a node of another id on {}, then remove this one, or put its host back",
            self.host
        );
        let refusal = Refusal::new(RefusalKind::Host, why, instead).from_to(host, self.host);
        let name = machine.domain.name.as_str();
        self.refuse(Action::Replace, Kind::Domain, name, refusal);
    }

    /// The machine's domain, if it stays: none if it does not exist, or must be recreated because its main disk is lost.
    fn retained_domain(&self, machine: &Machine) -> Option<&'a DomainState> {
        let domain = self.observed.domain(machine.domain.name.as_str())?;
        let main = &machine.main;
        // A stopped pool lists no volume: only in a started one is a missing volume lost.
        let is_lost = self
            .observed
            .pool(&main.pool)
            .is_some_and(|pool| pool.active && pool.volume(&main.name).is_none());
        (!is_lost).then_some(domain)
    }
}

/// Bytes as GiB where they are whole GiB, else as bytes: a size is never rounded.
fn gib(bytes: u64) -> String {
    if bytes.trailing_zeros() >= 30 {
        format!("{} GiB", bytes >> 30)
    } else {
        format!("{bytes} bytes")
    }
}
