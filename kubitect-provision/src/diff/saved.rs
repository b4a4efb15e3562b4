//! Machines that are off and were saved as they ran: started, they go on with what they had then, whatever was changed since.

use super::HostDiff;
use crate::change::{Action, Kind, Step};
use crate::desired::Machine;

impl HostDiff<'_> {
    /// Has those of these machines that are changed go on and shut down before the first of their changes, which begin here.
    pub(super) fn wake(&mut self, machines: &[&Machine], first: usize) {
        let changes = self.changes.get(first..).unwrap_or_default();
        let is_changed = |machine: &Machine| {
            let node = &machine.domain.name;
            changes.iter().any(|own| own.step.refits() == Some(node))
        };
        let saved = machines.iter().copied().filter(|machine| {
            self.kept(machine).is_some_and(|there| there.saved) && is_changed(machine)
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
