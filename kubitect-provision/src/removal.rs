//! The [`Plan`] that removes a cluster. Pure, and by what libvirt shows alone, since the cluster's folder may be lost: marks on
//! domains and networks, names and folders of pools and volumes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kubitect_config::text;
use kubitect_config::value::{Label, Name};

use crate::base;
use crate::change::{Action, Change, Disruption, Kind, Part, Protected, ReleasedUses, Step};
use crate::error::Error;
use crate::hosts::LeftOut;
use crate::image_use;
use crate::names::{self, is_log, is_own_volume};
use crate::observe::{HostState, Observed, PoolState, VolumeState};
use crate::plan::Plan;
use crate::resource::{BASE_POOL, Pool};
use crate::snapshots::{is_under_another, snapshots};
use crate::volume_users::VolumeUsers;

/// The plan that removes the cluster from all observed hosts, and nothing else. What belongs to hosts that are left out stays. An
/// error if a domain has the name of one of its nodes and no mark of Kubitect.
pub fn removal(cluster: &Label, observed: &Observed, left_out: &[LeftOut]) -> Result<Plan, Error> {
    let is_ours = |host: &HostState, name: &Label| {
        let domain = host.domain(name.as_str());
        domain.is_some_and(|domain| domain.is_of(cluster))
    };
    let is_seen = |name: &Label| observed.hosts.values().any(|host| is_ours(host, name));
    let machines = left_out.iter().flat_map(|host| &host.machines);
    let machines = machines.filter(|name| !is_seen(name));
    let machines: BTreeSet<_> = machines.cloned().collect();
    let uses = ReleasedUses::AllHostsBut(left_out.iter().map(|own| own.host.clone()).collect());
    let mut changes = Vec::new();
    for (host, state) in &observed.hosts {
        let protected = Protected {
            volumes: observed.disks_on_other_hosts(host, |domain| !domain.is_of(cluster)),
            machines: machines.clone(),
        };
        let elsewhere = observed.disks_on_other_hosts(host, |domain| domain.is_of(cluster));
        let scope = Scope {
            protected: &protected,
            elsewhere: &elsewhere,
            uses: &uses,
        };
        changes.extend(removal_of(cluster, host, state, scope)?);
    }
    Ok(Plan {
        cluster: cluster.clone(),
        changes,
    })
}

/// What the removal from one host includes of what it may share with other hosts: the folders of pools, and base images.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// What stays.
    pub protected: &'a Protected,
    /// The names of volumes that the same run removes on other hosts, since their machines are there.
    pub elsewhere: &'a BTreeSet<String>,
    /// Which use marks of base images are removed.
    pub uses: &'a ReleasedUses,
}

/// The changes that remove the cluster from one host.
pub(crate) fn removal_of(
    cluster: &Label,
    host: &Name,
    state: &HostState,
    scope: Scope<'_>,
) -> Result<Vec<Change>, Error> {
    // Another program, as the Kubitect written in Go, has pools and volumes of the very same names, without marks: nothing is removed.
    let mut domains = state.domains.iter();
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
        state,
        users: VolumeUsers::new(&state.pools, &state.domains),
        scope,
        changes: &mut changes,
    };
    removal.run();
    Ok(changes)
}

/// The pools of the cluster, the main pool last: by it, a later run can still tell whose an empty data pool is.
pub(crate) fn own_pools(cluster: &Label, state: &HostState) -> Vec<PoolState> {
    let main = format!("{cluster}-main-resource-pool");
    let is_own = |pool: &&PoolState| pool.name == main || is_data_pool(cluster, state, pool);
    let is_in_own_folder = |pool: &&PoolState| {
        let path = pool.path.as_ref();
        pool.is_folder && path.is_some_and(|path| path.ends_with(&pool.name))
    };
    let pools = state.pools.iter().filter(is_in_own_folder).filter(is_own);
    let (mains, datas): (Vec<_>, Vec<_>) = pools.cloned().partition(|pool| pool.name == main);
    datas.into_iter().chain(mains).collect()
}

/// Whether this is a data pool of the cluster. Pool `b-c` of cluster `a` and pool `c` of cluster `a-b` have the same name: it belongs
/// to the cluster whose disks lie in it, an empty one to the cluster with the longest name of those that have a main pool.
fn is_data_pool(cluster: &Label, state: &HostState, pool: &PoolState) -> bool {
    let possible = possible_owners(pool);
    let owners = actual_owners(pool, state);
    if !owners.is_empty() {
        return owners.contains(cluster.as_str());
    }
    let has_main = |owner: &&&str| state.pool(&format!("{owner}-main-resource-pool")).is_some();
    let last = possible.iter().rev().find(has_main);
    possible.contains(&cluster.as_str()) && last.is_none_or(|owner| *owner == cluster.as_str())
}

/// The names of clusters whose data pool may have this pool's name, the shortest first.
fn possible_owners(pool: &PoolState) -> Vec<&str> {
    let name = pool.name.strip_suffix("-data-resource-pool");
    let name = name.unwrap_or_default();
    name.match_indices('-')
        .map(|(split, _)| &name[..split])
        .collect()
}

