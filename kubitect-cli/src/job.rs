//! [`Job`]: a cluster under work, with all that commands need to look at it and to change it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubitect_config::cluster::{Connection, Host, Node, Role, VirtType};
use kubitect_config::edit::Edit;
use kubitect_config::release::Hop;
use kubitect_config::value::Label;
use kubitect_config::{Cluster, Site};
use kubitect_lb::Rendered;
use kubitect_provision::gather::Leaving;
use kubitect_provision::hypervisor::Hosts;
use kubitect_provision::preflight;

use crate::failure::Failure;
use crate::home::{ClusterDir, Home, expand};
use crate::note::Note;
use crate::plan::Plan;
use crate::report::Reporter;
use crate::services;
use crate::stage::Seen;
use crate::world::World;

/// A cluster under work.
pub struct Job {
    /// What is wanted.
    pub cluster: Cluster,
    /// The text that says so.
    pub text: String,
    /// The cluster's folder.
    pub dir: ClusterDir,
    /// What clusters share.
    pub share: PathBuf,
    /// Where all this is.
    pub world: Arc<dyn World>,
    /// The connected hosts: those that carry the cluster, and those that did.
    pub hosts: Hosts,
    /// Hosts that carried the cluster, are in its file no more, and can't be reached.
    pub lost: Vec<String>,
}

impl Job {
    /// Connects to the hosts of a cluster, and to those that carried it before: what is on them has to go.
    pub fn new(
        world: &Arc<dyn World>,
        home: &Home,
        site: &Site,
        mut cluster: Cluster,
        text: String,
    ) -> Result<Self, Failure> {
        settle(&mut cluster)?;
        let dir = home.cluster(&cluster.name);
        let former = former_hosts(&dir, site, &cluster)?;
        let (kept, dropped): (Vec<_>, Vec<_>) = former
            .iter()
            .partition(|host| cluster.host(&host.name).is_some());
        let failed = |e| Failure::because(format!("reach the hosts of {}", cluster.name), e);
        let used: Vec<_> = cluster.used_hosts().collect();
        let mut hosts = world.hosts(&used).map_err(failed)?;
        hosts.extend(world.hosts(&kept).map_err(|e| {
            let what = "reach the hosts that carried machines (one that is gone for good has to leave `hosts`) of";
            Failure::because(format!("{what} {}", cluster.name), e)
        })?);
        let mut lost = Vec::new();
        for host in dropped {
            match world.hosts(&[host]) {
                Ok(reached) => hosts.extend(reached),
                Err(error) => lost.push(format!(
                    "host {} carried machines of {} and is not in its file any more; it can't be reached ({error}), so what \
                     it carries is taken for lost. If it comes back, its machines have to be removed by hand",
                    host.name, cluster.name
                )),
            }
        }
        Ok(Self {
            lost,
            dir,
            share: home.share(),
            cluster,
            text,
            world: Arc::clone(world),
            hosts,
        })
    }

