//! A [`Vrrp`] as `keepalived.conf`.

use kubitect_config::value::Label;
use serde::Serialize;

use crate::balancer::Vrrp;
use crate::haproxy::PRIVATE_PORT;
use crate::{Error, template};

/// Where the file lies on a balancer.
pub const FILE: &str = "/etc/keepalived/keepalived.conf";

/// The variables of the template.
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

/// The command that asks the local HAProxy for its health.
///
/// It is bash, which every image has and which starts fast: keepalived runs the command every two seconds. It has no quotes and no
/// variables, which keepalived would interpret itself.
fn health_check() -> String {
    format!(
        "/usr/bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/{PRIVATE_PORT} && \
         echo GET /healthz HTTP/1.0 >&3 && echo >&3 && grep -q ^HTTP/1...200 <&3'"
    )
}
