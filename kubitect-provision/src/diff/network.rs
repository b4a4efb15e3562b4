//! The cluster's network, and the addresses that it reserves for machines.

use ipnet::Ipv4Net;
use kubitect_config::{Refusal, RefusalKind};

use super::HostDiff;
use crate::change::{Action, Kind, Step};
use crate::desired::Machine;
use crate::error::Error;
use crate::names::node_suffix;
use crate::observe::NetworkState;
use crate::resource::{Forward, Network, Reservation};

impl HostDiff<'_> {
    /// Creates or starts the network, and changes its reservations. A network with another definition is refused: libvirt could
    /// change it only by a new one, which the guests, configured at their first boot, would not know.
    pub(super) fn network(&mut self, desired: &Network, machines: &[Machine]) -> Result<(), Error> {
        let Some(observed) = self.observed.network(&desired.name) else {
            self.check_range(desired)?;
            let mode = match desired.forward {
                Forward::Nat => "nat",
                Forward::Route => "route",
            };
            let details = format!("{mode} {}", desired.cidr);
            let step = Step::CreateNetwork(desired.clone());
            self.push(Action::Create, Kind::Network, &desired.name, details, step);
            return Ok(());
        };
        self.check_mark("network", &desired.name, observed.mark.as_ref())?;
        if observed.mark.as_ref().map(|mark| &mark.digest) != Some(&desired.mark().digest) {
            let differs = match observed.cidr {
                Some(cidr) if cidr != desired.cidr.trunc() => {
                    format!("its range is {cidr}, wanted {}", desired.cidr)
                }
                _ => "its mode, gateway, bridge or virtual address differs".to_owned(),
            };
            let why = format!("{differs}; machines keep the network that they were made with");
            let instead = "put the old values back, or destroy the cluster and apply again";
            let refusal = Refusal::new(RefusalKind::Network, why, instead);
            self.refuse(Action::Update, Kind::Network, &desired.name, refusal);
            return Ok(());
        }
        self.reservations(desired, observed, machines);
        if !observed.active {
            self.check_range(desired)?;
            let step = Step::StartNetwork(desired.name.clone());
            self.push(Action::Start, Kind::Network, &desired.name, "", step);
        }
        Ok(())
    }

    fn reservations(&mut self, desired: &Network, observed: &NetworkState, machines: &[Machine]) {
        // Of a machine that no longer exists. One that exists and is to leave loses its reservation last, when it is removed.
        let is_stale = |r: &Reservation| {
            node_suffix(self.cluster.as_str(), r.name.as_str()).is_some()
                && !machines.iter().any(|m| m.domain.mac == r.mac)
                && self.observed.domain(r.name.as_str()).is_none()
        };
        let (stale, retained): (Vec<_>, Vec<_>) =
            observed.reservations.iter().cloned().partition(is_stale);
        // A machine that exists and has a reservation keeps it here: whether its address may change is decided with its definition
        // (`network_mismatch`).
        let has_own = |r: &Reservation| {
            let has_one = retained.iter().any(|own| own.mac == r.mac);
            let machine = machines.iter().find(|m| m.domain.name == r.name);
            has_one && machine.is_some_and(|machine| self.retained_domain(machine).is_some())
        };
        let missing: Vec<_> = desired
            .reservations
            .iter()
            .filter(|r| !retained.contains(r) && !has_own(r))
            .cloned()
            .collect();
        let taken = missing.iter().find_map(|r| {
            let mut retained = retained.iter();
            let other = retained.find(|other| other.ip == r.ip && other.mac != r.mac)?;
            Some((r.clone(), other.name.clone()))
        });
        let name = &desired.name;
        if let Some((reservation, other)) = taken {
            let Reservation { ip, name: own, .. } = &reservation;
            let why = format!("{ip} is reserved for {other} and can't be {own}'s");
            let instead =
                format!("give it another address, or remove {other} and apply before adding it");
            let refusal = Refusal::new(RefusalKind::Address, why, instead).on(own);
            self.refuse(Action::Update, Kind::Network, name, refusal);
            return;
        }
        if !stale.is_empty() {
            let details = format!(
                "remove the reservation of {}",
                describe_reservations(&stale)
            );
            let step = Step::Unreserve(name.clone(), stale);
            self.push(Action::Update, Kind::Network, name, details, step);
        }
        if !missing.is_empty() {
            let details = format!("reserve {}", describe_reservations(&missing));
            let step = Step::Reserve(name.clone(), missing);
            self.push(Action::Update, Kind::Network, name, details, step);
        }
    }

    /// An error if a network that is to be started overlaps another network of libvirt, or a route of the host.
    fn check_range(&self, desired: &Network) -> Result<(), Error> {
        let overlaps = |a: &Ipv4Net, b: &Ipv4Net| a.contains(b) || b.contains(a);
        let networks = self
            .observed
            .networks
            .iter()
            .filter(|network| network.name != desired.name);
        let network = networks
            .filter_map(|network| Some((network.cidr?, &network.name)))
            .find(|(cidr, _)| overlaps(cidr, &desired.cidr))
            .map(|(cidr, name)| format!("libvirt's network {name} ({cidr})"));
        // A wider route, as to a company's network, is no conflict: the kernel prefers the cluster's narrower one.
        let route = || {
            let mut routes = self.observed.capability.routes.iter();
            routes
                .find(|(net, _)| desired.cidr.contains(net))
                .map(|(net, interface)| format!("the host's route to {net} by {interface}"))
        };
        match network.or_else(route) {
            Some(other) => Err(Error::RangeTaken {
                host: self.host.to_string(),
                cidr: desired.cidr.to_string(),
                other,
            }),
            None => Ok(()),
        }
    }
}

/// Reservations as text: each address with its machine.
pub(super) fn describe_reservations(reservations: &[Reservation]) -> String {
    let all: Vec<_> = reservations
        .iter()
        .map(|r| format!("{} for {}", r.ip, r.name))
        .collect();
    all.join(", ")
}
