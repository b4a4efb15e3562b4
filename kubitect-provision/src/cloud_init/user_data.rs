//! The account, the keys, the packages and the services of a machine.

use kubitect_config::Cluster;
use kubitect_config::cluster::{Node, Role};
use serde::Serialize;

use crate::ssh::MachineKeys;

/// A `#cloud-config`.
#[derive(Serialize)]
pub(super) struct UserData<'a> {
    hostname: &'a str,
    /// The host name is the node's name for life.
    preserve_hostname: bool,
    /// Kubespray keeps the nodes' names in `/etc/hosts`; some images let cloud-init overwrite it at each boot.
    manage_etc_hosts: bool,
    users: [User<'a>; 1],
    /// Root logs in only if it is the configured user.
    disable_root: bool,
    ssh_pwauth: bool,
    /// The image's own keys go, so that the pinned one is the only one.
    ssh_deletekeys: bool,
    ssh_keys: SshKeys<'a>,
    /// The console is evidence when a boot fails: keys and fingerprints would only push it out of sight.
    no_ssh_fingerprints: bool,
    ssh: Ssh,
    growpart: Growpart,
    resize_rootfs: bool,
    package_update: bool,
    package_upgrade: bool,
    packages: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    write_files: Vec<File>,
    runcmd: Vec<Vec<&'static str>>,
}

#[derive(Serialize)]
struct User<'a> {
    name: &'a str,
    gecos: &'static str,
    shell: &'static str,
    sudo: &'static str,
    lock_passwd: bool,
    ssh_authorized_keys: [&'a str; 1],
}

#[derive(Serialize)]
struct SshKeys<'a> {
    ed25519_private: &'a str,
    ed25519_public: &'a str,
}

#[derive(Serialize)]
struct Ssh {
    emit_keys_to_console: bool,
}

#[derive(Serialize)]
struct Growpart {
    mode: &'static str,
    devices: [&'static str; 1],
}

#[derive(Serialize)]
struct File {
    path: &'static str,
    permissions: &'static str,
    content: &'static str,
}

pub(super) fn of<'a>(cluster: &'a Cluster, node: &'a Node, keys: &'a MachineKeys) -> UserData<'a> {
    let user = cluster.guest.user.as_str();
    let update = cluster.guest.update_on_boot;
    let family = Family::of(&cluster.guest.image.distro);
    UserData {
        hostname: node.name.as_str(),
        preserve_hostname: false,
        manage_etc_hosts: false,
        users: [User {
            name: user,
            gecos: "Kubitect",
            shell: "/bin/bash",
            sudo: "ALL=(ALL) NOPASSWD:ALL",
            lock_passwd: true,
            ssh_authorized_keys: [&keys.authorized],
        }],
        disable_root: user != "root",
        ssh_pwauth: false,
        ssh_deletekeys: true,
        ssh_keys: SshKeys {
            ed25519_private: &keys.host_private,
            ed25519_public: &keys.host_public,
        },
        no_ssh_fingerprints: true,
        ssh: Ssh {
            emit_keys_to_console: false,
        },
        growpart: Growpart {
            mode: "auto",
            devices: ["/"],
        },
        resize_rootfs: true,
        package_update: update,
        package_upgrade: update,
        packages: packages(cluster, node),
        write_files: match family {
            Family::RedHat => Vec::new(),
            Family::DebianOrUnknown => vec![no_unattended_upgrades()],
        },
        runcmd: commands(cluster, node, family),
    }
}

/// Where packages come from.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    RedHat,
    DebianOrUnknown,
}

impl Family {
    fn of(distro: &str) -> Self {
        if distro.starts_with("centos") || distro.starts_with("rocky") {
            Self::RedHat
        } else {
            Self::DebianOrUnknown
        }
    }
}

/// apt's timers would hold its lock just when Kubespray installs packages, and would later replace a container runtime
/// under its pods. Updates are the owner's to plan. The file is there before the timers first fire.
fn no_unattended_upgrades() -> File {
    File {
        path: "/etc/apt/apt.conf.d/99-kubitect",
        permissions: "0644",
        content: "APT::Periodic::Enable \"0\";\n",
    }
}

fn packages(cluster: &Cluster, node: &Node) -> Vec<&'static str> {
    let mut packages = vec!["qemu-guest-agent"];
    if node.role == Role::LoadBalancer {
        packages.push("haproxy");
        if cluster.balancing.vip.is_some() {
            packages.push("keepalived");
        }
    }
    packages
}

/// Commands at the end of the first boot. Only the last one's failure counts for cloud-init, so the most important one
/// is last. None waits: the agent starts when the hypervisor offers its channel.
fn commands(cluster: &Cluster, node: &Node, family: Family) -> Vec<Vec<&'static str>> {
    let mut commands = vec![vec![
        "systemctl",
        "start",
        "--no-block",
        "qemu-guest-agent.service",
    ]];
    if node.role == Role::LoadBalancer {
        if family == Family::RedHat {
            // SELinux lets HAProxy use few ports, and 6443 is not among them.
            commands.push(vec!["setsebool", "-P", "haproxy_connect_any", "1"]);
        }
        if cluster.balancing.vip.is_some() {
            // It starts with its first configuration, which the roll-out brings.
            commands.push(vec!["systemctl", "enable", "keepalived.service"]);
        }
        commands.push(vec!["systemctl", "enable", "--now", "haproxy.service"]);
    }
    commands
}
