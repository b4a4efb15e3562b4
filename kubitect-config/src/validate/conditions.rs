//! What a release of Kubespray refuses on the machines, as far as the file says it: its assertions about ranges, distros,
//! kernels, runtimes and network plugins. docs/kubespray.md lists all assertions, also those that only a machine can answer.

use std::fmt::Display;

use crate::yaml::{Mapping, Value};
use ipnet::{Ipv4Net, Ipv6Net};

use crate::cluster::{Addons, Image, Kubernetes, Network};
use crate::images;
use crate::release::{self, Release};
use crate::report::{At, Report, quote};
use crate::value::Version;
use crate::variables::{PODS, SERVICES, truth};

mod rules;

/// Kubespray's own, as its ranges, in all known releases.
const NODE_PREFIX: u64 = 24;
const MAX_PODS: u64 = 110;

/// What the conditions are about.
pub(super) struct Context<'a> {
    pub release: &'static Release,
    pub kubernetes: &'a Kubernetes,
    pub addons: &'a Addons,
    pub network: Option<&'a Network>,
    /// The machines' image, and whether the file itself says where it comes from.
    pub image: Option<(&'a Image, bool)>,
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
    ranges(context, &variables, at, report);
    ranges_of_ipv6(context, &variables, report);
    plugin(context, at, report);
    distro(context, &variables, at, report);
    rules::rules(context, &variables, report);
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
        let text = self.get(name)?.as_str()?;
        (!text.contains("{{") && !text.contains("{%")).then_some(text)
    }

    fn is_expression(&self, name: &str) -> bool {
        self.get(name).is_some_and(Value::is_string) && self.text(name).is_none()
    }

    /// Its truth value; none where it is not set or an expression.
    fn truth(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            Value::Bool(is) => Some(*is),
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
        let at = self.at.key(name);
        report.error(
            &at,
            "kubespray-refuses",
            message.to_string(),
            help.to_string(),
        );
    }
}

/// What a machine needs at least of what a file says of it.
pub(super) struct Least {
    /// Memory of a master and of a worker, in MiB.
    pub memory_mb: [u64; 2],
    /// Processors of a master.
    pub cpus: u32,
}

/// What the release's checks demand of machines, as far as the variables do not say otherwise.
pub(super) fn least(release: &Release, kubespray: &Mapping) -> Least {
    let variables = Variables {
        all: kubespray,
        at: At::Root,
    };
    let names = ["minimal_master_memory_mb", "minimal_node_memory_mb"];
    let memory = |index: usize| {
        let default = release.memory_mb[index];
        variables.number(names[index], default).unwrap_or(0)
    };
    let ignored = |check: &Value| {
        check
            .as_str()
            .is_some_and(|check| ["all", "NumCPU"].contains(&check))
    };
    let passed_over = match variables.get("kubeadm_ignore_preflight_errors") {
        Some(Value::Sequence(checks)) => checks.iter().any(ignored),
        Some(_) => true,
        None => false,
    };
    Least {
        memory_mb: [memory(0), memory(1)],
        cpus: if release.preflight && !passed_over {
            2
        } else {
            1
        },
    }
}

// --- ranges -----------------------------------------------------------------------------------------------------------

fn ranges(context: &Context, variables: &Variables, at: &At, report: &mut Report) {
    if variables.truth("ipv4_stack") == Some(false) {
        return;
    }
    let services = range("kube_service_addresses", SERVICES, variables, report);
    let pods = range("kube_pods_subnet", PODS, variables, report);
    if let (Some(services), Some(pods)) = (services, pods)
        && overlap(services, pods)
    {
        let name = match variables.get("kube_pods_subnet") {
            Some(_) => "kube_pods_subnet",
            None => "kube_service_addresses",
        };
        variables.error(
            name,
            format!("the range of pods, {pods}, overlaps with that of services, {services}"),
            "set kube_pods_subnet and kube_service_addresses to ranges apart from one another",
            report,
        );
    }
    if let Some(network) = context.network {
        let at_cluster = at.key("cluster");
        let at_network = at_cluster.key("network");
        machines_apart(
            network.cidr,
            services,
            pods,
            &at_network.key("cidr"),
            report,
        );
    }
    if let Some(pods) = pods {
        enough(context, pods, variables, report);
        inside("calico_pool_cidr", pods, variables, report);
    }
}

