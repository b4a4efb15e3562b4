//! `export`: a cluster's configuration or kubeconfig, a preset, or a JSON Schema, on stdout.

use std::path::Path;

use crate::args::Export;
use crate::failure::Failure;
use crate::home::Home;
use crate::presets::Preset;

use super::{print_exactly, print_json};

/// Carries the command out.
pub fn export(home: &Home, what: &Export) -> Result<(), Failure> {
    match what {
        Export::Config(name) => file(&home.cluster(&name.cluster).applied(), &name.cluster),
        Export::Kubeconfig(name) => file(&home.cluster(&name.cluster).kubeconfig(), &name.cluster),
        Export::Preset { name } => match Preset::find(name) {
            Some(preset) => print_exactly(preset.text()),
            None => Err(Failure::failed(format!(
                "export preset `{name}`: there is none; `kubitect list presets` shows which there are"
            ))),
        },
        Export::Schema { site } => {
            let schema = if *site {
                kubitect_config::site_schema()
            } else {
                kubitect_config::schema()
            };
            print_json(schema)
        }
    }
}

fn file(path: &Path, cluster: &kubitect_config::value::Label) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Failure::failed(format!(
            "export from cluster `{cluster}`: there is no {}; `kubitect apply` makes it",
            path.display()
        )),
        _ => Failure::io("read", path, e),
    })?;
    // The file as it is: it may be written to another.
    print_exactly(text)
}
