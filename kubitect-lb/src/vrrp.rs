//! What keepalived on balancers says: who has the virtual address, and whether the others hear that and could take it.

use std::fmt;
use std::net::Ipv4Addr;

use kubitect_config::Remote;
use kubitect_config::value::Label;
use serde::Serialize;

use crate::Error;
use crate::machine::Machine;

/// The Python program that asks the local keepalived; see the program's own first lines.
pub const KEEPALIVED: &str = include_str!("programs/vrrp.py");

/// Where keepalived's process is named on every distro.
const PROCESS: &str = "/run/keepalived.pid";

/// What keepalived says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum VrrpState {
    /// It has the address.
    Master,
    /// It stands by for who has it.
    Backup,
    /// It can't have it: its check of HAProxy fails, or its interface is down.
    Fault,
    /// It is just starting.
    Starting,
    /// It did not stay the same while it was looked at.
    Changing,
    /// It does not tell.
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
    /// What it says of itself.
    pub state: VrrpState,
    /// Whether the machine has the virtual address.
    pub holds_address: bool,
    /// Whom a backup hears.
    #[serde(skip)]
    pub hears: Option<Ipv4Addr>,
}

/// What a balancer was seen as; or why it could not be.
pub(crate) type Look = Result<Keepalived, String>;

/// Looks at a balancer's keepalived: how many seconds it may take until it can have the address, and how many it is then watched.
pub(crate) async fn look<R: Remote>(
    machine: &Machine<'_, R>,
    vip: Ipv4Addr,
    patience: &str,
    watched: &str,
) -> Result<Look, Error> {
    let vip = vip.to_string();
    let argv = [
        "python3", "-I", "-c", KEEPALIVED, patience, watched, &vip, PROCESS,
    ];
    let output = machine.root(&argv).await?;
    Ok(match output.success() {
        true => parse(&output.text()).ok_or_else(|| "its answer is not understood".to_owned()),
        false => Err(output.said()),
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
pub(crate) fn unable(look: &Look) -> Option<String> {
    match look {
        Err(why) => Some(why.clone()),
        Ok(own) => match own.state {
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
pub(crate) fn holder<'a>(looks: &[(&'a Label, Look)]) -> Result<&'a Label, String> {
    match holders(looks)[..] {
        [] => Err("no balancer has it".to_owned()),
        [one] => Ok(one),
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
fn holders<'a>(looks: &[(&'a Label, Look)]) -> Vec<&'a Label> {
    let has = |look: &Look| look.as_ref().is_ok_and(|own| own.holds_address);
    let holders = looks.iter().filter(|(_, look)| has(look));
    holders.map(|(name, _)| *name).collect()
}

/// What is wrong where none of those that answer has the address: nothing if one of them hears one that does not answer.
fn unheld(
    looks: &[(&Label, Look)],
    unseen: &[&Label],
    address: impl Fn(&Label) -> Option<Ipv4Addr>,
) -> Option<String> {
    let failed = looks.iter().filter(|(_, look)| look.is_err());
    let silent: Vec<_> = failed
        .map(|(name, _)| *name)
        .chain(unseen.iter().copied())
        .collect();
    let heard: Vec<_> = looks
        .iter()
        .filter_map(|(_, look)| look.as_ref().ok()?.hears)
        .collect();
    let is_heard = |name: &Label| address(name).is_some_and(|own| heard.contains(&own));
    match silent[..] {
        [] => Some("no balancer has it".to_owned()),
        _ if silent.iter().any(|name| is_heard(name)) => None,
        _ => Some("none of those that answer has it".to_owned()),
    }
}

/// All that is not as it should be in a group of balancers, whose addresses are known: one has the address, and each other hears
/// that one and could take it. Those that were not `unseen` answered, or could at least be logged in on.
pub(crate) fn unsettled(
    looks: &[(&Label, Look)],
    unseen: &[&Label],
    address: impl Fn(&Label) -> Option<Ipv4Addr>,
) -> Vec<String> {
    let holder = holder(looks);
    let wrong = match holders(looks)[..] {
        [] => unheld(looks, unseen, &address),
        _ => holder.as_ref().err().cloned(),
    };
    let mut problems = Vec::from_iter(wrong);
    for (name, look) in looks {
        if let Some(why) = unable(look) {
            problems.push(format!("{name}: {why}"));
        }
        let (Ok(own), Ok(holder)) = (look, &holder) else {
            continue;
        };
        let is_holder = name == holder;
        match own.state {
            VrrpState::Changing => problems.push(format!("{name}: keepalived changes its state")),
            VrrpState::Backup if is_holder => {
                problems.push(format!("{name}: it has it, and keepalived is BACKUP"));
            }
            VrrpState::Master if !is_holder => {
                problems.push(format!("{name}: keepalived is MASTER, and {holder} has it"));
            }
            VrrpState::Backup if own.hears.is_none() || own.hears != address(holder) => {
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
        let looks = names.iter().zip(lines).map(|(name, line)| {
            let look = match line.strip_prefix("failed: ") {
                Some(why) => Err(why.to_owned()),
                None => Ok(parse(line).unwrap()),
            };
            (name, look)
        });
        let address = |name: &Label| {
            let id = name.as_str().rsplit_once('-')?.1;
            format!("10.9.0.10{id}").parse().ok()
        };
        unsettled(&looks.collect::<Vec<_>>(), &[], address)
    }

    #[test]
    fn one_has_the_address_and_the_others_hear_it() {
        let backup = "BACKUP 0 10.9.0.101";
        for good in [
            &["MASTER 1 -"][..],
            &["MASTER 1 -", backup, backup],
            &[backup.replace("101", "102").as_str(), "MASTER 1 -"],
            // Where keepalived does not tell, what can be seen counts.
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
            let said = problems(bad);
            assert!(
                said.iter().any(|line| line.starts_with(why)),
                "{bad:?}: {said:?}"
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
