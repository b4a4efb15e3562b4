//! Introduces provision's connections to machines to the crates that know nothing of SSH.

use std::sync::Arc;
use std::time::Duration;

use kubitect_kubespray::control;
use kubitect_lb::{BoxError, Output, Remote};
use kubitect_provision::ssh;

/// A balancer's machine.
pub struct Balancer(pub Arc<dyn ssh::Remote>);

const DEADLINE: Duration = Duration::from_secs(<Balancer as Remote>::PATIENCE_SECONDS);

impl Remote for Balancer {
    async fn put(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), BoxError> {
        Ok(self.0.put(path, bytes, mode, true, DEADLINE).await?)
    }

    async fn run(&self, argv: &[&str]) -> Result<Output, BoxError> {
        let output = self.0.run(argv, DEADLINE).await?;
        Ok(Output {
            status: output.status,
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }
}

/// A master's machine.
pub struct Master(pub Arc<dyn ssh::Remote>);

impl control::Remote for Master {
    async fn run(
        &self,
        argv: &[&str],
        deadline: Duration,
    ) -> Result<control::Output, control::BoxError> {
        let output = self.0.run(argv, deadline).await?;
        Ok(control::Output {
            status: output.status,
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }
}
