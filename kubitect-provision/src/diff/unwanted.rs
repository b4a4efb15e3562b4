//! What the cluster has and no longer wants: machines, their disks, data disks and pools.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::HostDiff;
use super::network::told;
use crate::change::{Action, Disruption, Kind, Part, Step, Uses};
use crate::desired::{DesiredHost, console_volume};
use crate::error::Error;
use crate::names::{self, is_log, is_own_volume, log_of};
use crate::observe::{DomainState, PoolState, VolumeState};
use crate::removal::{Going, own_pools, removal_of, rival};
use crate::resource::{BASE_POOL, Pool};
use crate::users::Users;

impl<'a> HostDiff<'a> {
    pub(super) fn unwanted(&mut self, wanted: &DesiredHost) {
        let mut detached = BTreeSet::new();
        for machine in &wanted.machines {
            if let Some(there) = self.kept(machine) {
                for path in self.extra(machine, there) {
                    // From one that is off it is taken before that is started.
                    if there.live.is_some() {
                        self.detach_last(machine, path.clone());
                    }
                    detached.insert((there.name.clone(), path));
                }
            } else if let Some(old) = self.there.domain(machine.domain.name.as_str()) {
                // Made anew, it has only what is wanted.
                detached.extend(old.all_disks().map(|path| (old.name.clone(), path.clone())));
            }
        }
        let leaving = self.leaving();
        for domain in &leaving {
            // Only checked names are made by us; any other is not.
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
        let pools = own_pools(self.cluster, self.there);
        let is_wanted = |pool: &PoolState| wanted.pools.iter().any(|w| w.name == pool.name);
        // What lies in a stopped pool goes with it; one that is wanted is started before.
        for pool in pools.iter().filter(|pool| pool.active || is_wanted(pool)) {
            self.volumes(pool, wanted, &leaving, &detached);
        }
        if let Some(network) = &wanted.network
            && let Some(there) = self.there.network(&network.name)
        {
            let left =
                |domain: &&DomainState, mac| domain.nic.as_ref().is_some_and(|n| n.mac == mac);
            let reservations: Vec<_> = there
                .reservations
                .iter()
                .filter(|r| {
                    let mut leaving = leaving.iter();
                    leaving.any(|d| left(d, r.mac) || d.name == r.name.as_str())
                })
                .cloned()
                .collect();
            if !reservations.is_empty() {
                let details = format!("keep no longer {}", told(&reservations));
                let step = Step::Unreserve(network.name.clone(), reservations);
                self.push(Action::Update, Kind::Network, &network.name, details, step)
                    .part = Part::Remove;
            }
        }
        for pool in pools.iter().filter(|pool| !is_wanted(pool)) {
            self.unwanted_pool(pool);
        }
    }

    fn unwanted_pool(&mut self, pool: &PoolState) {
        let is_shared = rival(self.cluster, pool, self.there).is_some();
        if is_shared || (!pool.active && self.has_namesakes()) {
            return;
        }
        if let (false, true, Some(path)) = (pool.active, self.holds_our_disks(pool), &pool.path) {
            // While machines still tell of their disks: what is not mounted would be left behind.
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
            spare: self.elsewhere.clone(),
        };
        self.delete(Kind::Pool, &pool.name, loss, details, step);
    }

    /// A host that carries no node any more: what is ours on it goes.
    pub(super) fn abandoned(&mut self) -> Result<(), Error> {
        let domains = &self.there.domains;
        let moved = domains
            .iter()
            .any(|d| d.is_of(self.cluster) && self.wanted.contains(d.name.as_str()));
        let own_image = || {
            let images = self.there.pool(BASE_POOL).map(|pool| &pool.volumes);
            images.into_iter().flatten().any(|image| {
                let used = names::used(&image.name).map(|(_, cluster, _)| cluster);
                used.or(names::uploader(&image.name)) == Some(self.cluster.as_str())
            })
        };
        let has_ours = domains.iter().any(|d| d.is_of(self.cluster))
            || !own_pools(self.cluster, self.there).is_empty()
            || own_image();
        if moved || self.has_namesakes() || !has_ours {
            return Ok(());
        }
        let others = BTreeSet::new();
        let going = Going {
            spared: self.elsewhere,
            others: &others,
            uses: &Uses::Of(self.host.clone()),
        };
        self.changes = removal_of(self.cluster, self.host, self.there, going)?;
        Ok(())
    }

    /// Machines of this cluster on this host that are not wanted on any.
    fn leaving(&self) -> Vec<&'a DomainState> {
        self.there
            .domains
            .iter()
            .filter(|d| d.is_of(self.cluster) && !self.wanted.contains(d.name.as_str()))
            .collect()
    }

    /// Whether another program has machines with the names of our nodes: then a disk without a machine may be its.
    fn has_namesakes(&self) -> bool {
        let mut domains = self.there.domains.iter();
        domains.any(|domain| domain.is_namesake(self.cluster))
    }

    fn volumes(
        &mut self,
        pool: &PoolState,
        wanted: &DesiredHost,
        leaving: &[&DomainState],
        detached: &BTreeSet<(String, PathBuf)>,
    ) {
        let namesakes = self.has_namesakes();
        let all = Users::new(&self.there.pools, &self.there.domains);
        for name in self.unwanted_names(pool, wanted, leaving, detached) {
            let path = pool.path.as_deref().unwrap_or("".as_ref()).join(&name);
            let like = VolumeState {
                path: path.clone(),
                ..unseen(&name)
            };
            let users = all.of(&pool.name, &like);
            let goes = |domain: &DomainState| {
                leaving.iter().any(|d| d.name == domain.name)
                    || detached.contains(&(domain.name.clone(), path.clone()))
            };
            let log_of_leaving = leaving
                .iter()
                .any(|d| log_of(&name) == Some(d.name.as_str()));
            // Hosts may share the folder.
            if self.elsewhere.has(&name)
                || users.iter().any(|user| !goes(user))
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

    /// The cluster's own volumes in this pool that are not wanted: those that are seen, and in a stopped pool those that
    /// machines tell of.
    fn unwanted_names(
        &self,
        pool: &PoolState,
        wanted: &DesiredHost,
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
            wanted.machines.iter().any(|machine| {
                let mut volumes = machine.data.iter().chain([&machine.main]);
                volumes.any(|volume| volume.pool == pool.name && volume.name == name)
                    || (machine.seed_pool == pool.name && machine.seed == name)
            })
        };
        // The log of a machine that is wanted on whichever host, and all parts of a log at once.
        let mut logs = BTreeSet::new();
        names.retain(|name| {
            is_own_volume(self.cluster.as_str(), name)
                && !is_wanted(name)
                && log_of(name).is_none_or(|node| {
                    logs.insert(node.to_owned());
                    false
                })
        });
        logs.retain(|node| !self.wanted.contains(node.as_str()));
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

/// A volume of which only the name is known.
fn unseen(name: &str) -> VolumeState {
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
