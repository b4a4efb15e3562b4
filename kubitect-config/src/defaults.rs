//! All defaults of the configuration. The schema shows them, too.

/// Folder in which the pools' folders are made.
pub(crate) const POOL_PATH: &str = "/var/lib/libvirt/images/";
/// SSH port of remote hosts.
pub(crate) const SSH_PORT: u16 = 22;
/// Whether a remote host's key must be among the known hosts.
pub(crate) const SSH_VERIFY: bool = true;
/// Account on each machine.
pub(crate) const USER: &str = "k8s";
/// Operating system of the machines.
pub(crate) const DISTRO: &str = "ubuntu";
/// Name of a machine's network interface: the usual name of the first one on a QEMU machine.
pub(crate) const INTERFACE: &str = "ens3";
/// Whether packages are brought up to date at the first boot.
pub(crate) const UPDATE_ON_BOOT: bool = true;
/// Whether the machines' keys are added to the user's known hosts.
pub(crate) const ADD_TO_KNOWN_HOSTS: bool = true;
/// Virtual processors of a machine.
pub(crate) const CPU: u32 = 2;
/// Memory of a machine in GiB.
pub(crate) const RAM: u32 = 4;
/// Main disk of a machine in GiB.
pub(crate) const MAIN_DISK_SIZE: u32 = 32;
/// Pool of a data disk: the pool of the main disks.
pub(crate) const DATA_DISK_POOL: &str = "main";
/// keepalived's priority of the first balancer; each further one has one less.
pub(crate) const PRIORITY: u8 = 200;
/// Kubespray's `kube_network_plugin`.
pub(crate) const NETWORK_PLUGIN: &str = "calico";
/// Kubespray's `dns_mode`.
pub(crate) const DNS_MODE: &str = "coredns";
/// Kubespray's `container_manager`.
pub(crate) const CONTAINER_MANAGER: &str = "containerd";
/// How many machines Ansible works on at a time.
pub(crate) const FORKS: u16 = 20;
/// Where Kubespray comes from.
pub(crate) const KUBESPRAY_URL: &str = "https://github.com/kubernetes-sigs/kubespray.git";