/// The same for IPv6, where it is switched on.
fn ranges_of_ipv6(context: &Context, variables: &Variables, report: &mut Report) {
    let on = ["ipv6_stack", "enable_dual_stack_networks"];
    if !on.iter().any(|name| variables.is_on(name)) {
        return;
    }
    let mut range = |name: &'static str| {
        let text = variables.text(name)?;
        let range = text.parse::<Ipv6Net>().ok();
        let range = range.filter(|range| range.addr() == range.network());
        if range.is_none() {
            let message = format!("{} is not a range of IPv6 addresses", quote(text));
            variables.error(
                name,
                message,
                "write it as fd85:ee78:d8a6:8607::1:0/112",
                report,
            );
        }
        range
    };
    let services = range("kube_service_addresses_ipv6");
    let pods = range("kube_pods_subnet_ipv6");
    if let (Some(services), Some(pods)) = (services, pods)
        && (services.contains(&pods.network()) || pods.contains(&services.network()))
    {
        let message =
            format!("the range of pods, {pods}, overlaps with that of services, {services}");
        let help = "set it to a range apart from kube_service_addresses_ipv6";
        variables.error("kube_pods_subnet_ipv6", message, help, report);
    }
    let prefix = variables.number("kube_network_node_prefix_ipv6", 120);
    if let (Some(pods), Some(prefix)) = (pods, prefix)
        && context.kubernetes.network_plugin != "calico"
    {
        let bits = prefix.checked_sub(u64::from(pods.prefix_len()));
        let parts = bits.map_or(0, |bits| {
            1_u128.checked_shl(bits as u32).unwrap_or(u128::MAX)
        });
        if parts < context.nodes as u128 {
            let message = format!(
                "{pods} holds {parts} parts of /{prefix}, one for each node, and there are {}",
                context.nodes
            );
            let help = "set kube_pods_subnet_ipv6 to a larger range";
            variables.error("kube_pods_subnet_ipv6", message, help, report);
        }
    }
    if variables
        .text("calico_ipip_mode_ipv6")
        .is_some_and(|mode| mode != "Never")
    {
        let help = "leave it out";
        variables.error(
            "calico_ipip_mode_ipv6",
            "calico has no IP-in-IP for IPv6",
            help,
            report,
        );
    }
}

