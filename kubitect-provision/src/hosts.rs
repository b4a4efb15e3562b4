//! Which hosts carry a cluster, or did: what is on them has to go.

mod removal;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};

use kubitect_config::cluster::{Connection, Host};
use kubitect_config::release::Hop;
use kubitect_config::value::Name;
use kubitect_config::waiting::{AT_ONCE, in_threads};
use kubitect_config::{Cluster, Site};
pub use removal::{LeftOut, of_removal};

use crate::Error;
use crate::home::{ClusterDir, Home};
use crate::hypervisor::Hosts;
use crate::reach::Reach;
use crate::ssh::private_key;

/// The hosts of a cluster, connected.
#[derive(Debug)]
pub struct Connected {
    /// Those that carry it, and those that did; of those that can't be reached, why.
    pub hosts: Hosts,
    /// Those that did, and carry none of it by its file.
    pub former: Vec<Host>,
    /// Those that did, are in its file no more, and can't be reached: a sentence each.
    pub lost: Vec<String>,
}

/// Connects to the hosts of a cluster, and to those that carried it before: what is on them has to go.
pub fn connect(
    reach: &dyn Reach,
    home: &Home,
    site: &Site,
    cluster: &Cluster,
) -> Result<Connected, Error> {
    let former = former(home, &home.cluster(&cluster.name), site, cluster)?;
    let all: Vec<_> = cluster.used_hosts().chain(&former).collect();
    let (mut hosts, away) = each(reach, &all);
    let mut lost = Vec::new();
    for (host, error) in away {
        let is_former = former.iter().any(|own| own.name == host.name);
        match (is_former, cluster.host(&host.name)) {
            (false, _) => hosts.is_away(host.name.clone(), error),
            (true, Some(_)) => {
                let what = "reach the hosts that carried machines (one that is gone for good has to leave `hosts`) of";
                let error = Error::because(format!("{what} {}", cluster.name), error);
                hosts.is_away(host.name.clone(), error);
            }
            (true, None) => lost.push(format!(
                "host {} carried machines of {} and is not in its file any more; it can't be reached ({error}), so what \
                 it carries is taken for lost. If it comes back, its machines have to be removed by hand",
                host.name, cluster.name
            )),
        }
    }
    Ok(Connected {
        hosts,
        former,
        lost,
    })
}

