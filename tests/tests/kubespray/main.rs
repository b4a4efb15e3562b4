//! Kubespray: what is generated, by text and by Ansible's own reading, and real runs of Ansible on this machine.
//!
//! The Ansible is the one that the crate installs by itself, as it would for a cluster; it is kept below the target
//! folder. `KUBITECT_TEST_ANSIBLE` names another environment, to try the callback plugin with another release.

mod apiserver;
mod control;
mod drain;
mod environment;
mod etcd;
mod fixture;
mod goals;
mod host_key;
mod jump;
mod kubeadm;
mod playbook;
mod render;
mod restore;
mod source;
mod states;
mod world;
