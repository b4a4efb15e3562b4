//! Helpers that several test targets share: the example cluster and its variants, clusters of many machines, the project's pages,
//! checks of JSON outputs against their schemas, programs that check rendered files, Ansible, OpenSSH's server, a machine that hangs,
//! a terminal, and the points at which the program is killed.

pub mod ansible;
pub mod checkers;
pub mod example;
pub mod hangs;
pub mod many;
pub mod outputs;
pub mod pages;
pub mod points;
pub mod recording;
pub mod snapshot;
pub mod sshd;
pub mod terminal;
