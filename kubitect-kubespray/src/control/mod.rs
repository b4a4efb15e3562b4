//! What a running cluster is asked and told directly, by the programs that Kubespray leaves on its masters.
//!
//! Everything goes through [`Remote`](kubitect_config::Remote), a connection to one master, and through that master's own API server and etcd
//! member, so that no balancer has to answer. All of it may be done again; what is done already is no error.

mod apiserver;
mod awake;
mod budgets;
mod certificates;
mod deprecated;
mod elsewhere;
mod etcd;
mod etcd_restore;
mod etcd_start;
mod kubeadm;
mod kubeadm_config;
mod names;
mod network;
mod nodes;
mod pods;
mod remote;
mod revive;
mod system;
mod wait;
mod words;
mod work;

pub use apiserver::{endpoint, listed_members, publish_members, use_configuration, use_members};
pub use awake::{boot, wait_api, wait_nodes, wait_ready, wait_serving};
pub use budgets::{Drained, Met, foresee};
pub use certificates::{Certificate, certificates};
pub use deprecated::{Requested, Written, requested, written};
pub use elsewhere::{PodState, Toleration, nowhere};
pub use etcd::{
    EtcdMember, Snapshot, by_hand, discard_snapshot, has_leader, members, members_alone,
    remove_member, save_snapshot,
};
pub use etcd_restore::{
    BROUGHT, Member, bring, clear, discard, halt, member, put_in_place, resume, stop_member, unpack,
};
pub use etcd_start::{announced, restart_etcd, set_data_aside};
pub use kubeadm::{Remedy, Traces, is_initialised, mark, reset, traces};
pub use names::stopping_names;
pub use network::{calico_blocksize, cilium_ipam};
pub use nodes::{
    NodeState, api_health, api_version, cordon, delete_node, label, nodes, restart_kubelet,
    restart_runtime, taint, uncordon, untaint,
};
pub use pods::{drain, drain_lost, pods};
pub use remote::Health;
pub use revive::{put_certificate_back, start_stopped};
pub use system::{crio_runtime, has_cgroup2};
pub use wait::{Waits, wait};
pub use words::words;
pub use work::{running, uptime, wait_idle};

#[cfg(test)]
mod tests;
