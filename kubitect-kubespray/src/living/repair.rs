//! Masters are repaired after a killed playbook. A certificate that it removed is recreated before another playbook runs there.
//! Services that it stopped are started where no API serves.

use std::sync::Arc;

use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Remote, chain};

use super::kubernetes::Kubernetes;
use crate::Error;
use crate::control;

impl Kubernetes<'_> {
    /// Recreates the certificate of a master's API server, if a killed run has removed it. Returns whether it had.
    pub(super) async fn reissue_certificate(
        &self,
        name: &Label,
        machine: &Arc<dyn Remote>,
    ) -> Result<bool, Error> {
        let was_gone = control::reissue_certificate(machine).await.map_err(|e| {
            Error::because(format!("check the API server's certificate on {name}"), e)
        })?;
        if was_gone {
            self.say(format!(
                "{name}: the certificate of its API server was gone, as a killed run leaves it, and is recreated"
            ));
        }
        Ok(was_gone)
    }

    /// Repairs all masters that have joined, for the case that no API serves. Returns why masters could not be repaired.
    pub(super) async fn repair_masters(&self) -> Vec<String> {
        let masters = self.joined_masters();
        let repairs = masters.iter().map(|name| self.repair_master(name));
        let repairs = side_by_side(repairs).await.into_iter();
        repairs.filter_map(Result::err).map(|e| chain(&e)).collect()
    }

    async fn repair_master(&self, name: &Label) -> Result<(), Error> {
        // A failed login is no error here: whoever looks for an API reports it.
        let Ok(machine) = self.connect(name).await else {
            return Ok(());
        };
        // A playbook of an earlier run may still run there, and finish the same work itself.
        if !control::leftover_processes(&machine).await?.is_empty() {
            return Ok(());
        }
        let recreated = self.reissue_certificate(name, &machine).await?;
        let failed = |e| Error::because(format!("start the stopped services of {name}"), e);
        for unit in control::start_stopped_services(&machine)
            .await
            .map_err(failed)?
        {
            self.say(format!("{name}: {unit} was stopped, and is started"));
        }
        if recreated {
            // The kubelet starts a container that has failed for long only minutes later; restarted, it does so at once.
            control::restart_kubelet(&machine).await.map_err(failed)?;
        }
        Ok(())
    }
}
