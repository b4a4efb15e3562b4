//! `validate`: every problem of every file at once.

use std::path::Path;

use kubitect_config::{Error, Problem, Site};
use serde_json::json;

use crate::args::{Output, Validate};
use crate::failure::Failure;
use crate::{keys, report};

use super::{print, print_json, unread};

/// Carries the command out. Returns the exit code: 2 where a file has an error, else 1 where one can't be read, else 0.
pub fn validate(site: &Site, args: &Validate) -> Result<u8, Failure> {
    let (mut all, mut unreadable) = (Vec::new(), Vec::new());
    for file in &args.config {
        let (problems, text) = match check(file, site) {
            Ok(checked) => checked,
            // The other files are checked all the same.
            Err(failure) => {
                if args.output == Output::Text {
                    report::failure(&failure);
                }
                unreadable.push(json!({"file": shown(file), "message": failure.to_string()}));
                continue;
            }
        };
        if args.output == Output::Text {
            report::problems(&problems, &text);
            if !problems.iter().any(Problem::is_error) {
                print(format!("{}: valid\n", shown(file)))?;
            }
        }
        all.extend(problems);
    }
    let invalid = all.iter().any(Problem::is_error);
    let code = match (invalid, unreadable.is_empty()) {
        (true, _) => 2,
        (false, false) => 1,
        (false, true) => 0,
    };
    if args.output == Output::Json {
        print_json(json!({"formatVersion": 1, "problems": all, "unreadable": unreadable}))?;
    }
    Ok(code)
}

/// The name of a file in messages.
fn shown(file: &Path) -> String {
    match file == Path::new("-") {
        true => "<stdin>".to_owned(),
        false => file.display().to_string(),
    }
}

/// A file's problems and its text. A failure if it can't be read.
fn check(file: &Path, site: &Site) -> Result<(Vec<Problem>, String), Failure> {
    let checked = kubitect_config::read(file).and_then(|(name, text)| {
        let parsed = kubitect_config::parse_with_keys(&text, &name, site, &keys::if_present)?;
        Ok((parsed.warnings, text))
    });
    match checked {
        Err(Error::Invalid { problems, text, .. }) => Ok((problems, text)),
        other => other.map_err(unread(file)),
    }
}
