//! Queries and changes of a running cluster, by the programs that Kubespray installs on its masters (kubectl, etcdctl, kubeadm).
//!
//! Each function takes a [`Remote`](kubitect_config::Remote), the connection to one machine. On a master it uses that master's
//! own API server and etcd member, so it works while no balancer answers. Every change is idempotent: repeating it is no error.

mod apiserver;
mod budgets;
mod certificate_names;
mod certificates;
mod deprecated;
mod diagnostics;
mod etcd;
mod etcd_restore;
mod etcd_start;
mod kubeadm;
mod kubeadm_config;
mod leftovers;
mod network;
mod nodes;
mod pods;
mod ready;
mod remote;
mod repair;
mod scheduling;
mod system;
mod wait;

pub use apiserver::{endpoint, listed_members, publish_members, use_configuration, use_members};
pub use budgets::{Drain, DrainForecast, forecast};
pub use certificate_names::failing_names;
pub use certificates::{Certificate, certificates};
pub use deprecated::{ApiObject, RequestedApi, objects, requested_apis};
pub use diagnostics::diagnostics;
pub use etcd::{
    EtcdMember, Snapshot, discard_snapshot, has_leader, manual_command, members,
    members_without_quorum, remove_member, save_snapshot,
};
pub use etcd_restore::{
    LocalMember, SNAPSHOT_FILE, discard_upload, local_member, put_in_place, remove_unpacked,
    start_control_plane, stop_control_plane, stop_member, unpack, upload,
};
pub use etcd_start::{initial_cluster_size, restart_etcd, set_data_aside};
pub use kubeadm::{Remedy, Traces, is_initialised, mark_control_plane, reset, traces};
pub use leftovers::{leftover_processes, uptime, wait_idle};
pub use network::{calico_blocksize, cilium_ipam};
pub use nodes::{
    NodeState, api_health, api_version, cordon, delete_node, label, nodes, restart_kubelet,
    restart_runtime, taint, uncordon, untaint,
};
pub use pods::{drain, drain_unreachable, pods};
pub use ready::{boot_id, wait_api, wait_nodes, wait_ready, wait_serving};
pub use remote::Health;
pub use repair::{reissue_certificate, start_stopped_services};
pub use scheduling::{PodState, Toleration, why_unschedulable};
pub use system::{crio_runtime, has_cgroup2};
pub use wait::{OnWait, wait};

#[cfg(test)]
mod tests;
