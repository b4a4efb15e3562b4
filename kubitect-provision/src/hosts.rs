//! Which hosts carry a cluster, or did: what is on them has to go.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::{Path, PathBuf};

use kubitect_config::cluster::{Connection, Host, VirtType};
use kubitect_config::value::Name;
use kubitect_config::waiting::{AT_ONCE, in_threads};
use kubitect_config::{Cluster, Site};

use crate::Error;
use crate::home::{ClusterDir, Home};
use crate::hypervisor::Hosts;
use crate::reach::Reach;
use crate::ssh::private_key;

/// The hosts of a cluster, connected.
pub struct Connected {
    /// Those that carry it, and those that did.
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
    let (kept, dropped): (Vec<_>, Vec<_>) = former
        .iter()
        .partition(|host| cluster.host(&host.name).is_some());
    let failed = |e| Error::because(format!("reach the hosts of {}", cluster.name), e);
    let used: Vec<_> = cluster.used_hosts().collect();
    let mut hosts = reach.hosts(&used).map_err(failed)?;
    hosts.extend(reach.hosts(&kept).map_err(|e| {
        let what = "reach the hosts that carried machines (one that is gone for good has to leave `hosts`) of";
        Error::because(format!("{what} {}", cluster.name), e)
    })?);
    let mut lost = Vec::new();
    let reached = in_threads(AT_ONCE, &dropped, |host| reach.hosts(&[host]));
    for (host, reached) in dropped.iter().zip(reached) {
        match reached {
            Ok(reached) => hosts.extend(reached),
            Err(error) => lost.push(format!(
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
    for file in [dir.applied(), dir.wanted()]
        .into_iter()
        .chain(dir.unfinished()?)
    {
        let Some(kept) = read_kept(&file, site)? else {
            continue;
        };
        for host in kept.used_hosts() {
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

/// The hosts that carry a cluster, for its removal: those of the configuration that was applied, or was to be;
/// where that is lost, this machine.
pub fn of_removal(
    reach: &dyn Reach,
    home: &Home,
    dir: &ClusterDir,
    site: &Site,
) -> Result<Hosts, Error> {
    let mut hosts: BTreeMap<Name, Host> = BTreeMap::new();
    for file in [dir.applied(), dir.wanted()] {
        if let Some(kept) = read_kept(&file, site)? {
            for host in kept.used_hosts() {
                let mut host = host.clone();
                expand_keyfile(home, &mut host)?;
                if let Some(other) = hosts.insert(host.name.clone(), host.clone())
                    && !other.connection.same_place(&host.connection)
                {
                    return Err(Error::failed(format!(
                        "tell where host {} of the cluster is: {} and {} lead to different ones; if only one of them \
                         carries machines, write its connection into both files, else give the host another name in \
                         one of them",
                        host.name,
                        dir.applied().display(),
                        dir.wanted().display()
                    )));
                }
            }
        }
    }
    for file in dir.unfinished()? {
        let kept = read_kept(&file, site)?;
        for host in kept.iter().flat_map(Cluster::used_hosts) {
            let mut host = host.clone();
            expand_keyfile(home, &mut host)?;
            // The connection of a host that the others name, too, may have been mended since.
            hosts.entry(host.name.clone()).or_insert(host);
        }
    }
    if hosts.is_empty() {
        let name: Name = "localhost"
            .parse()
            .map_err(|e| Error::because("name this machine", e))?;
        let local = Host {
            name: name.clone(),
            connection: Connection::Local,
            virt_type: VirtType::Auto,
            main_pool_path: PathBuf::new(),
            data_pools: Vec::new(),
        };
        hosts.insert(name, local);
    }
    let hosts: Vec<_> = hosts.values().collect();
    reach
        .hosts(&hosts)
        .map_err(|e| Error::because("reach the hosts", e))
}

/// The cluster of a configuration that a run kept; none: there is no such file. One that can't be read, or that another release
/// wrote, is an error: the hosts and the settings that it names would be forgotten.
pub fn read_kept(file: &Path, site: &Site) -> Result<Option<Cluster>, Error> {
    let reason = match kubitect_config::load(file, site) {
        Ok(parsed) => return Ok(Some(parsed.cluster)),
        Err(kubitect_config::Error::Read { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            return Ok(None);
        }
        Err(error) => match error.problems().iter().find(|problem| problem.is_error()) {
            Some(first) => format!("line {}: {}", first.line, first.message),
            None => error
                .source()
                .map_or_else(|| error.to_string(), ToString::to_string),
        },
    };
    Err(Error::because(
        format!(
            "read {}, which says what the cluster has: if a newer Kubitect wrote it, use that one; else mend it, or move it away \
             if nothing of the cluster is on another host than the ones in its other files",
            file.display()
        ),
        reason,
    ))
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
    fn config(uri: &str) -> String {
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
    fn destroy_asks_used_hosts_only_and_refuses_two_places_of_one_host() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path(), None).unwrap();
        let dir = home.cluster(&"demo".parse().unwrap());
        dir.create().unwrap();
        let hosts = || of_removal(&Real::default(), &home, &dir, &Site::default());
        std::fs::write(dir.applied(), config("test:///one")).unwrap();
        std::fs::write(dir.wanted(), config("test:///two")).unwrap();
        let error = hosts().unwrap_err().to_string();
        for part in ["host box", "kubitect-applied.yaml", "into both files"] {
            assert!(error.contains(part), "{error}");
        }
        // As the message says: another name, and both are asked; the same place, and it is asked once.
        let renamed = config("test:///default").replace("name: box", "name: crate");
        std::fs::write(dir.applied(), config("test:///default")).unwrap();
        std::fs::write(dir.wanted(), renamed).unwrap();
        assert_eq!(hosts().unwrap().iter().count(), 2);
        std::fs::write(dir.wanted(), config("test:///default")).unwrap();
        let names: Vec<_> = hosts()
            .unwrap()
            .iter()
            .map(|(n, _)| n.to_string())
            .collect();
        assert_eq!(names, ["box"]);
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
        let Err(error) = connected(text(away, "- {id: 1}")) else {
            panic!("nobody answers there");
        };
        assert!(error.to_string().contains("reach the hosts"), "{error}");

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
        let mut names = names_of();
        names.sort();
        assert_eq!(names, ["first", "second"]);
        dir.end(&last).unwrap();
        assert!(names_of().is_empty());
        // What was applied is not kept a second time.
        dir.begin(&only("another")).unwrap();
        assert!(dir.unfinished().unwrap().is_empty());
    }
}