/// Connects to these hosts, side by side: those that are reached, and why others are not.
fn each<'a>(reach: &dyn Reach, hosts: &[&'a Host]) -> (Hosts, Vec<(&'a Host, Error)>) {
    let mut all = Hosts::from_hypervisors(BTreeMap::new());
    let mut away = Vec::new();
    let reached = in_threads(AT_ONCE, hosts, |host| reach.hosts(&[host]));
    for (host, reached) in hosts.iter().zip(reached) {
        match reached {
            Ok(reached) => all.extend(reached),
            Err(error) => away.push((*host, error)),
        }
    }
    (all, away)
}

/// Resolves the paths of a configuration that are written from a person's home.
pub fn settle(home: &Home, cluster: &mut Cluster) -> Result<(), Error> {
    for host in &mut cluster.hosts {
        expand_keyfile(home, host)?;
    }
    expand_source(home, &mut cluster.guest.image.source)?;
    expand_source(home, &mut cluster.kubernetes.kubespray.url)
}

/// A path or an address: a leading `~/` is resolved.
fn expand_source(home: &Home, source: &mut String) -> Result<(), Error> {
    if source.starts_with("~/") {
        let path = home.expand(Path::new(source.as_str()))?;
        *source = path.display().to_string();
    }
    Ok(())
}

/// The hosts that carried a cluster by the configuration that was applied last, or by one that was to be, and that carry none of it by
/// the present one: with the present one's connection, where it has them.
fn former(
    home: &Home,
    dir: &ClusterDir,
    site: &Site,
    cluster: &Cluster,
) -> Result<Vec<Host>, Error> {
    let mut former: Vec<Host> = Vec::new();
    for kept in all_kept(dir, site)? {
        for host in kept?.hosts() {
            let mut host = cluster.host(&host.name).unwrap_or(host).clone();
            expand_keyfile(home, &mut host)?;
            let same = |other: &Host| {
                other.name == host.name || other.connection.same_place(&host.connection)
            };
            if !cluster.used_hosts().chain(&former).any(same) {
                former.push(host);
            }
        }
    }
    Ok(former)
}

/// A configuration that was kept of a cluster.
struct Kept {
    file: PathBuf,
    cluster: Cluster,
    /// The host that it is kept for, if only for one.
    only: Option<Name>,
}

impl Kept {
    /// The hosts that carry what it is kept for.
    fn hosts(&self) -> impl Iterator<Item = &Host> {
        let is_meant = |host: &&Host| self.only.as_ref().is_none_or(|only| host.name == *only);
        self.cluster.used_hosts().filter(is_meant)
    }
}

/// The configuration that was applied last, the one that was to be, those of runs that did not end, and those of hosts that were
/// left out, as far as they are there.
fn all_kept(
    dir: &ClusterDir,
    site: &Site,
) -> Result<impl Iterator<Item = Result<Kept, Error>>, Error> {
    let whole = [dir.applied(), dir.wanted()].into_iter();
    let whole = whole.chain(dir.unfinished()?).map(|file| (None, file));
    let left = dir.left_out()?.into_iter();
    let all = whole.chain(left.map(|(host, file)| (Some(host), file)));
    Ok(all.filter_map(|(only, file)| {
        let cluster = read_kept(&file, site).transpose()?;
        Some(cluster.map(|cluster| Kept {
            file,
            cluster,
            only,
        }))
    }))
}

/// Forgets hosts that an earlier removal left out and from which all was removed: they are connected.
pub fn forget_left(
    dir: &ClusterDir,
    site: &Site,
    cluster: &Cluster,
    connected: &Hosts,
) -> Result<(), Error> {
    for (name, file) in dir.left_out()? {
        let Some(kept) = read_kept(&file, site)? else {
            continue;
        };
        // Under its name may be another host by now.
        let is_same = |host: &Host| match cluster.host(&name) {
            Some(now) => now.connection.same_place(&host.connection),
            None => true,
        };
        if connected.get(&name).is_ok() && kept.host(&name).is_some_and(is_same) {
            dir.forget(&file)?;
        }
    }
    Ok(())
}

/// The cluster of a configuration that a run kept; none: there is no such file. One that can't be read, or that another release
/// wrote, is an error: the hosts and the settings that it names would be forgotten.
pub fn read_kept(file: &Path, site: &Site) -> Result<Option<Cluster>, Error> {
    read_kept_of(file, site, None)
}

/// The configuration that was applied last; versions that it leaves out are those that it has set up, or else these.
pub fn read_applied(
    dir: &ClusterDir,
    site: &Site,
    living: Option<&Hop>,
) -> Result<Option<Cluster>, Error> {
    let set_up = dir.applied_versions()?;
    read_kept_of(&dir.applied(), site, set_up.as_ref().or(living))
}

/// The configuration that a run was to apply that did not end, unless it is this text; versions that it leaves out are these.
pub fn read_begun(
    dir: &ClusterDir,
    site: &Site,
    text: &str,
    living: Option<&Hop>,
) -> Result<Option<Cluster>, Error> {
    let begun = kubitect_config::file::read(&dir.wanted()).ok();
    if begun.as_deref() == Some(text.as_bytes())
        || begun == kubitect_config::file::read(&dir.applied()).ok()
    {
        return Ok(None);
    }
    read_kept_of(&dir.wanted(), site, living)
}

fn read_kept_of(file: &Path, site: &Site, living: Option<&Hop>) -> Result<Option<Cluster>, Error> {
    match kubitect_config::load_kept(file, site, living) {
        Ok(parsed) => Ok(Some(parsed.cluster)),
        Err(kubitect_config::Error::Read { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// The failure of a configuration that a run kept and that can't be read now.
pub fn unreadable(file: &Path, error: &kubitect_config::Error) -> Error {
    let reason = match error.problems().iter().find(|problem| problem.is_error()) {
        Some(first) => format!("line {}: {}", first.line, first.message),
        None => error
            .source()
            .map_or_else(|| error.to_string(), ToString::to_string),
    };
    Error::because(
        format!(
            "read {}, which says what the cluster has: if a newer Kubitect wrote it, use that one; else mend it, or move it away \
             if nothing of the cluster is on another host than the ones in its other files",
            file.display()
        ),
        reason,
    )
}

/// Resolves the path of a host's key file to one from which `ssh` reads the key: written from a person's home, or in a form
/// that `ssh` does not read.
fn expand_keyfile(home: &Home, host: &mut Host) -> Result<(), Error> {
    if let Connection::Remote {
        keyfile: Some(keyfile),
        ..
    } = &mut host.connection
    {
        let path = home.expand(keyfile)?;
        *keyfile = private_key::for_ssh(&path)
            .map_err(|e| Error::because(format!("use the key of host {}", host.name), e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reach::Real;

    /// A cluster whose only used host is `box`; nobody answers at the other one.
    pub(super) fn config(uri: &str) -> String {
        let text = include_str!("../../tests/tests/cli/cluster.yaml");
        text.replace("test://[DIR]/node.xml", uri)
            .replace("[DIR]", "/x")
            .replace(
                "cluster:\n  name",
                "  - name: unused\n    connection: {uri: \"qemu+tcp://127.0.0.1:1/system\"}\n    \
                 mainResourcePoolPath: /x\ncluster:\n  name",
            )
    }

    #[test]
    fn hosts_that_carried_the_cluster_are_reached_and_only_those_that_are_out_of_the_file_may_be_lost()
     {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None).unwrap();
        let dir = home.cluster(&"demo".parse().unwrap());
        dir.create().unwrap();
        let site = Site::default();
        let text = |other: &str, worker: &str| {
            config("test:///default")
                .replace("qemu+tcp://127.0.0.1:1/system", other)
                .replace("mode: nat", "mode: bridge\n    bridge: br0")
                .replace("- {id: 1}", worker)
        };
        let both = "- {id: 1}\n        - {id: 2, host: unused}";
        let there = folder.path().join("node.xml");
        std::fs::write(&there, "<node/>").unwrap();
        let there = format!("test://{}", there.display());
        std::fs::write(dir.applied(), text(&there, both)).unwrap();
        let connected = |text: String| {
            let cluster = kubitect_config::parse(&text, "x", &site).unwrap().cluster;
            connect(&Real::default(), &home, &site, &cluster)
        };
        let names = |connected: &Connected| -> Vec<String> {
            connected
                .hosts
                .iter()
                .map(|(name, _)| name.to_string())
                .collect()
        };
        let kept = connected(text(&there, "- {id: 1}")).unwrap();
        assert_eq!(names(&kept), ["box", "unused"]);
        // Whoever leaves a host in the file says that it is there.
        let away = "qemu+tcp://127.0.0.1:1/system";
        let kept = connected(text(away, "- {id: 1}")).unwrap();
        assert_eq!(names(&kept), ["box"]);
        let error = kept.hosts.all_reached().unwrap_err().to_string();
        assert!(error.contains("has to leave `hosts`"), "{error}");

        std::fs::write(dir.applied(), text(away, both)).unwrap();
        let dropped = text(&there, "- {id: 1}").replace("name: unused", "name: another");
        let lost = connected(dropped).unwrap();
        assert_eq!(names(&lost), ["box"]);
        assert!(
            lost.lost[0].starts_with("host unused carried machines"),
            "{:?}",
            lost.lost
        );
    }

    #[test]
    fn a_host_that_only_a_run_cut_short_named_is_remembered_until_one_ends() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None).unwrap();
        let dir = home.cluster(&"demo".parse().unwrap());
        dir.create().unwrap();
        let site = Site::default();
        let only =
            |name: &str| config("test:///default").replace("name: box", &format!("name: {name}"));
        let last = only("last");
        let cluster = kubitect_config::parse(&last, "x", &site).unwrap().cluster;
        let names_of = || -> Vec<String> {
            let former = former(&home, &dir, &site, &cluster).unwrap();
            former.iter().map(|host| host.name.to_string()).collect()
        };
        for (text, uri) in [("first", "test:///one"), ("second", "test:///two")] {
            dir.begin(&only(text).replace("test:///default", uri))
                .unwrap();
        }
        dir.begin(&last).unwrap();
        dir.begin(&last).unwrap();
        assert_eq!(dir.unfinished().unwrap().len(), 2);
        let has = cluster.kubernetes.hop();
        let mut names = names_of();
        names.sort();
        assert_eq!(names, ["first", "second"]);
        dir.end(&last, &has).unwrap();
        assert!(names_of().is_empty());
        // What was applied is not kept a second time.
        dir.begin(&only("another")).unwrap();
        assert!(dir.unfinished().unwrap().is_empty());
    }
}
