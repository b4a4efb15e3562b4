//! The five verbs: `create`, `change`, `upgrade`, `status`, `destroy`.

use std::error::Error;
use std::path::Path;

use kubitect_cli::{Extent, Options, Removal, Run, View, Wanted};
use kubitect_config::edit::Edit;
use kubitect_config::policy::{Action, covers};

/// Carries out a verb on a cluster: `what` is its file for `create`, `change` and `upgrade`, and its name for the others. Returns a
/// text for people.
pub async fn carry_out(verb: &str, what: &str, options: Options) -> Result<String, Box<dyn Error>> {
    match verb {
        "create" | "change" | "upgrade" => apply(verb, Path::new(what), options).await,
        "status" => {
            let wanted = Wanted::stored(&what.parse()?, &options)?;
            let status = View::connect(wanted, options)?.status().await?;
            match status.problems[..] {
                [] => Ok(status.to_string()),
                _ => Err(status.to_string().into()),
            }
        }
        "destroy" => {
            let removal = Removal::plan(what.parse()?, &Extent::default(), options)?;
            let shown = removal.to_string();
            removal.carry_out().await?;
            Ok(shown)
        }
        _ => Err(format!("{verb}: there is no such verb").into()),
    }
}

/// Makes a cluster what its file says. Refuses edits since the last apply that the verb does not cover.
async fn apply(verb: &str, file: &Path, options: Options) -> Result<String, Box<dyn Error>> {
    let mut run = Run::connect(Wanted::read(file, &options.site)?, options)?;
    let is_upgrade = |edit: &Edit| covers(Action::Upgrade, edit);
    match (verb, run.edits()?) {
        ("create", None) => {}
        ("create", Some(_)) => return Err("the cluster is there".into()),
        (_, None) => return Err("the cluster has yet to be made".into()),
        ("upgrade", Some(edits)) if !edits.iter().all(is_upgrade) => {
            return Err("the file changes more than the release".into());
        }
        ("change", Some(edits)) if edits.iter().any(is_upgrade) => {
            return Err("the file upgrades Kubernetes".into());
        }
        _ => {}
    }
    let plan = run.plan()?;
    let shown = plan.to_string();
    run.apply(plan).await?;
    Ok(shown)
}
