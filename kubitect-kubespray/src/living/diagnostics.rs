//! What a report of a fault contains of Kubernetes: the answers of a master.

use std::time::Duration;

use kubitect_config::cluster::Role;
use kubitect_config::remote::Machines;
use kubitect_config::value::Label;
use kubitect_config::waiting::first_success;
use kubitect_config::{Cluster, chain};

use crate::{Error, control};

/// A master has to answer within this time.
const LIMIT: Duration = Duration::from_secs(60);

/// Each answer by its name, or why there is none.
type Answers = Vec<(&'static str, Result<String, String>)>;

/// Kubernetes' answers from the first master of this cluster that gives all of them; if none does, from the one that gives most. An
/// error if no master can be asked.
pub async fn diagnostics(cluster: &Cluster, machines: &dyn Machines) -> Result<Answers, Error> {
    let masters = cluster.role(Role::Master);
    // All are asked: where a run did not end, perhaps only some have joined.
    let asked = masters.map(|node| async move {
        match ask(machines, &node.name).await {
            Ok(answers) if given(&answers) == answers.len() => Ok(answers),
            incomplete => Err(incomplete),
        }
    });
    let incomplete = match first_success(asked).await {
        Ok(answers) => return Ok(answers),
        Err(incomplete) => incomplete,
    };
    let (mut answered, mut why) = (Vec::new(), Vec::new());
    for result in incomplete {
        match result {
            Ok(answers) => answered.push(answers),
            Err(reason) => why.push(reason),
        }
    }
    let most = answered.into_iter().max_by_key(given);
    most.ok_or_else(|| Error::because("ask Kubernetes", why.join("; ")))
}

fn given(answers: &Answers) -> usize {
    answers.iter().filter(|(_, answer)| answer.is_ok()).count()
}

async fn ask(machines: &dyn Machines, name: &Label) -> Result<Answers, String> {
    let work = async {
        let machine = machines.connect(name).await;
        let machine = machine.map_err(|e| format!("{name}: {}", chain(&*e)))?;
        Ok(control::diagnostics(&machine).await)
    };
    let late = |_| {
        Err(format!(
            "{name} did not answer within {} s",
            LIMIT.as_secs()
        ))
    };
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(late)
}
