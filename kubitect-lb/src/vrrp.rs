//! What keepalived on balancers reports: which one has the virtual address, and whether the others hear that one and could take
//! the address.

use std::fmt;
use std::net::Ipv4Addr;

use kubitect_config::Remote;
use kubitect_config::value::Label;
use serde::Serialize;

use crate::Error;
use crate::machine::Machine;

/// The Python program that asks the local keepalived; see the program's own first lines.
pub const KEEPALIVED: &str = include_str!("programs/vrrp.py");

/// The file with the id of keepalived's process, the same on every distribution.
const PROCESS: &str = "/run/keepalived.pid";

/// keepalived's state in the group, as it reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum VrrpState {
    /// It has the address.
    Master,
    /// It stands by, to take the address if the one that has it fails.
    Backup,
    /// It can't have it: its check of HAProxy fails, or its interface is down.
    Fault,
    /// It is just starting.
    Starting,
    /// It changed while it was watched.
    Changing,
    /// It does not report its state.
    Unknown,
}

impl VrrpState {
    /// The program's word for it.
    fn of(word: &str) -> Self {
        match word {
            "MASTER" => Self::Master,
            "BACKUP" => Self::Backup,
            "FAULT" => Self::Fault,
            "INIT" => Self::Starting,
            "CHANGING" => Self::Changing,
            _ => Self::Unknown,
        }
    }
}

/// keepalived's own words where it has some.
impl fmt::Display for VrrpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Starting => "starting",
            Self::Changing => "changing",
            Self::Unknown => "unknown",
        })
    }
}

/// A balancer's keepalived, and its part in the group that shares the virtual address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Keepalived {
    /// Its state in the group.
    pub state: VrrpState,
    /// Whether the machine has the virtual address.
    pub holds_address: bool,
    /// The address of the balancer that a backup hears.
    #[serde(skip)]
    pub hears: Option<Ipv4Addr>,
}

/// The state of a balancer's keepalived; or why it could not be observed.
pub(crate) type Observation = Result<Keepalived, String>;

/// Observes a balancer's keepalived. It may take `start` seconds until it is MASTER or BACKUP; then it is watched for `watch`
/// seconds.
pub(crate) async fn observe<R: Remote>(
    machine: &Machine<'_, R>,
    vip: Ipv4Addr,
    start: &str,
    watch: &str,
) -> Result<Observation, Error> {
    let vip = vip.to_string();
    let argv = [
        "python3", "-I", "-c", KEEPALIVED, start, watch, &vip, PROCESS,
    ];
    let output = machine.root(&argv).await?;
    Ok(match output.success() {
        true => parse(&output.text()).ok_or_else(|| "its answer is not understood".to_owned()),
        false => Err(output.messages()),
    })
}

fn parse(line: &str) -> Option<Keepalived> {
    let mut words = line.split_whitespace();
    Some(Keepalived {
        state: VrrpState::of(words.next()?),
        holds_address: words.next()? == "1",
        hears: words.next()?.parse().ok(),
    })
}

/// Why a balancer could not take the address; nothing if it could.
pub(crate) fn unable(observation: &Observation) -> Option<String> {
    match observation {
        Err(why) => Some(why.clone()),
        Ok(keepalived) => match keepalived.state {
            VrrpState::Fault => Some(
                "keepalived is in FAULT: its check of the local HAProxy fails, or its interface is down"
                    .to_owned(),
            ),
            VrrpState::Starting => Some("keepalived is still starting".to_owned()),
            _ => None,
        },
    }
}

/// The balancer that alone has the address.
pub(crate) fn holder<'a>(observations: &[(&'a Label, Observation)]) -> Result<&'a Label, String> {
    match holders(observations)[..] {
        [] => Err("no balancer has it".to_owned()),
        [holder] => Ok(holder),
        ref several => {
            let names: Vec<_> = several.iter().map(|name| name.as_str()).collect();
            Err(format!(
                "{} have it at the same time: they don't hear one another; let VRRP (IP protocol 112) pass between them",
                names.join(" and ")
            ))
        }
    }
}

/// The balancers that have the address.
fn holders<'a>(observations: &[(&'a Label, Observation)]) -> Vec<&'a Label> {
    let holds = |observation: &Observation| {
        let keepalived = observation.as_ref();
        keepalived.is_ok_and(|keepalived| keepalived.holds_address)
    };
    let holders = observations.iter().filter(|(_, own)| holds(own));
    holders.map(|(name, _)| *name).collect()
}

/// The problem where no balancer that answers has the address. There is none if one of them hears a balancer that does not answer:
/// that one has the address.
fn unheld(
    observations: &[(&Label, Observation)],
    unreached: &[&Label],
    address: impl Fn(&Label) -> Option<Ipv4Addr>,
) -> Option<String> {
    let failed = observations.iter().filter(|(_, own)| own.is_err());
    let silent: Vec<_> = failed
        .map(|(name, _)| *name)
        .chain(unreached.iter().copied())
        .collect();
    let heard: Vec<_> = observations
        .iter()
        .filter_map(|(_, own)| own.as_ref().ok()?.hears)
        .collect();
    let is_heard = |name: &Label| address(name).is_some_and(|own| heard.contains(&own));
    match silent[..] {
        [] => Some("no balancer has it".to_owned()),
        _ if silent.iter().any(|name| is_heard(name)) => None,
        _ => Some("none of those that answer has it".to_owned()),
    }
}

