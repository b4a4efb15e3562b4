//! OpenSSH's configuration of a cluster's machines: `ssh -F` with it logs in on each by its name, with the pinned host keys.

use std::fmt::Write;
use std::path::Path;

use kubitect_config::{Cluster, Facts, text};

/// The file's text. Machines have their own names and those without the cluster's before.
///
/// Nothing if a path or the user in it could not be written: OpenSSH knows no way to write a quotation mark or a line break.
pub fn client_config(cluster: &Cluster, facts: &Facts) -> Option<String> {
    let quoted = |path: &Path| {
        let text = path.to_str()?;
        let plain = !text.contains(['"', '\n', '\r']);
        plain.then(|| format!("\"{}\"", text.replace('%', "%%")))
    };
    let (key, known) = (quoted(&facts.private_key)?, quoted(&facts.known_hosts)?);
    // What is more than a word would be more options.
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
             UserKnownHostsFile {known}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  \
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
