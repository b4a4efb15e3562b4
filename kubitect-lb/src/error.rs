//! What can go wrong; each text fits after the caller's "failed to".

use std::net::Ipv4Addr;

use kubitect_config::remote::BoxError;
use kubitect_config::value::Label;

use crate::Service;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The facts lack a node of the cluster.
    #[error("render the balancers: the address of {node} is not known; its machine must run first")]
    NoFacts {
        /// The node.
        node: Label,
    },
    /// A balancer of a group has no priority.
    #[error("render keepalived.conf of {node}: it has no priority; set one of 1 to 254")]
    NoPriority {
        /// The balancer.
        node: Label,
    },
    /// The interface's name is not one that both Linux and keepalived accept.
    #[error(
        "render keepalived.conf: `{name}` is not an interface's name; use 1 to 15 letters, digits, `-`, `_` or `.`"
    )]
    Interface {
        /// The name.
        name: String,
    },
    /// A template does not fit its values: a bug of this crate.
    #[error("render {name}")]
    Template {
        /// The template.
        name: &'static str,
        /// Why.
        source: minijinja::Error,
    },
    /// No digest of the files could be taken: a bug of this crate.
    #[error("take a digest of the balancers' files")]
    Digest {
        /// Why.
        source: BoxError,
    },
    /// No connection to a balancer was given.
    #[error("roll out to {node}: there is no connection to it")]
    NoRemote {
        /// The balancer.
        node: Label,
    },
    /// The connection to a balancer failed.
    #[error("run `{command}` on {node}")]
    Remote {
        /// The balancer.
        node: Label,
        /// What was tried.
        command: String,
        /// Why.
        source: BoxError,
    },
    /// A balancer did not answer in time.
    #[error("run `{command}` on {node}: no answer within {seconds} s")]
    Timeout {
        /// The balancer.
        node: Label,
        /// What was tried.
        command: String,
        /// How long.
        seconds: u64,
    },
    /// A command that should not fail failed.
    #[error("run `{command}` on {node}: it ended with {status}: {said}")]
    Command {
        /// The balancer.
        node: Label,
        /// The command.
        command: String,
        /// Its exit status.
        status: u32,
        /// What it said.
        said: String,
    },
    /// The account may not become root.
    #[error("become root on {node}: {said}; its account needs sudo without a password")]
    NoRoot {
        /// The balancer.
        node: Label,
        /// What sudo said.
        said: String,
    },
    /// A program is missing.
    #[error(
        "use {program} on {node}: it is not installed; its cloud-init should have done so, see /var/log/cloud-init-output.log there"
    )]
    NotInstalled {
        /// The balancer.
        node: Label,
        /// The program.
        program: &'static str,
    },
    /// The program's own check refuses the new file. Nothing was replaced.
    #[error("roll out {service} on {node}: it refuses its new configuration: {said}")]
    Rejected {
        /// The balancer.
        node: Label,
        /// The service.
        service: Service,
        /// What it said.
        said: String,
    },
    /// The service does not serve with its new file.
    #[error(
        "roll out {service} on {node}: it does not serve: {said}; see `journalctl -u {service}` there"
    )]
    NotServing {
        /// The balancer.
        node: Label,
        /// The service.
        service: Service,
        /// What is lacking.
        said: String,
    },
    /// The new file failed, and what was there before could not be put back.
    #[error(
        "put the previous configuration of {service} back on {node}, which was necessary because of a failure to {why}"
    )]
    PutBack {
        /// The balancer.
        node: Label,
        /// The service.
        service: Service,
        /// Why it had to be put back.
        why: String,
        /// Why it could not be.
        source: Box<Error>,
    },
    /// One step of the work failed.
    #[error("{what}")]
    Step {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: BoxError,
    },
    /// No balancer or several have the virtual address, or another one could not take it.
    #[error(
        "see {vip} on one balancer, and the others ready to take it: {why}; see `journalctl -u keepalived` there"
    )]
    AddressUnsettled {
        /// The address.
        vip: Ipv4Addr,
        /// What is not as it should be.
        why: String,
    },
}

impl Error {
    /// The kind of failure, where the variant itself says it.
    pub fn kind(&self) -> Option<kubitect_config::error::Kind> {
        match self {
            Self::Timeout { .. } | Self::NotServing { .. } => {
                Some(kubitect_config::error::Kind::TimedOut)
            }
            _ => None,
        }
    }
}
