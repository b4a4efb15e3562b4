//! Operations on networks in memory.

use super::State;
use crate::observe::NetworkState;
use crate::resource::{Network, Reservation};

impl State {
    /// Defines a network, in place of one of its name.
    pub(super) fn define_network(&mut self, network: &Network) {
        let networks = &mut self.host.networks;
        networks.retain(|existing| existing.name != network.name);
        networks.push(NetworkState {
            name: network.name.clone(),
            active: false,
            mark: Some(network.mark()),
            bridge: network.bridge.clone(),
            cidr: Some(network.cidr.trunc()),
            reservations: network.reservations.clone(),
        });
    }

    /// Starts a network; fails if a killed libvirtd left its bridge behind.
    pub(super) fn start_network(&mut self, name: &str) -> Result<(), String> {
        let left = self.left_bridges.contains(name);
        let found = self.network_mut(name)?;
        if left {
            let bridge = found.bridge.get_or_insert("virbr7".to_owned());
            return Err(format!(
                "error creating bridge interface {bridge}: File exists"
            ));
        }
        found.active = true;
        Ok(())
    }

    /// Reserves an address. As libvirt, refuses two reservations with one address or name.
    pub(super) fn reserve(
        &mut self,
        network: &str,
        reservation: &Reservation,
    ) -> Result<(), String> {
        let reservations = &mut self.network_mut(network)?.reservations;
        reservations.retain(|existing| existing.mac != reservation.mac);
        if reservations
            .iter()
            .any(|existing| existing.ip == reservation.ip || existing.name == reservation.name)
        {
            return Err("there is an existing dhcp host entry".to_owned());
        }
        reservations.push(reservation.clone());
        Ok(())
    }

    pub(super) fn network_mut(&mut self, name: &str) -> Result<&mut NetworkState, String> {
        let mut networks = self.host.networks.iter_mut();
        let found = networks.find(|existing| existing.name == name);
        found.ok_or(format!("no network {name}"))
    }
}
