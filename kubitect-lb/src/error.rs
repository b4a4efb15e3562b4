//! What can go wrong; each fits after "failed to" of whoever called.

use kubitect_config::value::Label;

/// What a [`Remote`](crate::Remote) may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

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
    /// The interface's name is none that Linux and keepalived both take.
    #[error(
        "render keepalived.conf: `{name}` is not an interface's name; use 1 to 15 letters, digits, `-`, `_` or `.`"
    )]
    Interface {
        /// The name.
        name: String,
    },
    /// A template does not fit its values: our own mistake.
    #[error("render {name}")]
    Template {
        /// The template.
        name: &'static str,
        /// Why.
        source: minijinja::Error,
    },
}
