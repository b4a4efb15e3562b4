//! Machines that are switched off and on again.

use kubitect_config::value::Label;

use super::HostApply;
use crate::error::Error;
use crate::event::Outcome;
use crate::hypervisor::Failure;
use crate::power::Off;
use crate::resource::Domain;

impl HostApply<'_> {
    /// Gives a machine another definition, which it has from its next start on: so it is off in between.
    pub(super) fn redefine(&self, domain: &Domain) -> Result<Outcome, Error> {
        let verbs = self.hypervisor;
        self.switch_off(&domain.name)?;
        let there = verbs.domain_state(&domain.name).map_err(self.on_host())?;
        if there.is_some_and(|there| there.saved) {
            // It was saved since the plan was made, and would start with what it had then.
            verbs.start_domain(&domain.name).map_err(self.on_host())?;
            self.switch_off(&domain.name)?;
        }
        fail::fail_point!("provision::halfway");
        verbs.define_domain(domain).map_err(self.on_host())?;
        fail::fail_point!("provision::halfway");
        verbs.start_domain(&domain.name).map_err(self.on_host())?;
        Ok(Outcome::Done)
    }

    /// Gives a machine that runs more processors, or else defines it with them: whether a running one can be given some shows
    /// only when it is tried.
    pub(super) fn give_processors(&self, domain: &Domain) -> Result<Outcome, Error> {
        let verbs = self.hypervisor;
        let Err(refused) = verbs.set_vcpus(&domain.name, domain.vcpus) else {
            return Ok(Outcome::Done);
        };
        if verbs.define_domain(domain).is_err() {
            return Err(refused.on(self.name));
        }
        Ok(Outcome::Warned(format!(
            "only from its next start on, since it was refused while it runs ({})",
            refused.source
        )))
    }

    /// Has a machine shut down by its own guest, and waits until it has.
    pub(super) fn switch_off(&self, name: &Label) -> Result<(), Error> {
        let off = Off {
            host: self.name,
            hypervisor: self.hypervisor,
            cluster: self.cluster,
            within: self.off_within,
            stopped: &|| (self.stopped)(),
        };
        off.switch(name)
    }

    /// Notes what a machine is about to be given; one that is yet to be made has it from its first start on.
    pub(super) fn note_given(&self, name: &Label, what: &str) -> Result<(), Failure> {
        match self.hypervisor.domain_state(name)? {
            Some(mut there) if !there.given.iter().any(|given| given == what) => {
                there.given.push(what.to_owned());
                self.hypervisor.note_given(name, &there.given)
            }
            _ => Ok(()),
        }
    }
}
