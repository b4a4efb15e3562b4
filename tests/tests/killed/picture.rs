//! A world as text: equal texts mean equal worlds, except for random values and times.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kubitect_lb::{HAPROXY_FILE, KEEPALIVED_FILE};
use kubitect_provision::hypervisor::Hypervisor;

use crate::place::Place;
use crate::state::{
    AUTHORITY, CERTIFICATE, CONFIG, ISSUES, KUBELET_CONF, MANIFEST, NAME_SERVERS, Node, RELEASES,
    ROOT_CONF, SETTINGS, file,
};

/// A world as text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Picture {
    /// The state of the cluster, in sorted lines.
    pub lines: Vec<String>,
    /// What should have been removed.
    pub leftovers: Vec<String>,
    /// What belongs to others.
    pub foreign: Vec<String>,
}

impl Picture {
    /// The lines that only one of two has.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let only = |world: &Self, other: &Self, sign: &str| {
            let mut left = other.lines.clone();
            let mut lines = Vec::new();
            for line in &world.lines {
                match left.iter().position(|candidate| candidate == line) {
                    Some(index) => drop(left.swap_remove(index)),
                    None => lines.push(format!("{sign} {line}")),
                }
            }
            lines
        };
        let mut all = only(self, other, "-");
        all.extend(only(other, self, "+"));
        all
    }
}

/// Reads a world. Paths in the folders `aliases`, from which it was copied, count as its own.
pub fn take(place: &Place, aliases: &[&Path]) -> Picture {
    let mut picture = Picture::default();
    host(place, &mut picture);
    machines(place, &mut picture);
    for folder in ["home", "person", "tmp"] {
        files(
            &place.folder,
            &place.folder.join(folder),
            aliases,
            &mut picture,
        );
    }
    picture.lines.sort();
    picture
}

/// Networks, pools, disks and domains.
fn host(place: &Place, picture: &mut Picture) {
    let host = &place.host;
    for network in host.networks().unwrap() {
        let own = network.mark.is_some();
        let mut reservations = network.reservations.clone();
        reservations.sort();
        let line = format!(
            "network {} active {} {reservations:?} {:?}",
            network.name, network.active, network.cidr
        );
        if own {
            &mut picture.lines
        } else {
            &mut picture.foreign
        }
        .push(line);
    }
    let locks = host.locks().into_keys();
    picture
        .leftovers
        .extend(locks.map(|name| format!("lock {name}")));
    for pool in host.pools().unwrap() {
        let lines = match pool.name.as_str() {
            "default" => &mut picture.foreign,
            _ => &mut picture.lines,
        };
        lines.push(format!(
            "pool {} active {} {:?}",
            pool.name, pool.active, pool.path
        ));
        for volume in pool.volumes {
            let name = format!("{}/{}", pool.name, volume.name);
            lines.push(format!(
                "volume {name} {} {} {:?} {:?}",
                volume.format, volume.capacity, volume.physical, volume.backing
            ));
        }
    }
    for mut domain in host.domains().unwrap() {
        domain.disks.sort();
        if let Some(live) = &mut domain.live {
            live.disks.sort();
        }
        let lines = match domain.mark {
            Some(_) => &mut picture.lines,
            None => &mut picture.foreign,
        };
        lines.push(format!("domain {domain:?}"));
    }
}

