//! A [`Balancer`] as `haproxy.cfg`.

use kubitect_config::cluster::OWN_FRONTEND;
use kubitect_config::value::Label;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::balancer::{Balancer, Frontend, PATIENT};
use crate::{Error, template};

/// Where the file lies on a balancer.
pub const FILE: &str = "/etc/haproxy/haproxy.cfg";

/// The runtime socket on a balancer.
///
/// In the folder that HAProxy's packages create on Debian, Ubuntu, RHEL and their derivatives.
pub const SOCKET: &str = "/var/lib/haproxy/admin.sock";

/// The port, on the balancer's loopback address only, that serves its health, its metrics and its state.
pub const PRIVATE_PORT: u16 = 8404;

/// The text of the file.
pub(crate) fn render(balancer: &Balancer) -> Result<String, Error> {
    // The digest is taken of the file without it: two files have the same digest only if they are the same.
    let blank = text(balancer, "")?;
    let digest = Sha256::digest(blank.as_bytes());
    let digest: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    text(balancer, &digest)
}

/// The digest in a file that [`render`] wrote.
pub(crate) fn digest(file: &str) -> Option<&str> {
    file.lines()
        .find_map(|line| line.trim().strip_prefix("stats show-desc "))
}

/// The variables of the template.
#[derive(Serialize)]
struct Values<'a> {
    node: &'a Label,
    frontends: &'a [Frontend],
    digest: &'a str,
    socket: &'a str,
    private: &'a str,
    patient: &'a str,
    private_port: u16,
}

fn text(balancer: &Balancer, digest: &str) -> Result<String, Error> {
    let Balancer {
        node,
        frontends,
        vrrp: _, // keepalived's
    } = balancer;
    template::render(
        "haproxy.cfg",
        include_str!("templates/haproxy.cfg"),
        Values {
            node,
            frontends,
            digest,
            socket: SOCKET,
            private: OWN_FRONTEND,
            patient: PATIENT,
            private_port: PRIVATE_PORT,
        },
    )
}
