//! The HTTP proxy: from the file's variables of Kubespray's, else from the site file; and the addresses that are reached without
//! it.

use std::net::Ipv4Addr;

use crate::yaml::{Mapping, Value};

use super::formats;
use crate::address::HIDDEN;
use crate::cluster::{Network, Node, Proxy};
use crate::report::{KeyPath, Report, quote};
use crate::site::SiteProxy;
use crate::variables::{self, HTTP_PROXY, HTTPS_PROXY, NO_PROXY};

/// The proxy, if there is one. An empty variable turns the site file's proxy off.
pub(super) fn proxy(
    variables: &Mapping,
    site: &SiteProxy,
    variables_path: &KeyPath,
    report: &mut Report,
) -> Option<Proxy> {
    let mut url = |name: &str, site: &Option<String>| match variables.get(name) {
        None | Some(Value::Null) => site.clone(),
        Some(Value::String(text)) if text.is_empty() || is_template(text) => None,
        Some(Value::String(text)) => {
            address(text, &variables_path.key(name), report)?;
            Some(text.clone())
        }
        Some(_) => {
            let help = "write it as http://proxy.example:3128";
            report.error(&variables_path.key(name), "proxy", "it must be text", help);
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

/// Checks the URL of a proxy. The user and password before its host are never shown.
pub(super) fn address(text: &str, path: &KeyPath, report: &mut Report) -> Option<()> {
    if text.contains("://") {
        return report.checked(path, "proxy", text, formats::http);
    }
    let host = text.rsplit('@').next().unwrap_or_default();
    let hidden = if host.len() < text.len() {
        format!("{HIDDEN}@")
    } else {
        String::new()
    };
    let message = format!("{} is not valid", quote(&format!("{hidden}{host}")));
    let help = match formats::http(&format!("http://{text}")) {
        Ok(()) => "write `http://` before it, or `https://` where the proxy itself speaks TLS",
        Err(_) => "write it as http://proxy.example:3128",
    };
    report.error(path, "proxy", message, help);
    None
}

/// The cluster's own addresses and names: this machine, the network, the machines, services and pods.
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
    // Single addresses, too: not every program understands ranges.
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

/// Adds the names that the list does not have.
fn add<'t>(no: &mut Vec<String>, more: impl Iterator<Item = &'t str>) {
    for name in more.filter(|name| !name.is_empty()) {
        if !no.iter().any(|other| other == name) {
            no.push(name.to_owned());
        }
    }
}
