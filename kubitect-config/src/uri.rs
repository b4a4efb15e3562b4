//! [`Uri`]: a libvirt URI, read strictly, and the check that it only connects.
//!
//! The query of a libvirt URI can name programs to run, sockets, and whom to trust (<https://libvirt.org/uri.html>). So a cluster
//! file from a stranger could run any program as soon as somebody plans with it. Only the parts that are listed here are allowed
//! in one.

use crate::value::Invalid;

/// The allowed drivers: QEMU's, and libvirt's `test` driver, which is in memory.
const DRIVERS: [&str; 2] = ["qemu", "test"];
/// The allowed transports. `ext` is not one of them: it runs a program.
const TRANSPORTS: [&str; 6] = ["unix", "ssh", "libssh", "libssh2", "tls", "tcp"];
/// The allowed parameters, which neither run a program nor say whom to trust, with their allowed values; empty: an absolute path.
const PARAMETERS: [(&str, &[&str]); 6] = [
    ("keyfile", &[]),
    ("mode", &["auto", "legacy", "direct"]),
    ("no_tty", &["0", "1"]),
    ("no_verify", &["0", "1"]),
    ("proxy", &["auto", "netcat", "native"]),
    (
        "sshauth",
        &["agent", "privkey", "agent,privkey", "privkey,agent"],
    ),
];

/// The parts of a libvirt URI, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    /// `qemu`, or `test`.
    pub driver: String,
    /// The transport to the daemon; none: a socket on this machine.
    pub transport: Option<String>,
    /// The user who logs in.
    pub user: Option<String>,
    /// The host, an IPv6 address without brackets; none: this machine.
    pub host: Option<String>,
    /// The port; none: the transport's default.
    pub port: Option<u16>,
    /// `/system`, `/session`, or the file of libvirt's `test` driver.
    pub path: String,
    /// The query, in order.
    pub parameters: Vec<(String, String)>,
}

impl Uri {
    /// Reads a URI that a cluster file has, and refuses one that could do more than connect.
    ///
    /// # Errors
    /// It is no libvirt URI, or one that only the site file may allow.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let uri = Self::read(text)?;
        if !DRIVERS.contains(&uri.driver.as_str()) {
            return Err(Invalid::new(
                "must begin with `qemu`, as qemu+ssh://user@host/system",
            ));
        }
        if let Some(transport) = &uri.transport
            && !TRANSPORTS.contains(&transport.as_str())
        {
            return Err(refused(format!("`+{transport}` may run a program")));
        }
        if uri.driver == "qemu" && !["/system", "/session"].contains(&uri.path.as_str()) {
            return Err(refused(format!(
                "`{}` is neither /system nor /session",
                uri.path
            )));
        }
        for (index, (name, value)) in uri.parameters.iter().enumerate() {
            let allowed = PARAMETERS.iter().find(|(allowed, _)| allowed == name);
            let Some((_, values)) = allowed else {
                return Err(refused(format!(
                    "`{name}=` may run a program or say whom to trust"
                )));
            };
            let fits = match *values {
                [] => value.starts_with('/') && !value.contains(char::is_control),
                values => values.contains(&value.as_str()),
            };
            if !fits
                || uri.parameters[..index]
                    .iter()
                    .any(|(other, _)| other == name)
            {
                let wanted = match *values {
                    [] => "an absolute path".to_owned(),
                    values => format!("one of {}", values.join(", ")),
                };
                return Err(Invalid::new(format!(
                    "must have `{name}` once and as {wanted}"
                )));
            }
        }
        Ok(uri)
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut all = self.parameters.iter();
        all.find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the transport is SSH, by any of libvirt's clients.
    pub fn is_ssh(&self) -> bool {
        let transport = self.transport.as_deref();
        self.host.is_some() && transport.is_some_and(|transport| transport.contains("ssh"))
    }

    /// Reads a URI with any driver, transport and parameters: for one that the site file allows.
    ///
    /// # Errors
    /// It is no libvirt URI.
    pub fn read(text: &str) -> Result<Self, Invalid> {
        let broken = || Invalid::new("must be a libvirt URI, as qemu+ssh://user@host/system");
        let (scheme, rest) = text.split_once("://").ok_or_else(broken)?;
        let word = |text: &str| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        let (driver, transport) = match scheme.split_once('+') {
            Some((driver, transport)) => (driver, Some(transport)),
            None => (scheme, None),
        };
        if !word(driver) || !transport.is_none_or(word) || rest.contains('#') {
            return Err(broken());
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, rest) = match authority.rsplit_once('@') {
            Some((user, rest)) => (Some(decoded(user).ok_or_else(broken)?), rest),
            None => (None, authority),
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(broken)?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return Err(broken()),
            Some(port) => Some(port.parse::<u16>().map_err(|_| broken())?),
        };
        // ssh would read a leading hyphen as an option, and may put host and user into a shell command (`%h`, `%r`).
        let safe = |c: char| c.is_ascii_alphanumeric() || "-.:_".contains(c);
        let forbidden = |c: char| !c.is_alphanumeric() && !"-_.@+$".contains(c);
        if host.starts_with('-')
            || !host.chars().all(safe)
            || user.as_ref().is_some_and(|user| {
                user.is_empty() || user.starts_with('-') || user.contains(forbidden)
            })
        {
            return Err(broken());
        }
        let mut parameters = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            // libvirt reads `;` as `&` if there is no `&`: then this would be several parameters.
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if parameter.contains(';') {
                return Err(broken());
            }
            parameters.push((
                decoded(name).ok_or_else(broken)?,
                decoded(value).ok_or_else(broken)?,
            ));
        }
        Ok(Self {
            driver: driver.to_owned(),
            transport: transport.map(str::to_owned),
            user,
            host: Some(host)
                .filter(|host| !host.is_empty())
                .map(str::to_owned),
            port,
            path: path.to_owned(),
            parameters,
        })
    }
}

