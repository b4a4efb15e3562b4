//! Observed → the [`Plan`] that removes a cluster. Pure, and from libvirt alone: marks on domains and networks, names and
//! places of pools and volumes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kubitect_config::text;
use kubitect_config::value::{Label, Name};

use crate::base;
use crate::change::{Action, Change, Disruption, Kind, Part, Spared, Step, Uses};
use crate::error::Error;
use crate::hosts::LeftOut;
use crate::image_use;
use crate::names::{self, is_log, is_own_volume};
use crate::observe::{HostState, Observed, PoolState, VolumeState};
use crate::plan::Plan;
use crate::resource::{BASE_POOL, Pool};
use crate::snapshots::{is_under_another, snapshots};
use crate::users::Users;

/// What removes the cluster from all observed hosts, but for what hosts have that are left out, and nothing else; an error if a
/// machine with the name of one of its nodes is not ours.
pub fn removal(cluster: &Label, observed: &Observed, left_out: &[LeftOut]) -> Result<Plan, Error> {
    let is_ours = |host: &HostState, name: &Label| {
        let domain = host.domain(name.as_str());
        domain.is_some_and(|domain| domain.is_of(cluster))
    };
    let is_seen = |name: &Label| observed.hosts.values().any(|host| is_ours(host, name));
    let machines = left_out.iter().flat_map(|host| &host.machines);
    let machines = machines.filter(|name| !is_seen(name));
    let machines: BTreeSet<_> = machines.cloned().collect();
    let uses = Uses::AllBut(left_out.iter().map(|own| own.host.clone()).collect());
    let mut changes = Vec::new();
    for (host, there) in &observed.hosts {
        let spared = Spared {
            volumes: observed.disks_elsewhere(host, |domain| !domain.is_of(cluster)),
            machines: machines.clone(),
        };
        let others = observed.disks_elsewhere(host, |domain| domain.is_of(cluster));
        let going = Going {
            spared: &spared,
            others: &others,
            uses: &uses,
        };
        changes.extend(removal_of(cluster, host, there, going)?);
    }
    Ok(Plan {
        cluster: cluster.clone(),
        changes,
    })
}

/// What of what hosts share goes with a cluster from one of them.
#[derive(Clone, Copy)]
pub(crate) struct Going<'a> {
    /// What stays.
    pub spared: &'a Spared,
    /// The names of volumes that go from the hosts of their machines, at the same time.
    pub others: &'a BTreeSet<String>,
    /// Which uses of base images are over.
    pub uses: &'a Uses,
}

/// What removes the cluster from one host.
pub(crate) fn removal_of(
    cluster: &Label,
    host: &Name,
    there: &HostState,
    going: Going<'_>,
) -> Result<Vec<Change>, Error> {
    // Another program's cluster of this name, as the Kubitect written in Go makes them: pools and volumes have the very same
    // names, so nothing of it is touched.
    let mut domains = there.domains.iter();
    if let Some(domain) = domains.find(|domain| domain.is_namesake(cluster)) {
        return Err(Error::Foreign {
            host: host.to_string(),
            kind: "domain",
            name: domain.name.clone(),
            why: "it has no mark of Kubitect, so another program made it".to_owned(),
        });
    }
    let mut changes = Vec::new();
    let removal = HostRemoval {
        cluster,
        host,
        there,
        users: Users::new(&there.pools, &there.domains),
        going,
        changes: &mut changes,
    };
    removal.run();
    Ok(changes)
}

/// The pools of the cluster: those for data first, the main one last, so that it tells of them as long as they are.
pub(crate) fn own_pools(cluster: &Label, there: &HostState) -> Vec<PoolState> {
    let main = format!("{cluster}-main-resource-pool");
    let is_own = |pool: &&PoolState| pool.name == main || is_data_pool(cluster, there, pool);
    let lies_right = |pool: &&PoolState| {
        let path = pool.path.as_ref();
        pool.is_folder && path.is_some_and(|path| path.ends_with(&pool.name))
    };
    let pools = there.pools.iter().filter(lies_right).filter(is_own);
    let (mains, datas): (Vec<_>, Vec<_>) = pools.cloned().partition(|pool| pool.name == main);
    datas.into_iter().chain(mains).collect()
}

/// Whether this is a data pool of the cluster. Pool `b-c` of cluster `a` and pool `c` of cluster `a-b` have the same name: it is
/// theirs whose disks lie in it; an empty one is theirs whose name is longest of those that have a main pool.
fn is_data_pool(cluster: &Label, there: &HostState, pool: &PoolState) -> bool {
    let owners = owners(pool);
    let users = users(pool, there);
    if !users.is_empty() {
        return users.contains(cluster.as_str());
    }
    let has_main = |owner: &&&str| there.pool(&format!("{owner}-main-resource-pool")).is_some();
    let last = owners.iter().rev().find(has_main);
    owners.contains(&cluster.as_str()) && last.is_none_or(|owner| *owner == cluster.as_str())
}

