//! The cluster's network, and the addresses that it keeps for machines.

use ipnet::Ipv4Net;
use kubitect_config::{Refusal, RefusalKind};

use super::HostDiff;
use crate::change::{Action, Kind, Step};
use crate::desired::Machine;
use crate::error::Error;
use crate::names::of_node;
use crate::observe::NetworkState;
use crate::resource::{Forward, Network, Reservation};

impl HostDiff<'_> {
    pub(super) fn network(&mut self, wanted: &Network, machines: &[Machine]) -> Result<(), Error> {
        let Some(there) = self.there.network(&wanted.name) else {
            self.check_range(wanted)?;
            let mode = match wanted.forward {
                Forward::Nat => "nat",
                Forward::Route => "route",
            };
            let details = format!("{mode} {}", wanted.cidr);
            let step = Step::CreateNetwork(wanted.clone());
            self.push(Action::Create, Kind::Network, &wanted.name, details, step);
            return Ok(());
        };
        self.check_mark("network", &wanted.name, there.mark.as_ref())?;
        if there.mark.as_ref().map(|mark| &mark.digest) != Some(&wanted.mark().digest) {
            let differs = match there.cidr {
                Some(cidr) if cidr != wanted.cidr.trunc() => {
                    format!("its range is {cidr}, wanted {}", wanted.cidr)
                }
                _ => "its mode, gateway, bridge or virtual address differs".to_owned(),
            };
            let why = format!("{differs}; machines keep the network that they were made with");
            let instead = "put the old values back, or destroy the cluster and apply again";
            let refusal = Refusal::new(RefusalKind::Network, why, instead);
            self.refuse(Action::Update, Kind::Network, &wanted.name, refusal);
            return Ok(());
        }
        self.reservations(wanted, there, machines);
        if !there.active {
            self.check_range(wanted)?;
            let step = Step::StartNetwork(wanted.name.clone());
            self.push(Action::Start, Kind::Network, &wanted.name, "", step);
        }
        Ok(())
    }

    fn reservations(&mut self, wanted: &Network, there: &NetworkState, machines: &[Machine]) {
        // Left by machines of ours that are gone; those that still leave keep theirs until they have.
        let is_stale = |kept: &Reservation| {
            of_node(self.cluster.as_str(), kept.name.as_str()).is_some()
                && !machines.iter().any(|m| m.domain.mac == kept.mac)
                && self.there.domain(kept.name.as_str()).is_none()
        };
        let (stale, kept): (Vec<_>, Vec<_>) =
            there.reservations.iter().cloned().partition(is_stale);
        // A living machine's address is judged where its definition is.
        let lives = |r: &Reservation| {
            let has_one = kept.iter().any(|kept| kept.mac == r.mac);
            let made = machines.iter().find(|m| m.domain.name == r.name);
            has_one && made.is_some_and(|machine| self.kept(machine).is_some())
        };
        let missing: Vec<_> = wanted
            .reservations
            .iter()
            .filter(|r| !kept.contains(r) && !lives(r))
            .cloned()
            .collect();
        let taken = missing.iter().find_map(|r| {
            let other = kept.iter().find(|k| k.ip == r.ip && k.mac != r.mac)?;
            Some((r.clone(), other.name.clone()))
        });
        let name = &wanted.name;
        if let Some((reservation, other)) = taken {
            let Reservation { ip, name: own, .. } = &reservation;
            let why = format!("{ip} is kept for {other} and can't be {own}'s");
            let instead =
                format!("give it another address, or remove {other} and apply before adding it");
            let refusal = Refusal::new(RefusalKind::Address, why, instead).on(own);
            self.refuse(Action::Update, Kind::Network, name, refusal);
            return;
        }
        if !stale.is_empty() {
            let details = format!("keep no longer {}", told(&stale));
            let step = Step::Unreserve(name.clone(), stale);
            self.push(Action::Update, Kind::Network, name, details, step);
        }
        if !missing.is_empty() {
            let details = format!("keep {}", told(&missing));
            let step = Step::Reserve(name.clone(), missing);
            self.push(Action::Update, Kind::Network, name, details, step);
        }
    }

    /// An error if a network that is not running yet would clash with another or with a route of the host.
    fn check_range(&self, wanted: &Network) -> Result<(), Error> {
        let overlaps = |a: &Ipv4Net, b: &Ipv4Net| a.contains(b) || b.contains(a);
        let networks = self
            .there
            .networks
            .iter()
            .filter(|network| network.name != wanted.name);
        let network = networks
            .filter_map(|network| Some((network.cidr?, &network.name)))
            .find(|(cidr, _)| overlaps(cidr, &wanted.cidr))
            .map(|(cidr, name)| format!("libvirt's network {name} ({cidr})"));
        // A wider route, as to a company's network, gives way to the narrower one of the cluster.
        let route = || {
            let mut routes = self.there.capability.routes.iter();
            routes
                .find(|(net, _)| wanted.cidr.contains(net))
                .map(|(net, interface)| format!("the host's route to {net} by {interface}"))
        };
        match network.or_else(route) {
            Some(other) => Err(Error::RangeTaken {
                host: self.host.to_string(),
                cidr: wanted.cidr.to_string(),
                other,
            }),
            None => Ok(()),
        }
    }
}

/// Reservations in words.
pub(super) fn told(reservations: &[Reservation]) -> String {
    let told: Vec<_> = reservations
        .iter()
        .map(|r| format!("{} for {}", r.ip, r.name))
        .collect();
    told.join(", ")
}
