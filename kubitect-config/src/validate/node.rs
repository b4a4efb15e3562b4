//! Section `cluster.nodes`: every machine, and that no two of them have the same id, address or volume.

use std::collections::HashSet;

use super::claim::Claims;
use super::conditions::Least;
use super::disk::{DefaultDisks, disks};
use super::label;
use super::root::key;
use crate::cluster::{Network, Node, Role, Taint};
use crate::defaults;
use crate::raw::{self, Size, Texts};
use crate::report::{KeyPath, Report, nearest, quote};
use crate::value::{GiB, Label};

/// The parts of the file that machines refer to.
pub(super) struct Context<'a> {
    pub cluster: Option<&'a Label>,
    pub network: Option<&'a Network>,
    pub hosts: &'a [raw::Host],
    /// The least memory and processors that Kubespray accepts; none if the release is not known.
    pub least: Option<Least>,
}

/// The part of a machine's memory, in MiB, that its system does not report to Kubespray (measured on a machine of 2 GiB).
const MEMORY_OVERHEAD: u64 = 70;

/// A machine of the file, in a form for all roles.
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

/// The defaults of a role, already checked.
struct Group<'a> {
    size: Size,
    /// The path of the role's defaults.
    path: KeyPath<'a>,
    /// Whether a default with too little memory, or with too few processors, was reported: that is done once.
    memory_reported: bool,
    cpu_reported: bool,
    disks: DefaultDisks<'a>,
    labels: &'a Texts,
    taints: Vec<Taint>,
}

/// All machines that are valid by themselves: balancers, then masters, then workers.
pub(super) fn nodes(
    raw: &raw::Nodes,
    context: &Context,
    path: &KeyPath,
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
        path: KeyPath::Root,
        memory_reported: false,
        cpu_reported: false,
        disks: DefaultDisks::none(),
        labels: &no_labels,
        taints: Vec::new(),
    };
    let role_path = path.key(key(Role::LoadBalancer));
    let instances_path = role_path.key("instances");
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
            &instances_path,
            &mut claims,
            report,
        ));
    }

    for (role, raw) in [(Role::Master, &raw.master), (Role::Worker, &raw.worker)] {
        let role_path = path.key(key(role));
        let default_path = role_path.key("default");
        let mut group = defaults_of(&raw.default, &default_path, report);
        let instances_path = role_path.key("instances");
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
                &instances_path,
                &mut claims,
                report,
            ));
        }
    }
    nodes
}

fn defaults_of<'a>(
    raw: &'a raw::NodeDefault,
    path: &'a KeyPath<'a>,
    report: &mut Report,
) -> Group<'a> {
    label::check_labels(&raw.labels, &path.key("labels"), report);
    Group {
        size: Size {
            cpu: raw.cpu,
            ram: raw.ram,
            main_disk_size: raw.main_disk_size,
        },
        path: *path,
        memory_reported: false,
        cpu_reported: false,
        disks: DefaultDisks::new(&raw.data_disks, path, report),
        labels: &raw.labels,
        taints: label::taints(&raw.taints, &path.key("taints"), report),
    }
}

fn node(
    machine: &Machine,
    group: &mut Group,
    index: usize,
    context: &Context,
    instances_path: &KeyPath,
    claims: &mut Claims,
    report: &mut Report,
) -> Option<Node> {
    let path = &instances_path.index(index);
    let role = machine.role;
    let own = (role, index);
    let id = claims.id(machine.id, own, path, report);
    let name = id
        .as_ref()
        .and_then(|id| name(role, id, context, path, report));
    let host = host(machine.host, context, path, report);
    let ip = match machine.ip {
        Some(text) => claims.ip(text, own, context.network, path, report),
        None => None,
    };
    let mac = claims.mac(machine.mac, name.as_ref(), own, path, report);
    let ram = ram(machine, group, context, path, report);
    let data_disks = disks(&mut group.disks, machine.data_disks, host, path, report);
    if let (Some(name), Some(host)) = (&name, host) {
        claims.volumes.claim(name, host, &data_disks, path, report);
    }
    label::check_labels(machine.labels, &path.key("labels"), report);
    let own_taints = label::taints(machine.taints, &path.key("taints"), report);
    let cpu = cpu(machine, group, context, path, report);
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

fn name(
    role: Role,
    id: &Label,
    context: &Context,
    path: &KeyPath,
    report: &mut Report,
) -> Option<Label> {
    let text = format!("{}-{}-{id}", context.cluster?, role.infix());
    let name = text.parse().ok();
    if name.is_none() {
        report.error(
            &path.key("id"),
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
    path: &KeyPath,
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
    // If there is no host, or one without a name, that is reported already.
    let all_named = names().count() == context.hosts.len() && !context.hosts.is_empty();
    if found.is_none() && all_named {
        let help = match nearest(wanted, names()) {
            Some(guess) => format!("did you mean `{guess}`?"),
            None => format!("use one of: {}", names().collect::<Vec<_>>().join(", ")),
        };
        report.error(
            &path.key("host"),
            "host-unknown",
            format!("there is no host {}", quote(wanted)),
            help,
        );
    }
    found
}

/// The machine's memory. Less than Kubespray accepts is reported: at the machine, or once at the role's default.
fn ram(
    machine: &Machine,
    group: &mut Group,
    context: &Context,
    path: &KeyPath,
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
        let path = if own { *path } else { group.path };
        report.error(
            &path.key("ram"),
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

/// The machine's processors. Fewer than a control plane needs are reported: at the machine, or once at the role's default.
fn cpu(
    machine: &Machine,
    group: &mut Group,
    context: &Context,
    path: &KeyPath,
    report: &mut Report,
) -> u32 {
    let cpu = machine.size.cpu.or(group.size.cpu).unwrap_or(defaults::CPU);
    let Some(least) = context
        .least
        .as_ref()
        .filter(|_| machine.role == Role::Master)
    else {
        return cpu;
    };
    let own = machine.size.cpu.is_some();
    if cpu < least.cpus && (own || !group.cpu_reported) {
        group.cpu_reported |= !own;
        let path = if own { *path } else { group.path };
        report.error(
            &path.key("cpu"),
            "processors",
            format!("{cpu} is too few: {}", least.cpus_why),
            format!("use at least {}{}", least.cpus, least.cpus_else),
        );
    }
    cpu
}

/// keepalived's priorities of all balancers: the file's own; the others get the highest free ones, in the order of the file.
fn priorities(raw: &[raw::LoadBalancerInstance]) -> Vec<u8> {
    let configured: HashSet<u8> = raw
        .iter()
        .filter_map(|instance| instance.priority)
        .collect();
    let mut free = (1..=defaults::PRIORITY)
        .rev()
        .filter(|priority| !configured.contains(priority));
    raw.iter()
        .map(|instance| instance.priority.or_else(|| free.next()).unwrap_or(1))
        .collect()
}
