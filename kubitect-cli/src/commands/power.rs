//! `stop` and `start`: all machines of a cluster shut down in order, and on again, with what runs on them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{logged, options};
use crate::approve::{self, Question};
use crate::args::{Start, Stop};
use crate::failure::Failure;
use crate::home::Home;
use crate::names::{self, ClusterName};
use crate::power::{Power, SHUT_DOWN, Switch};
use crate::report::Reporter;
use crate::run::{Run, Wanted};
use crate::signals::until_interrupted;
use crate::world::World;

/// Shuts all machines of a cluster down.
pub fn stop(
    world: &Arc<dyn World>,
    home: &Home,
    args: &Stop,
    reporter: &Arc<Reporter>,
) -> Result<(), Failure> {
    let within = args.timeout.map_or(SHUT_DOWN, Duration::from);
    let command = Command {
        name: "stop",
        to: Power::Off(within),
        asks: !args.auto_approve,
        take_over: args.held.take_over,
    };
    command.carry_out(world, home, &args.cluster, reporter)
}

/// Starts all machines of a cluster, and waits until it serves.
pub fn start(
    world: &Arc<dyn World>,
    home: &Home,
    args: &Start,
    reporter: &Arc<Reporter>,
) -> Result<(), Failure> {
    let command = Command {
        name: "start",
        to: Power::On,
        asks: false,
        take_over: args.held.take_over,
    };
    command.carry_out(world, home, &args.cluster, reporter)
}

struct Command {
    name: &'static str,
    to: Power,
    asks: bool,
    take_over: bool,
}

impl Command {
    fn carry_out(
        &self,
        world: &Arc<dyn World>,
        home: &Home,
        cluster: &ClusterName,
        reporter: &Arc<Reporter>,
    ) -> Result<(), Failure> {
        let cluster = names::resolve(home, cluster)?;
        let mut options = options(world, home, reporter)?;
        options.take_over = self.take_over;
        let cancel = options.cancel.clone();
        let run = Run::connect_to_reached(Wanted::stored(&cluster, &options)?, options)?;
        let switch = Switch::plan(run, self.to)?;
        reporter.emit(&json!({"type": "plan", "plan": switch.json()}));
        if switch.is_empty() {
            until_interrupted(&cancel, switch.carry_out())?;
            reporter.line(format!("{cluster}: no machine of it is on"));
            return Ok(());
        }
        reporter.proposal(&cluster, &switch, "", self.asks);
        if self.asks {
            approve::ask(&Question::new(&format!("Shall {cluster} be stopped?")))?;
        }
        let answer = match self.asks {
            true => logged::answer(false),
            false if self.to == Power::On => logged::NOT_ASKED,
            false => logged::answer(true),
        };
        let logs = switch.view().folder().logs();
        logged::begin(reporter, &logs, self.name, answer)?;
        reporter.begin([]);
        let result = logged::work(reporter, &cancel, switch.carry_out());
        let next = match self.to {
            Power::Off(_) => format!("next: kubitect start {cluster}"),
            Power::On => format!("next: kubitect status {cluster}"),
        };
        logged::end(reporter, &result, &[next], &[logged::retry_hint()]);
        result
    }
}
