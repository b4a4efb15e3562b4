//! The HTTP proxy: of the file's Kubespray variables, else of the site; and what is reached without it.

use std::net::Ipv4Addr;

use crate::yaml::{Mapping, Value};

use super::words;
use crate::address::HIDDEN;
use crate::cluster::{Network, Node, Proxy};
use crate::report::{At, Report, quote};
use crate::site::SiteProxy;
use crate::variables::{self, HTTP_PROXY, HTTPS_PROXY, NO_PROXY};

/// The proxy, if there is one. A variable that is empty turns the site's off.
pub(super) fn proxy(
    variables: &Mapping,
    site: &SiteProxy,
    at_variables: &At,
    report: &mut Report,
) -> Option<Proxy> {
    let mut url = |name: &str, site: &Option<String>| match variables.get(name) {
        None | Some(Value::Null) => site.clone(),
        Some(Value::String(text)) if text.is_empty() || is_template(text) => None,
        Some(Value::String(text)) => {
            address(text, &at_variables.key(name), report)?;
            Some(text.clone())
        }
        Some(_) => {
            let help = "write it as http://proxy.example:3128";
            report.error(&at_variables.key(name), "proxy", "it must be text", help);
            None
        }
    };
    let (http, https) = (url(HTTP_PROXY, &site.http), url(HTTPS_PROXY, &site.https));
    if http.is_none() && https.is_none() {
        return None;
    }
    let mut no = Vec::new();
    for name in NO_PROXY {
        match variables.get(name) {
            Some(Value::String(text)) => add(&mut no, text.split(',').map(str::trim)),
            Some(Value::Sequence(items)) => add(&mut no, items.iter().filter_map(Value::as_str)),
            _ => {}
        }
    }
    if no.is_empty() {
        add(&mut no, site.no.iter().map(String::as_str));
    }
    Some(Proxy {
        http,
        https,
        no,
        own: Vec::new(),
    })
}

/// Holds the address of a proxy against the rule for addresses. What stands before its host is never shown.
pub(super) fn address(text: &str, at: &At, report: &mut Report) -> Option<()> {
    if text.contains("://") {
        return report.checked(at, "proxy", text, words::http);
    }
    let host = text.rsplit('@').next().unwrap_or_default();
    let hidden = if host.len() < text.len() {
        format!("{HIDDEN}@")
    } else {
        String::new()
    };
    let message = format!("{} is not valid", quote(&format!("{hidden}{host}")));
    let help = match words::http(&format!("http://{text}")) {
        Ok(()) => "write `http://` before it, or `https://` where the proxy itself speaks TLS",
        Err(_) => "write it as http://proxy.example:3128",
    };
    report.error(at, "proxy", message, help);
    None
}

/// The cluster's own: this machine, the network, the machines, services, pods and their names.
pub(super) fn own(
    network: &Network,
    nodes: &[Node],
    vip: Option<Ipv4Addr>,
    kubespray: &Mapping,
) -> Vec<String> {
    let variable = |name: &str, default: &str| match kubespray.get(name) {
        Some(Value::String(text)) if !is_template(text) => text.clone(),
        _ => default.to_owned(),
    };
    let cluster_name = variable("cluster_name", variables::CLUSTER_NAME);
    let domain = variable("dns_domain", &cluster_name);
    let mut own = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        network.cidr.to_string(),
    ];
    // Not every program knows ranges.
    let addresses = vip
        .into_iter()
        .chain(nodes.iter().filter_map(|node| node.ip));
    own.extend(addresses.map(|ip| ip.to_string()));
    own.extend(nodes.iter().map(|node| node.name.to_string()));
    own.push(variable("kube_service_addresses", variables::SERVICES));
    own.push(variable("kube_pods_subnet", variables::PODS));
    own.extend([".svc".to_owned(), format!(".{domain}")]);
    own
}

fn is_template(text: &str) -> bool {
    text.contains("{{")
}

fn add<'t>(no: &mut Vec<String>, more: impl Iterator<Item = &'t str>) {
    for one in more.filter(|one| !one.is_empty()) {
        if !no.iter().any(|other| other == one) {
            no.push(one.to_owned());
        }
    }
}
