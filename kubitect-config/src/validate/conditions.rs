//! The assertions of a Kubespray release that can be checked in the file: about ranges, distros, kernels, runtimes and network
//! plugins. Kubespray itself would fail on them only on the machines. docs/kubespray.md lists all assertions, also those that
//! need a machine.

use std::fmt::Display;

use crate::yaml::{Mapping, Value};

use crate::cluster::{Addons, Image, Kubernetes, Network};
use crate::release::Release;
use crate::report::{KeyPath, Report};
use crate::value::Version;
use crate::variables::truth;

mod calico;
mod cilium;
mod components;
mod distros;
mod forms;
mod interfaces;
mod kube_proxy;
mod kubeadm;
mod least;
mod metallb;
mod older;
mod ranges;
mod rules;
mod runtime;
mod stack;

pub(super) use components::spelled as component_spelled;
pub(super) use least::{Least, least};
pub(super) use rules::fits as version_fits;

/// The code of most of these problems.
const CODE: &str = "kubespray-refuses";

/// Whether a condition checks the form of this variable: then its type is not checked again.
pub(super) fn checks_form(name: &str) -> bool {
    name == cilium::REPLACEMENT || forms::GATES.contains(&name)
}

/// The words that Kubespray takes as values of settings.
pub(crate) fn known_values() -> impl Iterator<Item = &'static str> {
    rules::known_values()
}

/// The parts of the cluster that the conditions are about.
pub(super) struct Context<'a> {
    pub release: &'static Release,
    pub kubernetes: &'a Kubernetes,
    pub addons: &'a Addons,
    pub network: Option<&'a Network>,
    /// The machines' image, and whether the file itself has its source.
    pub image: Option<(&'a Image, bool)>,
    /// The name of the machines' network interface.
    pub interface: &'a str,
    /// How many masters and workers there are.
    pub nodes: usize,
}

/// Reports every condition that the file does not meet.
pub(super) fn conditions(context: &Context, path: &KeyPath, report: &mut Report) {
    let addons_path = path.key("addons");
    let variables = Variables {
        all: &context.addons.kubespray,
        path: addons_path.key("kubespray"),
    };
    stack::stack(context, &variables, report);
    kubeadm::domain(&variables, report);
    kubeadm::node_ports(&variables, report);
    interfaces::interfaces(context, &variables, report);
    components::components(context, &variables, report);
    ranges::of_ipv4(context, &variables, path, report);
    ranges::of_ipv6(context, &variables, report);
    plugin(context, path, report);
    distros::distro(context, &variables, path, report);
    rules::rules(context, &variables, path, report);
    metallb::metallb(context, &variables, report);
}

/// The file's variables of Kubespray's, as the conditions read them.
pub(super) struct Variables<'a> {
    all: &'a Mapping,
    path: KeyPath<'a>,
}

impl<'a> Variables<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.all.get(name).filter(|value| !value.is_null())
    }

    /// Its text; none for an expression, whose value only Ansible knows.
    fn text(&self, name: &str) -> Option<&'a str> {
        let value = self.get(name)?;
        value.as_str().filter(|_| !is_expression(value))
    }

    fn is_expression(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_expression)
    }

    /// Its truth value; none if it is not set, or for an expression.
    fn truth(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(is) => Some(*is),
            Value::Number(number) => Some(number.as_f64() != Some(0.0)),
            Value::String(text) => truth(text),
            _ => None,
        }
    }

    fn is_on(&self, name: &str) -> bool {
        self.truth(name) == Some(true)
    }

    /// Its number, or the default if it is not set; none for an expression.
    fn number(&self, name: &str, default: u64) -> Option<u64> {
        match self.get(name) {
            None => Some(default),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        }
    }

    fn error(&self, name: &str, message: impl Display, help: impl Display, report: &mut Report) {
        self.error_or(name, &self.path.key(name), message, help, report);
    }

    /// Reports an error at the variable; if the file does not set it, at `cause`, the value that needs it.
    fn error_or(
        &self,
        name: &str,
        cause: &KeyPath,
        message: impl Display,
        help: impl Display,
        report: &mut Report,
    ) {
        let own = self.path.key(name);
        let path = match self.get(name) {
            Some(_) => &own,
            None => cause,
        };
        report.error(path, CODE, message.to_string(), help.to_string());
    }
}

/// Whether a value is a template of Ansible's, whose value only Ansible knows.
pub(super) fn is_expression(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.contains("{{") || text.contains("{%"))
}

/// Network plugins that the user has to install (cni, cloud, none), and those that the release can install, but not a second time
/// (cilium in v2.28.0), or only on all nodes at once (macvlan).
fn plugin(context: &Context, path: &KeyPath, report: &mut Report) {
    let release = context.release;
    let name = &*context.kubernetes.network_plugin;
    let kubernetes_path = path.key("kubernetes");
    let path = kubernetes_path.key("networkPlugin");
    match name {
        "cni" | "cloud" | "none" => report.warning(
            &path,
            "network-plugin-own",
            format!("with {name} Kubespray sets up no network plugin, and without one no node is Ready"),
            "install one right after the first `apply`, before other nodes join or an upgrade; or take calico or flannel",
        ),
        "macvlan" if context.nodes > 1 => report.warning(
            &path,
            "macvlan-fixed",
            "with macvlan Kubespray sets up only all nodes at once: none joins this cluster later, and none is upgraded",
            "take another network plugin, as calico or flannel, for a cluster that is to change",
        ),
        "cilium" if release.tag == Version::new((2, 28), 0) => report.error(
            &path,
            "cilium-release",
            format!(
                "Kubespray {} installs cilium anew with each run, which fails from the second run on",
                release.tag
            ),
            "use Kubespray v2.28.1 or later, which tells the two apart",
        ),
        _ => {}
    }
}
