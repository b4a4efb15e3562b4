//! Connects to a host's libvirt, and explains why it can't be reached.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use kubitect_config::address;
use kubitect_config::cluster::Connection;
use kubitect_config::value::Name;
use virt::connect::Connect;

use super::uri::uri;
use crate::error::Error;
use crate::hypervisor::Hypervisor;

/// How long libvirt, with SSH, may take until a connection is open.
const PATIENCE: Duration = Duration::from_secs(90);

/// Connects to the libvirt of a host.
pub fn connect(host: &Name, connection: &Connection) -> Result<Arc<dyn Hypervisor>, Error> {
    Ok(Arc::new(Libvirt::connect(host, connection)?))
}

/// A connection to one host's libvirt.
#[derive(Debug)]
pub struct Libvirt {
    connection: Mutex<Connect>,
    /// Whether it is this machine's own libvirt, so that this machine's routes and memory are the host's.
    pub(super) is_local: bool,
    uri: String,
}

impl Libvirt {
    /// Connects to the libvirt of a host.
    pub fn connect(host: &Name, connection: &Connection) -> Result<Self, Error> {
        let uri = uri(connection);
        // libvirt would print each error to stderr besides returning it.
        virt::error::clear_error_callback();
        run_events();
        let began = Instant::now();
        let opened = open(&uri);
        let (shown, took) = (address::shown(&uri), began.elapsed());
        tracing::debug!(
            host = host.as_str(),
            ?took,
            well = opened.is_ok(),
            "libvirt: connect to {shown}"
        );
        let connect = opened.map_err(|message| Error::Connect {
            host: host.to_string(),
            help: help(connection, &message),
            uri: address::shown(&uri),
            source: message.into(),
        })?;
        enable_keepalive(&connect);
        Ok(Self {
            connection: Mutex::new(connect),
            // libvirt's driver for tests has a host of its own in memory.
            is_local: connection.is_local() && !uri.starts_with("test:"),
            uri,
        })
    }

    /// The connection. One that has ended, as when libvirtd is restarted, is replaced by a new one, if one can be opened.
    pub(super) fn connected(&self) -> Connect {
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let has_ended = |connection: &Connect| matches!(connection.is_alive(), Ok(false));
        reopen(&mut *connection, has_ended, || {
            let connect = open(&self.uri)?;
            enable_keepalive(&connect);
            Ok(connect)
        });
        connection.clone()
    }

    /// Another connection to the same libvirt, if it can be opened. None for the test driver, which has a host of its own for each
    /// connection.
    pub(super) fn open_another(&self) -> Option<Self> {
        if self.uri.starts_with("test:") {
            return None;
        }
        match open(&self.uri) {
            Ok(connect) => {
                enable_keepalive(&connect);
                Some(Self {
                    connection: Mutex::new(connect),
                    is_local: self.is_local,
                    uri: self.uri.clone(),
                })
            }
            Err(error) => {
                tracing::debug!(%error, "no further connection");
                None
            }
        }
    }
}

/// Replaces a connection that has ended. Where that fails, the ended one stays: its next use fails, and the use after that tries again.
fn reopen<C>(
    connection: &mut C,
    has_ended: impl Fn(&C) -> bool,
    open: impl FnOnce() -> Result<C, String>,
) {
    if !has_ended(connection) {
        return;
    }
    match open() {
        Ok(new) => *connection = new,
        Err(error) => tracing::debug!(%error, "the connection has ended, and there is no other"),
    }
}

/// Turns on keepalive: a libvirt that stops answering is noticed after 60 s. A driver without a network connection refuses it.
fn enable_keepalive(connect: &Connect) {
    if let Err(error) = connect.set_keep_alive(10, 5) {
        tracing::debug!(%error, "no keepalive");
    }
}

/// Opens a connection, with a deadline: libvirt alone waits for ever for a server that accepts and does not answer.
fn open(uri: &str) -> Result<Connect, String> {
    let (sender, receiver) = mpsc::channel();
    let uri = uri.to_owned();
    std::thread::spawn(move || {
        let opened = Connect::open(Some(&uri)).map_err(|error| error.message().to_owned());
        // The receiver is gone after the deadline.
        let _ = sender.send(opened);
    });
    receiver
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

/// Runs libvirt's event loop in a thread of its own, once: keepalive does not work without it.
fn run_events() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        if let Err(error) = virt::event::event_register_default_impl() {
            tracing::debug!(%error, "no event loop, so no keepalive");
            return;
        }
        std::thread::spawn(|| while virt::event::event_run_default_impl().is_ok() {});
    });
}

