//! Locks that all who use a libvirt see: each is a network that is never started, under a name of its own.
//!
//! libvirt defines a network only if no other has its name, and under a number of its own; and it removes one by that number. So
//! of two that make a lock at once one is refused, and who removes one never removes that of another in its place.

use virt::error::Error as VirtError;

use super::lookup::found;
use super::{Libvirt, network};
use crate::hypervisor::LockState;

impl Libvirt {
    pub(super) fn find_lock(&self, name: &str) -> Result<Option<LockState>, VirtError> {
        let Some(there) = self.find_network(name)? else {
            return Ok(None);
        };
        let state = || -> Result<LockState, VirtError> {
            Ok(LockState {
                id: there.uuid_string()?,
                holder: network::lock_holder(&there.xml_desc(0)?),
            })
        };
        found(state())
    }

    pub(super) fn make_lock(&self, name: &str, own: &str) -> Result<LockState, VirtError> {
        let made = self
            .connected()
            .define_network_xml(&network::lock_xml(name, own));
        match (self.find_lock(name)?, made) {
            // Refused, because it is there.
            (Some(lock), _) => Ok(lock),
            (None, Err(error)) => Err(error),
            // Somebody has taken it over since, which whoever holds it looks for before each phase.
            (None, Ok(made)) => Ok(LockState {
                id: made.uuid_string()?,
                holder: own.to_owned(),
            }),
        }
    }

    pub(super) fn remove_lock(&self, id: &str) -> Result<(), VirtError> {
        match found(self.connected().lookup_network_by_uuid_string(id))? {
            Some(there) => found(there.undefine()).map(drop),
            None => Ok(()),
        }
    }
}