/// The error for a URI that only the site file may allow.
fn refused(why: String) -> Invalid {
    Invalid::new(format!(
        "must only say where libvirt is: {why}. A cluster's file may use {}; whoever trusts this URI lists it, whole, under \
         `libvirtUris` in the site file",
        PARAMETERS.map(|(name, _)| name).join(", ")
    ))
}

/// The text with its percent-encoding decoded; none if that is not valid, or if it has a NUL.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                digits
                    .bytes()
                    .all(|b| b.is_ascii_hexdigit())
                    .then_some(())?;
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_connects_is_taken_apart() {
        let uri = Uri::parse("qemu+ssh://a%40b@[fd00::1]:2222/system?no_tty=1&keyfile=%2Fhome%2Fa%20b%2Fk&no_verify=0").unwrap();
        assert_eq!(
            (uri.user.as_deref(), uri.host.as_deref(), uri.port),
            (Some("a@b"), Some("fd00::1"), Some(2222))
        );
        assert_eq!(uri.parameter("keyfile"), Some("/home/a b/k"));
        assert!(uri.is_ssh());
        for local in [
            "qemu:///system",
            "qemu:///session",
            "test:///default",
            "test:///a/node.xml",
            "qemu+unix:///system",
        ] {
            let uri = Uri::parse(local).unwrap();
            assert!(uri.host.is_none() && !uri.is_ssh(), "{local}");
        }
        for remote in [
            "qemu+tls://h.example.org/system",
            "qemu+libssh2://me@h/system?sshauth=privkey&mode=legacy&proxy=netcat",
        ] {
            assert!(Uri::parse(remote).unwrap().host.is_some(), "{remote}");
        }
    }

    #[test]
    fn what_runs_programs_or_says_whom_to_trust_is_refused_however_it_is_written() {
        for uri in [
            "qemu+ext:///system?command=/bin/evil",
            "qemu+ssh://h/system?command=/bin/evil",
            "qemu+ssh://h/system?Command=/bin/evil",
            "qemu+ssh://h/system?%63ommand=/bin/evil",
            "qemu+ssh://h/system?no_tty=1&command=/bin/evil",
            "qemu+ssh://h/system?no_tty=1;command=/bin/evil",
            "qemu+ssh://h/system?&&netcat=/bin/evil",
            "qemu+ssh://h/system?no_tty=1#&command=x",
            "qemu+ssh://h/system%3Fcommand=/bin/evil",
            "qemu+ssh://h/system%3fcommand=/bin/evil?no_tty=1",
            "qemu+ssh://h%3Fcommand=/bin/evil/system",
            "qemu+ssh://h?command=/bin/evil/system",
            "qemu+ssh://h/system?no_tty%3D1%26command=/bin/evil",
            "qemu+ssh://h/system?no_tty=1%26command%3D/bin/evil",
            "qemu+ssh://h/system?keyfile=/a%26command%3D/bin/evil%00",
            "qemu+ssh://h/system?keyfile=/a%0acommand",
            "qemu+ssh://h/system?%00command=/bin/evil",
            "qemu+ssh://u%0a@h/system",
            "qemu+ssh://u%60id%60@h/system",
            "qemu+ssh://u%3Bid@h/system",
            "qemu+ssh://u$(id)@h/system",
            "qemu+ssh://u%26@h/system",
            "qemu+ssh://h\u{202e}/system",
            "qemu+ssh://h%0a/system",
            "qemu:///system?socket=/tmp/evil",
            "qemu+unix:///system?mode=legacy&socket=/tmp/evil",
            "qemu+ssh://h/system?auth=/tmp/evil",
            "qemu+ssh://h/system?sshauth=privkey,password",
            "qemu+ssh://h/system?proxy=/bin/evil",
            "qemu+ssh://h/system?no_verify",
            "qemu+unix:///system?socket=/tmp/evil",
            "qemu+libssh://h/system?known_hosts=/tmp/evil",
            "qemu+libssh://h/system?known_hosts_verify=ignore",
            "qemu+libssh2://h/system?sshauth=password",
            "qemu+tls://h/system?pkipath=/tmp/evil",
            "qemu+tls://h/system?tls_priority=NULL",
            "qemu+tls://h/system?no_verify=yes",
            "qemu+ssh://h/system?authfile=/tmp/evil",
            "qemu+ssh://h/system?name=qemu:///system",
            "qemu+ssh://h/system?keyfile=k",
            "qemu+ssh://h/system?keyfile=/a&keyfile=/b",
            "qemu+ssh://-oProxyCommand=x/system",
            "qemu+ssh://-lroot@h/system",
            "qemu+ssh://%2Doption@h/system",
            "qemu+ssh://h:2x/system",
            "qemu+ssh://[::1/system",
            "qemu:///embed?root=/tmp",
            "esx://h/system",
            "remote+ext:///system",
            "QEMU+EXT:///system",
            "system",
            "qemu://",
            "qemu:///system?%zz=1",
        ] {
            assert!(Uri::parse(uri).is_err(), "{uri}");
        }
        let why = Uri::parse("qemu+ssh://h/system?netcat=/bin/x")
            .unwrap_err()
            .to_string();
        assert!(
            why.contains("`netcat=`") && why.contains("libvirtUris"),
            "{why}"
        );
    }
}
