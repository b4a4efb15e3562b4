//! [`Fold`]: the short form of a plan: its rows folded into one line for each machine and one for each hop of an upgrade.

use std::collections::BTreeSet;
use std::fmt;

use super::{Action, Disruption, Kind, Row};

/// The most names of machines that the last line has.
const NAMED: usize = 5;

/// A plan's folded rows. `Display` shows the lines and, as the last line, their sums.
#[derive(Debug)]
pub struct Fold<'a> {
    cluster: &'a str,
    lines: Vec<Line>,
    hops: usize,
    upgraded: usize,
}

/// What a plan does with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Change,
    Add,
    Remove,
    /// It is removed and recreated.
    Recreate,
}

/// Rows with the same key are folded into one line.
#[derive(Debug, Clone, PartialEq)]
enum Key {
    /// A machine: its domain, disks, and its work as a balancer or node.
    Machine(String),
    /// The shared resources of a host: networks, pools, images.
    Shared(Action, String),
    /// Nodes that join with the same details.
    Nodes(String),
    /// A hop of an upgrade.
    Hop(String),
    /// Anything else, by its kind and name.
    Other(Kind, String),
}

#[derive(Debug)]
struct Line {
    key: Key,
    sign: Sign,
    host: String,
    disruption: Disruption,
    /// The names of the rows' resources; empty for a machine, whose key has its name.
    names: Vec<String>,
    details: Vec<String>,
}

impl<'a> Fold<'a> {
    /// Folds the rows of a plan. `cluster` is the cluster's name.
    pub fn new(cluster: &'a str, rows: &[Row]) -> Self {
        let of_machines = rows.iter().filter(|row| is_of_machine(row));
        let machines: BTreeSet<_> = of_machines.map(|row| row.name.as_str()).collect();
        let mut keys: Vec<(Key, Vec<&Row>)> = Vec::new();
        for row in rows {
            let key = key(row, &machines);
            match keys.iter_mut().find(|(other, _)| *other == key) {
                Some((_, own)) => own.push(row),
                None => keys.push((key, vec![row])),
            }
        }
        let several = BTreeSet::from_iter(rows.iter().map(|row| &row.host)).len() > 1;
        let hops = keys.iter().filter(|(key, _)| matches!(key, Key::Hop(_)));
        let names = hops.clone().flat_map(|(_, own)| own).map(|row| &row.name);
        let (hops, upgraded) = (hops.count(), BTreeSet::from_iter(names).len());
        let lines = keys.into_iter().map(|(key, own)| line(key, &own, several));
        Self {
            cluster,
            lines: lines.collect(),
            hops,
            upgraded,
        }
    }

    /// The names of the machines and other resources whose data is lost.
    pub fn data_lost(&self) -> Vec<&str> {
        let lost = self.lines.iter();
        let lost = lost.filter(|line| line.disruption == Disruption::DataLoss);
        lost.flat_map(|line| match &line.key {
            Key::Machine(name) => vec![name.as_str()],
            _ => line.names.iter().map(String::as_str).collect(),
        })
        .collect()
    }

    /// The sums as text: how many machines and other resources are added, changed, recreated and removed, and the upgraded nodes.
    fn counts(&self) -> String {
        let mut counts = Vec::new();
        for (sign, what) in [
            (Sign::Add, "to add"),
            (Sign::Change, "to change"),
            (Sign::Recreate, "to recreate"),
            (Sign::Remove, "to remove"),
        ] {
            let counted = |line: &&Line| line.sign == sign && line.is_counted();
            match self.lines.iter().filter(counted).count() {
                0 => {}
                count => counts.push(format!("{count} {what}")),
            }
        }
        let nodes = match self.upgraded {
            1 => "1 node".to_owned(),
            nodes => format!("{nodes} nodes"),
        };
        match self.hops {
            0 => {}
            1 => counts.push(format!("{nodes} to upgrade")),
            hops => counts.push(format!("{nodes} to upgrade in {hops} hops")),
        }
        match (counts.is_empty(), self.lines.len()) {
            (true, 1) => "1 change".to_owned(),
            (true, lines) => format!("{lines} changes"),
            (false, _) => counts.join(", "),
        }
    }
}

fn is_of_machine(row: &Row) -> bool {
    matches!(row.kind, Kind::Domain | Kind::Node | Kind::Balancer)
}

