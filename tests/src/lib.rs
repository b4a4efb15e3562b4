//! What several rings share: the example in its variants, the programs that judge what is rendered, and Ansible.

pub mod ansible;
pub mod checkers;
pub mod example;
