//! Addresses that a network reserves for machines.

use virt::network::Network as VirtNetwork;
use virt::sys;

use super::lookup::network_xml;
use super::{Libvirt, network};
use crate::error::Source;
use crate::observe::NetworkState;
use crate::resource::Reservation;

impl Libvirt {
    pub(super) fn add_reservation(
        &self,
        network: &str,
        reservation: &Reservation,
    ) -> Result<(), Source> {
        let found = self.connected().lookup_network_by_name(network)?;
        let current = current(&found)?;
        if current.reservations.contains(reservation) {
            return Ok(());
        }
        let command = if current
            .reservations
            .iter()
            .any(|r| r.mac == reservation.mac)
        {
            sys::VIR_NETWORK_UPDATE_COMMAND_MODIFY
        } else {
            sys::VIR_NETWORK_UPDATE_COMMAND_ADD_LAST
        };
        update(&found, &current, command, reservation)
    }

    pub(super) fn remove_reservation(
        &self,
        network: &str,
        reservation: &Reservation,
    ) -> Result<(), Source> {
        let Some(found) = self.find_network(network)? else {
            return Ok(());
        };
        let current = current(&found)?;
        if !current.reservations.contains(reservation) {
            return Ok(());
        }
        let command = sys::VIR_NETWORK_UPDATE_COMMAND_DELETE;
        update(&found, &current, command, reservation)
    }
}

fn current(found: &VirtNetwork) -> Result<NetworkState, Source> {
    let (xml, active) = network_xml(found)?;
    Ok(network::from_xml(&xml, active)?)
}

/// Changes a reservation in the network's definition and, if it is started, in the running network.
fn update(
    found: &VirtNetwork,
    current: &NetworkState,
    command: sys::virNetworkUpdateCommand,
    reservation: &Reservation,
) -> Result<(), Source> {
    let mut affect = sys::VIR_NETWORK_UPDATE_AFFECT_CONFIG;
    if current.active {
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