fn key(row: &Row, machines: &BTreeSet<&str>) -> Key {
    if let Some(hop) = &row.upgrade {
        return Key::Hop(hop.clone());
    }
    if row.kind == Kind::Node && row.action == Action::Create {
        return Key::Nodes(row.details.clone());
    }
    if is_of_machine(row) {
        return Key::Machine(row.name.clone());
    }
    match (row.kind, owner(&row.name, machines)) {
        (Kind::Volume, Some(machine)) => Key::Machine(machine.to_owned()),
        (Kind::Network | Kind::Pool | Kind::Image, _) if row.action != Action::Update => {
            Key::Shared(row.action, row.host.clone())
        }
        _ => Key::Other(row.kind, row.name.clone()),
    }
}

/// The machine that a disk belongs to: of several whose names begin the disk's name, the one with the longest name.
fn owner<'a>(disk: &str, machines: &BTreeSet<&'a str>) -> Option<&'a str> {
    let own = |machine: &&&str| {
        let rest = disk.strip_prefix(**machine);
        rest.is_some_and(|rest| rest.starts_with('-'))
    };
    machines
        .iter()
        .filter(own)
        .max_by_key(|machine| machine.len())
        .copied()
}

/// What the rows of one key do with its resource.
fn sign(key: &Key, rows: &[&Row]) -> Sign {
    let of = |kind: Kind, action: Action| {
        let mut rows = rows.iter();
        rows.any(|row| row.kind == kind && row.action == action)
    };
    let own = |action: Action| match key {
        Key::Machine(_) if rows.iter().any(|row| row.kind == Kind::Domain) => {
            of(Kind::Domain, action)
        }
        Key::Machine(_) => of(Kind::Balancer, action) || of(Kind::Node, action),
        _ => rows.iter().all(|row| row.action == action),
    };
    match key {
        Key::Hop(_) => Sign::Change,
        _ if own(Action::Replace) || own(Action::Create) && own(Action::Delete) => Sign::Recreate,
        _ if own(Action::Create) => Sign::Add,
        _ if own(Action::Delete) => Sign::Remove,
        _ => Sign::Change,
    }
}

fn line(key: Key, rows: &[&Row], several_hosts: bool) -> Line {
    let sign = sign(&key, rows);
    let host = rows.first().map(|row| row.host.clone()).unwrap_or_default();
    let disruption = rows.iter().map(|row| row.disruption).max();
    let names = match &key {
        Key::Machine(_) => Vec::new(),
        Key::Shared(..) => rows
            .iter()
            .map(|row| format!("{} {}", row.kind, row.name))
            .collect(),
        _ => rows.iter().map(|row| row.name.clone()).collect(),
    };
    let details = match &key {
        Key::Machine(name) => machine_details(name, sign, rows),
        Key::Shared(..) | Key::Nodes(_) => Vec::new(),
        Key::Hop(_) => hop_details(rows),
        Key::Other(..) => rows.iter().map(|row| row.details.clone()).collect(),
    };
    Line {
        key,
        sign,
        host: if several_hosts { host } else { String::new() },
        disruption: disruption.unwrap_or(Disruption::None),
        names,
        details,
    }
}

/// The details of a machine's line. Details that repeat a disk's, or that only complete another step, are left out; but the
/// reason of a restart never is.
fn machine_details(machine: &str, sign: Sign, rows: &[&Row]) -> Vec<String> {
    let disks: Vec<_> = rows.iter().filter(|row| row.kind == Kind::Volume).collect();
    let mut details: Vec<String> = Vec::new();
    let mut add = |detail: String| {
        if !detail.is_empty() && !details.contains(&detail) {
            details.push(detail);
        }
    };
    for row in rows {
        let disturbs = row.destructive || row.disruption != Disruption::None;
        let follows = disks.iter().any(|disk| row.details.contains(&disk.name));
        match (row.kind, sign) {
            (Kind::Volume, Sign::Remove) if row.action == Action::Delete => {
                if let Some(disk) = disk(machine, row).filter(|disk| disk.starts_with("disk ")) {
                    add(format!("with its {disk}"));
                }
            }
            (Kind::Volume, _) => {
                if let Some(disk) = disk(machine, row) {
                    add(format!("{}{disk} {}", disk_sign(row, sign), row.details)
                        .trim_end()
                        .to_owned());
                }
            }
            _ if !disturbs && (row.follows || (follows && row.action == Action::Update)) => {}
            _ => add(row.details.clone()),
        }
    }
    details
}