/// The problems of a group of balancers. It has none where one balancer has the virtual address, and each other one hears that one
/// and could take the address.
///
/// `unreached` are the balancers without an observation: they were not asked, or could not be logged in on. `address` gives a
/// balancer's own address.
pub(crate) fn unsettled(
    observations: &[(&Label, Observation)],
    unreached: &[&Label],
    address: impl Fn(&Label) -> Option<Ipv4Addr>,
) -> Vec<String> {
    let holder = holder(observations);
    let of_address = match holders(observations)[..] {
        [] => unheld(observations, unreached, &address),
        _ => holder.as_ref().err().cloned(),
    };
    let mut problems = Vec::from_iter(of_address);
    for (name, observation) in observations {
        if let Some(why) = unable(observation) {
            problems.push(format!("{name}: {why}"));
        }
        let (Ok(keepalived), Ok(holder)) = (observation, &holder) else {
            continue;
        };
        let is_holder = name == holder;
        match keepalived.state {
            VrrpState::Changing => problems.push(format!("{name}: keepalived changes its state")),
            VrrpState::Backup if is_holder => {
                problems.push(format!("{name}: it has it, and keepalived is BACKUP"));
            }
            VrrpState::Master if !is_holder => {
                problems.push(format!("{name}: keepalived is MASTER, and {holder} has it"));
            }
            VrrpState::Backup
                if keepalived.hears.is_none() || keepalived.hears != address(holder) =>
            {
                problems.push(format!(
                    "{name}: it does not hear {holder}, which has it; let VRRP (IP protocol 112) pass between them"
                ));
            }
            _ => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(lines: &[&str]) -> Vec<String> {
        let names: Vec<Label> = (1..=lines.len())
            .map(|id| format!("lb-{id}").parse().unwrap())
            .collect();
        let observations = names.iter().zip(lines).map(|(name, line)| {
            let observation = match line.strip_prefix("failed: ") {
                Some(why) => Err(why.to_owned()),
                None => Ok(parse(line).unwrap()),
            };
            (name, observation)
        });
        let address = |name: &Label| {
            let id = name.as_str().rsplit_once('-')?.1;
            format!("10.9.0.10{id}").parse().ok()
        };
        unsettled(&observations.collect::<Vec<_>>(), &[], address)
    }

    #[test]
    fn one_has_the_address_and_the_others_hear_it() {
        let backup = "BACKUP 0 10.9.0.101";
        for good in [
            &["MASTER 1 -"][..],
            &["MASTER 1 -", backup, backup],
            &[backup.replace("101", "102").as_str(), "MASTER 1 -"],
            // Where keepalived does not report its state, the addresses on the interfaces count.
            &["UNKNOWN 1 -", "UNKNOWN 0 -"],
        ] {
            assert_eq!(problems(good), [""; 0], "{good:?}");
        }
        for (bad, why) in [
            (&[backup, backup][..], "no balancer has it"),
            (
                &["MASTER 1 -", "MASTER 1 -"],
                "lb-1 and lb-2 have it at the same time",
            ),
            (
                &["UNKNOWN 1 -", "UNKNOWN 1 -"],
                "lb-1 and lb-2 have it at the same time",
            ),
            (&["MASTER 1 -", "FAULT 0 -"], "lb-2: keepalived is in FAULT"),
            (
                &["MASTER 1 -", "INIT 0 -"],
                "lb-2: keepalived is still starting",
            ),
            (&["MASTER 1 -", "CHANGING 0 -"], "lb-2: keepalived changes"),
            (&["MASTER 1 -", "BACKUP 0 -"], "lb-2: it does not hear lb-1"),
            (
                &["MASTER 1 -", "BACKUP 0 10.9.0.77"],
                "lb-2: it does not hear lb-1",
            ),
            (&["MASTER 1 -", "MASTER 0 -"], "lb-2: keepalived is MASTER"),
            (&["BACKUP 1 -", backup], "lb-1: it has it"),
            (
                &["MASTER 1 -", "failed: it does not run"],
                "lb-2: it does not run",
            ),
        ] {
            let problems = problems(bad);
            assert!(
                problems.iter().any(|line| line.starts_with(why)),
                "{bad:?}: {problems:?}"
            );
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        for line in ["", "MASTER", "MASTER 1"] {
            assert_eq!(parse(line), None, "{line}");
        }
        let odd = parse("\u{1b}[2J 1 x").unwrap();
        assert_eq!((odd.state, odd.hears), (VrrpState::Unknown, None));
    }
}
