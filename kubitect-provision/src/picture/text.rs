//! The diagram as text.

use std::fmt::Write;

use super::Picture;
use super::model::plural;

/// Lines for a terminal: the hosts, each with its machines.
pub fn text(picture: &Picture) -> String {
    let mut text = format!("{} · {}\n", picture.cluster, picture.about);
    let mut line = |parts: &str| writeln!(text, "{}", parts.trim_end()).unwrap_or_default();
    line(&picture.network.join(": "));
    line(&format!(
        "clients: {} ({})",
        picture.entry, picture.entry_kind
    ));
    for route in &picture.ways {
        line(&format!("  {}", route.describe()));
    }
    let machines = || picture.hosts.iter().flat_map(|host| &host.machines);
    let width = |of: fn(&super::MachineBox) -> &str| {
        machines()
            .map(|machine| of(machine).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (name, address, size) = (
        width(|m| &m.name),
        width(|m| &m.address),
        width(|m| &m.size),
    );
    for host in &picture.hosts {
        line(&format!("host {} ({})", host.name, host.place));
        let mut role = None;
        for machine in &host.machines {
            if role.replace(machine.role) != Some(machine.role) {
                line(&format!("  {}", plural(machine.role)));
            }
            let status = machine.seen.as_ref();
            let mark = if status.is_some_and(|status| !status.good) {
                '!'
            } else {
                ' '
            };
            let status = status.map_or("", |status| status.words.as_str());
            let (name_text, address_text, size_text) =
                (&machine.name, &machine.address, &machine.size);
            let disks = machine.disks.join(" ");
            line(&format!(
                "  {mark} {name_text:name$}  {address_text:address$}  {size_text:size$}  {status} {disks}"
            ));
        }
    }
    text
}
