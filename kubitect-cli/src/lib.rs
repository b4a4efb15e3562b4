//! Kubitect as a whole: it composes the other Kubitect crates. One half is a library for programs that make clusters. The other
//! half is such a program, the `kubitect` command (feature `program`, on by default):
//!
//! ```toml
//! kubitect-cli = { git = "https://github.com/kubitect/kubitect-rs", default-features = false, features = ["libvirt"] }
//! ```
//!
//! ```no_run
//! use std::path::Path;
//! use kubitect_cli::{Events, Failure, Home, Options, Run, Wanted};
//!
//! # async fn example() -> Result<(), Failure> {
//! let home = Home::open(Path::new("/srv/clusters"), None)?;
//! let options = Options::new(home, Events::new(|event| println!("{event}")))?;
//! let wanted = Wanted::read(Path::new("cluster.yaml"), &options.site)?;
//! let mut run = Run::connect(wanted, options)?; // hosts, and the cluster's lock
//! let plan = run.plan()?; // reads only
//! println!("{plan}");
//! run.apply(plan).await?; // exactly the list that was shown
//! println!("{}", run.status().await?);
//! # Ok(())
//! # }
//! ```
//!
//! The library prints nothing, asks no questions, ends no process, reads no environment variables, and has no state outside of the
//! values that it returns. The program prints results to stdout and everything else to stderr. Its exit codes: 0 done, 1 failed,
//! 2 usage or invalid configuration, 3 refused by the person, 4 `plan` has changes, 5 `status` finds a problem, 130 interrupted.

mod event;
mod failure;
mod job;
mod phase;
mod pipeline;
mod plan;
mod power;
mod removal;
mod run;
mod saved;
mod snapshot;
mod status;
pub mod world;

#[cfg(feature = "program")]
mod approve;
#[cfg(feature = "program")]
mod args;
#[cfg(feature = "program")]
mod commands;
#[cfg(feature = "program")]
mod environment;
#[cfg(feature = "program")]
mod keys;
#[cfg(feature = "program")]
mod manual;
#[cfg(feature = "program")]
mod names;
#[cfg(feature = "program")]
mod nodes;
#[cfg(feature = "program")]
mod program;
#[cfg(feature = "program")]
mod report;
#[cfg(feature = "program")]
mod signals;

use kubitect_kubespray::kubeconfig::file as personal;
use kubitect_provision::{home, hosts};

#[cfg(feature = "program")]
pub use args::command_line;
pub use event::{Ending, Event, Events, VERSION as EVENT_VERSION};
pub use failure::{Failure, Kind};
pub use job::Options;
pub use kubitect_config::saved::SavedPlan;
pub use kubitect_provision::Cancel;
pub use kubitect_provision::home::{ClusterDir, Home, Lock};
pub use phase::{Make, Phase, RestartBalancer};
pub use plan::{Personal, Plan};
pub use power::{Power, SHUT_DOWN, Switch};
#[cfg(feature = "program")]
pub use program::{run, run_in};
pub use removal::{Extent, Removal};
pub use run::{Run, View, Wanted};
pub use snapshot::{Restoring, Snapshot};
pub use status::{ActiveRun, Machine, State, Status, Verdict};
