//! Masters get back what a killed playbook has taken away there, before one runs on them again; and those that have joined also what
//! it has stopped, where no API serves.

use std::sync::Arc;

use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Remote, chain};

use super::kubernetes::Kubernetes;
use crate::Error;
use crate::control;

impl Kubernetes<'_> {
    /// Makes the certificate of a master's API server anew, if a killed run has removed it; whether it had.
    pub(super) async fn put_certificate_back(
        &self,
        name: &Label,
        machine: &Arc<dyn Remote>,
    ) -> Result<bool, Error> {
        let was_gone = control::put_certificate_back(machine).await.map_err(|e| {
            Error::because(
                format!("look after the API server's certificate on {name}"),
                e,
            )
        })?;
        if was_gone {
            self.say(format!(
                "{name}: the certificate of its API server was gone, as a killed run leaves it, and is recreated"
            ));
        }
        Ok(was_gone)
    }

    /// Where no API serves: puts back what keeps the masters that have joined from serving, and says why it could not.
    pub(super) async fn revive(&self) -> Vec<String> {
        let masters = self.joined_masters();
        let looks = masters.iter().map(|name| self.revive_master(name));
        let looks = side_by_side(looks).await.into_iter();
        looks.filter_map(Result::err).map(|e| chain(&e)).collect()
    }

    async fn revive_master(&self, name: &Label) -> Result<(), Error> {
        // Whether it lets us in, who looks for an API tells.
        let Ok(machine) = self.connect(name).await else {
            return Ok(());
        };
        // What an earlier run has left running there may be about to do the same.
        if !control::running(&machine).await?.is_empty() {
            return Ok(());
        }
        let renewed = self.put_certificate_back(name, &machine).await?;
        let failed = |e| Error::because(format!("start what stands still on {name}"), e);
        for unit in control::start_stopped(&machine).await.map_err(failed)? {
            self.say(format!("{name}: {unit} stood still, and is started"));
        }
        if renewed {
            // An API server that has failed for long is tried again only after minutes.
            control::restart_kubelet(&machine).await.map_err(failed)?;
        }
        Ok(())
    }
}
