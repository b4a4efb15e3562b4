//! The main job on real machines: from YAML to `kubectl`, loss of masters, change, kill -9, removal.
//!
//! Runs inside the lab (`tests/all.sh` starts it there); it changes the libvirt that it finds at qemu:///system.

mod change;
mod client;
mod embedded;
mod foreign;
mod journey;
mod kill;
mod living;
mod program;
mod tools;
