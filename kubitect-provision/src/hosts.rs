//! Which hosts carry a cluster, or did: what is on them has to go.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::path::{Path, PathBuf};

use kubitect_config::cluster::{Connection, Host, VirtType};
use kubitect_config::release::Hop;
use kubitect_config::value::{Label, Name};
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
    let whole = [dir.applied(), dir.wanted()].into_iter();
    let whole = whole.chain(dir.unfinished()?).map(|file| (None, file));
    let left = dir.left_out()?.into_iter();
    let left = left.map(|(host, file)| (Some(host), file));
    for (only, file) in whole.chain(left) {
        let Some(kept) = read_kept(&file, site)? else {
            continue;
        };
        let is_meant = |host: &&Host| only.as_ref().is_none_or(|only| host.name == *only);
        for host in kept.used_hosts().filter(is_meant) {
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

/// A host that a removal leaves out: what the cluster has on it stays there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The host.
    pub host: Name,
    /// The machines that it carries by the configurations that are kept.
    pub machines: BTreeSet<Label>,
    /// The configurations that say so.
    pub files: BTreeSet<PathBuf>,
    /// Whether that is to be forgotten.
    pub is_forgotten: bool,
}

impl LeftOut {
    /// What becomes of what this cluster has on it, in a sentence.
    pub fn sentence(&self, cluster: &Label) -> String {
        let machines: Vec<_> = self.machines.iter().map(Label::as_str).collect();
        let then = match self.is_forgotten {
            true => format!(
                "nothing here remembers them; `kubitect destroy {cluster}` on that host itself removes them then"
            ),
            false => format!(
                "`kubitect destroy {cluster}` removes them then; --forget-host {} forgets them",
                self.host
            ),
        };
        format!(
            "host {} is left out: {} and their disks stay on it, and run again if it comes back; {then}",
            self.host,
            machines.join(", ")
        )
    }

    /// Keeps in the cluster's folder what it has on the host, unless that is to be forgotten.
    pub fn remember(&self, dir: &ClusterDir) -> Result<(), Error> {
        let mut files = self.files.iter().filter(|_| !self.is_forgotten);
        files.try_for_each(|file| dir.leave_out(&self.host, file))
    }
}

/// The hosts that carry a cluster, for its removal, connected: those of the configuration that was applied, or was to be;
/// where that is lost, this machine; and hosts that an earlier removal left out. Hosts that are gone for good are left out if they
/// are named in `without`, and forgotten if they are in `forgotten`.
pub fn of_removal(
    reach: &dyn Reach,
    home: &Home,
    dir: &ClusterDir,
    site: &Site,
    without: &[Name],
    forgotten: &[Name],
) -> Result<(Hosts, Vec<LeftOut>), Error> {
    let mut hosts: BTreeMap<Name, Host> = BTreeMap::new();
    let mut left_out: BTreeMap<Name, LeftOut> = BTreeMap::new();
    let named = [dir.applied(), dir.wanted()];
    let begun = dir.unfinished()?;
    let whole = named.iter().cloned().chain(begun).map(|file| (None, file));
    let left = dir.left_out()?.into_iter();
    let left = left.map(|(host, file)| (Some(host), file));
    for (only, file) in whole.chain(left) {
        let Some(kept) = read_kept(&file, site)? else {
            continue;
        };
        let is_meant = |host: &&Host| only.as_ref().is_none_or(|only| host.name == *only);
        for host in kept.used_hosts().filter(is_meant) {
            if without.contains(&host.name) || forgotten.contains(&host.name) {
                let own = kept.nodes.iter().filter(|node| node.host == host.name);
                let left = left_out.entry(host.name.clone());
                let left = left.or_insert_with(|| LeftOut {
                    host: host.name.clone(),
                    machines: BTreeSet::new(),
                    files: BTreeSet::new(),
                    is_forgotten: forgotten.contains(&host.name),
                });
                left.machines.extend(own.map(|node| node.name.clone()));
                left.files.insert(file.clone());
                continue;
            }
            let mut host = host.clone();
            expand_keyfile(home, &mut host)?;
            // One libvirt is looked at once, whatever it was named.
            let is_same = |other: &Host| {
                other.name != host.name && other.connection.same_place(&host.connection)
            };
            if hosts.values().any(is_same) {
                continue;
            }
            let name = host.name.clone();
            let other = hosts.entry(name).or_insert_with(|| host.clone());
            // In a configuration of a run that did not end, the connection may have been mended since.
            if named.contains(&file) && !other.connection.same_place(&host.connection) {
                return Err(two_places(&host.name, dir));
            }
            if only.is_some() && !other.connection.same_place(&host.connection) {
                return Err(other_place(&host.name, &file));
            }
        }
    }
    let mut meant = without.iter().chain(forgotten);
    if let Some(unknown) = meant.find(|name| !left_out.contains_key(*name)) {
        return Err(not_a_host(unknown, hosts.keys().chain(left_out.keys())));
    }
    if hosts.is_empty() && left_out.is_empty() {
        let local = this_machine()?;
        hosts.insert(local.name.clone(), local);
    }
    Ok((
        connect_all(reach, &hosts.into_values().collect::<Vec<_>>())?,
        left_out.into_values().collect(),
    ))
}

/// The error of a host that two configurations have at different places.
fn two_places(host: &Name, dir: &ClusterDir) -> Error {
    Error::failed(format!(
        "tell where host {host} of the cluster is: {} and {} lead to different ones; if only one of them carries machines, write \
         its connection into both files, else give the host another name in one of them",
        dir.applied().display(),
        dir.wanted().display()
    ))
}

/// The error of a host that was left out, and whose name another one has by now.
fn other_place(host: &Name, file: &Path) -> Error {
    Error::failed(format!(
        "tell which host {host} is: {} says what an earlier removal left on another one of that name; remove that file, if nothing is \
         left there, and else give the new one another name",
        file.display()
    ))
}

/// The error of a host that is to be left out, and carries nothing.
fn not_a_host<'a>(host: &Name, known: impl Iterator<Item = &'a Name>) -> Error {
    let known: BTreeSet<_> = known.map(Name::as_str).collect();
    let known = match known.is_empty() {
        true => "nothing is kept of the cluster's hosts".to_owned(),
        false => format!("those that do are: {}", Vec::from_iter(known).join(", ")),
    };
    Error::failed(format!(
        "leave out host {host}: no configuration that is kept says that it carries machines of the cluster; {known}"
    ))
}

