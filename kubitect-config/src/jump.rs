//! [`Jump`]: an SSH jump through a host to its machines, as OpenSSH's `ProxyJump` makes it.
//!
//! On a `nat` network, only the host has a route to its machines. OpenSSH's client forwards the connection (`ssh -W`, the
//! protocol's direct-tcpip), as it does for libvirt's own connection to the host: with the person's known hosts, keys, agent and
//! configuration.

use std::path::PathBuf;

use crate::cluster::{Cluster, Connection, NetworkMode};
use crate::uri::Uri;
use crate::value::Name;

/// How to log in on a host through which its machines are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// OpenSSH's client.
    pub program: PathBuf,
    /// The user; none: the client's default.
    pub user: Option<String>,
    /// Name or address of the host.
    pub address: String,
    /// Its port; none: the client's default.
    pub port: Option<u16>,
    /// The private key; none: the keys that the client finds.
    pub keyfile: Option<PathBuf>,
    /// Whether the host's key must be in `known_hosts` already.
    pub verify: bool,
}

impl Connection {
    /// The jump through the host; none if it is this machine, or not reached by SSH.
    pub fn jump(&self) -> Option<Jump> {
        let program = PathBuf::from("ssh");
        match self {
            Self::Local => None,
            Self::Remote {
                user,
                address,
                port,
                keyfile,
                verify,
            } => Some(Jump {
                program,
                user: Some(user.clone()),
                address: address.clone(),
                port: Some(*port),
                keyfile: keyfile.clone(),
                verify: *verify,
            }),
            Self::Uri(text) => {
                let uri = Uri::read(text).ok().filter(Uri::is_ssh)?;
                Some(Jump {
                    program,
                    address: uri.host.clone()?,
                    port: uri.port,
                    keyfile: uri.parameter("keyfile").map(PathBuf::from),
                    verify: uri.parameter("no_verify") != Some("1"),
                    user: uri.user,
                })
            }
        }
    }
}

impl Cluster {
    /// The jump to the machines on a host; none if they are reached directly.
    pub fn jump(&self, host: &Name) -> Option<Jump> {
        match self.network.mode {
            NetworkMode::Nat => self.host(host)?.connection.jump(),
            NetworkMode::Route | NetworkMode::Bridge => None,
        }
    }
}

impl Jump {
    /// The client's arguments that connect its input and output with `target` (`address:port`), without asking a person.
    pub fn arguments(&self, target: &str) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut option = |text: &str| arguments.extend(["-o".to_owned(), text.to_owned()]);
        option("BatchMode=yes");
        match self.verify {
            true => option("StrictHostKeyChecking=yes"),
            false => {
                option("StrictHostKeyChecking=no");
                option("UserKnownHostsFile=/dev/null");
                option("GlobalKnownHostsFile=/dev/null");
            }
        }
        for text in [
            "ConnectTimeout=30",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=3",
            "ControlMaster=no",
            "LogLevel=ERROR",
        ] {
            option(text);
        }
        let mut argument = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        if let Some(user) = &self.user {
            argument("-l", user.clone());
        }
        if let Some(port) = self.port {
            argument("-p", port.to_string());
        }
        if let Some(keyfile) = &self.keyfile {
            argument("-i", keyfile.display().to_string());
        }
        argument("-W", target.to_owned());
        argument("--", self.address.clone());
        arguments
    }

    /// The same command as the value of OpenSSH's option `ProxyCommand`, which the client gives to the person's shell.
    pub fn proxy_command(&self) -> String {
        let program = self.program.display().to_string();
        let command = std::iter::once(program).chain(self.arguments("TARGET"));
        let quoted = command.map(|word| match word.as_str() {
            "TARGET" => "%h:%p".to_owned(),
            word => quoted(&word.replace('%', "%%")),
        });
        quoted.collect::<Vec<_>>().join(" ")
    }

    /// The command with which a person logs in on the host by hand: then ssh shows the host's key and asks whether to trust it.
    pub fn by_hand(&self) -> String {
        let mut words = vec!["ssh".to_owned()];
        words.extend(
            self.port
                .filter(|port| *port != 22)
                .map(|port| format!("-p {port}")),
        );
        words.extend(
            self.keyfile
                .as_ref()
                .map(|path| format!("-i {}", path.display())),
        );
        words.push(self.to_string());
        words.join(" ")
    }
}

/// `user@host`.
impl std::fmt::Display for Jump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.address)
    }
}

/// The text as one quoted word of a shell command, whatever characters it has.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(user: &str, keyfile: &str, verify: bool) -> Connection {
        Connection::Remote {
            user: user.to_owned(),
            address: "h.example.org".to_owned(),
            port: 2222,
            keyfile: Some(keyfile.into()),
            verify,
        }
    }

    #[test]
    fn a_host_is_verified_unless_its_connection_says_otherwise() {
        let arguments = |connection: Connection| {
            connection
                .jump()
                .unwrap()
                .arguments("10.0.0.1:22")
                .join(" ")
        };
        let safe = arguments(remote("me", "/k", true));
        assert!(
            safe.contains("-o StrictHostKeyChecking=yes") && !safe.contains("/dev/null"),
            "{safe}"
        );
        assert!(
            safe.ends_with("-l me -p 2222 -i /k -W 10.0.0.1:22 -- h.example.org"),
            "{safe}"
        );
        let open = arguments(remote("me", "/k", false));
        assert!(open.contains("-o StrictHostKeyChecking=no"), "{open}");
        let uri = |text: &str| Connection::Uri(text.to_owned()).jump();
        let over = uri("qemu+ssh://me@h:2222/system?keyfile=%2Fa%20b").unwrap();
        assert_eq!((over.keyfile, over.verify), (Some("/a b".into()), true));
        assert!(!uri("qemu+ssh://h/system?no_verify=1").unwrap().verify);
        for local in [
            "qemu:///system",
            "qemu+tls://h/system",
            "qemu+unix:///system?socket=/x",
        ] {
            assert_eq!(uri(local), None, "{local}");
        }
    }

    /// The arguments that a shell reads from the option's value after ssh has replaced its tokens.
    #[test]
    fn a_shell_reads_back_what_was_meant() {
        let jump = remote("o'brien@corp $(id)", "/home/a b/`k`%h", true)
            .jump()
            .unwrap();
        let line = jump
            .proxy_command()
            .replace("%h:%p", "10.0.0.1:22")
            .replace("%%", "%");
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf '%s\\n' {line}")])
            .output()
            .unwrap();
        let mut wanted = vec!["ssh".to_owned()];
        wanted.extend(jump.arguments("10.0.0.1:22"));
        let read = String::from_utf8(output.stdout).unwrap();
        assert_eq!(read.lines().collect::<Vec<_>>(), wanted);
    }
}
