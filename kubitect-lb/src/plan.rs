//! Which files a roll-out would replace. Reads only.

use std::collections::BTreeMap;

use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use serde::Serialize;

use crate::rollout::machine;
use crate::service::Service;
use crate::{Error, Rendered};
use kubitect_config::Remote;

/// A file that a roll-out would put in place and reload its service for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The balancer.
    pub node: Label,
    /// The service.
    pub service: Service,
    /// The service's file.
    pub file: &'static str,
    /// Lines that the file has and will no longer have.
    pub removed: Vec<String>,
    /// Lines that it will have. Both are empty where a killed run put the file in place, but did not see the service serve with it.
    pub added: Vec<String>,
}

/// What [`roll_out`](crate::roll_out) would do to balancers that run.
pub async fn plan<R: Remote>(
    rendered: &[Rendered],
    remotes: &BTreeMap<Label, R>,
) -> Result<Vec<Change>, Error> {
    let plans = rendered.iter().map(|balancer| async move {
        let mut changes = Vec::new();
        let machine = machine(balancer, remotes)?;
        for service in [Service::Haproxy, Service::Keepalived] {
            let Some(wanted) = service.text(balancer) else {
                continue;
            };
            let current = machine.read(service.file()).await?.unwrap_or_default();
            let unproven = machine.ask(&["test", "-e", &service.previous()]).await?;
            if current == wanted.as_bytes() && !unproven {
                continue;
            }
            let current = String::from_utf8_lossy(&current);
            changes.push(Change {
                node: balancer.node.clone(),
                service,
                file: service.file(),
                removed: lines_only_in(&current, wanted),
                added: lines_only_in(wanted, &current),
            });
        }
        Ok(changes)
    });
    let mut all = Vec::new();
    for changes in side_by_side(plans).await {
        all.extend(changes?);
    }
    Ok(all)
}

/// The lines of a text that the other lacks, in order. The line with the digest is left out: it changes with any other line.
fn lines_only_in(text: &str, other: &str) -> Vec<String> {
    let mut unmatched: Vec<&str> = other.lines().map(str::trim).collect();
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("stats show-desc "))
        .filter(|line| match unmatched.iter().position(|l| l == line) {
            Some(i) => {
                unmatched.swap_remove(i);
                false
            }
            None => true,
        })
        .map(str::to_owned)
        .collect()
}
