//! [`Startup`]: waits until Kubernetes serves on machines that were started. A machine on which it does not is reported, and holds
//! up no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::Remote;
use kubitect_config::remote::Machines;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;

use crate::{Error, control};

/// What happens to a wait.
#[derive(Debug, Clone, Copy)]
pub enum WaitStep<'a> {
    /// It begins.
    Begun,
    /// It goes on, for this reason.
    Waits(&'a str),
    /// It has ended: what was waited for is so, or the wait failed.
    Ended(Result<(), &'a Error>),
}

/// Waits for the Kubernetes of machines that were started.
pub struct Startup<'a> {
    /// The machines.
    pub machines: &'a dyn Machines,
    /// How long each API server may take until it serves, and nodes until they are Ready.
    pub limit: Duration,
    /// Gets the steps of each wait, and the name of the wait.
    pub on_step: &'a (dyn Fn(&str, WaitStep<'_>) + Send + Sync),
}

kubitect_config::debug_fields!(Startup<'_>, limit);

impl Startup<'_> {
    /// Waits for the API servers of these masters, for all of them at the same time. Returns a connection to each master, or why
    /// its API does not serve.
    pub async fn masters(&self, names: &[&Label]) -> Vec<Result<Arc<dyn Remote>, Error>> {
        let waits = names.iter().map(|name| async move {
            let master = self.login(name).await?;
            let what = format!("wait for the API of {name}");
            let wait = async |waits: &(dyn Fn(&str) + Send + Sync)| {
                control::wait_serving(&master, name, self.limit, waits).await
            };
            self.wait(&what, wait).await?;
            Ok(master)
        });
        side_by_side(waits).await
    }

    /// Waits until this master says that these nodes are Ready, each since the present boot of its machine. Returns why others are
    /// not.
    pub async fn nodes(
        &self,
        names: &[&Label],
        master: &Arc<dyn Remote>,
        what: &str,
    ) -> Vec<Error> {
        let asked = names.iter().map(|name| async move {
            let machine = self.login(name).await?;
            Ok(((*name).clone(), control::boot_id(&machine).await?))
        });
        let (mut boots, mut late) = (BTreeMap::new(), Vec::new());
        for boot in side_by_side(asked).await {
            match boot {
                Ok((name, boot)) => drop(boots.insert(name, boot)),
                Err(error) => late.push(error),
            }
        }
        if boots.is_empty() {
            return late;
        }
        let wait = async |waits: &(dyn Fn(&str) + Send + Sync)| {
            control::wait_nodes(master, &boots, self.limit, waits).await
        };
        late.extend(self.wait(what, wait).await.err());
        late
    }

    pub(super) async fn login(&self, name: &Label) -> Result<Arc<dyn Remote>, Error> {
        let session = self.machines.connect(name).await;
        session.map_err(|e| Error::because(format!("log in on {name}"), e))
    }

    /// Waits, and reports the steps of the wait.
    pub(super) async fn wait(
        &self,
        what: &str,
        wait: impl AsyncFnOnce(&(dyn Fn(&str) + Send + Sync)) -> Result<(), Error>,
    ) -> Result<(), Error> {
        (self.on_step)(what, WaitStep::Begun);
        let result = wait(&|why: &str| (self.on_step)(what, WaitStep::Waits(why))).await;
        (self.on_step)(what, WaitStep::Ended(result.as_ref().map(drop)));
        result
    }
}
