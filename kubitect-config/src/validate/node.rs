//! Section `cluster.nodes`: every machine, and that no two of them clash.

use std::collections::HashSet;

use super::claim::Claims;
use super::conditions::Least;
use super::disk::{DefaultDisks, disks};
use super::label;
use super::root::key;
use crate::cluster::{Network, Node, Role, Taint};
use crate::defaults;
use crate::raw::{self, Size, Texts};
use crate::report::{At, Report, nearest, quote};
use crate::value::{GiB, Label};

/// What machines refer to.
pub(super) struct Context<'a> {
    pub cluster: Option<&'a Label>,
    pub network: Option<&'a Network>,
    pub hosts: &'a [raw::Host],
    /// What Kubespray asks of machines.
    pub least: Option<Least>,
}

/// What the operating system keeps of a machine's memory before Kubespray sees it, in MiB (measured at 2 GiB).
const MEMORY_OVERHEAD: u64 = 70;

/// A machine as any role writes it.
struct Machine<'a> {
    role: Role,
    id: Option<&'a str>,
    host: Option<&'a str>,
    ip: Option<&'a str>,
    mac: Option<&'a str>,
    size: Size,
    data_disks: &'a [raw::DataDisk],
    labels: &'a Texts,
    taints: &'a [String],
    priority: Option<u8>,
}

/// What a role's machines have in common, already checked.
struct Group<'a> {
    size: Size,
    /// Where the role's defaults stand.
    at: At<'a>,
    /// Whether too small a default of memory, or too few processors, have been reported.
    memory_reported: bool,
    cpu_reported: bool,
    disks: DefaultDisks<'a>,
    labels: &'a Texts,
    taints: Vec<Taint>,
}

/// All machines that are valid in themselves: balancers, masters, workers.
pub(super) fn nodes(
    raw: &raw::Nodes,
    context: &Context,
    at: &At,
    report: &mut Report,
) -> Vec<Node> {
    let mut claims = Claims::default();
    let mut nodes = Vec::new();
    let (no_labels, balancer) = (Texts::new(), &raw.load_balancer);

    let mut group = Group {
        size: Size {
            cpu: balancer.default.cpu,
            ram: balancer.default.ram,
            main_disk_size: balancer.default.main_disk_size,
        },
        at: At::Root,
        memory_reported: false,
        cpu_reported: false,
        disks: DefaultDisks::none(),
        labels: &no_labels,
        taints: Vec::new(),
    };
    let at_role = at.key(key(Role::LoadBalancer));
    let at_instances = at_role.key("instances");
    let priorities = priorities(&balancer.instances);
    for (index, instance) in balancer.instances.iter().enumerate() {
        let machine = Machine {
            role: Role::LoadBalancer,
            id: instance.id.as_deref(),
            host: instance.host.as_deref(),
            ip: instance.ip.as_deref(),
            mac: instance.mac.as_deref(),
            size: Size {
                cpu: instance.cpu,
                ram: instance.ram,
                main_disk_size: instance.main_disk_size,
            },
            data_disks: &[],
            labels: &no_labels,
            taints: &[],
            priority: Some(priorities[index]),
        };
        nodes.extend(node(
            &machine,
            &mut group,
            index,
            context,
            &at_instances,
            &mut claims,
            report,
        ));
    }

    for (role, raw) in [(Role::Master, &raw.master), (Role::Worker, &raw.worker)] {
        let at_role = at.key(key(role));
        let at_default = at_role.key("default");
        let mut group = defaults_of(&raw.default, &at_default, report);
        let at_instances = at_role.key("instances");
        for (index, instance) in raw.instances.iter().enumerate() {
            let machine = Machine {
                role,
                id: instance.id.as_deref(),
                host: instance.host.as_deref(),
                ip: instance.ip.as_deref(),
                mac: instance.mac.as_deref(),
                size: Size {
                    cpu: instance.cpu,
                    ram: instance.ram,
                    main_disk_size: instance.main_disk_size,
                },
                data_disks: &instance.data_disks,
                labels: &instance.labels,
                taints: &instance.taints,
                priority: None,
            };
            nodes.extend(node(
                &machine,
                &mut group,
                index,
                context,
                &at_instances,
                &mut claims,
                report,
            ));
        }
    }
    nodes
}

fn defaults_of<'a>(raw: &'a raw::NodeDefault, at: &'a At<'a>, report: &mut Report) -> Group<'a> {
    label::check_labels(&raw.labels, &at.key("labels"), report);
    Group {
        size: Size {
            cpu: raw.cpu,
            ram: raw.ram,
            main_disk_size: raw.main_disk_size,
        },
        at: *at,
        memory_reported: false,
        cpu_reported: false,
        disks: DefaultDisks::new(&raw.data_disks, at, report),
        labels: &raw.labels,
        taints: label::taints(&raw.taints, &at.key("taints"), report),
    }
}

