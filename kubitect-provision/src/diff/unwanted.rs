//! What the cluster has and no longer desires: machines, their disks, data disks and pools.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::HostDiff;
use super::network::describe_reservations;
use crate::change::{Action, Disruption, Kind, Part, ReleasedUses, Step};
use crate::desired::{DesiredHost, console_volume};
use crate::error::Error;
use crate::names::{self, is_log, is_own_volume, node_of_log};
use crate::observe::{DomainState, PoolState, VolumeState};
use crate::removal::{Scope, other_owner, own_pools, removal_of};
use crate::resource::{BASE_POOL, Pool};
use crate::volume_users::VolumeUsers;

impl<'a> HostDiff<'a> {
    pub(super) fn unwanted(&mut self, desired: &DesiredHost) {
        let mut detached = BTreeSet::new();
        for machine in &desired.machines {
            if let Some(domain) = self.retained_domain(machine) {
                for path in self.surplus_disks(machine, domain) {
                    // From a machine that is off, it is detached before the machine is started.
                    if domain.live.is_some() {
                        self.detach_last(machine, path.clone());
                    }
                    detached.insert((domain.name.clone(), path));
                }
            } else if let Some(old) = self.observed.domain(machine.domain.name.as_str()) {
                // A recreated machine has the desired disks only, so none of the old domain's keeps a volume in use.
                detached.extend(old.all_disks().map(|path| (old.name.clone(), path.clone())));
            }
        }
        let leaving = self.leaving();
        for domain in &leaving {
            // Kubitect gives valid names only: a domain with another one is not its own, whatever its mark says.
            if let Ok(name) = domain.name.parse() {
                let step = Step::RemoveDomain(name);
                let details = "it is no longer in the configuration";
                self.delete(
                    Kind::Domain,
                    &domain.name,
                    Disruption::DataLoss,
                    details,
                    step,
                );
            }
        }
        let pools = own_pools(self.cluster, self.observed);
        let is_wanted = |pool: &PoolState| desired.pools.iter().any(|w| w.name == pool.name);
        // The volumes of a stopped pool are removed with it. One that is desired is started first, so its volumes are removed here.
        for pool in pools.iter().filter(|pool| pool.active || is_wanted(pool)) {
            self.volumes(pool, desired, &leaving, &detached);
        }
        if let Some(network) = &desired.network
            && let Some(observed) = self.observed.network(&network.name)
        {
            let has_mac =
                |domain: &&DomainState, mac| domain.nic.as_ref().is_some_and(|n| n.mac == mac);
            let reservations: Vec<_> = observed
                .reservations
                .iter()
                .filter(|r| {
                    let mut leaving = leaving.iter();
                    leaving.any(|d| has_mac(d, r.mac) || d.name == r.name.as_str())
                })
                .cloned()
                .collect();
            if !reservations.is_empty() {
                let details = format!(
                    "remove the reservation of {}",
                    describe_reservations(&reservations)
                );
                let step = Step::Unreserve(network.name.clone(), reservations);
                self.push(Action::Update, Kind::Network, &network.name, details, step)
                    .part = Part::Remove;
            }
        }
        for pool in pools.iter().filter(|pool| !is_wanted(pool)) {
            self.unwanted_pool(pool);
        }
    }

    /// Removes a pool, unless it holds another cluster's disks, or is stopped and may hold another program's.
    fn unwanted_pool(&mut self, pool: &PoolState) {
        let is_shared = other_owner(self.cluster, pool, self.observed).is_some();
        if is_shared || (!pool.active && self.has_namesakes()) {
            return;
        }
        if let (false, true, Some(path)) = (pool.active, self.holds_own_disks(pool), &pool.path) {
            // While the machines still say that their disks lie there: where the pool's file system is not mounted, the start fails,
            // and the run stops before it would leave the disks behind.
            let step = Step::StartPool(Pool {
                name: pool.name.clone(),
                path: path.clone(),
            });
            self.push(Action::Start, Kind::Pool, &pool.name, "", step);
        }
        let (details, loss) = match pool.active {
            true => ("no disk lies in it any more", Disruption::None),
            false => (
                "it is stopped; with it go all disks of the cluster that lie in it",
                Disruption::DataLoss,
            ),
        };
        let step = Step::RemovePool {
            pool: pool.name.clone(),
            with_disks: !pool.active,
            protected: self.protected.clone(),
        };
        self.delete(Kind::Pool, &pool.name, loss, details, step);
    }

    /// Removes all of the cluster from a host on which the configuration places no machine any more.
    ///
    /// Nothing is removed from a host that still has a machine which the configuration places on another host, since machines are
    /// not moved between hosts; nor where another program's machine has the name of a node.
    pub(super) fn abandoned(&mut self) -> Result<(), Error> {
        let domains = &self.observed.domains;
        let moved = domains
            .iter()
            .any(|d| d.is_of(self.cluster) && self.desired_names.contains(d.name.as_str()));
        let own_image = || {
            let images = self.observed.pool(BASE_POOL).map(|pool| &pool.volumes);
            images.into_iter().flatten().any(|image| {
                let used = names::parse_use_mark(&image.name).map(|(_, cluster, _)| cluster);
                used.or(names::uploader(&image.name)) == Some(self.cluster.as_str())
            })
        };
        let has_ours = domains.iter().any(|d| d.is_of(self.cluster))
            || !own_pools(self.cluster, self.observed).is_empty()
            || own_image();
        if moved || self.has_namesakes() || !has_ours {
            return Ok(());
        }
        let elsewhere = BTreeSet::new();
        let scope = Scope {
            protected: self.protected,
            elsewhere: &elsewhere,
            uses: &ReleasedUses::OneHost(self.host.clone()),
        };
        self.changes = removal_of(self.cluster, self.host, self.observed, scope)?;
        Ok(())
    }

