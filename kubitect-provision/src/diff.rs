//! (Desired, Observed) → [`Plan`]. Pure.

use ipnet::Ipv4Net;
use kubitect_config::value::Label;

use crate::base;
use crate::change::{Action, Change, Disruption, Kind, Step};
use crate::desired::{Desired, DesiredHost, Machine};
use crate::error::Error;
use crate::observe::{DomainState, HostState, Observed, PoolState, PowerState, VolumeState};
use crate::plan::Plan;
use crate::removal::is_own_volume;
use crate::resource::{BASE_POOL, Domain, Mark, Network, Pool, Volume};

/// What leads from what is observed to what is desired; an error if something foreign stands in the way.
pub fn diff(cluster: &Label, desired: &Desired, observed: &Observed) -> Result<Plan, Error> {
    let nothing = HostState::default();
    let mut changes = Vec::new();
    for (name, wanted) in &desired.hosts {
        let diff = HostDiff {
            cluster,
            host: name,
            there: observed.hosts.get(name).unwrap_or(&nothing),
            changes: &mut changes,
        };
        diff.run(wanted)?;
    }
    Ok(Plan {
        cluster: cluster.clone(),
        changes,
    })
}

struct HostDiff<'a> {
    cluster: &'a Label,
    host: &'a Label,
    there: &'a HostState,
    changes: &'a mut Vec<Change>,
}