/// The clusters that a pool of this name may be a data pool of, the shortest name first.
fn owners(pool: &PoolState) -> Vec<&str> {
    let name = pool.name.strip_suffix("-data-resource-pool");
    let name = name.unwrap_or_default();
    name.match_indices('-')
        .map(|(split, _)| &name[..split])
        .collect()
}

/// Those of them whose disks lie in it, by their machines and by the names of what is seen in it.
fn users<'p>(pool: &'p PoolState, there: &HostState) -> BTreeSet<&'p str> {
    let owners = owners(pool);
    let has_machines = |owner: &&&str| {
        let label = owner.parse::<Label>();
        label.is_ok_and(|label| !pool.disks_of(&label, &there.domains).is_empty())
    };
    let by_machines = owners.iter().filter(has_machines);
    // `a-worker-lb-1-…` would be a machine of `a`, too.
    let longest = |volume: &VolumeState| {
        let mut owners = owners.iter().rev();
        owners.find(|owner| is_own_volume(owner, &volume.name))
    };
    let by_names = pool.volumes.iter().filter_map(longest);
    by_machines.chain(by_names).copied().collect()
}

/// Another cluster whose disks lie in a data pool, beside this one's or alone.
pub(crate) fn rival<'p>(
    cluster: &Label,
    pool: &'p PoolState,
    there: &HostState,
) -> Option<&'p str> {
    let users = users(pool, there);
    users.into_iter().find(|user| *user != cluster.as_str())
}

/// The first of many names.
fn some(names: &[String]) -> String {
    let (first, rest) = names.split_at(names.len().min(4));
    let more = match rest.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", first.join(", "))
}

struct HostRemoval<'a> {
    cluster: &'a Label,
    host: &'a Name,
    there: &'a HostState,
    users: Users<'a>,
    going: Going<'a>,
    changes: &'a mut Vec<Change>,
}

