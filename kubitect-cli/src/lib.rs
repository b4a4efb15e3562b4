//! The `kubitect` command line: composes the Kubitect crates and speaks to the person.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 usage or invalid configuration,
//! 3 refused by the person, 4 `plan` has changes, 5 `status` finds something amiss, 130 interrupted.

mod adapters;
mod approve;
mod args;
mod commands;
mod failure;
mod home;
mod hosts;
mod job;
mod keys;
mod personal;
mod phase;
mod pipeline;
mod plan;
mod presets;
mod report;
mod services;
mod status;
pub mod world;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use failure::Failure;
use home::Home;
use world::World;

/// Exit code of `plan` when there is something to do.
const CHANGES: u8 = 4;
/// Exit code of `status` when something is not as it should be.
const DEGRADED: u8 = 5;

/// Does what the process's arguments say, and tells the process's exit code.
pub fn run() -> ExitCode {
    run_in(
        &(Arc::new(world::Real::default()) as Arc<dyn World>),
        std::env::args_os(),
    )
}

/// As [`run`], in any world and with any arguments, of which the first is the program's name.
pub fn run_in(
    world: &Arc<dyn World>,
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> ExitCode {
    let cli = Cli::parse_from(arguments);
    let no_color = cli.no_color || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let color = report::set_color(!no_color);
    if cli.debug {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .with_ansi(color)
            .with_max_level(tracing::Level::DEBUG)
            .init();
    }
    match dispatch(world, cli) {
        Ok(code) => code,
        Err(failure) => {
            if let Failure::Invalid(kubitect_config::Error::Invalid { problems, text, .. }) =
                &failure
            {
                report::problems(problems, text);
            }
            // Nowhere to tell that stderr is gone.
            let failure_text = kubitect_config::text::lines(&failure.to_string());
            let _ = writeln!(std::io::stderr(), "kubitect: {failure_text}");
            failure.exit_code()
        }
    }
}

fn dispatch(world: &Arc<dyn World>, cli: Cli) -> Result<ExitCode, Failure> {
    if let Command::Completion { shell } = cli.command {
        clap_complete::generate(
            shell,
            &mut Cli::command(),
            "kubitect",
            &mut std::io::stdout(),
        );
        return Ok(ExitCode::SUCCESS);
    }
    let home = Home::locate(cli.local, cli.home)?;
    let done = |()| ExitCode::SUCCESS;
    let good = |good: bool, otherwise: u8| {
        if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(otherwise)
        }
    };
    match cli.command {
        Command::Apply(args) => commands::apply(world, &home, &args).map(done),
        Command::Plan(args) => {
            commands::plan(world, &home, &args).map(|nothing| good(nothing, CHANGES))
        }
        Command::Validate(args) => commands::validate(&home, &args).map(|valid| good(valid, 2)),
        Command::Render(args) => commands::render(&home, &args).map(done),
        Command::Destroy(args) => commands::destroy(world, &home, &args).map(done),
        Command::Status(args) => {
            commands::status(world, &home, &args).map(|healthy| good(healthy, DEGRADED))
        }
        Command::List(what) => commands::list(&home, &what).map(done),
        Command::Export(what) => commands::export(&home, &what).map(done),
        Command::Completion { .. } => Ok(ExitCode::SUCCESS),
    }
}
