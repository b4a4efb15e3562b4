//! Provisioning on a real libvirt with real QEMU, mostly on machines whose disks are empty: what libvirt itself does and refuses.
//!
//! It makes and removes machines in the libvirt at qemu:///system, so it runs in the lab only, and only when told so:
//! `KUBITECT_IN_LAB=1 tests/lab/lab.sh exec cargo test -p tests --test hypervisor -- --test-threads=1`.

#![expect(
    clippy::unwrap_used,
    reason = "in helpers, too, what can't be done fails the test"
)]

mod failing;
mod kcli;
mod lab;
mod living;
mod road;
mod speed;
