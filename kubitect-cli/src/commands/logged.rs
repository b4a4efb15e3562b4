//! The steps that all runs with a log share: the person's answer, the work, and how it ended.

use std::path::Path;
use std::sync::Arc;

use kubitect_provision::Cancel;

use crate::failure::Failure;
use crate::report::Reporter;
use crate::report::log::Log;
use crate::signals::until_interrupted_and;

/// In the place of an answer, where a command does not ask.
pub const NOT_ASKED: &str = "this is not asked about";

/// What a person answered, for the log.
pub fn answer(auto_approve: bool) -> &'static str {
    match auto_approve {
        true => "approved by --auto-approve",
        false => "approved on the terminal",
    }
}

/// Begins the log of `command` in a folder, with all that was reported before.
pub fn begin(
    reporter: &Reporter,
    folder: &Path,
    command: &str,
    answer: &str,
) -> Result<(), Failure> {
    reporter.log_to(Log::open(folder, command)?);
    reporter.note(answer);
    Ok(())
}

/// Does the work of a run, until it ends or is interrupted.
pub fn work<T>(
    reporter: &Arc<Reporter>,
    cancel: &Cancel,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let reporter = Arc::clone(reporter);
    until_interrupted_and(cancel, move |code| reporter.cut_short(code), work)
}

/// Reports how a run has ended, followed by the lines for its success or its failure.
pub fn end<T>(reporter: &Reporter, result: &Result<T, Failure>, ok: &[String], err: &[String]) {
    match result {
        Ok(_) => reporter.done(ok),
        Err(failure) => reporter.failed(&failure.to_string(), failure.code(), err),
    }
}

/// How to go on after a run that stopped.
pub fn retry_hint() -> String {
    "the same command goes on from here".to_owned()
}
