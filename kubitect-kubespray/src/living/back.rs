//! [`Back`]: waits until Kubernetes is back on machines that were switched on; what does not come back keeps nothing else from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kubitect_config::Remote;
use kubitect_config::remote::Machines;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;

use crate::{Error, control};

/// How a wait goes on.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// It begins.
    Begun,
    /// This is still missing.
    Waits(&'a str),
    /// It has ended well, or for this reason.
    Ended(Result<(), &'a Error>),
}

/// Machines that were switched on, and how long their Kubernetes may take.
pub struct Back<'a> {
    /// How they are reached.
    pub machines: &'a dyn Machines,
    /// How long each API server may take until it serves, and nodes until they are Ready.
    pub limit: Duration,
    /// Who hears of each wait, by its name.
    pub on_step: &'a (dyn Fn(&str, Step<'_>) + Send + Sync),
}

kubitect_config::shown_by!(Back<'_>, limit);

impl Back<'_> {
    /// Waits for the API servers of these masters, all of them at the same time: each master, or why its API does not serve.
    pub async fn masters(&self, names: &[&Label]) -> Vec<Result<Arc<dyn Remote>, Error>> {
        let waits = names.iter().map(|name| async move {
            let master = self.login(name).await?;
            let what = format!("wait for the API of {name}");
            let wait = async |waits: &(dyn Fn(&str) + Send + Sync)| {
                control::wait_serving(&master, name, self.limit, waits).await
            };
            self.told(&what, wait).await?;
            Ok(master)
        });
        side_by_side(waits).await
    }

    /// Waits until these nodes are Ready, each in the present boot of its machine, by what this master says: why others are not.
    pub async fn nodes(
        &self,
        names: &[&Label],
        master: &Arc<dyn Remote>,
        what: &str,
    ) -> Vec<Error> {
        let asked = names.iter().map(|name| async move {
            let machine = self.login(name).await?;
            Ok(((*name).clone(), control::boot(&machine).await?))
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
        late.extend(self.told(what, wait).await.err());
        late
    }

    pub(super) async fn login(&self, name: &Label) -> Result<Arc<dyn Remote>, Error> {
        let session = self.machines.connect(name).await;
        session.map_err(|e| Error::because(format!("log in on {name}"), e))
    }

    /// Waits for something, and says so.
    pub(super) async fn told(
        &self,
        what: &str,
        wait: impl AsyncFnOnce(&(dyn Fn(&str) + Send + Sync)) -> Result<(), Error>,
    ) -> Result<(), Error> {
        (self.on_step)(what, Step::Begun);
        let result = wait(&|why: &str| (self.on_step)(what, Step::Waits(why))).await;
        (self.on_step)(what, Step::Ended(result.as_ref().map(drop)));
        result
    }
}