    /// The machines of this cluster on this host that are not desired on any host.
    fn leaving(&self) -> Vec<&'a DomainState> {
        self.observed
            .domains
            .iter()
            .filter(|d| d.is_of(self.cluster) && !self.desired_names.contains(d.name.as_str()))
            .collect()
    }

    /// Whether another program has a machine with the name of a node: then a disk that no machine uses may be that program's.
    fn has_namesakes(&self) -> bool {
        let mut domains = self.observed.domains.iter();
        domains.any(|domain| domain.is_namesake(self.cluster))
    }

    fn volumes(
        &mut self,
        pool: &PoolState,
        desired: &DesiredHost,
        leaving: &[&DomainState],
        detached: &BTreeSet<(String, PathBuf)>,
    ) {
        let namesakes = self.has_namesakes();
        let all_users = VolumeUsers::new(&self.observed.pools, &self.observed.domains);
        for name in self.unwanted_names(pool, desired, leaving, detached) {
            let path = pool.path.as_deref().unwrap_or("".as_ref()).join(&name);
            let like = VolumeState {
                path: path.clone(),
                ..unlisted(&name)
            };
            let users = all_users.of(&pool.name, &like);
            let releases_it = |domain: &DomainState| {
                leaving.iter().any(|d| d.name == domain.name)
                    || detached.contains(&(domain.name.clone(), path.clone()))
            };
            let log_of_leaving = leaving
                .iter()
                .any(|d| node_of_log(&name) == Some(d.name.as_str()));
            // A volume stays if it is another host's (they may share the folder), if a machine that stays uses it, or if no machine
            // does and it may be another program's.
            if self.protected.contains(&name)
                || users.iter().any(|user| !releases_it(user))
                || (namesakes && users.is_empty() && !log_of_leaving)
            {
                continue;
            }
            let loss = if name.ends_with("-seed") || is_log(&name) {
                Disruption::None
            } else {
                Disruption::DataLoss
            };
            let details = if users.is_empty() && !is_log(&name) {
                "no machine has it"
            } else {
                ""
            };
            let step = Step::RemoveVolume {
                pool: pool.name.clone(),
                volume: name.clone(),
            };
            self.delete(Kind::Volume, &name, loss, details, step);
        }
    }

    /// The names of the cluster's volumes in this pool that are not desired: those that the pool lists, and in a stopped pool, which
    /// lists none, those that are disks of machines.
    fn unwanted_names(
        &self,
        pool: &PoolState,
        desired: &DesiredHost,
        leaving: &[&DomainState],
        detached: &BTreeSet<(String, PathBuf)>,
    ) -> BTreeSet<String> {
        let seen = pool.volumes.iter().map(|volume| volume.name.clone());
        let mut names: BTreeSet<String> = seen.collect();
        if !pool.active {
            let of_leaving = leaving.iter().flat_map(|domain| domain.all_disks());
            let disks = of_leaving.chain(detached.iter().map(|(_, path)| path));
            names.extend(
                disks
                    .filter(|path| path.parent() == pool.path.as_deref())
                    .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())),
            );
        }
        let is_wanted = |name: &str| {
            desired.machines.iter().any(|machine| {
                let mut volumes = machine.data.iter().chain([&machine.main]);
                volumes.any(|volume| volume.pool == pool.name && volume.name == name)
                    || (machine.seed_pool == pool.name && machine.seed == name)
            })
        };
        // A console's log is removed as a whole, under one name for all its parts, unless its machine is desired on any host.
        let mut logs = BTreeSet::new();
        names.retain(|name| {
            is_own_volume(self.cluster.as_str(), name)
                && !is_wanted(name)
                && node_of_log(name).is_none_or(|node| {
                    logs.insert(node.to_owned());
                    false
                })
        });
        logs.retain(|node| !self.desired_names.contains(node.as_str()));
        let logs = logs.into_iter().filter_map(|node| node.parse().ok());
        names.extend(logs.map(|node| console_volume(&node)));
        names
    }

    fn delete(
        &mut self,
        kind: Kind,
        name: &str,
        disruption: Disruption,
        details: &str,
        step: Step,
    ) {
        let change = self.push(Action::Delete, kind, name, details, step);
        change.disruption = disruption;
        change.part = Part::Remove;
    }
}

/// A volume of which only the name is known, as one in a stopped pool.
fn unlisted(name: &str) -> VolumeState {
    VolumeState {
        name: name.to_owned(),
        path: PathBuf::new(),
        format: String::new(),
        capacity: 0,
        allocation: 0,
        physical: None,
        backing: None,
    }
}