impl HostDiff<'_> {
    fn run(mut self, wanted: &DesiredHost) -> Result<(), Error> {
        if let Some(network) = &wanted.network {
            self.network(network)?;
        }
        for pool in &wanted.pools {
            self.pool(pool, Some(&pool.path))?;
        }
        self.image(wanted)?;
        for machine in &wanted.machines {
            self.disks(machine, wanted)?;
        }
        for machine in &wanted.machines {
            self.domain(&machine.domain);
        }
        self.unwanted(wanted);
        Ok(())
    }

    fn push(&mut self, action: Action, kind: Kind, name: &str, details: String, step: Step) {
        self.changes.push(Change {
            action,
            kind,
            name: name.to_owned(),
            host: self.host.clone(),
            disruption: Disruption::None,
            details,
            step,
        });
    }

    fn refuse(
        &mut self,
        action: Action,
        kind: Kind,
        name: &str,
        cost: Disruption,
        details: String,
    ) {
        self.push(action, kind, name, details, Step::Refused);
        if let Some(change) = self.changes.last_mut() {
            change.disruption = cost;
        }
    }

    fn foreign(&self, kind: &'static str, name: &str, why: String) -> Error {
        Error::Foreign {
            host: self.host.to_string(),
            kind,
            name: name.to_owned(),
            why,
        }
    }

    /// An error unless the mark is this cluster's.
    fn check_mark(&self, kind: &'static str, name: &str, mark: Option<&Mark>) -> Result<(), Error> {
        match mark {
            Some(mark) if mark.cluster == *self.cluster => Ok(()),
            Some(mark) => Err(self.foreign(
                kind,
                name,
                format!("it belongs to cluster {}", mark.cluster),
            )),
            None => Err(self.foreign(kind, name, "it has no mark of Kubitect".to_owned())),
        }
    }

    fn network(&mut self, wanted: &Network) -> Result<(), Error> {
        let Some(there) = self.there.network(&wanted.name) else {
            self.check_range(wanted)?;
            let details = format!(
                "{} {}",
                serde_json::to_value(wanted.forward)
                    .ok()
                    .and_then(|mode| mode.as_str().map(str::to_owned))
                    .unwrap_or_default(),
                wanted.cidr
            );
            self.push(
                Action::Create,
                Kind::Network,
                &wanted.name,
                details,
                Step::CreateNetwork(wanted.clone()),
            );
            return Ok(());
        };
        self.check_mark("network", &wanted.name, there.mark.as_ref())?;
        if there.mark.as_ref().map(|mark| &mark.digest) != Some(&wanted.mark().digest) {
            let details = match there.cidr {
                Some(cidr) if cidr != wanted.cidr.trunc() => {
                    format!("its range is {cidr}, wanted {}", wanted.cidr)
                }
                _ => "its definition differs".to_owned(),
            };
            self.refuse(
                Action::Update,
                Kind::Network,
                &wanted.name,
                Disruption::Reboot,
                details,
            );
            return Ok(());
        }
        let missing: Vec<_> = wanted
            .reservations
            .iter()
            .filter(|reservation| !there.reservations.contains(reservation))
            .cloned()
            .collect();
        if !missing.is_empty() {
            let names: Vec<_> = missing
                .iter()
                .map(|r| format!("{} for {}", r.ip, r.name))
                .collect();
            let step = Step::Reserve(wanted.name.clone(), missing);
            self.push(
                Action::Update,
                Kind::Network,
                &wanted.name,
                format!("keep {}", names.join(", ")),
                step,
            );
        }
        if !there.active {
            self.check_range(wanted)?;
            self.push(
                Action::Start,
                Kind::Network,
                &wanted.name,
                String::new(),
                Step::StartNetwork(wanted.name.clone()),
            );
        }
        Ok(())
    }

    /// An error if a network that is not running yet would clash with another or with a route of the host.
    fn check_range(&self, wanted: &Network) -> Result<(), Error> {
        let overlaps = |a: &Ipv4Net, b: &Ipv4Net| a.contains(b) || b.contains(a);
        let networks = self
            .there
            .networks
            .iter()
            .filter(|network| network.name != wanted.name);
        let network = networks
            .filter_map(|network| Some((network.cidr?, &network.name)))
            .find(|(cidr, _)| overlaps(cidr, &wanted.cidr))
            .map(|(cidr, name)| format!("libvirt's network {name} ({cidr})"));
        // A wider route, as to a company's network, gives way to the narrower one of the cluster.
        let route = || {
            let mut routes = self.there.capability.routes.iter();
            routes
                .find(|(net, _)| wanted.cidr.contains(net))
                .map(|(net, interface)| format!("the host's route to {net} by {interface}"))
        };
        match network.or_else(route) {
            Some(other) => Err(Error::RangeTaken {
                host: self.host.to_string(),
                cidr: wanted.cidr.to_string(),
                other,
            }),
            None => Ok(()),
        }
    }

    fn pool(&mut self, wanted: &Pool, path: Option<&std::path::PathBuf>) -> Result<(), Error> {
        let Some(there) = self.there.pool(&wanted.name) else {
            let rival = self
                .there
                .pools
                .iter()
                .find(|pool| pool.path.as_ref() == Some(&wanted.path));
            if let Some(rival) = rival {
                let why = format!(
                    "its folder {} is the one wanted for {}",
                    wanted.path.display(),
                    wanted.name
                );
                return Err(self.foreign("pool", &rival.name, why));
            }
            let details = wanted.path.display().to_string();
            self.push(
                Action::Create,
                Kind::Pool,
                &wanted.name,
                details,
                Step::EnsurePool(wanted.clone()),
            );
            return Ok(());
        };
        if !there.is_folder || path.is_some_and(|path| there.path.as_ref() != Some(path)) {
            let place = there
                .path
                .as_ref()
                .map_or("no folder".to_owned(), |p| p.display().to_string());
            let why = format!("it lies in {place}, not in {}", wanted.path.display());
            return Err(self.foreign("pool", &wanted.name, why));
        }
        if let Some(rival) = rival(self.cluster, there) {
            let why = format!(
                "it holds disks of cluster {rival}, whose name and data pool make the same name; give the data pool \
                 another one"
            );
            return Err(self.foreign("pool", &wanted.name, why));
        }
        if !there.active {
            let pool = Pool {
                name: wanted.name.clone(),
                path: there.path.clone().unwrap_or_else(|| wanted.path.clone()),
            };
            self.push(
                Action::Start,
                Kind::Pool,
                &wanted.name,
                String::new(),
                Step::EnsurePool(pool),
            );
        }
        Ok(())
    }

    /// The base image, if a main disk has yet to be made.
    fn image(&mut self, wanted: &DesiredHost) -> Result<(), Error> {
        if !wanted
            .machines
            .iter()
            .any(|machine| self.makes_main(machine))
        {
            return Ok(());
        }
        self.pool(&wanted.image.pool, None)?;
        let whole = self
            .there
            .pool(BASE_POOL)
            .map(base::verified)
            .unwrap_or_default();
        let known = wanted.image_sha256.as_ref();
        if !whole.iter().any(|image| known == Some(&image.sha256)) {
            let details = "brought to the host and verified".to_owned();
            let step = Step::CreateImage(wanted.image.clone());
            self.push(
                Action::Create,
                Kind::Image,
                &wanted.image.distro,
                details,
                step,
            );
        }
        Ok(())
    }

    fn makes_main(&self, machine: &Machine) -> bool {
        self.there.domain(machine.domain.name.as_str()).is_none()
            && self
                .there
                .volume(&machine.main.pool, &machine.main.name)
                .is_none_or(|there| half_made(there, true))
    }

    fn disks(&mut self, machine: &Machine, wanted: &DesiredHost) -> Result<(), Error> {
        let node = &machine.domain.name;
        let domain = self.there.domain(node.as_str());
        if let Some(domain) = domain {
            self.check_mark("domain", node.as_str(), domain.mark.as_ref())?;
        }
        let pool_of = |volume: &Volume| self.there.pool(&volume.pool).cloned();
        let seen = |pool: Option<PoolState>| pool.is_none_or(|pool| pool.active);
        let seed_there = self
            .there
            .volume(&machine.seed_pool, &machine.seed)
            .is_some();
        let seed_seen = seen(self.there.pool(&machine.seed_pool).cloned());
        if domain.is_none() || (seed_seen && !seed_there) {
            let action = if seed_there {
                Action::Update
            } else {
                Action::Create
            };
            let details = if seed_there {
                "written anew for the new machine"
            } else {
                ""
            };
            let step = Step::WriteSeed {
                node: node.clone(),
                pool: machine.seed_pool.clone(),
                volume: machine.seed.clone(),
            };
            self.push(
                action,
                Kind::Volume,
                &machine.seed,
                details.to_owned(),
                step,
            );
        }
        let main = std::iter::once((&machine.main, true));
        for (volume, is_main) in main.chain(machine.data.iter().map(|volume| (volume, false))) {
            let pool_seen = seen(pool_of(volume));
            let overlay = is_main.then(|| wanted.image.clone());
            match self.there.volume(&volume.pool, &volume.name).cloned() {
                None if domain.is_none() => {
                    let details = gib(volume.capacity);
                    self.make_volume(Action::Create, volume, overlay, details);
                }
                None if pool_seen => {
                    let details = format!("its disk {} is missing", volume.name);
                    self.refuse(
                        Action::Replace,
                        Kind::Domain,
                        node.as_str(),
                        Disruption::DataLoss,
                        details,
                    );
                }
                None => {}
                Some(there) if domain.is_none() && half_made(&there, is_main) => {
                    let details = format!(
                        "{}; what is there was never finished and is empty",
                        gib(volume.capacity)
                    );
                    self.make_volume(Action::Replace, volume, overlay, details);
                }
                Some(there) if there.format != volume.format.as_str() => {
                    let why = format!(
                        "its format is {}, not {}",
                        there.format,
                        volume.format.as_str()
                    );
                    return Err(self.foreign("volume", &volume.name, why));
                }
                Some(there) if there.capacity != volume.capacity => {
                    let details =
                        format!("size {} -> {}", gib(there.capacity), gib(volume.capacity));
                    let cost = if there.capacity > volume.capacity {
                        Disruption::DataLoss
                    } else {
                        Disruption::Reboot
                    };
                    self.refuse(Action::Update, Kind::Volume, &volume.name, cost, details);
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn make_volume(
        &mut self,
        action: Action,
        volume: &Volume,
        overlay: Option<crate::change::ImageSpec>,
        details: String,
    ) {
        let step = Step::CreateVolume {
            volume: volume.clone(),
            overlay,
            replace: action == Action::Replace,
        };
        self.push(action, Kind::Volume, &volume.name, details, step);
    }

    fn domain(&mut self, wanted: &Domain) {
        let name = wanted.name.as_str();
        let Some(there) = self.there.domain(name) else {
            let details = format!(
                "{} CPU{}, {} GiB, {}{}",
                wanted.vcpus,
                if wanted.vcpus == 1 { "" } else { "s" },
                wanted.memory_mib >> 10,
                wanted.virt,
                wanted
                    .address
                    .map(|ip| format!(", {ip}"))
                    .unwrap_or_default()
            );
            self.push(
                Action::Create,
                Kind::Domain,
                name,
                details,
                Step::CreateDomain(wanted.clone()),
            );
            return;
        };
        if there.mark.as_ref().map(|mark| &mark.digest) != Some(&wanted.mark().digest) {
            let details = difference(there, wanted);
            self.refuse(
                Action::Update,
                Kind::Domain,
                name,
                Disruption::Reboot,
                details,
            );
            return;
        }
        let was = match there.power {
            PowerState::Running => return,
            PowerState::Paused => "it is paused",
            PowerState::Off => "it is off",
            PowerState::Crashed => "it broke down",
        };
        self.push(
            Action::Start,
            Kind::Domain,
            name,
            was.to_owned(),
            Step::StartDomain(wanted.name.clone()),
        );
    }

    fn unwanted(&mut self, wanted: &DesiredHost) {
        let is_wanted = |name: &str| {
            wanted
                .machines
                .iter()
                .any(|m| m.domain.name.as_str() == name)
        };
        let ours = self.there.domains.iter().filter(|domain| {
            domain
                .mark
                .as_ref()
                .is_some_and(|mark| mark.cluster == *self.cluster)
                && !is_wanted(&domain.name)
        });
        let names: Vec<_> = ours.map(|domain| domain.name.clone()).collect();
        for name in names {
            let details = "it is no longer in the configuration".to_owned();
            self.refuse(
                Action::Delete,
                Kind::Domain,
                &name,
                Disruption::DataLoss,
                details,
            );
        }
    }
}

/// The other cluster whose disks lie in a data pool: pool `b-c` of cluster `a` and pool `c` of cluster `a-b` have the
/// same name.
fn rival<'a>(cluster: &Label, pool: &'a PoolState) -> Option<&'a str> {
    let name = pool.name.strip_suffix("-data-resource-pool")?;
    let mut others = name
        .match_indices('-')
        .map(|(split, _)| &name[..split])
        .filter(|other| *other != cluster.as_str());
    others.find(|other| {
        let owned = |volume: &VolumeState| {
            is_own_volume(other, &volume.name) && !is_own_volume(cluster.as_str(), &volume.name)
        };
        pool.volumes.iter().any(owned)
    })
}

/// Whether a volume is what a crash left of making it, so that nothing of value can be in it.
///
/// libvirt lets `qemu-img create` write the file in several steps: it may be left without a header (then libvirt takes
/// it for raw), without its size, or without the image under it. A fresh disk takes some 200 KiB; one that a machine
/// has used takes more. Only ever asked where the machine does not exist.
fn half_made(there: &VolumeState, is_overlay: bool) -> bool {
    const USED: u64 = 512 << 10;
    let unfinished =
        there.format != "qcow2" || there.capacity == 0 || (is_overlay && there.backing.is_none());
    unfinished && there.allocation < USED
}

fn difference(there: &DomainState, wanted: &Domain) -> String {
    let mut parts = Vec::new();
    if there.vcpus != wanted.vcpus {
        parts.push(format!("CPUs {} -> {}", there.vcpus, wanted.vcpus));
    }
    if there.memory_mib != wanted.memory_mib {
        parts.push(format!(
            "memory {} MiB -> {} MiB",
            there.memory_mib, wanted.memory_mib
        ));
    }
    let paths: Vec<_> = wanted.disks.iter().map(|disk| disk.path.clone()).collect();
    if there.disks != paths {
        parts.push(format!("disks {} -> {}", there.disks.len(), paths.len()));
    }
    if parts.is_empty() {
        parts.push("its definition differs".to_owned());
    }
    parts.join(", ")
}

/// Bytes as GiB, exactly where that is possible.
fn gib(bytes: u64) -> String {
    if bytes.trailing_zeros() >= 30 {
        format!("{} GiB", bytes >> 30)
    } else {
        format!("{bytes} bytes")
    }
}
