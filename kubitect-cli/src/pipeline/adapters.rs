//! Introduces machines and balancers to the work on Kubernetes, which knows of neither.

use std::sync::Arc;

use kubitect_config::Facts;
use kubitect_config::cluster::Node;
use kubitect_config::remote::{BoxError, Doing, Remote};
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use kubitect_kubespray::living;
use kubitect_lb::State;
use kubitect_provision::machine;
use kubitect_provision::ssh::Keys;

use super::connect;
use crate::job::Job;

/// The machines and balancers of a cluster under work.
pub struct Access<'a> {
    /// The cluster.
    pub job: &'a Job,
    /// What is known of its machines, those that leave among them.
    pub facts: Facts,
    /// Their keys.
    pub keys: &'a Keys,
}

impl living::Access for Access<'_> {
    fn connect<'a>(&'a self, name: &'a Label) -> Doing<'a, Arc<dyn Remote>> {
        Box::pin(async { Ok(connect(self.job, &self.facts, self.keys, name).await?) })
    }

    fn note(&self, node: &Node, text: &str) -> Result<(), BoxError> {
        Ok(machine::note(&self.job.hosts, node, text)?)
    }

    fn balance<'a>(&'a self, master: &'a Label, drained: bool) -> Doing<'a, ()> {
        let state = if drained { State::Drain } else { State::Ready };
        Box::pin(async move {
            let balancers = kubitect_lb::balancers(&self.job.cluster, &self.facts)?;
            let logins = balancers
                .iter()
                .map(|balancer| self.connect(&balancer.node));
            for (balancer, session) in balancers.iter().zip(side_by_side(logins).await) {
                kubitect_lb::set_state(balancer, &session?, master, state).await?;
            }
            Ok(())
        })
    }
}
