//! The balancers' files: they lead to the masters that are wanted, as soon as one of these serves.

use std::collections::BTreeMap;
use std::sync::Arc;

use kubitect_config::cluster::Role;
use kubitect_config::{Cluster, Facts};
use kubitect_lb::Rendered;
use kubitect_provision::machine;
use kubitect_provision::ssh::Keys;

use super::machines::{connect, no_login};
use crate::failure::Failure;
use crate::job::Job;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::services;

/// Brings the balancers' files up to date before masters come and go; false if that has to be done once more after it,
/// by [`lead`].
///
/// Where none of the wanted masters has joined yet, balancers go on leading to those that leave, too: through them the
/// others join. `let_go` is called before the virtual address is looked for.
pub async fn set_up(
    job: &Job,
    plan: &Plan,
    facts: &Facts,
    keys: &Keys,
    reporter: &Arc<Reporter>,
    let_go: impl AsyncFnOnce(),
) -> Result<bool, Failure> {
    if plan.balancers.is_empty() {
        let_go().await;
        return Ok(true);
    }
    let Some((cluster, facts)) = with_leaving(job, plan, facts) else {
        lead(job, facts, keys, reporter, let_go).await?;
        return Ok(true);
    };
    roll_out(job, &cluster, &facts, keys, reporter, let_go).await?;
    Ok(false)
}

/// Whether a balancer that is wanted was set up before.
pub fn one_stays(job: &Job) -> Result<bool, Failure> {
    let noted = machine::notes(&job.cluster, &job.hosts)
        .map_err(|e| Failure::because("read what is set up on the balancers", e))?;
    let mut balancers = job.cluster.role(Role::LoadBalancer);
    Ok(balancers.any(|node| noted.get(&node.name).is_some_and(Option::is_some)))
}

/// Has the balancers lead to the masters that are wanted, and notes it.
pub async fn lead(
    job: &Job,
    facts: &Facts,
    keys: &Keys,
    reporter: &Arc<Reporter>,
    let_go: impl AsyncFnOnce(),
) -> Result<(), Failure> {
    let rendered = roll_out(job, &job.cluster, facts, keys, reporter, let_go).await?;
    fail::fail_point!("cli::rolled-out");
    let digests = services::wanted(&rendered)?;
    for node in job.cluster.role(Role::LoadBalancer) {
        if let Some(digest) = digests.get(&node.name) {
            machine::note(&job.hosts, node, digest).map_err(|e| {
                Failure::because(format!("note what is set up on {}", node.name), e)
            })?;
            fail::fail_point!("cli::noted");
        }
    }
    Ok(())
}

/// The cluster with the masters that leave, if only these have joined.
fn with_leaving(job: &Job, plan: &Plan, facts: &Facts) -> Option<(Cluster, Facts)> {
    let joined = |wanted: bool| {
        let masters = plan
            .seen
            .iter()
            .filter(|seen| seen.node.role == Role::Master);
        masters.filter(move |seen| seen.wanted == wanted && seen.finished().is_some())
    };
    if joined(true).next().is_some() {
        return None;
    }
    let (mut cluster, mut facts) = (job.cluster.clone(), facts.clone());
    for seen in joined(false) {
        let mut leaving = plan.leaving.iter();
        let own = leaving.find(|leaving| leaving.name == seen.node.name);
        if let Some(known) = own.and_then(|leaving| leaving.facts(String::new())) {
            cluster.nodes.push(seen.node.clone());
            facts.nodes.push(known);
        }
    }
    (cluster.nodes.len() > job.cluster.nodes.len()).then_some((cluster, facts))
}

/// Makes the balancers lead to the masters of `cluster`, and sees that they serve.
async fn roll_out(
    job: &Job,
    cluster: &Cluster,
    facts: &Facts,
    keys: &Keys,
    reporter: &Arc<Reporter>,
    let_go: impl AsyncFnOnce(),
) -> Result<Vec<Rendered>, Failure> {
    let failed = |e| Failure::because("set up the balancers", e);
    let rendered = kubitect_lb::render(cluster, facts).map_err(failed)?;
    let mut remotes = BTreeMap::new();
    for node in job.cluster.role(Role::LoadBalancer) {
        let session = connect(job, facts, keys, &node.name).await;
        remotes.insert(node.name.clone(), session.map_err(no_login(&node.name))?);
    }
    let tell = |event| reporter.line(event);
    kubitect_lb::roll_out_and(&rendered, &remotes, &tell, let_go)
        .await
        .map_err(failed)?;
    Ok(rendered)
}
