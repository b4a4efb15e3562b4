//! Machines that are switched off and on again.

use std::time::{Duration, Instant};

use kubitect_config::value::Label;

use super::HostApply;
use crate::error::Error;
use crate::event::Outcome;
use crate::hypervisor::Failure;
use crate::machine::console_lines;
use crate::observe::PowerState;
use crate::resource::Domain;

/// How often a guest that does not go off is asked again: one that was still booting did not hear the first time.
const ASK_AGAIN: Duration = Duration::from_secs(20);
/// How often is looked whether it is off, at most.
const PAUSE: Duration = Duration::from_secs(2);

impl HostApply<'_> {
    /// Gives a machine another definition, which it has from its next start on: so it is off in between.
    pub(super) fn redefine(&self, domain: &Domain) -> Result<Outcome, Error> {
        self.switch_off(&domain.name)?;
        fail::fail_point!("provision::halfway");
        let verbs = self.hypervisor;
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

    /// Has a machine shut down by its own guest, and waits until it has. Its power is never cut: what the guest has not
    /// written yet would be lost.
    pub(super) fn switch_off(&self, name: &Label) -> Result<(), Error> {
        let verbs = self.hypervisor;
        let started = Instant::now();
        let mut asked: Option<Instant> = None;
        let mut answer = "it was asked to shut down and did not go off".to_owned();
        loop {
            let there = self.hypervisor.domain_state(name).map_err(self.on_host())?;
            let Some(there) = there.filter(|there| there.live.is_some()) else {
                return Ok(());
            };
            if started.elapsed() >= self.off_within {
                let console = console_lines(verbs.as_ref(), self.cluster, name, 20);
                let console = console.unwrap_or_else(|failure| vec![failure.source.to_string()]);
                let lines = console.into_iter().map(|line| format!("console: {line}"));
                return Err(Error::Timeout {
                    what: format!("{name} off"),
                    after: self.off_within,
                    evidence: std::iter::once(answer).chain(lines).collect(),
                });
            }
            if (self.stopped)() {
                return Err(Error::Cancelled);
            }
            if asked.is_none_or(|asked| asked.elapsed() >= ASK_AGAIN) {
                asked = Some(Instant::now());
                if there.power == PowerState::Paused {
                    verbs.start_domain(name).map_err(self.on_host())?;
                }
                // It may have gone off just now; then asking fails, and the next look tells.
                if let Err(failure) = verbs.shut_down_domain(name) {
                    answer = format!("last answer: {}", failure.source);
                }
                continue;
            }
            // Often at first, so that what goes off at once is not waited for.
            let pause = started.elapsed() / 4 + Duration::from_millis(10);
            std::thread::sleep(pause.min(PAUSE));
        }
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
