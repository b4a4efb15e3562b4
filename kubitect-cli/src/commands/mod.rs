//! The commands, one module each.

mod apply;
mod completion;
mod console;
mod destroy;
mod doctor;
mod explain;
mod export;
mod graph;
mod init;
mod list;
mod logged;
mod logs;
mod man;
mod plan;
mod power;
mod render;
mod snapshot;
mod ssh;
mod status;
mod support;
mod validate;
mod versions;

pub use apply::apply;
pub use completion::completion;
pub use console::console;
pub use destroy::destroy;
pub use doctor::doctor;
pub use explain::explain;
pub use export::export;
pub use graph::graph;
pub use init::init;
pub use list::list;
pub use logs::logs;
pub use plan::plan;
pub use power::{start, stop};
pub use render::render;
pub use snapshot::{restore, snapshot};
pub use ssh::ssh;
pub use status::status;
pub use support::support;
pub use validate::validate;
pub use versions::{version, versions};

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use kubitect_config::{KeyJudge, Parsed, Site, text};
use serde::Serialize;

use crate::args::DEFAULT_FILE;
use crate::event::Events;
use crate::failure::Failure;
use crate::home::Home;
use crate::job::Options;
use crate::keys;
use crate::report::{self, Reporter};
use crate::run::Wanted;
use crate::world::World;

/// Prints sentences for a person on stdout, clean and no wider than the terminal.
fn print(result: impl Display) -> Result<(), Failure> {
    let clean = text::lines(&result.to_string());
    print_exactly(report::fitted(&clean, &std::io::stdout()))
}

/// Prints lines for a person on stdout, clean: what others wrote, or what is drawn.
fn print_lines(result: impl Display) -> Result<(), Failure> {
    print_exactly(text::lines(&result.to_string()))
}

/// Prints a JSON document on stdout.
fn print_json(document: impl Display) -> Result<(), Failure> {
    print_exactly(text::json(&format!("{document:#}\n")))
}

/// Prints an object as JSON on stdout, with the version of its form.
fn print_object(what: &impl Serialize) -> Result<(), Failure> {
    let mut object = serde_json::json!(what);
    object["formatVersion"] = 1.into();
    print_json(object)
}

/// Prints on stdout as it is. A reader that has ended (`| head`) is no failure.
fn print_exactly(result: impl Display) -> Result<(), Failure> {
    print_while_read(result).map(drop)
}

/// Prints on stdout as it is; false: stdout has no reader any more.
fn print_while_read(result: impl Display) -> Result<bool, Failure> {
    let mut stdout = std::io::stdout().lock();
    match write!(stdout, "{result}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::because("write to stdout", e)),
    }
}

/// The options of commands: events go to `reporter`.
fn options(
    world: &Arc<dyn World>,
    home: &Home,
    reporter: &Arc<Reporter>,
) -> Result<Options, Failure> {
    let reporter = Arc::clone(reporter);
    let events = Events::new(move |event| reporter.event(&event));
    let mut options = Options::new(home.clone(), events)?;
    options.world = Arc::clone(world);
    Ok(options)
}

/// Reads the wanted configuration (`-`: stdin), checks its keys, and shows its warnings on stderr.
fn wanted(file: &Path, options: &Options) -> Result<Wanted, Failure> {
    let (name, text) = kubitect_config::read(file).map_err(unread(file))?;
    let wanted = Wanted::parse(text, &name, &options.site, &keys::needed)?;
    report::problems(wanted.warnings(), wanted.text());
    Ok(wanted)
}

/// Reads a configuration (`-`: stdin) and shows its warnings on stderr.
fn load(file: &Path, site: &Site, judge: KeyJudge) -> Result<(Parsed, String), Failure> {
    let (name, text) = kubitect_config::read(file).map_err(unread(file))?;
    let parsed =
        kubitect_config::parse_with_keys(&text, &name, site, judge).map_err(Failure::config)?;
    report::problems(&parsed.warnings, &text);
    Ok((parsed, text))
}

/// The failure to read a file, with a hint if it is the default one, which nobody named.
fn unread(file: &Path) -> impl Fn(kubitect_config::Error) -> Failure + '_ {
    move |error| with_hint(Failure::config(error), file)
}

fn with_hint(failure: Failure, file: &Path) -> Failure {
    match (failure, file == Path::new(DEFAULT_FILE)) {
        (Failure::Failed { what, source }, true) => Failure::Failed {
            what: format!(
                "{what} (-c FILE names another; `kubitect init` writes one to begin with)"
            ),
            source,
        },
        (other, _) => other,
    }
}