    /// The configuration that was applied last; nothing where that is not known.
    pub fn applied(&self, site: &Site) -> Result<Option<Cluster>, Failure> {
        let path = self.dir.applied();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Failure::io("read", &path, e)),
        };
        // What an older release accepted, this one may not: then libvirt alone tells what there is.
        let Ok(applied) = kubitect_config::parse(&text, &path.display().to_string(), site) else {
            return Ok(None);
        };
        let mut applied = applied.cluster;
        settle(&mut applied)?;
        Ok(Some(applied))
    }

    /// What differs from the configuration that was applied last.
    pub fn edits(&self, applied: &Cluster) -> Vec<Edit> {
        kubitect_config::edit::edits(applied, &self.cluster)
    }

    /// What is to be done, where this was applied last. Reads libvirt only.
    pub fn plan(&self, applied: Option<&Cluster>) -> Result<Plan, Failure> {
        let failed = |e| Failure::because(format!("plan {}", self.cluster.name), e);
        let machines =
            kubitect_provision::plan::plan(&self.cluster, &self.hosts).map_err(failed)?;
        let noted =
            kubitect_provision::machine::notes(&self.cluster, &self.hosts).map_err(failed)?;
        let leaving =
            kubitect_provision::gather::leaving(&self.cluster, &self.hosts).map_err(failed)?;
        let files = services::wanted(&self.balancers()?)?;
        let vanished = match applied {
            Some(applied) => self.vanished(applied, &leaving)?,
            None => Vec::new(),
        };
        let plan = Plan::new(&self.cluster, machines, leaving, vanished, &noted, &files);
        let edits = applied.map(|applied| self.edits(applied));
        Ok(plan.with(&edits.unwrap_or_default()))
    }

    /// Workers that were applied last and that neither the configuration nor libvirt has any more: only Kubernetes may
    /// still know them. Of masters the others' notes tell.
    fn vanished(&self, applied: &Cluster, leaving: &[Leaving]) -> Result<Vec<Seen>, Failure> {
        let release = Hop {
            kubernetes: applied.kubernetes.version.clone(),
            kubespray: applied.kubernetes.kubespray.version.clone(),
        };
        let is_known = |node: &&Node| {
            self.cluster.nodes.iter().any(|own| own.name == node.name)
                || leaving.iter().any(|leaving| leaving.name == node.name)
        };
        let gone = applied.role(Role::Worker).filter(|node| !is_known(node));
        gone.map(|node| {
            Ok(Seen {
                node: node.clone(),
                wanted: false,
                // What was set up on it does not matter any more.
                note: Some(Note::of(applied, node, &release, &BTreeSet::new(), false)?),
                answers: false,
            })
        })
        .collect()
    }

    /// The balancers' files, as far as all addresses are known already.
    fn balancers(&self) -> Result<Vec<Rendered>, Failure> {
        let known = kubitect_provision::gather::known(&self.cluster, &self.hosts)
            .map_err(|e| Failure::because("look up the machines' addresses", e))?;
        match known {
            None => Ok(Vec::new()),
            Some(facts) => kubitect_lb::render(&self.cluster, &facts)
                .map_err(|e| Failure::because("describe the balancers", e)),
        }
    }

    /// Checks the hosts before anything is made.
    pub fn preflight(&self, plan: &Plan, reporter: &Reporter) -> Result<(), Failure> {
        let findings = preflight::check(&self.cluster, &self.hosts, &plan.machines)
            .map_err(|e| Failure::because("check the hosts", e))?;
        let (errors, warnings): (Vec<_>, Vec<_>) = findings
            .into_iter()
            .partition(|finding| finding.severity == kubitect_config::Severity::Error);
        for warning in warnings {
            reporter.line(format!("warning: {} ({})", warning.message, warning.help));
        }
        if errors.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = errors
            .iter()
            .map(|e| format!("{}; {}", e.message, e.help))
            .collect();
        Err(Failure::failed(format!(
            "find the hosts fit:\n  {}",
            all.join("\n  ")
        )))
    }

    /// The cluster's own private key, if the configuration names one.
    pub fn private_key(&self) -> Result<Option<PathBuf>, Failure> {
        self.cluster
            .guest
            .private_key
            .as_deref()
            .map(expand)
            .transpose()
    }

    /// A new log of `command` in the cluster's folder, which is made if need be.
    pub fn log(&self, command: &str) -> Result<File, Failure> {
        self.dir.create()?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seconds = now.unwrap_or_default().as_secs();
        let path = self.dir.logs().join(format!("{seconds}-{command}.log"));
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| Failure::io("open", &path, e))
    }
}

