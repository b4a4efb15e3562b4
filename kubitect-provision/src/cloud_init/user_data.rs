//! The account, the keys, the packages and the services of a machine.

use kubitect_config::Cluster;
use kubitect_config::cluster::{Node, Proxy, Role};
use serde::Serialize;

use crate::ssh::MachineKeys;

/// A `#cloud-config`.
#[derive(Serialize)]
pub(super) struct UserData<'a> {
    hostname: &'a str,
    /// The host name is always the node's name.
    preserve_hostname: bool,
    /// Kubespray keeps the nodes' names in `/etc/hosts`; some images let cloud-init overwrite it at each boot.
    manage_etc_hosts: bool,
    users: [User<'a>; 1],
    /// Root logs in only if it is the configured user.
    disable_root: bool,
    ssh_pwauth: bool,
    /// Host keys of the image are deleted, so that the pinned one is the only one.
    ssh_deletekeys: bool,
    ssh_keys: SshKeys<'a>,
    /// Keys and fingerprints are not printed on the console, whose last lines are evidence when a boot fails.
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
    /// The group with the account's name. cloud-init creates it unless it exists; `useradd` alone would refuse an account with
    /// the name of an existing group.
    groups: &'a str,
    primary_group: &'a str,
    no_user_group: bool,
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
    content: String,
    /// Appended to the file of the image.
    append: bool,
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
            groups: user,
            primary_group: user,
            no_user_group: true,
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
        write_files: files(family, cluster.proxy.as_ref()),
        runcmd: commands(cluster, node),
    }
}

/// How packages are installed.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    RedHat,
    Debian,
    /// An image of the user's own: files for both families are written.
    Unknown,
}

impl Family {
    fn of(distro: &str) -> Self {
        let is_of = |names: &[&str]| names.iter().any(|name| distro.starts_with(name));
        match distro {
            _ if is_of(&["centos", "rocky"]) => Self::RedHat,
            _ if is_of(&["debian", "ubuntu"]) => Self::Debian,
            _ => Self::Unknown,
        }
    }
}

/// The files that are written before packages are installed.
fn files(family: Family, proxy: Option<&Proxy>) -> Vec<File> {
    let mut files = Vec::new();
    if family != Family::RedHat {
        files.push(no_unattended_upgrades());
        files.extend(proxy.map(apt_proxy));
    }
    if family != Family::Debian {
        files.extend(proxy.and_then(dnf_proxy));
    }
    files
}

/// The proxy for apt. Exceptions from it can be single hosts only, no ranges.
fn apt_proxy(proxy: &Proxy) -> File {
    let mut content = String::new();
    for (scheme, url) in [("http", &proxy.http), ("https", &proxy.https)] {
        let Some(url) = url else { continue };
        // Validated: neither the URL nor a host contains a character that would end the quotation.
        content += &format!("Acquire::{scheme}::Proxy \"{url}\";\n");
        let is_host = |host: &&&str| {
            host.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
        };
        for host in proxy.without().iter().filter(is_host) {
            if !host.starts_with('.') {
                content += &format!("Acquire::{scheme}::Proxy::{host} \"DIRECT\";\n");
            }
        }
    }
    File {
        path: "/etc/apt/apt.conf.d/95-kubitect-proxy",
        // It may hold a password.
        permissions: "0600",
        content,
        append: false,
    }
}

/// The proxy for dnf, which has only one for all hosts.
fn dnf_proxy(proxy: &Proxy) -> Option<File> {
    let url = proxy.https.as_ref().or(proxy.http.as_ref())?;
    Some(File {
        path: "/etc/dnf/dnf.conf",
        permissions: "0644",
        content: format!("\nproxy={url}\n"),
        append: true,
    })
}

/// Switches apt's timers off. They would hold apt's lock while Kubespray installs packages, and later replace a container runtime
/// under running pods: updates are for the cluster's owner to plan. The file is written before the timers first fire.
fn no_unattended_upgrades() -> File {
    File {
        path: "/etc/apt/apt.conf.d/99-kubitect",
        permissions: "0644",
        content: "APT::Periodic::Enable \"0\";\n".to_owned(),
        append: false,
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

/// Commands at the end of the first boot. cloud-init reports only a failure of the last one, so the most important one is last.
/// None of them blocks: the agent starts when the hypervisor offers its channel.
fn commands(cluster: &Cluster, node: &Node) -> Vec<Vec<&'static str>> {
    let mut commands = vec![vec![
        "systemctl",
        "start",
        "--no-block",
        "qemu-guest-agent.service",
    ]];
    if node.role == Role::LoadBalancer {
        // SELinux allows HAProxy only a few ports, and 6443 is not among them. On a system without SELinux this command fails,
        // which does no harm.
        commands.push(vec!["setsebool", "-P", "haproxy_connect_any", "1"]);
        if cluster.balancing.vip.is_some() {
            // keepalived checks HAProxy at a port that SELinux allows it only with this. It is a separate command, so that it
            // counts also where the policy does not have the other boolean.
            commands.push(vec!["setsebool", "-P", "keepalived_connect_any", "1"]);
            // Not started yet: the roll-out starts it with its first configuration.
            commands.push(vec!["systemctl", "enable", "keepalived.service"]);
        }
        commands.push(vec!["systemctl", "enable", "--now", "haproxy.service"]);
    }
    commands
}
