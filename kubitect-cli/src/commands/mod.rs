//! One command each.

mod apply;
mod destroy;
mod export;
mod list;
mod plan;
mod render;
mod status;
mod validate;

pub use apply::apply;
pub use destroy::destroy;
pub use export::export;
pub use list::list;
pub use plan::plan;
pub use render::render;
pub use status::status;
pub use validate::validate;

use std::fmt::Display;
use std::io::Write;
use std::path::Path;

use kubitect_config::edit::Edit;
use kubitect_config::policy::{self, Disturbs, Policy};
use kubitect_config::{KeyJudge, Parsed, Site, text};

use crate::failure::Failure;
use crate::report;

/// Prints a result for a person on stdout, clean.
fn print(result: impl Display) -> Result<(), Failure> {
    print_exactly(text::lines(&result.to_string()))
}

/// Prints a JSON document on stdout.
fn print_json(document: impl Display) -> Result<(), Failure> {
    print_exactly(text::json(&format!("{document:#}\n")))
}

/// Prints on stdout as it is. A reader that has gone (`| head`) is no failure.
fn print_exactly(result: impl Display) -> Result<(), Failure> {
    match write!(std::io::stdout().lock(), "{result}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::because("write to stdout", e))
        }
        _ => Ok(()),
    }
}

/// The edits that what runs does not follow at once, a line each.
fn later(edits: &[Edit]) -> String {
    let line = |edit: &Edit| match policy::policy(edit) {
        Policy::InPlace(disturbs @ Disturbs::NextUpgrade) => {
            Some(format!("note: {edit}: {disturbs}\n"))
        }
        _ => None,
    };
    edits.iter().filter_map(line).collect()
}

/// Reads a configuration (`-`: stdin) and shows its warnings on stderr.
fn load(file: &Path, site: &Site, judge: KeyJudge) -> Result<(Parsed, String), Failure> {
    let (name, text) = kubitect_config::read(file).map_err(Failure::config)?;
    let parsed =
        kubitect_config::parse_with_keys(&text, &name, site, judge).map_err(Failure::config)?;
    report::problems(&parsed.warnings, &text);
    Ok((parsed, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_config::edit::edits;

    #[test]
    fn what_comes_with_the_next_upgrade_is_told_and_addons_come_at_once() {
        let text = include_str!("../../../tests/tests/cli/cluster.yaml").replace("[DIR]", "/x");
        let cluster = |addons: &str| {
            let text = format!("{text}addons:\n  kubespray: {addons}\n");
            kubitect_config::parse(&text, "x", &Site::default())
                .unwrap()
                .cluster
        };
        let wanted = cluster("{helm_enabled: true, kubelet_max_pods: 50}");
        let edits = edits(&cluster("{}"), &wanted);
        assert_eq!(edits.len(), 2, "{edits:?}");
        assert_eq!(
            later(&edits),
            "note: addons.kubespray.kubelet_max_pods: (nothing) -> 50: counts for a node from its next upgrade on, and \
             for nodes that are made from now on\n"
        );
    }
}
