//! `ssh`: a shell or a command on a machine, by its name, with the host key that it was given.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use kubitect_config::value::Label;
use kubitect_config::yaml::{Limits, read_as};
use kubitect_config::{Facts, Site, text};
use kubitect_provision::ssh::client_config;

use crate::args::{ClusterName, Ssh};
use crate::failure::Failure;
use crate::home::{ClusterDir, Home, write_whole};
use crate::hosts::read_kept;
use crate::names;

/// Carries the command out: this process becomes `ssh`, so only a failure comes back.
pub fn ssh(home: &Home, args: &Ssh) -> Result<(), Failure> {
    let site = home.site()?;
    let cluster = cluster(home, args)?;
    let dir = home.cluster(&cluster);
    let facts = facts(&dir)?;
    let full = format!("{cluster}-{}", args.node);
    let known = || facts.nodes.iter().map(|node| node.name.as_str());
    let Some(name) = known().find(|name| *name == args.node || *name == full) else {
        let guess = text::nearest(&full, known()).or_else(|| text::nearest(&args.node, known()));
        let guess = guess.map(|guess| format!("; did you mean `{guess}`?"));
        let all: Vec<_> = known().collect();
        return Err(Failure::failed(format!(
            "find the machine `{}` of {cluster}{}; there are: {}",
            args.node,
            guess.unwrap_or_default(),
            all.join(", ")
        )));
    };
    let config = write_config(&dir, &site, &facts)?;
    let mut ssh = std::process::Command::new("ssh");
    ssh.arg("-F")
        .arg(config)
        .arg("--")
        .arg(name)
        .args(&args.command);
    Err(Failure::because("start ssh", ssh.exec()))
}

/// The cluster that is named, or whose machine has this name, or the usual one.
fn cluster(home: &Home, args: &Ssh) -> Result<Label, Failure> {
    if args.cluster.is_none() {
        let known = home.clusters()?;
        let mut of = known.into_iter().filter(|name| {
            let facts = facts(&home.cluster(name));
            facts.is_ok_and(|facts| {
                facts
                    .nodes
                    .iter()
                    .any(|node| node.name.as_str() == args.node)
            })
        });
        if let Some(cluster) = of.next() {
            return Ok(cluster);
        }
    }
    names::meant(
        home,
        &ClusterName {
            name: None,
            cluster: args.cluster.clone(),
        },
    )
}

/// What the last run knew of the machines. A machine that is another one by now has another key, and `ssh` says so.
fn facts(dir: &ClusterDir) -> Result<Facts, Failure> {
    let path = dir.facts();
    let text = std::fs::read_to_string(&path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Failure::failed(format!(
            "find the machines: there is no {}; `kubitect apply` makes it",
            path.display()
        )),
        _ => Failure::io("read", &path, e),
    })?;
    let read = read_as(&text, Limits::OWN);
    read.map_err(|e| Failure::because(format!("read {}", path.display()), e.to_string()))
}

/// Writes `ssh_config` into the cluster's folder; its path.
pub fn write_config(dir: &ClusterDir, site: &Site, facts: &Facts) -> Result<PathBuf, Failure> {
    let kept = match read_kept(&dir.applied(), site)? {
        Some(applied) => Some(applied),
        None => read_kept(&dir.wanted(), site)?,
    };
    let path = dir.config_dir().join("ssh_config");
    let text = kept.and_then(|cluster| client_config(&cluster, facts));
    let text = text.ok_or_else(|| {
        Failure::failed(format!(
            "write {}: a path in it has a quotation mark, or nothing was applied",
            path.display()
        ))
    })?;
    write_whole(&path, text.as_bytes(), 0o600)?;
    Ok(path)
}

/// Brings `ssh_config` up to date after a run. Without it, `kubitect ssh` writes it.
pub fn refresh(dir: &ClusterDir, site: &Site) {
    if let Err(error) = facts(dir).and_then(|facts| write_config(dir, site, &facts)) {
        tracing::debug!(%error, "ssh_config not written");
    }
}
