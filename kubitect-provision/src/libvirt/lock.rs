//! Locks that all users of a libvirt see: each is a network that is defined and never started.
//!
//! libvirt refuses to define a network whose name another one has, and gives each a UUID of its own. So of two runs that make a lock at
//! the same time, one is refused; and a run that removes a lock by its UUID never removes another run's later lock of the same name.

use virt::error::Error as VirtError;

use super::lookup::if_exists;
use super::{Libvirt, network};
use crate::hypervisor::LockState;

impl Libvirt {
    pub(super) fn find_lock(&self, name: &str) -> Result<Option<LockState>, VirtError> {
        let Some(network) = self.find_network(name)? else {
            return Ok(None);
        };
        let state = || -> Result<LockState, VirtError> {
            Ok(LockState {
                id: network.uuid_string()?,
                holder: network::lock_holder(&network.xml_desc(0)?),
            })
        };
        if_exists(state())
    }

    pub(super) fn make_lock(&self, name: &str, own: &str) -> Result<LockState, VirtError> {
        let defined = self
            .connected()
            .define_network_xml(&network::lock_xml(name, own));
        match (self.find_lock(name)?, defined) {
            // Refused, because a lock of the name exists.
            (Some(lock), _) => Ok(lock),
            (None, Err(error)) => Err(error),
            // It was taken over between the two calls. The run finds that out when it checks its locks before the next phase.
            (None, Ok(defined)) => Ok(LockState {
                id: defined.uuid_string()?,
                holder: own.to_owned(),
            }),
        }
    }

    pub(super) fn remove_lock(&self, id: &str) -> Result<(), VirtError> {
        match if_exists(self.connected().lookup_network_by_uuid_string(id))? {
            Some(network) => if_exists(network.undefine()).map(drop),
            None => Ok(()),
        }
    }
}
