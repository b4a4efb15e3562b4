//! The least memory and processors of machines: what the release and kubeadm check, and what lets a control plane start.

use super::Variables;
use crate::release::Release;
use crate::report::KeyPath;
use crate::value::Version;
use crate::yaml::{Mapping, Value};

/// The least memory and processors of machines.
pub(in crate::validate) struct Least {
    /// Memory of a master and of a worker, in MiB.
    pub memory_mb: [u64; 2],
    /// Processors of a master.
    pub cpus: u32,
    /// Why it is that many, and what else mends it than more of them.
    pub cpus_why: String,
    pub cpus_else: &'static str,
}

/// The least memory of a master for kubeadm, in MiB.
const KUBEADM_MEMORY: u64 = 1700;

/// What kubeadm has its control plane ask for, in thousandths of a processor: 250 for the API server, 200 for the controller manager,
/// 100 for the scheduler (cmd/kubeadm/app/phases/controlplane/manifests.go, v1.34.4 and v1.35.4).
const REQUESTED: u64 = 250 + 200 + 100;

/// What the kubelet keeps from pods by default, in thousandths of a processor (v2.31.0, roles/kubernetes/node/defaults/main.yml).
const RESERVED: [(&str, u64); 2] = [("kube_cpu_reserved", 100), ("system_cpu_reserved", 500)];

/// The least that the checks of the release and of kubeadm accept, and on which a control plane starts. The variables can lower it or
/// turn checks off.
pub(in crate::validate) fn least(release: &Release, kubespray: &Mapping) -> Least {
    let variables = Variables {
        all: kubespray,
        path: KeyPath::Root,
    };
    let names = ["minimal_master_memory_mb", "minimal_node_memory_mb"];
    let memory = |index: usize| {
        if variables.is_on("ignore_assert_errors") {
            return 0;
        }
        let default = release.memory_mb[index];
        variables.number(names[index], default).unwrap_or(0)
    };
    // Whether kubeadm makes this preflight check: `Mem`, `NumCPU`.
    let checks = |own: &str| {
        let ignored = |check: &Value| {
            check
                .as_str()
                .is_some_and(|check| ["all", own].contains(&check))
        };
        let is_ignored = match variables.get("kubeadm_ignore_preflight_errors") {
            Some(Value::Sequence(checks)) => checks.iter().any(ignored),
            Some(_) => true,
            None => false,
        };
        release.preflight && !is_ignored
    };
    let of_masters = if checks("Mem") { KUBEADM_MEMORY } else { 0 };
    let of_kubeadm = if checks("NumCPU") { 2 } else { 1 };
    let reserved = reserved(release, &variables);
    let of_pods = u32::try_from((REQUESTED + reserved).div_ceil(1000)).unwrap_or(u32::MAX);
    let (cpus_why, cpus_else) = if of_pods > of_kubeadm {
        let why = format!(
            "the kubelet keeps {reserved}m for the system and the control plane asks for {REQUESTED}m, so that one of its pods is never \
             let onto the machine"
        );
        (
            why,
            ", or lower `kube_cpu_reserved` and `system_cpu_reserved`",
        )
    } else {
        let why = format!("kubeadm refuses masters of fewer than {of_kubeadm} processors");
        (why, "")
    };
    Least {
        memory_mb: [memory(0).max(of_masters), memory(1)],
        cpus: of_kubeadm.max(of_pods),
        cpus_why,
        cpus_else,
    }
}

/// What the kubelet keeps from pods, in thousandths of a processor. 0 where the file may lower it, or what pods ask for, in ways that
/// are not read here; and up to v2.26, where nothing or little is kept.
fn reserved(release: &Release, variables: &Variables) -> u64 {
    let others = ["kubeadm_patches", "kubelet_config_extra_args"];
    let is_lowered = others.iter().any(|name| variables.get(name).is_some());
    if is_lowered || release.tag < Version::new((2, 27), 0) {
        return 0;
    }
    RESERVED
        .iter()
        .map(|(name, default)| match variables.get(name) {
            None => *default,
            Some(value) => thousandths(value).map_or(0, u64::from),
        })
        .sum()
}

/// A quantity of processors in thousandths: `250m`, `0.5`, `2`, as far as 32 bits hold it; none for what is no quantity, as a
/// template.
fn thousandths(value: &Value) -> Option<u32> {
    // A number that is too large becomes the largest one.
    let whole = |processors: f64| (processors * 1000.0).ceil() as u32;
    match value {
        Value::Number(number) => number.as_f64().map(whole),
        Value::String(text) => match text.strip_suffix('m') {
            Some(thousandths) => thousandths.parse().ok(),
            None => text.parse().ok().map(whole),
        },
        _ => None,
    }
}
