//! The OpenSSH client configuration of a cluster: with `ssh -F`, it logs in on each machine by name, with pinned host keys.

use std::fmt::Write;
use std::path::Path;

use kubitect_config::{Cluster, Facts, text};

/// The text of the configuration. Each machine is a `Host` by its full name and by the name without the cluster's prefix.
///
/// None if a path or the user contains a quotation mark or a line break, for which OpenSSH has no escape.
pub fn client_config(cluster: &Cluster, facts: &Facts) -> Option<String> {
    let quoted = |path: &Path| {
        let text = path.to_str()?;
        let plain = !text.contains(['"', '\n', '\r']);
        plain.then(|| format!("\"{}\"", text.replace('%', "%%")))
    };
    let (key, known_hosts) = (quoted(&facts.private_key)?, quoted(&facts.known_hosts)?);
    // A user with a space or a line break would be read as further options.
    let user =
        Some(&facts.user).filter(|user| text::line(user) == **user && !user.contains(' '))?;
    let mut text = format!(
        "# Made by Kubitect: ssh -F THIS-FILE NODE logs in on the machines of {}.\n",
        cluster.name
    );
    let prefix = format!("{}-", cluster.name);
    for node in &facts.nodes {
        let name = node.name.as_str();
        let short = name.strip_prefix(&prefix).map(|short| format!(" {short}"));
        let _ = write!(
            text,
            "\nHost {name}{}\n  HostName {}\n  User {}\n  IdentityFile {key}\n  IdentitiesOnly yes\n  \
             UserKnownHostsFile {known_hosts}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  \
             UpdateHostKeys no\n  ConnectTimeout 20\n  ConnectionAttempts 1\n",
            short.unwrap_or_default(),
            node.ip,
            user,
        );
        if let Some(jump) = cluster.jump(&node.host) {
            let command = jump.proxy_command();
            if command.contains(['\n', '\r']) {
                return None;
            }
            let _ = writeln!(text, "  ProxyCommand {command}");
        }
    }
    Some(text)
}
