//! What a release of Kubespray refuses on the machines, as far as the file says it: its assertions about ranges, distros,
//! kernels, runtimes and network plugins. docs/kubespray.md lists all assertions, also those that only a machine can answer.

use std::fmt::Display;

use crate::yaml::{Mapping, Value};

use crate::cluster::{Addons, Image, Kubernetes, Network};
use crate::release::Release;
use crate::report::{At, Report};
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
mod metallb;
mod older;
mod ranges;
mod rules;
mod runtime;
mod stack;

pub(super) use components::spelled as component_spelled;
pub(super) use rules::fits as version_fits;

/// What most conditions are reported as.
const CODE: &str = "kubespray-refuses";

/// Whether the form of a variable is judged here: its type is not spoken of twice.
pub(super) fn judges(name: &str) -> bool {
    name == cilium::REPLACEMENT || forms::GATES.contains(&name)
}

/// The values of variables that validation knows.
pub(crate) fn known_values() -> impl Iterator<Item = &'static str> {
    rules::known_values()
}

/// What the conditions are about.
pub(super) struct Context<'a> {
    pub release: &'static Release,
    pub kubernetes: &'a Kubernetes,
    pub addons: &'a Addons,
    pub network: Option<&'a Network>,
    /// The machines' image, and whether the file itself says where it comes from.
    pub image: Option<(&'a Image, bool)>,
    /// The name of the machines' network interface.
    pub interface: &'a str,
    /// How many masters and workers there are.
    pub nodes: usize,
}

/// Reports every condition that the file does not meet.
pub(super) fn conditions(context: &Context, at: &At, report: &mut Report) {
    let at_addons = at.key("addons");
    let variables = Variables {
        all: &context.addons.kubespray,
        at: at_addons.key("kubespray"),
    };
    stack::stack(context, &variables, report);
    kubeadm::domain(&variables, report);
    kubeadm::node_ports(&variables, report);
    interfaces::interfaces(context, &variables, report);
    components::components(context, &variables, report);
    ranges::of_ipv4(context, &variables, at, report);
    ranges::of_ipv6(context, &variables, report);
    plugin(context, at, report);
    distros::distro(context, &variables, at, report);
    rules::rules(context, &variables, at, report);
    metallb::metallb(context, &variables, report);
}

/// The user's variables, as conditions ask for them.
pub(super) struct Variables<'a> {
    all: &'a Mapping,
    at: At<'a>,
}

impl<'a> Variables<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.all.get(name).filter(|value| !value.is_null())
    }

    /// Its text; none where it is an expression, whose value only Ansible knows.
    fn text(&self, name: &str) -> Option<&'a str> {
        let value = self.get(name)?;
        value.as_str().filter(|_| !is_expression(value))
    }

    fn is_expression(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_expression)
    }

    /// Its truth value; none where it is not set or an expression.
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

    /// A number; none where it is an expression.
    fn number(&self, name: &str, default: u64) -> Option<u64> {
        match self.get(name) {
            None => Some(default),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        }
    }

    fn error(&self, name: &str, message: impl Display, help: impl Display, report: &mut Report) {
        self.error_or(name, &self.at.key(name), message, help, report);
    }

    /// An error of a variable; where the file does not set it, of what asks for it.
    fn error_or(
        &self,
        name: &str,
        cause: &At,
        message: impl Display,
        help: impl Display,
        report: &mut Report,
    ) {
        let own = self.at.key(name);
        let at = match self.get(name) {
            Some(_) => &own,
            None => cause,
        };
        report.error(at, CODE, message.to_string(), help.to_string());
    }
}

/// Whether only Ansible knows the value.
pub(super) fn is_expression(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.contains("{{") || text.contains("{%"))
}

/// What a machine needs at least of what a file says of it.
pub(super) struct Least {
    /// Memory of a master and of a worker, in MiB.
    pub memory_mb: [u64; 2],
    /// Processors of a master.
    pub cpus: u32,
}

/// What kubeadm asks of a master, in MiB.
const KUBEADM_MEMORY: u64 = 1700;

/// What the release's checks demand of machines, as far as the variables do not say otherwise.
pub(super) fn least(release: &Release, kubespray: &Mapping) -> Least {
    let variables = Variables {
        all: kubespray,
        at: At::Root,
    };
    let names = ["minimal_master_memory_mb", "minimal_node_memory_mb"];
    let memory = |index: usize| {
        if variables.is_on("ignore_assert_errors") {
            return 0;
        }
        let default = release.memory_mb[index];
        variables.number(names[index], default).unwrap_or(0)
    };
    // kubeadm's own checks.
    let checks = |own: &str| {
        let ignored = |check: &Value| {
            check
                .as_str()
                .is_some_and(|check| ["all", own].contains(&check))
        };
        let passed_over = match variables.get("kubeadm_ignore_preflight_errors") {
            Some(Value::Sequence(checks)) => checks.iter().any(ignored),
            Some(_) => true,
            None => false,
        };
        release.preflight && !passed_over
    };
    let of_masters = if checks("Mem") { KUBEADM_MEMORY } else { 0 };
    Least {
        memory_mb: [memory(0).max(of_masters), memory(1)],
        cpus: if checks("NumCPU") { 2 } else { 1 },
    }
}

/// A plugin that the release knows and cannot set up again, or only with all nodes at once.
fn plugin(context: &Context, at: &At, report: &mut Report) {
    let release = context.release;
    if context.kubernetes.network_plugin == "macvlan" && context.nodes > 1 {
        let at_kubernetes = at.key("kubernetes");
        report.warning(
            &at_kubernetes.key("networkPlugin"),
            "macvlan-fixed",
            "with macvlan Kubespray sets up only all nodes at once: none joins this cluster later, and none is upgraded",
            "take another network plugin, as calico or flannel, for a cluster that is to change",
        );
    }
    if context.kubernetes.network_plugin == "cilium" && release.tag == Version::new((2, 28), 0) {
        let at_kubernetes = at.key("kubernetes");
        report.error(
            &at_kubernetes.key("networkPlugin"),
            "cilium-release",
            format!(
                "Kubespray {} installs cilium anew with each run, which fails from the second run on",
                release.tag
            ),
            "use Kubespray v2.28.1 or later, which tells the two apart",
        );
    }
}
