//! `stop` and `start`: all machines of a cluster shut down in order, and on again, with what runs on them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::options;
use crate::approve;
use crate::args::{ClusterName, Start, Stop};
use crate::failure::Failure;
use crate::home::Home;
use crate::names;
use crate::power::{Power, SHUT_DOWN, Switch};
use crate::report::{Reporter, log};
use crate::run::{Run, Wanted};
use crate::signals::until_interrupted;
use crate::world::World;

/// Shuts all machines of a cluster down.
pub fn stop(world: &Arc<dyn World>, home: &Home, args: &Stop) -> Result<(), Failure> {
    let within = args.timeout.map_or(SHUT_DOWN, Duration::from);
    let command = Command {
        name: "stop",
        to: Power::Off(within),
        asks: !args.auto_approve,
    };
    command.carry_out(world, home, &args.cluster)
}

/// Starts all machines of a cluster, and waits until it serves.
pub fn start(world: &Arc<dyn World>, home: &Home, args: &Start) -> Result<(), Failure> {
    let command = Command {
        name: "start",
        to: Power::On,
        asks: false,
    };
    command.carry_out(world, home, &args.cluster)
}

struct Command {
    name: &'static str,
    to: Power,
    asks: bool,
}

impl Command {
    fn carry_out(
        &self,
        world: &Arc<dyn World>,
        home: &Home,
        cluster: &ClusterName,
    ) -> Result<(), Failure> {
        let cluster = names::meant(home, cluster)?;
        let reporter = Arc::new(Reporter::new());
        let options = options(world, home, &reporter)?;
        let cancel = options.cancel.clone();
        let run = Run::connect(Wanted::kept(&cluster, &options)?, options)?;
        let switch = Switch::plan(run, self.to)?;
        if switch.is_empty() {
            let nothing = until_interrupted(&cancel, switch.carry_out());
            reporter.line(format!("{cluster}: no machine of it {}", self.nothing()));
            return nothing;
        }
        reporter.text(&switch);
        if self.asks {
            approve::ask(&format!("Shall {cluster} be stopped?"))?;
        }
        let (log, path) = log::open(switch.run().folder(), self.name)?;
        reporter.keep(log);
        reporter.begin([]);
        let result = until_interrupted(&cancel, switch.carry_out());
        self.end(cluster.as_str(), &result, &path, &reporter);
        result
    }

    fn nothing(&self) -> &'static str {
        match self.to {
            Power::Off(_) => "is on",
            Power::On => "is there",
        }
    }

    fn end(&self, cluster: &str, result: &Result<(), Failure>, log: &Path, to: &Reporter) {
        let log = format!("log: {}", log.display());
        let next = match self.to {
            Power::Off(_) => format!("next: kubitect start {cluster}"),
            Power::On => format!("next: kubitect status {cluster}"),
        };
        match result {
            Ok(()) => to.done(&[next, log]),
            Err(failure) => {
                let again = "the same command goes on from here".to_owned();
                to.failed(&failure.to_string(), failure.code(), &[again, log]);
            }
        }
    }
}