/// The state of machines and of Kubernetes.
fn machines(place: &Place, picture: &mut Picture) {
    let lines = &mut picture.lines;
    place.with(|state, host| {
        for (name, guest) in &state.guests {
            let systems: BTreeMap<_, _> = guest.systems.iter().map(|(disk, (_, size))| (disk, size)).collect();
            let kubelet = guest.kubelet.as_ref().map(|(version, id)| (version, *id == state.kube.id));
            let running: Vec<_> = guest.running.keys().collect();
            lines.push(format!(
                "machine {name} on {} cpus {} ram {} kubelet {kubelet:?} api {:?} {} member {} runs {running:?} enabled {:?} drained {:?}",
                state.answers(host, name), guest.cpus, guest.ram, guest.api, guest.api_version, guest.member.is_some_and(|id| state.kube.members.iter().any(|m| m.id == id)), guest.enabled, guest.drained
            ));
            if !guest.stopped.is_empty() {
                picture.leftovers.push(format!("{:?} stand still on {name}", guest.stopped));
            }
            lines.push(format!("machine {name} file systems {systems:?}"));
            for (path, text) in &guest.files {
                // A machine that was once etcd's first member keeps the script for certificates, and downloads stay until a boot.
                if path == ISSUES || path == RELEASES {
                    continue;
                }
                lines.push(format!("machine {name} {path} {text:?}"));
                let secrets = [
                    HAPROXY_FILE, KEEPALIVED_FILE, "/etc/etcd.env", kubitect_kubespray::ADMIN_CONF, CONFIG, KUBELET_CONF, MANIFEST,
                    SETTINGS, AUTHORITY, CERTIFICATE[0], CERTIFICATE[1], NAME_SERVERS, ROOT_CONF,
                ];
                if !secrets.contains(&path.as_str()) {
                    picture.leftovers.push(format!("{path} on {name}"));
                }
            }
            for (unit, text) in &guest.running {
                let reads = guest.files.get(file(unit)) == Some(text);
                lines.push(format!("machine {name} {unit} runs with its file: {reads}"));
            }
        }
        for member in &state.kube.members {
            lines.push(format!("etcd {} {} well {}", member.name, member.ip, state.is_well(host, member)));
        }
        for (name, node) in &state.kube.nodes {
            // Controllers remove the taint of a cordon sooner or later.
            let node = Node { kept_off: false, ..node.clone() };
            lines.push(format!("node {name} ready {} {node:?}", state.is_ready(host, name)));
        }
        lines.push(format!("masters join with {:?}", state.kube.published));
        lines.push(format!("addons {:?}, address held {}", state.kube.addons, state.holder.is_some()));
        lines.push(format!("initialised {}, network {}, DNS of {:?}", state.kube.initialised, state.kube.network, state.kube.dns));
    });
}

/// The files on this machine: those of the cluster's folder, and the person's own.
fn files(root: &Path, folder: &Path, aliases: &[&Path], picture: &mut Picture) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut backups = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let shown = path.strip_prefix(root).unwrap().display().to_string();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mode = path.symlink_metadata().unwrap().permissions().mode() & 0o777;
        if shown.starts_with("tmp/")
            || [".kubitect-", ".known_hosts-"]
                .iter()
                .any(|aside| name.starts_with(aside))
        {
            picture.leftovers.push(shown);
            continue;
        }
        if path.is_dir() {
            picture.lines.push(format!("folder {shown} {mode:o}"));
            files(root, &path, aliases, picture);
            continue;
        }
        // Each run has its own logs and facts, and one more snapshot does no harm; the lock names the last process.
        let folder = folder.file_name().unwrap().to_string_lossy();
        match (&*folder, &*name) {
            ("logs" | "facts", _) | (_, ".demo.lock") => continue,
            _ if shown.starts_with("home/logs/") => continue,
            // The inventory of the last playbook: a run that is continued may end with another playbook.
            ("config", "nodes.yaml") => {
                picture.lines.push(format!("file {shown} {mode:o}"));
                continue;
            }
            ("backups", _) => {
                backups += 1;
                continue;
            }
            _ => {}
        }
        let mut text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for alias in aliases.iter().chain([&root]) {
            text = text.replace(&alias.display().to_string(), "[WORLD]");
        }
        if shown.contains("/.ssh/hosts/") || name.starts_with("id_ed25519") {
            text = "a key".to_owned();
        }
        let text = without_keys(&text);
        picture
            .lines
            .push(format!("file {shown} {mode:o} {text:?}"));
    }
    if backups > 0 {
        picture.lines.push(format!(
            "snapshots in {}",
            folder.strip_prefix(root).unwrap().display()
        ));
    }
}

/// Public keys are random.
fn without_keys(text: &str) -> String {
    let mut words = Vec::new();
    let mut is_key = false;
    for word in text.split(' ') {
        let rest = word
            .find(['\n', '"', '\''])
            .map_or("", |index| &word[index..]);
        words.push(if is_key {
            format!("KEY{rest}")
        } else {
            word.to_owned()
        });
        is_key = word.ends_with("ssh-ed25519");
    }
    words.join(" ")
}
