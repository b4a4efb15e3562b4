//! `validate`: every problem of every file at once.

use std::path::Path;

use kubitect_config::{Error, Problem, Severity, Site};

use crate::args::{Output, Validate};
use crate::failure::Failure;
use crate::home::Home;
use crate::{keys, report};

use super::{print, print_json};

/// Carries the command out; false when a file has an error.
pub fn validate(home: &Home, args: &Validate) -> Result<bool, Failure> {
    let site = home.site()?;
    let mut all = Vec::new();
    for file in &args.config {
        let (problems, text) = check(file, &site)?;
        if args.output == Output::Text {
            report::problems(&problems, &text);
            let errors = problems
                .iter()
                .filter(|p| p.severity == Severity::Error)
                .count();
            if errors == 0 {
                print(format!("{}: valid\n", file.display()))?;
            }
        }
        all.extend(problems);
    }
    if args.output == Output::Json {
        let json = serde_json::to_value(&all)
            .map_err(|e| Failure::because("write the problems as JSON", e))?;
        print_json(json)?;
    }
    Ok(all.iter().all(|p| p.severity == Severity::Warning))
}

/// A file's problems and its text. That it can't be read at all is a failure of the command.
fn check(file: &Path, site: &Site) -> Result<(Vec<Problem>, String), Failure> {
    let checked = kubitect_config::read(file).and_then(|(name, text)| {
        let parsed = kubitect_config::parse_with_keys(&text, &name, site, &keys::there)?;
        Ok((parsed.warnings, text))
    });
    match checked {
        Err(Error::Invalid { problems, text, .. }) => Ok((problems, text)),
        other => other.map_err(Failure::config),
    }
}
