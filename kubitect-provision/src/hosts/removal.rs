//! Which hosts a cluster is removed from, and which a person leaves out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kubitect_config::Site;
use kubitect_config::cluster::{Connection, Host, VirtType};
use kubitect_config::value::{Label, Name};

use super::{connect_each, expand_keyfile, stored_configs};
use crate::Error;
use crate::home::{ClusterDir, Home};
use crate::hypervisor::Hosts;
use crate::reach::Reach;

/// A host that a removal leaves out, since it is gone: what the cluster has on it stays there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The host.
    pub host: Name,
    /// The machines that it carries by the stored configurations.
    pub machines: BTreeSet<Label>,
    /// The files of these configurations.
    pub files: BTreeSet<PathBuf>,
    /// Whether the cluster's folder is not to say so any more (`--forget-host`).
    pub is_forgotten: bool,
}

impl LeftOut {
    /// A sentence for the person: what stays on the host, and how it is removed later.
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

    /// Stores in the cluster's folder what the cluster has on the host, unless the host is to be forgotten. A later removal finds it.
    pub fn store(&self, dir: &ClusterDir) -> Result<(), Error> {
        let mut files = self.files.iter().filter(|_| !self.is_forgotten);
        files.try_for_each(|file| dir.leave_out(&self.host, file))
    }
}

/// Connects to the hosts that a cluster is to be removed from: those of all stored configurations, also those that an earlier removal
/// left out; without a stored configuration, this machine. Hosts that are named in `without` or `forgotten` are left out; of these,
/// only those in `without` are still recorded in the cluster's folder.
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
    let newest = [dir.applied(), dir.wanted()];
    for stored in stored_configs(dir, site)? {
        let stored = stored?;
        for host in stored.hosts() {
            if without.contains(&host.name) || forgotten.contains(&host.name) {
                let own = stored
                    .cluster
                    .nodes
                    .iter()
                    .filter(|node| node.host == host.name);
                let left = left_out.entry(host.name.clone());
                let left = left.or_insert_with(|| LeftOut {
                    host: host.name.clone(),
                    machines: BTreeSet::new(),
                    files: BTreeSet::new(),
                    is_forgotten: forgotten.contains(&host.name),
                });
                left.machines.extend(own.map(|node| node.name.clone()));
                left.files.insert(stored.file.clone());
                continue;
            }
            let mut host = host.clone();
            expand_keyfile(home, &mut host)?;
            // Two hosts' names may lead to one libvirt: it is asked once.
            let is_same_host = |other: &Host| {
                other.name != host.name && other.connection.same_libvirt(&host.connection)
            };
            if hosts.values().any(is_same_host) {
                continue;
            }
            let name = host.name.clone();
            let other = hosts.entry(name).or_insert_with(|| host.clone());
            // The newest configurations must agree on a host's connection, else nobody can tell where its machines are. In an older
            // one, of a run that did not succeed, it may have been corrected since.
            if newest.contains(&stored.file) && !other.connection.same_libvirt(&host.connection) {
                return Err(two_places(&host.name, dir));
            }
            if stored.only.is_some() && !other.connection.same_libvirt(&host.connection) {
                return Err(other_place(&host.name, &stored.file));
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

/// The error of a host that was left out and whose name another host has now.
fn other_place(host: &Name, file: &Path) -> Error {
    Error::failed(format!(
        "tell which host {host} is: {} says what an earlier removal left on another one of that name; remove that file, if nothing is \
         left there, and else give the new one another name",
        file.display()
    ))
}

/// The error of a host that is to be left out and carries no machine.
fn not_a_host<'a>(host: &Name, hosts: impl Iterator<Item = &'a Name>) -> Error {
    let hosts: BTreeSet<_> = hosts.map(Name::as_str).collect();
    let hint = match hosts.is_empty() {
        true => "no configuration of the cluster is stored".to_owned(),
        false => format!("those that do are: {}", Vec::from_iter(hosts).join(", ")),
    };
    Error::failed(format!(
        "leave out host {host}: no stored configuration says that it carries machines of the cluster; {hint}"
    ))
}

/// The host of a cluster without a stored configuration: this machine.
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

/// Connects to all of these hosts. The error names each that can't be reached, with the options that leave it out.
fn connect_all(reach: &dyn Reach, hosts: &[Host]) -> Result<Hosts, Error> {
    let (all, lost) = connect_each(reach, &hosts.iter().collect::<Vec<_>>());
    if lost.is_empty() {
        return Ok(all);
    }
    let names = lost
        .iter()
        .map(|(host, _)| format!(" --without-host {}", host.name));
    let what = format!(
        "reach the hosts of the cluster; if one of them is gone for good,{} removes the rest, and what that host carries stays",
        names.collect::<String>()
    );
    let why = lost.into_iter().map(|(_, error)| error).collect();
    Err(Error::because(what, Error::Hosts(why)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;
    use crate::error::chain;
    use crate::reach::Real;

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
        let node_file = folder.path().join("node.xml");
        std::fs::write(&node_file, "<node/>").unwrap();
        let renamed = |uri: &str| config(uri).replace("name: box", "name: crate");
        std::fs::write(dir.applied(), config("test:///default")).unwrap();
        std::fs::write(
            dir.wanted(),
            renamed(&format!("test://{}", node_file.display())),
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
        let error = chain(&hosts().unwrap_err());
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
        assert!(
            error.contains("no configuration of the cluster is stored"),
            "{error}"
        );
    }
}
