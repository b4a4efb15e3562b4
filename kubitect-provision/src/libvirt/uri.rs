//! The URI by which a connection's libvirt is found.

use std::fmt::Write;
use std::path::Path;

use kubitect_config::cluster::Connection;

/// The libvirt URI of a connection.
pub fn uri(connection: &Connection) -> String {
    match connection {
        Connection::Local => "qemu:///system".to_owned(),
        Connection::Uri(uri) => uri.clone(),
        Connection::Remote {
            user,
            address,
            port,
            keyfile,
            verify,
        } => {
            let mut uri = format!(
                "qemu+ssh://{}@{}:{port}/system?no_tty=1&no_verify={}",
                escape(user),
                bracketed(address),
                u8::from(!verify),
            );
            if let Some(keyfile) = keyfile {
                uri.push_str("&keyfile=");
                uri.push_str(&escape_path(keyfile));
            }
            uri
        }
    }
}

/// An IPv6 address in brackets, a name or IPv4 address as it is.
fn bracketed(address: &str) -> String {
    if address.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{address}]")
    } else {
        escape(address)
    }
}

fn escape_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    escape_bytes(path.as_os_str().as_bytes())
}

fn escape(text: &str) -> String {
    escape_bytes(text.as_bytes())
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn escape_bytes(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn remote(user: &str, address: &str, keyfile: Option<&str>, verify: bool) -> Connection {
        Connection::Remote {
            user: user.into(),
            address: address.into(),
            port: 2222,
            keyfile: keyfile.map(Into::into),
            verify,
        }
    }

    #[test]
    fn uris_are_escaped() {
        assert_eq!(uri(&Connection::Local), "qemu:///system");
        assert_eq!(
            uri(&remote("me", "10.0.0.1", None, true)),
            "qemu+ssh://me@10.0.0.1:2222/system?no_tty=1&no_verify=0"
        );
        assert_eq!(
            uri(&remote("a@b/c", "fd00::1", Some("/home/ä/k&y=?#"), false)),
            "qemu+ssh://a%40b%2Fc@[fd00::1]:2222/system?no_tty=1&no_verify=1&keyfile=%2Fhome%2F%C3%A4%2Fk%26y%3D%3F%23"
        );
    }
}
