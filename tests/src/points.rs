//! The named points at which tests kill the program (`fail::fail_point!` in the sources), and the state at each.
//!
//! They exist only in builds of the tests, which switch `fail`'s feature `failpoints` on.

/// Each name, and the state when the program is at it. A run passes most of them many times.
pub const POINTS: [(&str, &str); 44] = [
    // The hosts.
    (
        "provision::begun",
        "a change is noted as begun, and nothing of it done",
    ),
    ("provision::halfway", "between two steps of one change"),
    (
        "provision::made",
        "a change is made, and not yet noted as done",
    ),
    (
        "provision::locked",
        "the cluster is held on its hosts, and nothing is looked at",
    ),
    ("provision::switched", "one more machine is off, or on"),
    ("provision::reserved", "one more leased address is kept"),
    (
        "provision::file-aside",
        "a key or a list of host keys is written aside",
    ),
    // The balancers.
    ("lb::uploaded", "the new file lies beside the one in use"),
    ("lb::kept", "the file in use is kept under a second name"),
    (
        "lb::swapped",
        "the new file is in place, and the service runs with the old one",
    ),
    (
        "lb::reloaded",
        "the service was reloaded, and has not been seen serving",
    ),
    ("lb::proven", "it serves, and the old file is still there"),
    ("lb::state-set", "one balancer knows a master's new state"),
    // Files of this machine, and Kubespray.
    (
        "config::file-aside",
        "a file of this machine is written aside",
    ),
    ("config::file-written", "it is in place"),
    (
        "kubespray::playbook",
        "the inventory is written, and a playbook about to begin",
    ),
    (
        "kubespray::played",
        "a playbook has ended, and nothing is noted",
    ),
    // The whole.
    ("cli::phase", "between two phases"),
    (
        "provision::phase",
        "between two steps of bringing machines up",
    ),
    ("kubespray::note", "before a note on a domain"),
    ("kubespray::noted", "after it"),
    ("lb::noted", "what a balancer serves is noted"),
    (
        "lb::rolled-out",
        "all balancers serve, which is not noted yet",
    ),
    (
        "provision::taken-in-use",
        "a guest uses what it was given, and its kubelet has not been restarted",
    ),
    (
        "kubespray::out-of-service",
        "a node takes no new connections, and still has its pods",
    ),
    ("kubespray::drained", "a node's pods are elsewhere"),
    (
        "kubespray::data-aside",
        "a joining master has no old data of etcd, and is not announced",
    ),
    (
        "kubespray::members-used",
        "an API server uses etcd's members, which is not noted yet",
    ),
    (
        "kubespray::members-published",
        "all of them do, and masters that join would",
    ),
    (
        "kubespray::left-etcd",
        "a master is no member of etcd any more",
    ),
    (
        "kubespray::reset",
        "kubeadm has cleared what it left half done, and not every file of it is gone",
    ),
    (
        "kubespray::node-deleted",
        "a node's object is gone from Kubernetes",
    ),
    (
        "provision::restarted",
        "a machine was started with its new definition",
    ),
    (
        "kubespray::uncordoned",
        "a node takes pods again, and is still drained at the balancers",
    ),
    (
        "kubespray::labelled",
        "a node has its new labels, and its old taints",
    ),
    (
        "kubespray::snapshot-saved",
        "a snapshot of etcd lies on a master, and not yet here",
    ),
    (
        "kubespray::restore-unpacked",
        "a snapshot is unpacked on all masters, and all runs as before",
    ),
    (
        "kubespray::restore-api-stopped",
        "no control plane runs, and etcd does",
    ),
    (
        "kubespray::restore-halted",
        "no member of etcd runs, and each has its old data",
    ),
    (
        "kubespray::restore-aside",
        "a member's old data are set aside, and it has no other",
    ),
    (
        "kubespray::restore-replaced",
        "one more member has the snapshot's data",
    ),
    (
        "kubespray::restore-started",
        "etcd serves the snapshot, and no control plane runs",
    ),
    (
        "cli::powered",
        "all machines of one kind are off, or on and serve",
    ),
    ("cli::destroy", "between two phases of a removal"),
];