/// The sign before a disk: what is done with it. None before the disks of a machine that is added.
fn disk_sign(row: &Row, sign: Sign) -> &'static str {
    match (row.action, sign) {
        (Action::Create, Sign::Change) => "+ ",
        (Action::Delete, _) => "- ",
        (Action::Replace, _) => "± ",
        _ => "",
    }
}

/// A disk's name for a person; none for the seed and the console's log, which each machine has.
fn disk(machine: &str, row: &Row) -> Option<String> {
    let name = row.name.strip_prefix(machine)?.strip_prefix('-')?;
    match name {
        "seed" | "console.log" => None,
        "main-disk" => Some("main disk".to_owned()),
        name => Some(format!(
            "disk {}",
            name.strip_suffix("-data-disk").unwrap_or(name)
        )),
    }
}

/// The details of a hop's line: each row's own ones, each once. The first detail is left out, as it says what the hop does.
fn hop_details(rows: &[&Row]) -> Vec<String> {
    let mut details: Vec<String> = Vec::new();
    for part in rows.iter().flat_map(|row| row.details.split("; ").skip(1)) {
        if !details.iter().any(|detail| detail == part) {
            details.push(part.to_owned());
        }
    }
    details
}

/// The names as a list in which a prefix that follows itself is left out: `demo-master-1, 2, 3, demo-worker-1`.
fn abbreviated(names: &[String]) -> String {
    let mut text = String::new();
    let mut last = "";
    for name in names {
        let (prefix, id) = name.rsplit_once('-').unwrap_or(("", name));
        let short = !prefix.is_empty() && prefix == last;
        if !text.is_empty() {
            text += ", ";
        }
        text += if short { id } else { name };
        last = prefix;
    }
    text
}

impl Line {
    /// Whether the sums count it: hops have a sum of their own, and shared resources and joining nodes are parts of other changes.
    fn is_counted(&self) -> bool {
        !matches!(self.key, Key::Hop(_) | Key::Shared(..) | Key::Nodes(_))
    }

    fn mark(&self) -> char {
        match self.sign {
            Sign::Change => '~',
            Sign::Add => '+',
            Sign::Remove => '-',
            Sign::Recreate => '±',
        }
    }

    fn subject(&self) -> String {
        match &self.key {
            Key::Machine(name) => name.clone(),
            Key::Shared(Action::Start, _) => format!("start {}", self.names.join(", ")),
            Key::Shared(..) => self.names.join(", "),
            Key::Nodes(what) => {
                let nodes = if self.names.len() == 1 {
                    "node"
                } else {
                    "nodes"
                };
                format!("{nodes} {}: {what}", abbreviated(&self.names))
            }
            Key::Hop(hop) => format!("upgrade {hop}: {}", abbreviated(&self.names)),
            Key::Other(kind, name) => match kind {
                // A cluster has one of each.
                Kind::Network | Kind::Etcd | Kind::Addons => kind.to_string(),
                _ => format!("{kind} {name}"),
            },
        }
    }
}

impl fmt::Display for Fold<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aligned = |line: &&Line| matches!(line.key, Key::Machine(_) | Key::Other(..));
        let aligned = self.lines.iter().filter(aligned);
        let widths = aligned.map(|line| line.subject().chars().count());
        let subject = widths.max().unwrap_or(0);
        for line in &self.lines {
            let mut text = format!("  {} {:subject$}  ", line.mark(), line.subject());
            if !line.host.is_empty() {
                text += &format!("on {}  ", line.host);
            }
            if line.disruption != Disruption::None {
                text += &format!("[{}] ", line.disruption);
            }
            text += &line.details.join("; ");
            writeln!(f, "{}", text.trim_end())?;
        }
        write!(f, "{}: {}", self.cluster, self.counts())?;
        match &*self.data_lost() {
            [] => writeln!(f),
            names if names.len() <= NAMED => {
                writeln!(f, ". Data is lost: {}", names.join(", "))
            }
            names => {
                let (few, more) = names.split_at(NAMED);
                let few = few.join(", ");
                writeln!(f, ". Data is lost: {few} and {} more", more.len())
            }
        }
    }
}

#[cfg(test)]
mod tests;
