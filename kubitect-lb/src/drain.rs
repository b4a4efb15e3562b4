//! Takes a server out of its backends before planned work on it, and back in.

use kubitect_config::value::Label;

use crate::machine::Machine;
use crate::{Balancer, Error, SOCKET};
use kubitect_config::Remote;

/// Whether a server takes new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Established connections go on, new ones go elsewhere.
    Drain,
    /// It takes its share again, as soon as its probe says so.
    Ready,
}

/// The Python program that speaks to the runtime socket; see the program's own first lines.
pub const SET_STATE: &str = include_str!("programs/set_state.py");

/// Sets the state of a node in all backends of a balancer that lead to it.
///
/// Drain after a roll-out, not before one: the state lasts until the next reload of this balancer's HAProxy, after which every
/// server is ready.
pub async fn set_state<R: Remote>(
    balancer: &Balancer,
    remote: &R,
    server: &Label,
    state: State,
) -> Result<(), Error> {
    let word = match state {
        State::Drain => "drain",
        State::Ready => "ready",
    };
    let mut argv = vec![
        "python3",
        "-I",
        "-c",
        SET_STATE,
        SOCKET,
        word,
        server.as_str(),
    ];
    let leads_to = |f: &&crate::Frontend| f.servers.iter().any(|s| s.name == *server);
    argv.extend(
        balancer
            .frontends
            .iter()
            .filter(leads_to)
            .map(|frontend| frontend.name.as_str()),
    );
    let machine = Machine {
        node: &balancer.node,
        remote,
    };
    machine.root_ok(&argv).await?;
    fail::fail_point!("lb::state-set");
    Ok(())
}
