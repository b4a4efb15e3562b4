//! What several rings share: the example in its variants, clusters of many machines, the project's pages, what judges JSON
//! outputs, the programs that judge what is rendered, Ansible, OpenSSH's server, a machine that hangs, a terminal, and the points at
//! which the program is killed.

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
