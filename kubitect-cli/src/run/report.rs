//! What a report of a fault contains of the machines: the ends of their consoles, and Kubernetes' answers.

use std::time::Duration;

use kubitect_config::chain;
use kubitect_config::cluster::Role;
use kubitect_kubespray::control;
use kubitect_provision::machine;

use super::View;
use crate::failure::Failure;

/// A master has to answer within this time.
const TIMEOUT: Duration = Duration::from_secs(60);

impl View {
    /// The last lines of each machine's console, or why there are none.
    pub fn consoles(&self, lines: usize) -> Vec<(String, Result<Vec<String>, String>)> {
        let job = &self.job;
        let nodes = job.cluster.nodes.iter().map(|node| {
            let tail = machine::console_tail(&job.hosts, &job.cluster, node, lines);
            (node.name.to_string(), tail.map_err(|e| chain(&e)))
        });
        nodes.collect()
    }

    /// Kubernetes' answers from the first master that answers: each with its name, or why there is none.
    pub async fn answers(&self) -> Result<Vec<(&'static str, Result<String, String>)>, Failure> {
        let job = &self.job;
        let Some((keys, facts)) = job.access()? else {
            return Err(Failure::failed(
                "ask Kubernetes: the key that opens the machines is not known",
            ));
        };
        let mut why = "there is no master".to_owned();
        for node in job.cluster.role(Role::Master) {
            let answers = async {
                let machine = job.login(&facts, &keys, &node.name).await;
                let machine = machine.map_err(|e| chain(&e))?;
                Ok::<_, String>(control::diagnostics(&machine).await)
            };
            match tokio::time::timeout(TIMEOUT, answers).await {
                Ok(Ok(words)) => return Ok(words),
                Ok(Err(error)) => why = format!("{}: {error}", node.name),
                Err(_) => {
                    let seconds = TIMEOUT.as_secs();
                    why = format!("{} did not answer within {seconds} s", node.name);
                }
            }
        }
        Err(Failure::because("ask Kubernetes", why))
    }
}
