//! `render`: writes every file that `apply` would produce, and changes nothing else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kubitect_config::{Cluster, Facts, Site};
use kubitect_provision::render::{self, Folder};
use serde_json::json;

use crate::args::{Output, Render};
use crate::environment::trusted_users;
use crate::failure::Failure;
use crate::keys;

use super::{load, print, print_json};

/// Carries the command out.
pub fn render(site: &Site, args: &Render) -> Result<(), Failure> {
    let (parsed, _) = load(&args.config, site, &keys::if_present)?;
    let files = files(&parsed.cluster)?;
    Folder::claim(&args.out, &parsed.cluster.name, &trusted_users())?.fill(&files)?;
    if args.output == Output::Json {
        let names: Vec<_> = files.keys().collect();
        return print_json(json!({"formatVersion": 1, "folder": args.out, "files": names}));
    }
    let count = files.len();
    print(format!("{count} files written to {}\n", args.out.display()))
}

/// All files by their paths in the folder. The same cluster gives the same texts.
fn files(cluster: &Cluster) -> Result<BTreeMap<PathBuf, String>, Failure> {
    let facts = Facts::placeholders(cluster);
    let mut files = render::files(cluster);
    let balancers = kubitect_lb::files(cluster, &facts)
        .map_err(|e| Failure::because("describe the balancers", e))?;
    files.extend(balancers);
    let ansible = kubitect_kubespray::files(cluster, &facts)
        .map_err(|e| Failure::because("describe the inventory", e))?;
    files.extend(
        ansible
            .into_iter()
            .map(|(path, text)| (Path::new("ansible").join(path), text)),
    );
    Ok(files)
}
