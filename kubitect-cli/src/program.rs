//! The program: from the arguments to a command and its exit code.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};
use clap_complete::CompleteEnv;
use rustix::fs::Mode;
use rustix::process::umask;

use crate::args::{Cli, Command, Output, Store};
use crate::environment::Place;
use crate::failure::Failure;
use crate::report::{Reporter, View};
use crate::world::{self, World};
use crate::{commands, manual, report};

/// Exit code of `plan` when there is something to do.
const CHANGES: u8 = 4;
/// Exit code of commands that only observe, when they find a problem.
const DEGRADED: u8 = 5;

/// Carries out the command of the process's arguments. Returns the process's exit code.
pub fn run() -> ExitCode {
    // Files that this process and its children create are never writable by others: such a file would not be trusted later.
    let write_by_others = Mode::WGRP | Mode::WOTH;
    umask(umask(write_by_others) | write_by_others);
    // Answers a shell that asks for completions, and ends the process then.
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
    let matches = manual::with_examples(Cli::command()).try_get_matches_from(arguments);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return usage(error, no_color),
    };
    report::set_color(!no_color);
    let json = match &cli.command {
        Command::Apply(args) => args.output == Output::Json,
        Command::Destroy(args) => args.output == Output::Json,
        Command::Stop(args) => args.output == Output::Json,
        Command::Start(args) => args.output == Output::Json,
        Command::Store(Store::Restore(args)) => args.output == Output::Json,
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
fn usage(mut error: clap::Error, no_color: bool) -> ExitCode {
    if let Some(tip) = tip(&error) {
        for other in [ContextKind::SuggestedSubcommand, ContextKind::Suggested] {
            error.remove(other);
        }
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    } else if let Some(file) = file_without_option(&error) {
        let tip = format!("a file is named with -c: `-c {file}`");
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    // A failure can't be shown where stdout or stderr is closed.
    let _ = match (no_color, error.use_stderr()) {
        (false, _) => error.print(),
        (true, true) => write!(std::io::stderr(), "{}", error.render()),
        (true, false) => write!(std::io::stdout(), "{}", error.render()),
    };
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Words of other programs, and the tip for a person who types one.
const SYNONYMS: [(&[&str], &str); 7] = [
    (
        &["create", "up", "deploy", "upgrade", "update", "scale"],
        "`kubitect apply` makes, scales and upgrades a cluster, as its file says",
    ),
    (
        &["delete", "down", "remove", "rm"],
        "`kubitect destroy CLUSTER` removes a cluster",
    ),
    (
        &["get", "ls", "ps", "nodes", "clusters"],
        "`kubitect list clusters` and `kubitect list nodes` say what there is",
    ),
    (
        &["kubeconfig", "config"],
        "`kubitect export kubeconfig CLUSTER` hands the kubeconfig out",
    ),
    (
        &["diff", "preview", "--dry-run"],
        "`kubitect plan` shows what apply would do, and changes nothing",
    ),
    (&["-f", "--file"], "a file is named with -c"),
    (&["-y", "--yes"], "--auto-approve answers for you"),
];

/// The tip for a word of another program.
fn tip(error: &clap::Error) -> Option<&'static str> {
    let kinds = [ContextKind::InvalidSubcommand, ContextKind::InvalidArg];
    let word = kinds.iter().find_map(|kind| error.get(*kind))?;
    let ContextValue::String(word) = word else {
        return None;
    };
    let unknown = [ErrorKind::InvalidSubcommand, ErrorKind::UnknownArgument];
    let mut synonyms = SYNONYMS.iter().filter(|_| unknown.contains(&error.kind()));
    let (_, tip) = synonyms.find(|(words, _)| words.contains(&word.as_str()))?;
    Some(tip)
}

/// The file that was given as a word to a command that takes it only by `-c`.
fn file_without_option(error: &clap::Error) -> Option<&str> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let of_files =
        ["apply", "plan", "validate", "render", "doctor"].map(|name| format!("kubitect {name} "));
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => return None,
    };
    let has_file = of_files.iter().any(|name| usage.contains(name));
    let is_word = error.kind() == ErrorKind::UnknownArgument && !word.starts_with('-');
    (has_file && is_word).then_some(word)
}

fn dispatch(world: &Arc<dyn World>, cli: Cli) -> Result<ExitCode, Failure> {
    let place = Place {
        local: cli.local,
        home: cli.home,
    };
    let done = |()| ExitCode::SUCCESS;
    let exit = |ok: bool, otherwise: u8| {
        if ok {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(otherwise)
        }
    };
    match cli.command {
        Command::Apply(args) => reported(|to| commands::apply(world, &place.home()?, &args, to)),
        Command::Destroy(args) => {
            reported(|to| commands::destroy(world, &place.home()?, &args, to))
        }
        Command::Stop(args) => reported(|to| commands::stop(world, &place.home()?, &args, to)),
        Command::Start(args) => reported(|to| commands::start(world, &place.home()?, &args, to)),
        Command::Plan(args) => {
            commands::plan(world, &place.home()?, &args).map(|nothing| exit(nothing, CHANGES))
        }
        Command::Validate(args) => commands::validate(&place.site()?, &args).map(ExitCode::from),
        Command::Render(args) => commands::render(&place.site()?, &args).map(done),
        Command::Console(args) => commands::console(world, &place.home()?, &args).map(done),
        Command::Store(Store::Snapshot(args)) => {
            commands::snapshot(world, &place.home()?, &args).map(done)
        }
        Command::Store(Store::Restore(args)) => {
            reported(|to| commands::restore(world, &place.home()?, &args, to))
        }
        Command::Status(args) => {
            commands::status(world, &place.home()?, &args).map(|healthy| exit(healthy, DEGRADED))
        }
        Command::List { what, output } => {
            commands::list(world, &place, &what, output).map(|all| exit(all, DEGRADED))
        }
        Command::Init(args) => commands::init(&args).map(done),
        Command::Graph(args) => {
            commands::graph(world, &place, &args).map(|all| exit(all, DEGRADED))
        }
        Command::Support(args) => commands::support(world, &place, &args).map(done),
        Command::Ssh(args) => commands::ssh(world, &place.home()?, &args).map(done),
        Command::Logs(args) => commands::logs(&place.home()?, &args).map(done),
        Command::Versions(args) => commands::versions(&place, &args).map(done),
        Command::Version { output } => commands::version(output).map(done),
        Command::Doctor(args) => {
            commands::doctor(world, &place, &args).map(|all| exit(all, DEGRADED))
        }
        Command::Explain(args) => commands::explain(&args).map(done),
        Command::Export(what) => commands::export(&place, &what).map(done),
        Command::Completion { shell } => commands::completion(shell).map(done),
    }
}

/// Carries out a command with events; the last event says how it ended, also after a failure.
fn reported(work: impl FnOnce(&Arc<Reporter>) -> Result<(), Failure>) -> Result<ExitCode, Failure> {
    let reporter = Arc::new(Reporter::new());
    let result = work(&reporter);
    reporter.end(&result);
    result.map(|()| ExitCode::SUCCESS)
}