/// A variable's range; none where it is an expression or wrong, which is reported.
fn range(name: &str, default: &str, variables: &Variables, report: &mut Report) -> Option<Ipv4Net> {
    if variables.is_expression(name) {
        return None;
    }
    let text = match variables.get(name) {
        None => default,
        Some(value) => value.as_str().unwrap_or_default(),
    };
    let range = text.parse::<Ipv4Net>().ok();
    let range = range.filter(|range| range.addr() == range.network());
    if range.is_none() {
        variables.error(
            name,
            format!("{} is not a range of IPv4 addresses", quote(text)),
            format!("write it as {default}"),
            report,
        );
    }
    range
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// A pod reaches no machine whose address is a pod's or a service's.
fn machines_apart(
    cidr: Ipv4Net,
    services: Option<Ipv4Net>,
    pods: Option<Ipv4Net>,
    at: &At,
    report: &mut Report,
) {
    let of = [
        (services, "services", "kube_service_addresses"),
        (pods, "pods", "kube_pods_subnet"),
    ];
    let hit: Vec<_> = of
        .iter()
        .filter_map(|(range, what, name)| Some(((*range)?, what, name)))
        .filter(|(range, ..)| overlap(cidr, *range))
        .collect();
    let Some((range, what, name)) = hit.first() else {
        return;
    };
    let more = match hit.get(1) {
        Some((range, what, name)) => format!(" and with {range}, the range of {what} ({name})"),
        None => String::new(),
    };
    let shown = |range: Option<Ipv4Net>| range.map_or("set".to_owned(), |range| range.to_string());
    report.error(
        at,
        "range-overlap",
        format!(
            "{cidr} overlaps with {range}, the range of {what} ({name}){more}: pods would not reach machines there"
        ),
        format!(
            "use another `cidr`, or set other ranges in addons.kubespray: kube_service_addresses (now {}) and \
             kube_pods_subnet (now {})",
            shown(services),
            shown(pods)
        ),
    );
}

/// Each node gets a part of the pods' range. calico takes smaller blocks, as many as it needs; before v2.21.0 Kubespray
/// counts all the same.
fn enough(context: &Context, pods: Ipv4Net, variables: &Variables, report: &mut Report) {
    let plugin = &context.kubernetes.network_plugin;
    let is_calico = plugin == "calico";
    let (Some(prefix), Some(max_pods)) = (
        variables.number("kube_network_node_prefix", NODE_PREFIX),
        variables.number("kubelet_max_pods", MAX_PODS),
    ) else {
        return;
    };
    let length = u64::from(pods.prefix_len());
    let parts = match prefix.checked_sub(length) {
        Some(bits) if prefix <= 32 => 1_u64 << bits,
        _ => 0,
    };
    let nodes = context.nodes as u64;
    if parts < nodes && (!is_calico || !context.release.is_from(21)) {
        variables.error(
            "kube_pods_subnet",
            format!(
                "{pods}, the range of pods, holds {parts} parts of /{prefix}, one for each node, and there are {nodes} \
                 masters and workers"
            ),
            "set kube_pods_subnet to a larger range, or kube_network_node_prefix to a longer prefix, in addons.kubespray",
            report,
        );
    }
    let none = plugin == "none" && context.release.is_from(27);
    let counts = !(is_calico || none);
    let addresses = match prefix {
        0..=30 => (1_u64 << (32 - prefix)) - 2,
        _ => 0,
    };
    if counts && max_pods > addresses {
        let name = match variables.get("kubelet_max_pods") {
            Some(_) => "kubelet_max_pods",
            None => "kube_network_node_prefix",
        };
        variables.error(
            name,
            format!("a node may have {max_pods} pods, and its part of the range, a /{prefix}, has {addresses} addresses"),
            "set kube_network_node_prefix to a shorter prefix, or kubelet_max_pods to a lower number",
            report,
        );
    }
}

fn inside(name: &str, pods: Ipv4Net, variables: &Variables, report: &mut Report) {
    if variables.get(name).is_none() {
        return;
    }
    let Some(pool) = range(name, PODS, variables, report) else {
        return;
    };
    if !pods.contains(&pool) {
        variables.error(
            name,
            format!("{pool} does not lie inside of {pods}, the range of pods"),
            "use a part of kube_pods_subnet",
            report,
        );
    }
}

/// A plugin that the release knows and cannot set up again.
fn plugin(context: &Context, at: &At, report: &mut Report) {
    let release = context.release;
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

// --- distros ----------------------------------------------------------------------------------------------------------

/// Distros whose own support has ended, and when.
const ENDED: [(&str, &str); 2] = [("ubuntu20", "in May 2025"), ("debian11", "in August 2026")];

/// The first two numbers of the kernel that a distro's image has.
fn kernel(distro: &str) -> Option<(u32, u32)> {
    Some(match distro {
        "ubuntu20" => (5, 4),
        "ubuntu22" => (5, 15),
        "ubuntu24" => (6, 8),
        "debian11" => (5, 10),
        "debian12" => (6, 1),
        "debian13" => (6, 12),
        "centos9" | "rocky9" => (5, 14),
        _ => return None,
    })
}

fn distro(context: &Context, variables: &Variables, at: &At, report: &mut Report) {
    let Some((image, own_source)) = context.image else {
        return;
    };
    let distro = image.distro.as_str();
    if images::find(distro).is_none() {
        return;
    }
    let release = context.release;
    let tag = &release.tag;
    let at_cluster = at.key("cluster");
    let at_template = at_cluster.key("nodeTemplate");
    let at_os = at_template.key("os");
    let at = at_os.key("distro");
    let is = |list: &[String]| list.iter().any(|one| one == distro);
    let ended = |distro: &str| ENDED.iter().any(|(ended, _)| *ended == distro);
    let living: Vec<String> = release
        .distros
        .iter()
        .filter(|one| !ended(one))
        .cloned()
        .collect();
    let help = || fitting(distro, release, &context.kubernetes.version);
    if is(&release.distros_refused) && !own_source {
        report.error(
            &at,
            "distro-release",
            format!("Kubespray {tag} cannot set up {distro}: packages that it asks for do not exist there"),
            help(),
        );
    } else if !is(&release.distros) {
        report.warning(
            &at,
            "distro-release",
            format!("Kubespray {tag} is not made for {distro}, and may fail there"),
            help(),
        );
    } else if let Some((_, when)) = ENDED.iter().find(|(ended, _)| *ended == distro)
        && release.tag.minor() == release::newest().tag.minor()
    {
        report.warning(
            &at,
            "distro-ended",
            format!("{distro} gets no security updates any more: its support ended {when}"),
            format!("use one of {}", names(&living)),
        );
    }
    kernels(distro, context, variables, &at, report);
}

/// The distros for the release, and the releases for the distro.
fn fitting(distro: &str, release: &Release, kubernetes: &Version) -> String {
    let fits = |release: &&Release| release.distros.iter().any(|one| one == distro);
    let releases: Vec<&Release> = release::all().iter().filter(fits).collect();
    let (Some(first), Some(last)) = (releases.first(), releases.last()) else {
        return format!("use one of {}", names(&release.distros));
    };
    let range = match last.tag == release::newest().tag {
        true => format!("{} and later", first.tag),
        false => format!("{} to {}", first.tag, last.tag),
    };
    let same = releases.iter().rfind(|one| one.supports(kubernetes));
    let with = match same {
        Some(one) => format!("{} sets up {kubernetes} on it", one.tag),
        None => format!("of these, none sets up {kubernetes}"),
    };
    format!(
        "with Kubespray {} use one of {}; {distro} goes with Kubespray {range}: {with}",
        release.tag,
        names(&release.distros)
    )
}

fn names(distros: &[String]) -> String {
    distros.join(", ")
}

/// What asks for a kernel that the distro does not have.
fn kernels(distro: &str, context: &Context, variables: &Variables, at: &At, report: &mut Report) {
    let Some(kernel @ (major, minor)) = kernel(distro) else {
        return;
    };
    let plugin = context.kubernetes.network_plugin.as_str();
    let is = |name: &str, value: &str| variables.text(name) == Some(value);
    let cilium = plugin == "cilium" || variables.is_on("cilium_deploy_additionally");
    let demands = [
        (
            is("kube_proxy_mode", "nftables"),
            "kube_proxy_mode: nftables",
            (5, 13),
        ),
        (
            cilium
                && variables.is_on("cilium_encryption_enabled")
                && is("cilium_encryption_type", "wireguard"),
            "cilium's encryption by WireGuard",
            (5, 6),
        ),
        (
            plugin == "flannel" && is("flannel_backend_type", "wireguard"),
            "flannel's WireGuard",
            (5, 6),
        ),
    ];
    for (_, what, least) in demands
        .iter()
        .filter(|(on, _, least)| *on && kernel < *least)
    {
        report.error(
            at,
            "distro-kernel",
            format!(
                "{what} needs Linux {}.{}, and {distro} has {major}.{minor}",
                least.0, least.1
            ),
            "use a newer distro, or another mode",
        );
    }
}
