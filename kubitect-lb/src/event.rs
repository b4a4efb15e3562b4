//! [`Event`]: what a roll-out reports while it works.

use std::fmt;
use std::net::Ipv4Addr;

use kubitect_config::value::Label;
use serde::{Deserialize, Serialize};

use crate::Service;

/// What a roll-out reports. The last one is always `Finished` or `Failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// A balancer's service is checked.
    Started {
        /// The balancer.
        node: Label,
        /// The service.
        service: Service,
        /// Which one of all, from 1.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// It runs with the wanted file already: nothing was done.
    Unchanged {
        /// The balancer.
        node: Label,
        /// The service.
        service: Service,
    },
    /// It was reloaded (or started) with a new file and was seen serving.
    Reloaded {
        /// The balancer.
        node: Label,
        /// The service.
        service: Service,
    },
    /// The new file failed, and what was there before serves again.
    PutBack {
        /// The balancer.
        node: Label,
        /// The service.
        service: Service,
    },
    /// The virtual address answers on this balancer.
    Holds {
        /// The balancer.
        node: Label,
        /// The address.
        vip: Ipv4Addr,
    },
    /// A line for people: a warning, or what is waited for.
    Said {
        /// The line.
        line: String,
    },
    /// All balancers serve.
    Finished {
        /// How many services were reloaded.
        reloaded: usize,
    },
    /// The roll-out stopped; balancers that were not reached are as they were.
    Failed {
        /// Why.
        why: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started {
                node,
                service,
                index,
                count,
            } => write!(f, "{node}: {service} ({index} of {count})"),
            Self::Unchanged { node, service } => {
                write!(f, "{node}: {service} unchanged, not reloaded")
            }
            Self::Reloaded { node, service } => write!(f, "{node}: {service} reloaded and serving"),
            Self::PutBack { node, service } => {
                write!(
                    f,
                    "{node}: the previous configuration of {service} was put back"
                )
            }
            Self::Holds { node, vip } => write!(f, "{node}: holds {vip}"),
            Self::Said { line } => f.write_str(line),
            Self::Finished { reloaded: 0 } => write!(f, "balancers: nothing to do"),
            Self::Finished { reloaded } => write!(f, "balancers: {reloaded} reloaded"),
            Self::Failed { why } => write!(f, "balancers: failed to {why}"),
        }
    }
}
