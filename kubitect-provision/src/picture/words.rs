//! The picture as lines of text.

use std::fmt::Write;

use super::Picture;
use super::model::several;

/// Lines for a terminal: what each machine is, under its host.
pub fn words(picture: &Picture) -> String {
    let mut text = format!("{} · {}\n", picture.cluster, picture.about);
    let mut line = |parts: &str| writeln!(text, "{}", parts.trim_end()).unwrap_or_default();
    line(&picture.network.join(": "));
    line(&format!(
        "clients: {} ({})",
        picture.entry, picture.entry_kind
    ));
    for way in &picture.ways {
        line(&format!("  {}", way.words()));
    }
    let machines = || picture.hosts.iter().flat_map(|host| &host.machines);
    let wide = |of: fn(&super::MachineBox) -> &str| {
        machines()
            .map(|machine| of(machine).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (name, address, size) = (wide(|m| &m.name), wide(|m| &m.address), wide(|m| &m.size));
    for host in &picture.hosts {
        line(&format!("host {} ({})", host.name, host.place));
        let mut role = None;
        for machine in &host.machines {
            if role.replace(machine.role) != Some(machine.role) {
                line(&format!("  {}", several(machine.role)));
            }
            let seen = machine.seen.as_ref();
            let mark = if seen.is_some_and(|seen| !seen.good) {
                '!'
            } else {
                ' '
            };
            let seen = seen.map_or("", |seen| seen.words.as_str());
            let (own, at, of) = (&machine.name, &machine.address, &machine.size);
            let disks = machine.disks.join(" ");
            line(&format!(
                "  {mark} {own:name$}  {at:address$}  {of:size$}  {seen} {disks}"
            ));
        }
    }
    text
}