/// The host that carries a cluster of which nothing is kept.
fn this_machine() -> Result<Host, Error> {
    let name = "localhost".parse();
    Ok(Host {
        name: name.map_err(|e| Error::because("name this machine", e))?,
        connection: Connection::Local,
        virt_type: VirtType::Auto,
        main_pool_path: PathBuf::new(),
        data_pools: Vec::new(),
    })
}

/// Connects to all of these hosts; each that can't be reached is named.
fn connect_all(reach: &dyn Reach, hosts: &[Host]) -> Result<Hosts, Error> {
    let mut all = Hosts::from_hypervisors(BTreeMap::new());
    let mut lost = Vec::new();
    let reached = in_threads(AT_ONCE, hosts, |host| reach.hosts(&[host]));
    for (host, reached) in hosts.iter().zip(reached) {
        match reached {
            Ok(reached) => all.extend(reached),
            Err(error) => lost.push((&host.name, error)),
        }
    }
    if lost.is_empty() {
        return Ok(all);
    }
    let names = lost
        .iter()
        .map(|(name, _)| format!(" --without-host {name}"));
    let what = format!(
        "reach the hosts of the cluster; if one of them is gone for good,{} removes the rest, and what that host carries stays",
        names.collect::<String>()
    );
    let why = lost.into_iter().map(|(_, error)| error).collect();
    Err(Error::because(what, Error::Hosts(why)))
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
    let begun = std::fs::read(dir.wanted()).ok();
    if begun.as_deref() == Some(text.as_bytes()) || begun == std::fs::read(dir.applied()).ok() {
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
    use crate::error::told;
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
        let without = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
            of_removal(&Real::default(), &home, &dir, &Site::default(), &names, &[])
        };
        let hosts = || without(&[]).map(|(hosts, _)| hosts);
        std::fs::write(dir.applied(), config("test:///one")).unwrap();
        std::fs::write(dir.wanted(), config("test:///two")).unwrap();
        let error = hosts().unwrap_err().to_string();
        for part in ["host box", "kubitect-applied.yaml", "into both files"] {
            assert!(error.contains(part), "{error}");
        }
        // As the message says: another name, and both are asked; the same place, and it is asked once, whatever its names.
        let there = folder.path().join("node.xml");
        std::fs::write(&there, "<node/>").unwrap();
        let renamed = |uri: &str| config(uri).replace("name: box", "name: crate");
        std::fs::write(dir.applied(), config("test:///default")).unwrap();
        std::fs::write(
            dir.wanted(),
            renamed(&format!("test://{}", there.display())),
        )
        .unwrap();
        assert_eq!(hosts().unwrap().iter().count(), 2);
        std::fs::write(dir.wanted(), renamed("test:///default")).unwrap();
        assert_eq!(hosts().unwrap().iter().count(), 1);
        std::fs::write(dir.wanted(), config("test:///default")).unwrap();
        let names: Vec<_> = hosts()
            .unwrap()
            .iter()
            .map(|(n, _)| n.to_string())
            .collect();
        assert_eq!(names, ["box"]);

        // One that is gone for good is named, with the way out of it; left out, it is not asked, and what is on it is named.
        let with = |uri: &str| {
            config("test:///default")
                .replace("qemu+tcp://127.0.0.1:1/system", uri)
                .replace("mode: nat", "mode: bridge\n    bridge: br0")
                .replace("- {id: 1}", "- {id: 1}\n        - {id: 2, host: unused}")
        };
        std::fs::write(dir.applied(), with("qemu+tcp://127.0.0.1:1/system")).unwrap();
        // Nobody has to decide where a host is that is gone.
        std::fs::write(dir.wanted(), with("qemu+tcp://127.0.0.1:2/system")).unwrap();
        assert!(hosts().unwrap_err().to_string().contains("host unused"));
        std::fs::write(dir.wanted(), with("qemu+tcp://127.0.0.1:1/system")).unwrap();
        let error = told(&hosts().unwrap_err());
        for part in [" --without-host unused removes the rest", "127.0.0.1:1"] {
            assert!(error.contains(part), "{error}");
        }
        std::fs::write(dir.wanted(), with("qemu+tcp://127.0.0.1:2/system")).unwrap();
        let (reached, left_out) = without(&["unused"]).unwrap();
        let reached: Vec<_> = reached.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(reached, ["box"]);
        let machines = BTreeSet::from(["demo-worker-2".parse().unwrap()]);
        let host = "unused".parse().unwrap();
        let left = LeftOut {
            host,
            machines,
            files: BTreeSet::from([dir.applied(), dir.wanted()]),
            is_forgotten: false,
        };
        assert_eq!(left_out, [left]);
        // With all of them left out, nothing is asked in their place.
        assert_eq!(without(&["unused", "box"]).unwrap().0.iter().count(), 0);
        std::fs::remove_file(dir.wanted()).unwrap();
        let error = without(&["unsued"]).unwrap_err().to_string();
        for part in ["leave out host unsued", "those that do are: box, unused"] {
            assert!(error.contains(part), "{error}");
        }
        std::fs::remove_dir_all(dir.root()).unwrap();
        let error = without(&["box"]).unwrap_err().to_string();
        assert!(error.contains("nothing is kept"), "{error}");
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
