//! Which hosts carry machines of a cluster, or did by an earlier configuration: what is left there has to be removed.

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
    /// The hosts that carry machines, and those that did; with the reason, those that can't be reached.
    pub hosts: Hosts,
    /// The hosts that carried machines, and carry none by the present file.
    pub former: Vec<Host>,
    /// A sentence for each former host that is not in the present file and can't be reached: what it carries is taken for lost.
    pub lost: Vec<String>,
}

/// Connects to the hosts of a cluster, and to those that carried machines of it before: what is left there has to be removed.
///
/// A host that can't be reached is an error for a plan as long as the file names it: whoever leaves a host in the file says that it
/// exists. A former host that the file no longer names may be gone for good, and must not stop the cluster.
pub fn connect(
    reach: &dyn Reach,
    home: &Home,
    site: &Site,
    cluster: &Cluster,
) -> Result<Connected, Error> {
    let former = former(home, &home.cluster(&cluster.name), site, cluster)?;
    let all: Vec<_> = cluster.used_hosts().chain(&former).collect();
    let (mut hosts, unreachable) = connect_each(reach, &all);
    let mut lost = Vec::new();
    for (host, error) in unreachable {
        let is_former = former.iter().any(|own| own.name == host.name);
        match (is_former, cluster.host(&host.name)) {
            (false, _) => hosts.add_unreachable(host.name.clone(), error),
            (true, Some(_)) => {
                let what = "reach the hosts that carried machines (one that is gone for good has to leave `hosts`) of";
                let error = Error::because(format!("{what} {}", cluster.name), error);
                hosts.add_unreachable(host.name.clone(), error);
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

/// Connects to these hosts, in parallel: returns those that are reached, and the others with their errors.
fn connect_each<'a>(reach: &dyn Reach, hosts: &[&'a Host]) -> (Hosts, Vec<(&'a Host, Error)>) {
    let mut all = Hosts::from_hypervisors(BTreeMap::new());
    let mut unreachable = Vec::new();
    let reached = in_threads(AT_ONCE, hosts, |host| reach.hosts(&[host]));
    for (host, reached) in hosts.iter().zip(reached) {
        match reached {
            Ok(reached) => all.extend(reached),
            Err(error) => unreachable.push((*host, error)),
        }
    }
    (all, unreachable)
}

/// Expands the paths of a configuration that begin with `~/`.
pub fn expand_paths(home: &Home, cluster: &mut Cluster) -> Result<(), Error> {
    for host in &mut cluster.hosts {
        expand_keyfile(home, host)?;
    }
    expand_source(home, &mut cluster.guest.image.source)?;
    expand_source(home, &mut cluster.kubernetes.kubespray.url)
}

/// Expands a leading `~/` of a path; an address stays as it is.
fn expand_source(home: &Home, source: &mut String) -> Result<(), Error> {
    if source.starts_with("~/") {
        let path = home.expand(Path::new(source.as_str()))?;
        *source = path.display().to_string();
    }
    Ok(())
}

/// The hosts that carried machines by a stored configuration and carry none by the present one. A host that the present one still
/// names has the present connection.
fn former(
    home: &Home,
    dir: &ClusterDir,
    site: &Site,
    cluster: &Cluster,
) -> Result<Vec<Host>, Error> {
    let mut former: Vec<Host> = Vec::new();
    for stored in stored_configs(dir, site)? {
        for host in stored?.hosts() {
            let mut host = cluster.host(&host.name).unwrap_or(host).clone();
            expand_keyfile(home, &mut host)?;
            let same = |other: &Host| {
                other.name == host.name || other.connection.same_libvirt(&host.connection)
            };
            if !cluster.used_hosts().chain(&former).any(same) {
                former.push(host);
            }
        }
    }
    Ok(former)
}

/// A configuration that an earlier run stored in the cluster's folder.
struct StoredConfig {
    file: PathBuf,
    cluster: Cluster,
    /// The only host that it holds for: one that a removal left out. If none, it holds for all.
    only: Option<Name>,
}

impl StoredConfig {
    /// The hosts that carry machines by it, and for which it holds.
    fn hosts(&self) -> impl Iterator<Item = &Host> {
        let is_included = |host: &&Host| self.only.as_ref().is_none_or(|only| host.name == *only);
        self.cluster.used_hosts().filter(is_included)
    }
}

/// All stored configurations: the one that was applied last, that of the last run, those of earlier runs that did not succeed,
/// and those of hosts that a removal left out.
fn stored_configs(
    dir: &ClusterDir,
    site: &Site,
) -> Result<impl Iterator<Item = Result<StoredConfig, Error>>, Error> {
    let whole = [dir.applied(), dir.wanted()].into_iter();
    let whole = whole.chain(dir.abandoned()?).map(|file| (None, file));
    let left = dir.left_out()?.into_iter();
    let all = whole.chain(left.map(|(host, file)| (Some(host), file)));
    Ok(all.filter_map(|(only, file)| {
        let cluster = read_stored(&file, site).transpose()?;
        Some(cluster.map(|cluster| StoredConfig {
            file,
            cluster,
            only,
        }))
    }))
}

/// Removes the stored configurations of hosts that an earlier removal left out and that are connected now: this run has removed what
/// was left there.
pub fn forget_left_out(
    dir: &ClusterDir,
    site: &Site,
    cluster: &Cluster,
    connected: &Hosts,
) -> Result<(), Error> {
    for (name, file) in dir.left_out()? {
        let Some(stored) = read_stored(&file, site)? else {
            continue;
        };
        // The present file may give this name to another host.
        let is_same_host = |host: &Host| match cluster.host(&name) {
            Some(now) => now.connection.same_libvirt(&host.connection),
            None => true,
        };
        if connected.get(&name).is_ok() && stored.host(&name).is_some_and(is_same_host) {
            dir.remove_left_out(&file)?;
        }
    }
    Ok(())
}

/// The cluster of a stored configuration; none if there is no such file. One that can't be read, or that a newer release wrote, is an
/// error: without it, hosts and settings that it names would be lost.
pub fn read_stored(file: &Path, site: &Site) -> Result<Option<Cluster>, Error> {
    read_stored_with(file, site, None)
}

/// The configuration that was applied last. Versions that it leaves out are those that its run has set up, or else these.
pub fn read_applied(
    dir: &ClusterDir,
    site: &Site,
    current_versions: Option<&Hop>,
) -> Result<Option<Cluster>, Error> {
    let set_up = dir.applied_versions()?;
    read_stored_with(&dir.applied(), site, set_up.as_ref().or(current_versions))
}

/// The configuration of the last run, if that did not succeed; none if it is this text or the applied one. Versions that it
/// leaves out are these.
pub fn read_unfinished(
    dir: &ClusterDir,
    site: &Site,
    text: &str,
    current_versions: Option<&Hop>,
) -> Result<Option<Cluster>, Error> {
    let unfinished = kubitect_config::file::read(&dir.wanted()).ok();
    if unfinished.as_deref() == Some(text.as_bytes())
        || unfinished == kubitect_config::file::read(&dir.applied()).ok()
    {
        return Ok(None);
    }
    read_stored_with(&dir.wanted(), site, current_versions)
}

fn read_stored_with(
    file: &Path,
    site: &Site,
    current_versions: Option<&Hop>,
) -> Result<Option<Cluster>, Error> {
    match kubitect_config::load_stored(file, site, current_versions) {
        Ok(parsed) => Ok(Some(parsed.cluster)),
        Err(kubitect_config::Error::Read { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// The error of a stored configuration that can't be read.
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

/// Replaces the path of a host's key file by one from which `ssh` can read the key: `~/` is expanded, and a key in a format that `ssh`
/// does not read is converted.
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
        let reachable = folder.path().join("node.xml");
        std::fs::write(&reachable, "<node/>").unwrap();
        let reachable = format!("test://{}", reachable.display());
        std::fs::write(dir.applied(), text(&reachable, both)).unwrap();
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
        let all = connected(text(&reachable, "- {id: 1}")).unwrap();
        assert_eq!(names(&all), ["box", "unused"]);
        // Whoever leaves a host in the file says that it exists.
        let unreachable = "qemu+tcp://127.0.0.1:1/system";
        let all = connected(text(unreachable, "- {id: 1}")).unwrap();
        assert_eq!(names(&all), ["box"]);
        let error = all.hosts.all_reached().unwrap_err().to_string();
        assert!(error.contains("has to leave `hosts`"), "{error}");

        std::fs::write(dir.applied(), text(unreachable, both)).unwrap();
        let dropped = text(&reachable, "- {id: 1}").replace("name: unused", "name: another");
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
        assert_eq!(dir.abandoned().unwrap().len(), 2);
        let has = cluster.kubernetes.hop();
        let mut names = names_of();
        names.sort();
        assert_eq!(names, ["first", "second"]);
        dir.end(&last, &has).unwrap();
        assert!(names_of().is_empty());
        // What was applied is not kept a second time.
        dir.begin(&only("another")).unwrap();
        assert!(dir.abandoned().unwrap().is_empty());
    }
}
