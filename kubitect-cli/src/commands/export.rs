//! `export`: a cluster's configuration or kubeconfig, a preset, or a JSON Schema, on stdout; a kubeconfig and man pages into files.

use std::path::Path;

use kubitect_config::value::Label;

use crate::args::{Export, Kubeconfig};
use crate::environment::Place;
use crate::failure::Failure;
use crate::home::Home;
use crate::names;
use crate::personal;

use super::init::preset_named;
use super::man::man;
use super::{print, print_exactly, print_json};

/// Carries the command out.
pub fn export(place: &Place, what: &Export) -> Result<(), Failure> {
    match what {
        Export::Config(name) => {
            let home = place.home()?;
            let cluster = names::resolve(&home, name)?;
            print_exactly(file(&home.cluster(&cluster).applied(), &cluster)?)
        }
        Export::Kubeconfig(args) => kubeconfig(&place.home()?, args),
        Export::Preset { name } => print_exactly(preset_named(name)?.text()),
        Export::Man { out, output } => man(out, *output),
        Export::Schema { site, draft_07 } => print_json(match (site, draft_07) {
            (true, _) => kubitect_config::site_schema(),
            (false, true) => kubitect_config::schema_draft_07(),
            (false, false) => kubitect_config::schema(),
        }),
    }
}

/// The kubeconfig, printed, written or merged.
fn kubeconfig(home: &Home, args: &Kubeconfig) -> Result<(), Failure> {
    let cluster = names::resolve(home, &args.cluster)?;
    let text = file(&home.cluster(&cluster).kubeconfig(), &cluster)?;
    kubitect_kubespray::kubeconfig::check_own(&text)?;
    match &args.out {
        Some(out) if out != Path::new("-") => {
            home.check_named(out)?;
            personal::export(out, &cluster, &text)?;
            let out = out.display();
            print(format!(
                "{out}: written, for you alone to read\nnext: kubectl --kubeconfig {out} get nodes\n"
            ))
        }
        None if args.merge => {
            let list = std::env::var_os("KUBECONFIG").unwrap_or_default();
            let path = personal::choose(&list, &cluster, &text)?;
            let path = path.map_or_else(|| home.kubeconfig(), Ok)?;
            home.check_named(&path)?;
            personal::merge(&path, &cluster, &text)?;
            print(format!(
                "{}: has the context {cluster}\nnext: kubectl --context {cluster} get nodes\n",
                path.display()
            ))
        }
        _ => print_exactly(text),
    }
}

/// The exact bytes of one of the cluster's files, which may be written to another file.
fn file(path: &Path, cluster: &Label) -> Result<String, Failure> {
    personal::read_optional(path)?.ok_or_else(|| {
        Failure::failed(format!(
            "export from cluster `{cluster}`: there is no {}; `kubitect apply` makes it",
            path.display()
        ))
    })
}
