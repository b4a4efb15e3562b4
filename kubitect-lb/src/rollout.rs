//! Rolls files out: one balancer at a time, the holder of the virtual address last. So at any time all but one serve as before.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;
use tokio::time::Instant;

use crate::machine::Machine;
use crate::service::{Deployment, Failure, Service};
use crate::{Error, Event, Rendered, vrrp};
use kubitect_config::Remote;

/// What a roll-out did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What was reloaded, in this order.
    pub reloaded: Vec<(Label, Service)>,
    /// What ran with the wanted file already.
    pub unchanged: Vec<(Label, Service)>,
    /// The balancer that holds the virtual address in the end, if there is such an address.
    pub holder: Option<Label>,
}

/// How often the balancers are asked whether one alone has the virtual address and the others hear it. Each time takes
/// [`WATCH_SECONDS`], and up to [`START_SECONDS`] before.
const ATTEMPTS: usize = 8;
/// All are watched for so many seconds: a keepalived that hears no other one for 4 s takes the address, and then two have it.
const WATCH_SECONDS: &str = "5";
/// A keepalived may take so many seconds until it is MASTER or BACKUP.
const START_SECONDS: &str = "5";
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Makes every balancer run with its files, and sees that it serves.
///
/// A service that runs with its wanted file is not touched. On a failure the previous file is put back and the roll-out stops:
/// balancers whose turn had not come are unchanged. A run may be killed at any moment; the next one completes its work.
pub async fn roll_out<R: Remote>(
    rendered: &[Rendered],
    remotes: &BTreeMap<Label, R>,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<Report, Error> {
    roll_out_and(rendered, remotes, on_event, async || {}).await
}

/// As [`roll_out`]; `once_serving` is called when every balancer serves, before the virtual address is waited for.
///
/// It makes balancers that leave give up the address, where no balancer that stays could take it earlier: as long as they
/// announce it, no other takes it.
pub async fn roll_out_and<R: Remote>(
    rendered: &[Rendered],
    remotes: &BTreeMap<Label, R>,
    on_event: &(dyn Fn(Event) + Send + Sync),
    once_serving: impl AsyncFnOnce(),
) -> Result<Report, Error> {
    let result = run(rendered, remotes, on_event, once_serving).await;
    on_event(match &result {
        Ok(report) => Event::Finished {
            reloaded: report.reloaded.len(),
        },
        Err(error) => Event::Failed {
            why: error.to_string(),
        },
    });
    result
}

async fn run<R: Remote>(
    rendered: &[Rendered],
    remotes: &BTreeMap<Label, R>,
    on_event: &(dyn Fn(Event) + Send + Sync),
    once_serving: impl AsyncFnOnce(),
) -> Result<Report, Error> {
    let mut report = Report::default();
    let order = order(rendered, remotes).await?;
    for (i, (rendered, service)) in order.iter().enumerate() {
        let Some(text) = service.text(rendered) else {
            continue;
        };
        let (node, service) = (rendered.node.clone(), *service);
        on_event(Event::Started {
            node: node.clone(),
            service,
            index: i + 1,
            count: order.len(),
        });
        let deployment = Deployment {
            machine: machine(rendered, remotes)?,
            service,
            text,
            rendered,
        };
        if deploy(&deployment, on_event).await? {
            on_event(Event::Reloaded {
                node: node.clone(),
                service,
            });
            report.reloaded.push((node, service));
        } else {
            on_event(Event::Unchanged {
                node: node.clone(),
                service,
            });
            report.unchanged.push((node, service));
        }
    }
    once_serving().await;
    report.holder = settle_address(rendered, remotes, on_event).await?;
    Ok(report)
}

/// Whether anything had to be done.
async fn deploy<R: Remote>(
    deployment: &Deployment<'_, R>,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<bool, Error> {
    deployment
        .machine
        .require(deployment.service.name())
        .await?;
    if deployment.is_settled().await? {
        deployment.tidy().await?;
        return Ok(false);
    }
    match deployment.carry_out().await {
        Ok(()) => Ok(true),
        Err(Failure::Before(error) | Failure::Lost(error)) => Err(error),
        Err(Failure::PutBack(error)) => {
            on_event(Event::PutBack {
                node: deployment.machine.node.clone(),
                service: deployment.service,
            });
            Err(error)
        }
    }
}

/// The order of the work: HAProxy on all balancers, then keepalived; each time the holder of the virtual address last, so that
/// connections end only once.
///
/// A keepalived that does not run yet starts after all that run. These must have it as a peer before, or it hears none of them and
/// takes the address from its holder. Of several new ones that with the highest priority starts first, so that the address does not
/// move again.
async fn order<'a, R: Remote>(
    rendered: &'a [Rendered],
    remotes: &BTreeMap<Label, R>,
) -> Result<Vec<(&'a Rendered, Service)>, Error> {
    let ranks = rendered.iter().map(|balancer| async move {
        let machine = machine(balancer, remotes)?;
        let Some(vrrp) = &balancer.vrrp else {
            return Ok(vec![((Service::Haproxy, false, false, 0), balancer)]);
        };
        let holds = machine.holds(vrrp.vip).await?;
        let new = !machine
            .ask(&["systemctl", "--quiet", "is-active", "keepalived"])
            .await?;
        let preference = if new { -i32::from(vrrp.priority) } else { 0 };
        Ok(vec![
            ((Service::Haproxy, false, holds, 0), balancer),
            ((Service::Keepalived, new, holds, preference), balancer),
        ])
    });
    let mut ranked = Vec::new();
    for ranks in side_by_side(ranks).await {
        ranked.extend(ranks?);
    }
    ranked.sort_by_key(|(rank, _)| *rank); // stable: else in the order of the file
    Ok(ranked
        .into_iter()
        .map(|(rank, balancer)| (balancer, rank.0))
        .collect())
}

