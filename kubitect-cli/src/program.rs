//! The program: arguments, commands, exit codes.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;
use rustix::fs::Mode;
use rustix::process::umask;

use crate::args::{Cli, Command, Output, Store};
use crate::failure::Failure;
use crate::report::View;
use crate::world::{self, World};
use crate::{commands, environment, report};

/// Exit code of `plan` when there is something to do.
const CHANGES: u8 = 4;
/// Exit code of `status` when something is not as it should be.
const DEGRADED: u8 = 5;

/// Does what the process's arguments say, and tells the process's exit code.
pub fn run() -> ExitCode {
    // What is made here, or by programs that are started, others can never write to: what they can, is not trusted later.
    let others_write = Mode::WGRP | Mode::WOTH;
    umask(umask(others_write) | others_write);
    // What shells ask while somebody types; ends the process if this is such a question.
    CompleteEnv::with_factory(Cli::command).complete();
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
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
        || arguments
            .iter()
            .take_while(|argument| *argument != "--")
            .any(|argument| argument == "--no-color");
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, no_color),
    };
    report::set_color(!no_color);
    let json = match &cli.command {
        Command::Apply(args) => args.output == Output::Json,
        Command::Destroy(args) => args.output == Output::Json,
        Command::Stop(args) => args.output == Output::Json,
        Command::Start(args) => args.output == Output::Json,
        _ => false,
    };
    View {
        quiet: cli.quiet,
        verbose: cli.verbose,
        json,
        debug: cli.debug,
    }
    .set();
    if cli.debug {
        report::debug::begin();
    }
    match dispatch(world, cli) {
        Ok(code) => code,
        Err(failure) => {
            if let Failure::Invalid(kubitect_config::Error::Invalid { problems, text, .. }) =
                &failure
            {
                report::problems(problems, text);
            }
            report::failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}

/// Shows help, the version or a mistake on the command line, with colours only where they are wanted.
fn usage(error: &clap::Error, no_color: bool) -> ExitCode {
    // Nowhere to tell that stdout or stderr is gone.
    let _ = match (no_color, error.use_stderr()) {
        (false, _) => error.print(),
        (true, true) => write!(std::io::stderr(), "{}", error.render()),
        (true, false) => write!(std::io::stdout(), "{}", error.render()),
    };
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn dispatch(world: &Arc<dyn World>, cli: Cli) -> Result<ExitCode, Failure> {
    if let Command::Completion { shell } = cli.command {
        return commands::completion(shell).map(|()| ExitCode::SUCCESS);
    }
    let home = environment::home(cli.local, cli.home)?;
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
        Command::Validate(args) => commands::validate(&home, &args).map(ExitCode::from),
        Command::Render(args) => commands::render(&home, &args).map(done),
        Command::Destroy(args) => commands::destroy(world, &home, &args).map(done),
        Command::Stop(args) => commands::stop(world, &home, &args).map(done),
        Command::Start(args) => commands::start(world, &home, &args).map(done),
        Command::Console(args) => commands::console(world, &home, &args).map(done),
        Command::Store(Store::Snapshot(args)) => commands::snapshot(world, &home, &args).map(done),
        Command::Status(args) => {
            commands::status(world, &home, &args).map(|healthy| good(healthy, DEGRADED))
        }
        Command::List { what, output } => commands::list(world, &home, &what, output).map(done),
        Command::Init(args) => commands::init(&args).map(done),
        Command::Graph(args) => commands::graph(world, &home, &args).map(done),
        Command::Support(args) => commands::support(world, &home, &args).map(done),
        Command::Ssh(args) => commands::ssh(&home, &args).map(done),
        Command::Logs(args) => commands::logs(&home, &args).map(done),
        Command::Versions(args) => commands::versions(&home, &args).map(done),
        Command::Version { output } => commands::version(output).map(done),
        Command::Doctor { output } => commands::doctor(output).map(|well| good(well, DEGRADED)),
        Command::Explain(args) => commands::explain(&args).map(done),
        Command::Export(what) => commands::export(&home, &what).map(done),
        Command::Completion { .. } => Ok(ExitCode::SUCCESS),
    }
}
