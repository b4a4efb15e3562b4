//! A [`Vrrp`] as `keepalived.conf`.

use kubitect_config::value::Label;
use serde::Serialize;

use crate::balancer::Vrrp;
use crate::haproxy::PRIVATE_PORT;
use crate::{Error, template};

/// Where the file lies on a balancer.
pub const FILE: &str = "/etc/keepalived/keepalived.conf";

/// What the template may name.
#[derive(Serialize)]
struct Values<'a> {
    node: &'a Label,
    vrrp: &'a Vrrp,
    health_check: String,
}

/// The text of the file.
pub(crate) fn render(node: &Label, vrrp: &Vrrp) -> Result<String, Error> {
    template::render(
        "keepalived.conf",
        include_str!("templates/keepalived.conf"),
        Values {
            node,
            vrrp,
            health_check: health_check(),
        },
    )
}

/// Asks the local HAProxy for its health. bash, because every image has it and it starts at once, which counts for
/// something that runs every two seconds; without quotes and variables, which keepalived would take for its own.
fn health_check() -> String {
    format!(
        "/usr/bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/{PRIVATE_PORT} && \
         echo GET /healthz HTTP/1.0 >&3 && echo >&3 && grep -q ^HTTP/1...200 <&3'"
    )
}
