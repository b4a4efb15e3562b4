//! A run that leaves a log: from what was answered to the exit code.

use std::path::Path;
use std::sync::Arc;

use kubitect_provision::Cancel;

use crate::failure::Failure;
use crate::report::Reporter;
use crate::report::log::Log;
use crate::signals::until_interrupted_and;

/// Why nobody was asked.
pub const UNASKED: &str = "this is not asked about";

/// What a person answered, for the log.
pub fn answer(auto_approve: bool) -> &'static str {
    match auto_approve {
        true => "approved by --auto-approve",
        false => "approved on the terminal",
    }
}

/// Begins the log of `command` in a folder. What was said so far is in it, too.
pub fn begin(
    reporter: &Reporter,
    folder: &Path,
    command: &str,
    answer: &str,
) -> Result<(), Failure> {
    reporter.keep(Log::open(folder, command)?);
    reporter.note(answer);
    Ok(())
}

/// Does the work of a run, until it ends or is interrupted.
pub fn work<T>(
    reporter: &Arc<Reporter>,
    cancel: &Cancel,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let last = Arc::clone(reporter);
    until_interrupted_and(cancel, move |code| last.cut_short(code), work)
}

/// Says how a run has ended: well, with these lines, or else with those.
pub fn end<T>(reporter: &Reporter, result: &Result<T, Failure>, well: &[String], ill: &[String]) {
    match result {
        Ok(_) => reporter.done(well),
        Err(failure) => reporter.failed(&failure.to_string(), failure.code(), ill),
    }
}

/// What to do after a run that stopped.
pub fn again() -> String {
    "the same command goes on from here".to_owned()
}