/// The hosts that carried a cluster by the configuration that was applied last, or was to be, and that carry none of it by
/// the present one: with the present one's connection, where it has them.
fn former_hosts(dir: &ClusterDir, site: &Site, cluster: &Cluster) -> Result<Vec<Host>, Failure> {
    let mut former: Vec<Host> = Vec::new();
    for file in [dir.applied(), dir.wanted()] {
        // What can't be read any more tells of no host; `destroy` says so.
        let Ok(parsed) = kubitect_config::load(&file, site) else {
            continue;
        };
        for host in parsed.cluster.used_hosts() {
            let mut host = cluster.host(&host.name).unwrap_or(host).clone();
            expand_keyfile(&mut host)?;
            let same = |other: &Host| {
                other.name == host.name || same_place(&other.connection, &host.connection)
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
pub fn hosts_of(world: &dyn World, dir: &ClusterDir, site: &Site) -> Result<Hosts, Failure> {
    let mut hosts: BTreeMap<Label, Host> = BTreeMap::new();
    for file in [dir.applied(), dir.wanted()] {
        if let Ok(parsed) = kubitect_config::load(&file, site) {
            for host in parsed.cluster.used_hosts() {
                let mut host = host.clone();
                expand_keyfile(&mut host)?;
                if let Some(other) = hosts.insert(host.name.clone(), host.clone())
                    && !same_place(&other.connection, &host.connection)
                {
                    return Err(Failure::failed(format!(
                        "tell where host {} of the cluster is: {} and {} lead to different ones; if only one of them \
                         carries machines, write its connection into both files, else give the host another name in \
                         one of them",
                        host.name,
                        dir.applied().display(),
                        dir.wanted().display()
                    )));
                }
            }
        } else if file.exists() {
            return Err(Failure::failed(format!(
                "tell which hosts carry the cluster: {} can't be read any more; mend it, or move it away if all is on \
                 this machine",
                file.display()
            )));
        }
    }
    if hosts.is_empty() {
        let name: Label = "localhost"
            .parse()
            .map_err(|e| Failure::because("name this machine", e))?;
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
    world
        .hosts(&hosts)
        .map_err(|e| Failure::because("reach the hosts", e))
}

/// Whether two connections lead to the same libvirt, by whatever user and key.
fn same_place(one: &Connection, other: &Connection) -> bool {
    let remote = |connection: &Connection| match connection {
        Connection::Remote { address, port, .. } => Some((address.clone(), *port)),
        _ => None,
    };
    one == other || remote(one).is_some_and(|place| Some(place) == remote(other))
}

/// Resolves the paths of a configuration that are written from a person's home.
fn settle(cluster: &mut Cluster) -> Result<(), Failure> {
    for host in &mut cluster.hosts {
        expand_keyfile(host)?;
    }
    expand_source(&mut cluster.guest.image.source)?;
    expand_source(&mut cluster.kubernetes.kubespray.url)
}

fn expand_keyfile(host: &mut Host) -> Result<(), Failure> {
    if let Connection::Remote {
        keyfile: Some(keyfile),
        ..
    } = &mut host.connection
    {
        *keyfile = expand(keyfile)?;
    }
    Ok(())
}

/// A path or an address: a leading `~/` is resolved.
fn expand_source(source: &mut String) -> Result<(), Failure> {
    if source.starts_with("~/") {
        *source = expand(Path::new(source.as_str()))?.display().to_string();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cluster whose only used host is `box`; nobody answers at the other one.
    fn config(uri: &str) -> String {
        let text = include_str!("../../tests/tests/cli/cluster.yaml");
        text.replace("test://[DIR]/node.xml", uri)
            .replace("[DIR]", "/x")
            .replace(
                "cluster:\n  name",
                "  - name: unused\n    connection: {uri: \"qemu+unix:///system?socket=/nonexistent\"}\n    \
                 mainResourcePoolPath: /x\ncluster:\n  name",
            )
    }

    #[test]
    fn destroy_asks_used_hosts_only_and_refuses_two_places_of_one_host() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(false, Some(folder.path().to_owned())).unwrap();
        let dir = home.cluster(&"demo".parse().unwrap());
        dir.create().unwrap();
        let hosts = || hosts_of(&crate::world::Real, &dir, &Site::default());
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
        let home = Home::locate(false, Some(folder.path().to_owned())).unwrap();
        let dir = home.cluster(&"demo".parse().unwrap());
        dir.create().unwrap();
        let site = Site::default();
        let world: Arc<dyn World> = Arc::new(crate::world::Real);
        let text = |other: &str, worker: &str| {
            config("test:///default")
                .replace("qemu+unix:///system?socket=/nonexistent", other)
                .replace("mode: nat", "mode: bridge\n    bridge: br0")
                .replace("- {id: 1}", worker)
        };
        let both = "- {id: 1}\n        - {id: 2, host: unused}";
        let there = folder.path().join("node.xml");
        std::fs::write(&there, "<node/>").unwrap();
        let there = format!("test://{}", there.display());
        std::fs::write(dir.applied(), text(&there, both)).unwrap();
        let job = |text: String| {
            let cluster = kubitect_config::parse(&text, "x", &site).unwrap().cluster;
            Job::new(&world, &home, &site, cluster, text)
        };
        let names = |job: &Job| -> Vec<String> {
            job.hosts.iter().map(|(name, _)| name.to_string()).collect()
        };
        let kept = job(text(&there, "- {id: 1}")).unwrap();
        assert_eq!(names(&kept), ["box", "unused"]);
        // Whoever leaves a host in the file says that it is there.
        let away = "qemu+unix:///system?socket=/nonexistent";
        let Err(error) = job(text(away, "- {id: 1}")) else {
            panic!("nobody answers there");
        };
        assert!(error.to_string().contains("reach the hosts"), "{error}");

        std::fs::write(dir.applied(), text(away, both)).unwrap();
        let dropped = text(&there, "- {id: 1}").replace("name: unused", "name: another");
        let lost = job(dropped).unwrap();
        assert_eq!(names(&lost), ["box"]);
        assert!(
            lost.lost[0].starts_with("host unused carried machines"),
            "{:?}",
            lost.lost
        );
    }

    #[test]
    fn another_key_is_no_other_place() {
        let remote = |address: &str, keyfile: Option<&str>| Connection::Remote {
            user: "me".to_owned(),
            address: address.to_owned(),
            port: 22,
            keyfile: keyfile.map(PathBuf::from),
            verify: true,
        };
        assert!(same_place(&remote("a", None), &remote("a", Some("/k"))));
        assert!(!same_place(&remote("a", None), &remote("b", None)));
        assert!(!same_place(&remote("a", None), &Connection::Local));
    }
}
