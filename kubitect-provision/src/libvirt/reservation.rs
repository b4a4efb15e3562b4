//! Addresses that a network keeps for machines.

use virt::network::Network as VirtNetwork;
use virt::sys;

use super::lookup::network_state;
use super::{Libvirt, network};
use crate::error::Source;
use crate::observe::NetworkState;
use crate::resource::Reservation;

impl Libvirt {
    pub(super) fn keep(&self, network: &str, reservation: &Reservation) -> Result<(), Source> {
        let found = self.connected().lookup_network_by_name(network)?;
        let known = known(&found)?;
        if known.reservations.contains(reservation) {
            return Ok(());
        }
        let command = if known.reservations.iter().any(|r| r.mac == reservation.mac) {
            sys::VIR_NETWORK_UPDATE_COMMAND_MODIFY
        } else {
            sys::VIR_NETWORK_UPDATE_COMMAND_ADD_LAST
        };
        update(&found, &known, command, reservation)
    }

    pub(super) fn keep_no_longer(
        &self,
        network: &str,
        reservation: &Reservation,
    ) -> Result<(), Source> {
        let Some(found) = self.find_network(network)? else {
            return Ok(());
        };
        let known = known(&found)?;
        if !known.reservations.contains(reservation) {
            return Ok(());
        }
        let command = sys::VIR_NETWORK_UPDATE_COMMAND_DELETE;
        update(&found, &known, command, reservation)
    }
}

fn known(found: &VirtNetwork) -> Result<NetworkState, Source> {
    let (xml, active) = network_state(found)?;
    Ok(network::from_xml(&xml, active)?)
}

/// Changes a reservation in the definition and, if it is started, in the network as it is.
fn update(
    found: &VirtNetwork,
    known: &NetworkState,
    command: sys::virNetworkUpdateCommand,
    reservation: &Reservation,
) -> Result<(), Source> {
    let mut affect = sys::VIR_NETWORK_UPDATE_AFFECT_CONFIG;
    if known.active {
        affect |= sys::VIR_NETWORK_UPDATE_AFFECT_LIVE;
    }
    Ok(found.update(
        command,
        sys::VIR_NETWORK_SECTION_IP_DHCP_HOST,
        -1,
        &network::host_xml(reservation),
        affect,
    )?)
}