fn node(
    machine: &Machine,
    group: &mut Group,
    index: usize,
    context: &Context,
    at_instances: &At,
    claims: &mut Claims,
    report: &mut Report,
) -> Option<Node> {
    let at = &at_instances.index(index);
    let role = machine.role;
    let own = (role, index);
    let id = claims.id(machine.id, own, at, report);
    let name = id
        .as_ref()
        .and_then(|id| name(role, id, context, at, report));
    let host = host(machine.host, context, at, report);
    let ip = match machine.ip {
        Some(text) => claims.ip(text, own, context.network, at, report),
        None => None,
    };
    let mac = claims.mac(machine.mac, name.as_ref(), own, at, report);
    let ram = ram(machine, group, context, at, report);
    let data_disks = disks(&mut group.disks, machine.data_disks, host, at, report);
    if let (Some(name), Some(host)) = (&name, host) {
        claims.volumes.claim(name, host, &data_disks, at, report);
    }
    label::check_labels(machine.labels, &at.key("labels"), report);
    let own_taints = label::taints(machine.taints, &at.key("taints"), report);
    let cpu = cpu(machine, group, context, at, report);
    let main_disk = machine.size.main_disk_size.or(group.size.main_disk_size);

    let mut labels = group.labels.clone();
    labels.extend(
        machine
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    Some(Node {
        role,
        id: id?,
        name: name?,
        host: host?.name.as_deref()?.parse().ok()?,
        ip,
        mac: mac?,
        cpu,
        ram,
        main_disk: GiB(main_disk.unwrap_or(defaults::MAIN_DISK_SIZE)),
        data_disks,
        labels,
        taints: label::merged(&group.taints, own_taints),
        priority: machine.priority,
    })
}

fn name(role: Role, id: &Label, context: &Context, at: &At, report: &mut Report) -> Option<Label> {
    let text = format!("{}-{}-{id}", context.cluster?, role.infix());
    let name = text.parse().ok();
    if name.is_none() {
        report.error(
            &at.key("id"),
            "name-too-long",
            format!(
                "the machine's name `{text}` has {} characters; a host name has at most 63",
                text.len()
            ),
            "shorten the cluster's name or the id",
        );
    }
    name
}

/// The host that carries the machine: the named one, else the default one, else the first.
fn host<'a>(
    wanted: Option<&str>,
    context: &Context<'a>,
    at: &At,
    report: &mut Report,
) -> Option<&'a raw::Host> {
    let Some(wanted) = wanted else {
        let default = context.hosts.iter().find(|host| host.default == Some(true));
        return default.or(context.hosts.first());
    };
    let names = || context.hosts.iter().filter_map(|host| host.name.as_deref());
    let found = context
        .hosts
        .iter()
        .find(|host| host.name.as_deref() == Some(wanted));
    // Where none, or one without a name, stands in the file, that is said already.
    let all_named = names().count() == context.hosts.len() && !context.hosts.is_empty();
    if found.is_none() && all_named {
        let help = match nearest(wanted, names()) {
            Some(guess) => format!("did you mean `{guess}`?"),
            None => format!("use one of: {}", names().collect::<Vec<_>>().join(", ")),
        };
        report.error(
            &at.key("host"),
            "host-unknown",
            format!("there is no host {}", quote(wanted)),
            help,
        );
    }
    found
}

/// Memory that Kubespray accepts; too small a default is reported once, where it is written.
fn ram(
    machine: &Machine,
    group: &mut Group,
    context: &Context,
    at: &At,
    report: &mut Report,
) -> GiB {
    let ram = machine.size.ram.or(group.size.ram);
    let ram = GiB(ram.unwrap_or(defaults::RAM));
    let least = match (machine.role, &context.least) {
        (Role::Master, Some(least)) => least.memory_mb[0],
        (Role::Worker, Some(least)) => least.memory_mb[1],
        _ => return ram,
    };
    let own = machine.size.ram.is_some();
    if ram.mib() < least + MEMORY_OVERHEAD && (own || !group.memory_reported) {
        group.memory_reported |= !own;
        let at = if own { *at } else { group.at };
        report.error(
            &at.key("ram"),
            "memory",
            format!(
                "{ram} is too little: Kubespray refuses machines of this role below {least} MiB"
            ),
            format!(
                "use at least {} GiB",
                (least + MEMORY_OVERHEAD).div_ceil(1024)
            ),
        );
    }
    ram
}

/// Processors that kubeadm accepts; too few by default are reported once, where that is written.
fn cpu(
    machine: &Machine,
    group: &mut Group,
    context: &Context,
    at: &At,
    report: &mut Report,
) -> u32 {
    let cpu = machine.size.cpu.or(group.size.cpu).unwrap_or(defaults::CPU);
    let least = match (machine.role, &context.least) {
        (Role::Master, Some(least)) => least.cpus,
        _ => return cpu,
    };
    let own = machine.size.cpu.is_some();
    if cpu < least && (own || !group.cpu_reported) {
        group.cpu_reported |= !own;
        let at = if own { *at } else { group.at };
        report.error(
            &at.key("cpu"),
            "processors",
            format!("{cpu} is too few: kubeadm refuses masters of fewer than {least} processors"),
            format!("use at least {least}"),
        );
    }
    cpu
}

/// keepalived's priorities: those given, and for the others the next ones below that nobody has.
fn priorities(raw: &[raw::LoadBalancerInstance]) -> Vec<u8> {
    let given: HashSet<u8> = raw
        .iter()
        .filter_map(|instance| instance.priority)
        .collect();
    let mut free = (1..=defaults::PRIORITY)
        .rev()
        .filter(|priority| !given.contains(priority));
    raw.iter()
        .map(|instance| instance.priority.or_else(|| free.next()).unwrap_or(1))
        .collect()
}