/// The possible owners whose disks lie in the pool, by the disks of their machines and by the names of the pool's volumes.
fn actual_owners<'p>(pool: &'p PoolState, state: &HostState) -> BTreeSet<&'p str> {
    let possible = possible_owners(pool);
    let has_machines = |owner: &&&str| {
        let label = owner.parse::<Label>();
        label.is_ok_and(|label| !pool.disks_of(&label, &state.domains).is_empty())
    };
    let by_machines = possible.iter().filter(has_machines);
    // The longest name wins: `a-worker-lb-1-…` has the form of a disk of cluster `a`, too.
    let longest = |volume: &VolumeState| {
        let mut longest_first = possible.iter().rev();
        longest_first.find(|owner| is_own_volume(owner, &volume.name))
    };
    let by_names = pool.volumes.iter().filter_map(longest);
    by_machines.chain(by_names).copied().collect()
}

/// Another cluster whose disks lie in a data pool, beside this one's or alone.
pub(crate) fn other_owner<'p>(
    cluster: &Label,
    pool: &'p PoolState,
    state: &HostState,
) -> Option<&'p str> {
    let owners = actual_owners(pool, state);
    owners.into_iter().find(|owner| *owner != cluster.as_str())
}

/// The first names of a list, and how many follow.
fn first_few(names: &[String]) -> String {
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
    state: &'a HostState,
    users: VolumeUsers<'a>,
    scope: Scope<'a>,
    changes: &'a mut Vec<Change>,
}

impl HostRemoval<'_> {
    fn run(mut self) {
        let pools = own_pools(self.cluster, self.state);
        self.start_pools(&pools);
        self.domains();
        let mut removed: Vec<PathBuf> = Vec::new();
        for pool in &pools {
            self.volumes(pool, &mut removed);
            self.snapshots(pool, &mut removed);
        }
        for pool in &pools {
            self.pool(pool);
        }
        let name = format!("{}-network", self.cluster);
        if let Some(network) = self.state.network(&name)
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
        self.images(&removed);
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

    /// Starts stopped pools before the domains are removed, while these still say that their disks lie there: where the pool's file
    /// system is not mounted, this fails, and the run stops before it would leave the disks behind.
    fn start_pools(&mut self, pools: &[PoolState]) {
        for pool in pools.iter().filter(|pool| !pool.active) {
            let disks = pool.disks_of(self.cluster, &self.state.domains);
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
        for domain in &self.state.domains {
            // Kubitect gives valid names only: a domain with another one is not its own, whatever its mark says.
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

    fn volumes(&mut self, pool: &PoolState, removed: &mut Vec<PathBuf>) {
        for volume in &pool.volumes {
            if !is_own_volume(self.cluster.as_str(), &volume.name) || is_log(&volume.name) {
                continue;
            }
            let users = self.users.of(&pool.name, volume);
            let used_by_other = users.iter().any(|domain| !domain.is_of(self.cluster));
            if used_by_other || self.scope.protected.contains(&volume.name) {
                continue;
            }
            removed.push(volume.path.clone());
            if self.scope.elsewhere.contains(&volume.name) {
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

    /// Removes the files of snapshots of the cluster's disks: without the disk under it, such a file is of no use.
    fn snapshots(&mut self, pool: &PoolState, removed: &mut Vec<PathBuf>) {
        for (volume, disk) in snapshots(self.cluster, pool) {
            let names = [volume.name.as_str(), disk];
            let scope = self.scope;
            let is_elsewhere =
                |name: &&str| scope.protected.contains(name) || scope.elsewhere.contains(*name);
            let users = self.users.of(&pool.name, volume);
            let used_by_other = users.iter().any(|domain| !domain.is_of(self.cluster));
            if used_by_other
                || names.iter().any(is_elsewhere)
                || is_under_another(self.cluster, volume, &self.state.pools)
            {
                continue;
            }
            removed.push(volume.path.clone());
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
        if other_owner(self.cluster, pool, self.state).is_some() {
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
                first_few(&foreign)
            ),
        };
        let loss = if pool.active {
            Disruption::None
        } else {
            Disruption::DataLoss
        };
        let mut protected = self.scope.protected.clone();
        protected.volumes.extend(self.scope.elsewhere.clone());
        let step = Step::RemovePool {
            pool: pool.name.clone(),
            with_disks: !pool.active,
            protected,
        };
        self.push(Kind::Pool, &pool.name, loss, &details, step);
    }

    fn images(&mut self, removed: &[PathBuf]) {
        let Some(pool) = self.state.pool(BASE_POOL).cloned() else {
            return;
        };
        let pools = &self.state.pools;
        let needed = base::needed(pools, &self.state.domains, self.cluster, removed);
        let removable: Vec<_> = base::removable(&pool, pools, self.cluster)
            .filter(|image| needed.why(&image.path).is_none())
            .filter(|image| !image_use::is_used(&pool, &image.name, self.cluster, self.scope.uses))
            .map(|image| image.name.clone())
            .collect();
        let stays = |name: &str| {
            let image = names::owning_image(name).unwrap_or(name);
            let is_left = names::parse_use_mark(name).is_some() && pool.volume(image).is_none();
            !is_left && !removable.iter().any(|own| own == image)
        };
        let is_released = |image: &&VolumeState| {
            image_use::is_released(&pool, &image.name, self.cluster, self.scope.uses)
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
                Step::RemoveImage(image.clone(), self.scope.uses.clone()),
            );
        }
        for image in released {
            let step = Step::ReleaseImage(image.name.clone(), self.scope.uses.clone());
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
                Step::RemoveBasePool(self.scope.uses.clone()),
            );
        }
    }
}