/// Waits until one balancer alone has the virtual address, and each other one hears that one and could take the address. They are
/// watched for some seconds: a keepalived that does not hear the holder takes the address only after 4 s.
pub(crate) async fn settle_address<R: Remote>(
    rendered: &[Rendered],
    remotes: &BTreeMap<Label, R>,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<Option<Label>, Error> {
    let Some(vip) = rendered.iter().find_map(|r| r.vrrp.as_ref()).map(|v| v.vip) else {
        return Ok(None);
    };
    let mut why = String::new();
    for _ in 0..ATTEMPTS {
        let observations = observe(rendered, remotes, vip).await?;
        let problems = vrrp::unsettled(&observations, &[], |name| {
            let balancer = rendered.iter().find(|balancer| balancer.node == *name)?;
            balancer.vrrp.as_ref().map(|vrrp| vrrp.address)
        });
        if let (true, Ok(node)) = (problems.is_empty(), vrrp::holder(&observations)) {
            let node = node.clone();
            on_event(Event::Holds {
                node: node.clone(),
                vip,
            });
            return Ok(Some(node));
        }
        let reason = problems.join("; ");
        if reason != why {
            on_event(Event::Said {
                line: format!("waiting for the virtual address {vip}: {reason}"),
            });
            why = reason;
        }
        // An observation may end early, with an error.
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::AddressUnsettled { vip, why })
}

/// What each balancer's keepalived reports, all watched side by side.
async fn observe<'a, R: Remote>(
    rendered: &'a [Rendered],
    remotes: &BTreeMap<Label, R>,
    vip: Ipv4Addr,
) -> Result<Vec<(&'a Label, vrrp::Observation)>, Error> {
    let observations = rendered.iter().map(|balancer| async move {
        let machine = machine(balancer, remotes)?;
        let observation = vrrp::observe(&machine, vip, START_SECONDS, WATCH_SECONDS).await?;
        Ok((&balancer.node, observation))
    });
    side_by_side(observations).await.into_iter().collect()
}

/// Whether a balancer holds the virtual address; false where there is none.
pub async fn holds<R: Remote>(rendered: &Rendered, remote: &R) -> Result<bool, Error> {
    let node = &rendered.node;
    match &rendered.vrrp {
        Some(vrrp) => Machine { node, remote }.holds(vrrp.vip).await,
        None => Ok(false),
    }
}

/// Waits until a balancer serves with its files, for example after a restart of its machine. Fails after `within`, also where its
/// machine hangs and does not answer.
pub async fn wait_serving<R: Remote>(
    rendered: &Rendered,
    remote: &R,
    within: Duration,
) -> Result<(), Error> {
    let end = Instant::now() + within;
    let mut last = Error::NotServing {
        node: rendered.node.clone(),
        service: Service::Haproxy,
        said: format!("its machine did not answer within {} s", within.as_secs()),
    };
    while let Ok(proven) = tokio::time::timeout_at(end, serves(rendered, remote)).await {
        let Err(error) = proven else {
            return Ok(());
        };
        last = error;
        if Instant::now() + PAUSE >= end {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(last)
}

async fn serves<R: Remote>(rendered: &Rendered, remote: &R) -> Result<(), Error> {
    for service in [Service::Haproxy, Service::Keepalived] {
        if let Some(text) = service.text(rendered) {
            let node = &rendered.node;
            let deployment = Deployment {
                machine: Machine { node, remote },
                service,
                text,
                rendered,
            };
            deployment.prove("0").await?;
        }
    }
    Ok(())
}

pub(crate) fn machine<'a, R>(
    rendered: &'a Rendered,
    remotes: &'a BTreeMap<Label, R>,
) -> Result<Machine<'a, R>, Error> {
    let node = &rendered.node;
    match remotes.get(node) {
        Some(remote) => Ok(Machine { node, remote }),
        None => Err(Error::NoRemote { node: node.clone() }),
    }
}
