//! `render`: every file that apply would produce, without doing anything.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use kubitect_config::value::Label;
use kubitect_config::{Cluster, Site, file};
use kubitect_provision::render;
use serde_json::json;

use crate::args::{Output, Render};
use crate::failure::Failure;
use crate::home::create_private_dir;
use crate::keys;

use super::{load, print, print_json};

/// The file that says whose files a folder holds.
const MARK: &str = "cluster";

/// What is written into it.
const FOLDERS: [&str; 5] = ["libvirt", "cloud-init", "haproxy", "keepalived", "ansible"];

/// Carries the command out.
pub fn render(site: &Site, args: &Render) -> Result<(), Failure> {
    let (parsed, _) = load(&args.config, site, &keys::there)?;
    let files = files(&parsed.cluster)?;
    claim(&args.out, &parsed.cluster.name)?;
    for (path, text) in &files {
        write(&args.out.join(path), text)?;
    }
    if args.output == Output::Json {
        let names: Vec<_> = files.keys().collect();
        return print_json(json!({"formatVersion": 1, "folder": args.out, "files": names}));
    }
    let count = files.len();
    print(format!("{count} files written to {}\n", args.out.display()))
}

/// Takes the folder for this cluster's files, which another's there would mix with.
fn claim(out: &Path, cluster: &Label) -> Result<(), Failure> {
    let mark = out.join(MARK);
    let other = match std::fs::read_to_string(&mark) {
        Ok(name) if name.trim() == cluster.as_str() => return Ok(()),
        Ok(name) => format!("the files of the cluster `{}`", name.trim()),
        Err(e) if e.kind() != ErrorKind::NotFound && e.kind() != ErrorKind::NotADirectory => {
            return Err(Failure::io("read", &mark, e));
        }
        Err(_) if FOLDERS.iter().any(|folder| out.join(folder).exists()) => {
            "files that may be another cluster's".to_owned()
        }
        Err(_) => return write(&mark, &format!("{cluster}\n")),
    };
    Err(Failure::failed(format!(
        "write the files of `{cluster}` into {}: it holds {other}; name another folder with --out, or remove this one",
        out.display()
    )))
}

/// Everything by its path in the tree. The same cluster gives the same text.
fn files(cluster: &Cluster) -> Result<BTreeMap<PathBuf, String>, Failure> {
    let facts = render::placeholders(cluster);
    let mut files = render::files(cluster);
    let rendered = kubitect_lb::render(cluster, &facts)
        .map_err(|e| Failure::because("describe the balancers", e))?;
    for balancer in rendered {
        files.insert(
            format!("haproxy/{}.cfg", balancer.node).into(),
            balancer.haproxy,
        );
        if let Some(keepalived) = balancer.keepalived {
            files.insert(
                format!("keepalived/{}.conf", balancer.node).into(),
                keepalived,
            );
        }
    }
    let ansible = kubitect_kubespray::files(cluster, &facts)
        .map_err(|e| Failure::because("describe the inventory", e))?;
    files.extend(
        ansible
            .into_iter()
            .map(|(path, text)| (Path::new("ansible").join(path), text)),
    );
    Ok(files)
}

/// For the owner only: variables may hold what a person keeps secret. Nothing is flushed: it can be rendered again.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    create_private_dir(path.parent().unwrap_or(Path::new(".")))?;
    file::replace_unflushed(path, text.as_bytes(), 0o600).map_err(|e| Failure::io("write", path, e))
}