/// What a person should do about a connection that failed with this message.
fn help(connection: &Connection, message: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if let Some(help) = host_key(connection, message) {
        return help;
    }
    let help = if has(&["no answer within"]) {
        "it takes connections and says nothing; restart libvirtd on that host (`sudo systemctl restart libvirtd`)"
    } else if has(&["Permission denied (", "publickey"]) {
        "SSH did not let us in; check connection.user and connection.ssh.keyfile"
    } else if has(&[
        "Permission denied",
        "authentication unavailable",
        "access denied",
        "authentication failed",
    ]) {
        "permission denied; add your account to the group `libvirt` on that host (`sudo usermod -aG libvirt $USER`) and log in again"
    } else if has(&[
        "No such file or directory",
        "Connection refused",
        "Failed to connect socket",
    ]) {
        match connection {
            Connection::Remote { .. } => {
                "libvirt or SSH does not answer there; install libvirt-daemon-system on it and start libvirtd, and check address and port"
            }
            Connection::Uri(_) => {
                "no libvirt answers at this URI; check connection.uri, and that libvirtd is installed and runs there"
            }
            Connection::Local => {
                "libvirt does not run; install libvirt-daemon-system and qemu-system-x86 and start it (`sudo systemctl enable --now libvirtd`); `kubitect doctor` says what else is missing"
            }
        }
    } else if has(&[
        "no connection driver",
        "Could not resolve",
        "No route to host",
        "timed out",
        "Name or service not known",
    ]) {
        "check the host's connection in the configuration"
    } else {
        "see the cause below"
    };
    help.to_owned()
}

/// What to do about a host key that is unknown or has changed, if the message says that.
fn host_key(connection: &Connection, message: &str) -> Option<String> {
    let jump = connection.jump();
    let by_hand = jump.map_or_else(|| "ssh".to_owned(), |jump| jump.by_hand());
    if message.contains("HOST IDENTIFICATION HAS CHANGED") {
        Some(format!(
            "its SSH host key is not the one that your known_hosts has, so another machine may answer there; if the host was \
             installed anew, take the old key out (`ssh-keygen -R`), and `{by_hand}` asks for the new one"
        ))
    } else if message.contains("Host key verification failed") || message.contains("host key") {
        Some(format!(
            "its SSH host key is not known; `{by_hand}` shows it and, once you have compared it (`ssh-keygen -lf \
             /etc/ssh/ssh_host_ed25519_key.pub` on the host), adds it to your known_hosts"
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::uri::tests::remote;

    #[test]
    fn a_connection_that_has_ended_is_opened_again_once_libvirt_is_back() {
        // A connection as its number, of which those below 2 have ended.
        let mut connection = 1;
        let has_ended = |connection: &i32| *connection < 2;
        reopen(&mut connection, has_ended, || Err("restarting".to_owned()));
        assert_eq!(connection, 1);
        reopen(&mut connection, has_ended, || Ok(2));
        assert_eq!(connection, 2);
        reopen(&mut connection, has_ended, || panic!("it lives"));
        assert_eq!(connection, 2);
    }

    #[test]
    fn failures_to_connect_are_told_apart() {
        let local = Connection::Local;
        let cases = [
            (
                "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied",
                "group `libvirt`",
            ),
            (
                "Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory",
                "`kubitect doctor`",
            ),
            (
                "Cannot recv data: Host key verification failed.: Connection reset by peer",
                "adds it to your known_hosts",
            ),
            (
                "Cannot recv data: @ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @ Host key verification failed.",
                "`ssh-keygen -R`",
            ),
            (
                "Cannot recv data: me@h: Permission denied (publickey,password).",
                "SSH did not let us in",
            ),
            (
                "authentication unavailable: no polkit agent available",
                "group `libvirt`",
            ),
            ("no answer within 90 s", "restart libvirtd"),
        ];
        for (message, hint) in cases {
            assert!(help(&local, message).contains(hint), "{message}");
        }
        let unknown = help(
            &remote("me", "h", Some("/k"), true),
            "Host key verification failed.",
        );
        assert!(unknown.contains("`ssh -p 2222 -i /k me@h`"), "{unknown}");
    }
}
