//! Changes to machines: another definition, more processors, shutdown.

use kubitect_config::value::Label;

use super::HostApply;
use crate::error::Error;
use crate::event::Outcome;
use crate::hypervisor::Failure;
use crate::power::ShutDown;
use crate::resource::Domain;

impl HostApply<'_> {
    /// Changes a machine's definition by a restart: QEMU reads a definition only when it starts.
    pub(super) fn redefine(&self, domain: &Domain) -> Result<Outcome, Error> {
        let hypervisor = self.hypervisor;
        self.switch_off(&domain.name)?;
        let existing = hypervisor
            .domain_state(&domain.name)
            .map_err(self.on_host())?;
        if existing.is_some_and(|existing| existing.saved) {
            // It was saved since the plan was made: libvirt would restore it with its old hardware, so it must shut down once.
            hypervisor
                .start_domain(&domain.name)
                .map_err(self.on_host())?;
            self.switch_off(&domain.name)?;
        }
        fail::fail_point!("provision::halfway");
        hypervisor.define_domain(domain).map_err(self.on_host())?;
        fail::fail_point!("provision::halfway");
        hypervisor
            .start_domain(&domain.name)
            .map_err(self.on_host())?;
        Ok(Outcome::Done)
    }

    /// Hot-plugs processors; where libvirt refuses, defines the machine with them, to have them from its next start on. Whether a
    /// hot-plug is possible, only the attempt shows.
    pub(super) fn give_processors(&self, domain: &Domain) -> Result<Outcome, Error> {
        let hypervisor = self.hypervisor;
        let Err(refused) = hypervisor.set_vcpus(&domain.name, domain.vcpus) else {
            return Ok(Outcome::Done);
        };
        if hypervisor.define_domain(domain).is_err() {
            return Err(refused.on(self.name));
        }
        Ok(Outcome::Warned(format!(
            "only from its next start on, since it was refused while it runs ({})",
            refused.source
        )))
    }

    /// Has a machine's guest shut it down, and waits until it is off.
    pub(super) fn switch_off(&self, name: &Label) -> Result<(), Error> {
        let shut_down = ShutDown {
            host: self.name,
            hypervisor: self.hypervisor,
            cluster: self.cluster,
            within: self.off_within,
            stopped: &|| (self.is_stopped)(),
        };
        shut_down.run(name)
    }

    /// Notes on a machine's domain which hardware it is about to be given. A machine that does not exist needs no note: its system finds
    /// the hardware at its first boot.
    pub(super) fn note_given(&self, name: &Label, what: &str) -> Result<(), Failure> {
        match self.hypervisor.domain_state(name)? {
            Some(mut existing) if !existing.given.iter().any(|given| given == what) => {
                existing.given.push(what.to_owned());
                self.hypervisor.note_given(name, &existing.given)
            }
            _ => Ok(()),
        }
    }
}
