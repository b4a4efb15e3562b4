//! Machines that are off and have a saved state (`virsh managedsave`): at the next start, libvirt restores them with the hardware that
//! they had when they were saved, whatever was changed since.

use super::HostDiff;
use crate::change::{Action, Kind, Step};
use crate::desired::Machine;

impl HostDiff<'_> {
    /// Starts the saved ones of these machines whose hardware is changed, and shuts them down, before the first of these changes, which
    /// is at index `first`: so their guests end in order, and their next start is with the new hardware.
    pub(super) fn shut_down_saved(&mut self, machines: &[&Machine], first: usize) {
        let changes = self.changes.get(first..).unwrap_or_default();
        let is_changed = |machine: &Machine| {
            let node = &machine.domain.name;
            changes
                .iter()
                .any(|change| change.step.changes_hardware_of() == Some(node))
        };
        let saved = machines.iter().copied().filter(|machine| {
            self.retained_domain(machine)
                .is_some_and(|observed| observed.saved)
                && is_changed(machine)
        });
        let saved: Vec<_> = saved.map(|machine| machine.domain.name.clone()).collect();
        for node in &saved {
            let details = "it was saved while it ran: it goes on, to shut down";
            let step = Step::StartDomain(node.clone());
            self.push(Action::Start, Kind::Domain, node.as_str(), details, step);
        }
        for node in &saved {
            let details = "it shuts down, to start with what is changed";
            let step = Step::ShutDownDomain(node.clone());
            self.push(Action::Update, Kind::Domain, node.as_str(), details, step);
        }
        if let Some(changes) = self.changes.get_mut(first..) {
            changes.rotate_right(2 * saved.len());
        }
    }
}
