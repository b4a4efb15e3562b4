//! What a report of a fault contains of the machines: the ends of their consoles, and Kubernetes' answers.

use kubitect_kubespray::living;
use kubitect_provision::blocking::blocking;
use kubitect_provision::fleet::Logins;

use super::View;
use crate::failure::Failure;

impl View {
    /// The last lines of each machine's console, or why there are none.
    pub fn consoles(&self, lines: usize) -> Vec<(String, Result<Vec<String>, String>)> {
        self.job.console_tails(lines)
    }

    /// Kubernetes' answers from a master, also from one that leaves: each with its name, or why there is none.
    pub async fn answers(&self) -> Result<Vec<(&'static str, Result<String, String>)>, Failure> {
        let job = &self.job;
        let leaving = blocking(|| job.leaving());
        let (keys, facts) = blocking(|| job.access_for("ask the Kubernetes", &leaving))?;
        let machines = Logins {
            fleet: &job.fleet,
            facts,
            keys: &keys,
        };
        Ok(living::diagnostics(&job.cluster_with(&leaving), &machines).await?)
    }
}
