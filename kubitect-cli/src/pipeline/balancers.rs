//! The balancers' files: they lead to the masters that are wanted, as soon as one of these serves.

use std::collections::BTreeMap;

use kubitect_config::cluster::Role;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use kubitect_config::{Cluster, Facts, chain};
use kubitect_provision::gather::Leaving;
use kubitect_provision::machine;

use super::machines::{COMMAND, Hands, connect, no_login};
use crate::failure::Failure;

/// Rolls out the balancers' files, for the masters that are wanted and those `besides`; without these, it is noted. The balancers
/// that `give_up` the virtual address do it before it is looked for.
pub async fn set_up(
    hands: Hands<'_>,
    facts: &Facts,
    leaving: &[Leaving],
    besides: &[Label],
    give_up: &[Label],
) -> Result<(), Failure> {
    let failed = |e| Failure::because("set up the balancers", e);
    let (cluster, all) = with(&hands.job.cluster, facts, leaving, besides);
    let rendered = kubitect_lb::render(&cluster, &all).map_err(failed)?;
    let mut remotes = BTreeMap::new();
    let names: Vec<_> = cluster
        .role(Role::LoadBalancer)
        .map(|node| &node.name)
        .collect();
    let logins = names
        .iter()
        .map(|name| connect(hands.job, facts, hands.keys, name));
    for (name, session) in names.iter().zip(side_by_side(logins).await) {
        remotes.insert(Label::clone(name), session.map_err(no_login(name))?);
    }
    let tell = |event| hands.job.options.events.balancers(event);
    let then = async || give_up_address(hands, leaving, give_up).await;
    kubitect_lb::roll_out_and(&rendered, &remotes, &tell, then)
        .await
        .map_err(failed)?;
    if !besides.is_empty() {
        return Ok(());
    }
    fail::fail_point!("cli::rolled-out");
    let digests = kubitect_lb::notes(&rendered).map_err(failed)?;
    for node in cluster.role(Role::LoadBalancer) {
        if let Some(digest) = digests.get(&node.name) {
            machine::note(&hands.job.hosts, node, digest).map_err(|e| {
                Failure::because(format!("note what is set up on {}", node.name), e)
            })?;
            fail::fail_point!("cli::noted");
        }
    }
    Ok(())
}

/// The cluster with these masters that leave.
fn with(
    cluster: &Cluster,
    facts: &Facts,
    leaving: &[Leaving],
    besides: &[Label],
) -> (Cluster, Facts) {
    let (mut cluster, mut facts) = (cluster.clone(), facts.clone());
    for own in leaving.iter().filter(|own| besides.contains(&own.name)) {
        if let Some(known) = own.facts(String::new()) {
            cluster.nodes.push(own.node());
            facts.nodes.push(known);
        }
    }
    (cluster, facts)
}

/// Has these balancers, which leave, give the virtual address to another at once, where they can still be asked.
pub async fn give_up_address(hands: Hands<'_>, leaving: &[Leaving], names: &[Label]) {
    let Hands { job, keys } = hands;
    for leaving in leaving.iter().filter(|own| names.contains(&own.name)) {
        let key = keys.host_key_line(&leaving.name).unwrap_or_default();
        let facts = Facts {
            user: job.cluster.guest.user.clone(),
            private_key: keys.private_key_path().to_owned(),
            known_hosts: keys.known_hosts_path(),
            nodes: leaving.facts(key).into_iter().collect(),
        };
        let stop = ["sudo", "-n", "systemctl", "stop", "keepalived"];
        let stopped = match connect(job, &facts, keys, &leaving.name).await {
            Ok(session) => session
                .run_ok(&stop, COMMAND)
                .await
                .map(drop)
                .map_err(|e| e.to_string()),
            Err(error) => Err(chain(&error)),
        };
        if let Err(why) = stopped {
            job.options.events.warn(format!(
                "{} could not be asked to give the virtual address to another ({why}); the others take it when it is \
                 gone",
                leaving.name
            ));
        }
    }
}