impl HostRemoval<'_> {
    fn run(mut self) {
        let pools = own_pools(self.cluster, self.there);
        self.start(&pools);
        self.domains();
        let mut going: Vec<PathBuf> = Vec::new();
        for pool in &pools {
            self.volumes(pool, &mut going);
            self.snapshots(pool, &mut going);
        }
        for pool in &pools {
            self.pool(pool);
        }
        let name = format!("{}-network", self.cluster);
        if let Some(network) = self.there.network(&name)
            && network
                .mark
                .as_ref()
                .is_some_and(|mark| mark.cluster == *self.cluster)
        {
            self.push(
                Kind::Network,
                &name,
                Disruption::None,
                "",
                Step::RemoveNetwork(name.clone()),
            );
        }
        self.images(&going);
    }

    fn push(&mut self, kind: Kind, name: &str, disruption: Disruption, details: &str, step: Step) {
        self.changes.push(Change {
            action: Action::Delete,
            kind,
            name: name.to_owned(),
            host: self.host.clone(),
            disruption,
            details: details.to_owned(),
            loses: false,
            part: Part::Remove,
            step,
        });
    }

    /// First of all, as long as machines tell that their disks lie in them, pools are started that are stopped: what is not
    /// mounted would be left behind.
    fn start(&mut self, pools: &[PoolState]) {
        for pool in pools.iter().filter(|pool| !pool.active) {
            let disks = pool.disks_of(self.cluster, &self.there.domains);
            if let (false, Some(path)) = (disks.is_empty(), &pool.path) {
                let step = Step::StartPool(Pool {
                    name: pool.name.clone(),
                    path: path.clone(),
                });
                self.push(Kind::Pool, &pool.name, Disruption::None, "", step);
                if let Some(change) = self.changes.last_mut() {
                    change.action = Action::Start;
                }
            }
        }
    }

    fn domains(&mut self) {
        for domain in &self.there.domains {
            // Only checked names are made by us; any other is not.
            if let (true, Ok(name)) = (domain.is_of(self.cluster), domain.name.parse::<Label>()) {
                self.push(
                    Kind::Domain,
                    &domain.name,
                    Disruption::DataLoss,
                    "",
                    Step::RemoveDomain(name),
                );
            }
        }
    }

    fn volumes(&mut self, pool: &PoolState, going: &mut Vec<PathBuf>) {
        for volume in &pool.volumes {
            if !is_own_volume(self.cluster.as_str(), &volume.name) || is_log(&volume.name) {
                continue;
            }
            let users = self.users.of(&pool.name, volume);
            let used_by_other = users.iter().any(|domain| !domain.is_of(self.cluster));
            if used_by_other || self.going.spared.has(&volume.name) {
                continue;
            }
            going.push(volume.path.clone());
            if self.going.others.contains(&volume.name) {
                continue;
            }
            let loss = if volume.name.ends_with("-seed") {
                Disruption::None
            } else {
                Disruption::DataLoss
            };
            let step = Step::RemoveVolume {
                pool: pool.name.clone(),
                volume: volume.name.clone(),
            };
            self.push(Kind::Volume, &volume.name, loss, "", step);
        }
    }

    /// Files of snapshots of the cluster's disks: of no use to anybody without what lies under them, which goes.
    fn snapshots(&mut self, pool: &PoolState, going: &mut Vec<PathBuf>) {
        for (volume, disk) in snapshots(self.cluster, pool) {
            let names = [volume.name.as_str(), disk];
            let is_elsewhere =
                |name: &&str| self.going.spared.has(name) || self.going.others.contains(*name);
            let users = self.users.of(&pool.name, volume);
            let used_by_other = users.iter().any(|domain| !domain.is_of(self.cluster));
            if used_by_other
                || names.iter().any(is_elsewhere)
                || is_under_another(self.cluster, volume, &self.there.pools)
            {
                continue;
            }
            going.push(volume.path.clone());
            let step = Step::RemoveVolume {
                pool: pool.name.clone(),
                volume: volume.name.clone(),
            };
            let details = format!("a snapshot's file over {disk}");
            let loss = Disruption::DataLoss;
            self.push(Kind::Volume, &volume.name, loss, &details, step);
        }
    }

    fn pool(&mut self, pool: &PoolState) {
        if rival(self.cluster, pool, self.there).is_some() {
            return;
        }
        let removed = |volume: &VolumeState| {
            self.changes.iter().any(|change| {
                let (pool, volume) = (pool.name.clone(), volume.name.clone());
                change.step == Step::RemoveVolume { pool, volume }
            })
        };
        let foreign = pool.volumes.iter().filter(|volume| {
            !is_own_volume(self.cluster.as_str(), &volume.name) && !removed(volume)
        });
        let foreign: Vec<_> = foreign.map(|volume| text::line(&volume.name)).collect();
        let details = match (pool.active, foreign.len()) {
            (false, _) => {
                "it is stopped; with it go all disks of the cluster that lie in it".to_owned()
            }
            (true, 0) => String::new(),
            (true, count) => format!(
                "its folder stays: {count} files in it are not the cluster's ({})",
                some(&foreign)
            ),
        };
        let loss = if pool.active {
            Disruption::None
        } else {
            Disruption::DataLoss
        };
        let mut spare = self.going.spared.clone();
        spare.volumes.extend(self.going.others.iter().cloned());
        let step = Step::RemovePool {
            pool: pool.name.clone(),
            with_disks: !pool.active,
            spare,
        };
        self.push(Kind::Pool, &pool.name, loss, &details, step);
    }

    fn images(&mut self, going: &[PathBuf]) {
        let Some(pool) = self.there.pool(BASE_POOL).cloned() else {
            return;
        };
        let pools = &self.there.pools;
        let needed = base::needed(pools, &self.there.domains, self.cluster, going);
        let removable: Vec<_> = base::removable(&pool, pools, self.cluster)
            .filter(|image| needed.why(&image.path).is_none())
            .filter(|image| !image_use::is_used(&pool, &image.name, self.cluster, self.going.uses))
            .map(|image| image.name.clone())
            .collect();
        let stays = |name: &str| {
            let image = names::beside(name).unwrap_or(name);
            let is_left = names::used(name).is_some() && pool.volume(image).is_none();
            !is_left && !removable.iter().any(|going| going == image)
        };
        let is_released = |image: &&VolumeState| {
            image_use::is_released(&pool, &image.name, self.cluster, self.going.uses)
                && !removable.contains(&image.name)
        };
        let released: Vec<_> = pool.volumes.iter().filter(is_released).collect();
        let own_main = format!("{}-main-resource-pool", self.cluster);
        let others = pools
            .iter()
            .any(|other| other.name.ends_with("-main-resource-pool") && other.name != own_main);
        let last =
            !others && (!pool.active || !pool.volumes.iter().any(|volume| stays(&volume.name)));
        for image in &removable {
            self.push(
                Kind::Image,
                image,
                Disruption::None,
                "no cluster needs it",
                Step::RemoveImage(image.clone(), self.going.uses.clone()),
            );
        }
        for image in released {
            let step = Step::ReleaseImage(image.name.clone(), self.going.uses.clone());
            let details = "others need it, and this cluster no longer does";
            self.push(Kind::Image, &image.name, Disruption::None, details, step);
            if let Some(change) = self.changes.last_mut() {
                change.action = Action::Update;
            }
        }
        if last {
            self.push(
                Kind::Pool,
                BASE_POOL,
                Disruption::None,
                "",
                Step::RemoveBasePool(self.going.uses.clone()),
            );
        }
    }
}
