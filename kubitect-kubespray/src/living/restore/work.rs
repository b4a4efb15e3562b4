//! `Restore::carry_out`: restores a cluster's etcd from a snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kubitect_config::Remote;
use kubitect_config::chain;
use kubitect_config::value::Label;
use kubitect_config::waiting::side_by_side;

use super::plan::{Master, Restore};
use crate::Error;
use crate::control::{self, Health};
use crate::living::Startup;

/// How long etcd may take to serve with all members.
const ETCD_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The result of a restoration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// Where the former data of each master's member are now.
    pub aside: BTreeMap<Label, String>,
    /// What the person has to do by hand, a sentence each.
    pub manual_steps: Vec<String>,
}

impl Restored {
    /// Where former data are retained, a sentence for each master.
    pub fn retained(&self) -> impl Iterator<Item = String> {
        self.aside.iter().map(|(name, path)| {
            format!("{name}: what it held before is in {path}; remove that when nobody misses it")
        })
    }
}

/// A master, and the connection to it.
type Connected<'a> = (&'a Master, Arc<dyn Remote>);

impl Restore {
    /// Restores etcd. `phase` gets the number of each phase as it begins, from 1. After a kill or a failure the same command starts
    /// over. A failure before any data are replaced leaves the cluster as it was.
    pub async fn carry_out(
        &self,
        run: &Startup<'_>,
        phase: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<Restored, Error> {
        let masters = self.masters.iter().map(async |master| {
            let session = run.login(&master.node.name).await?;
            Ok((master, session))
        });
        let masters = side_by_side(masters).await.into_iter();
        let masters: Vec<_> = masters.collect::<Result<_, Error>>()?;
        phase(1);
        if let Err(error) = self.prepare(run, &masters).await {
            self.clear(&masters).await;
            return Err(error);
        }
        phase(2);
        if let Err(error) = self.halt(run, &masters).await {
            return Err(self.roll_back(run, &masters, error).await);
        }
        fail::fail_point!("kubespray::restore-halted");
        phase(3);
        let aside = self.put_in_place(run, &masters).await?;
        self.start_etcd(run, &masters).await?;
        fail::fail_point!("kubespray::restore-started");
        phase(4);
        self.resume(run, &masters).await?;
        let mut manual_steps = self.restart_kubelets(run).await;
        manual_steps.extend(self.clear(&masters).await);
        self.note(run, false)?;
        Ok(Restored {
            aside,
            manual_steps,
        })
    }

    /// Copies the snapshot to all masters, and unpacks it there. Nothing that runs is touched.
    async fn prepare(&self, run: &Startup<'_>, masters: &[Connected<'_>]) -> Result<(), Error> {
        let cluster: Vec<_> = self
            .masters
            .iter()
            .map(|own| own.member.initial())
            .collect();
        let cluster = cluster.join(",");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // Each attempt has a token of its own: members with the same token and addresses would take members of an earlier attempt
        // for their own.
        let token = format!("kubitect-{}", now.unwrap_or_default().as_nanos());
        let bump = self.bumps_revision;
        on_all(masters, async |(master, machine)| {
            let name = &master.node.name;
            let content = &self.content;
            run.wait(&format!("bring the snapshot to {name}"), async |_| {
                control::upload(machine, &content.file, &content.sha256).await
            })
            .await?;
            run.wait(&format!("unpack the snapshot on {name}"), async |_| {
                control::unpack(machine, &master.member, &cluster, &token, bump).await
            })
            .await
        })
        .await?;
        fail::fail_point!("kubespray::restore-unpacked");
        self.note(run, true)
    }

    /// Stops everything that uses etcd, then all members. Data are replaced only after that, so that members with the former data
    /// and members with the restored ones never run at the same time.
    async fn halt(&self, run: &Startup<'_>, masters: &[Connected<'_>]) -> Result<(), Error> {
        on_all(masters, async |(master, machine)| {
            let what = format!("stop the control plane on {}", master.node.name);
            run.wait(&what, async |_| control::stop_control_plane(machine).await)
                .await
        })
        .await?;
        fail::fail_point!("kubespray::restore-api-stopped");
        on_all(masters, async |(master, machine)| {
            let what = format!("stop etcd on {}", master.node.name);
            run.wait(&what, async |_| control::stop_member(machine).await)
                .await
        })
        .await
    }

    /// Whether an earlier restoration was interrupted: some members may have the snapshot's data, and others their own.
    fn is_repeated(&self) -> bool {
        self.masters.iter().any(|master| master.note.restoring)
    }

    /// Starts etcd and the control plane again, with their own data, after `error` stopped the restoration. Returns that error,
    /// with what could not be started. An interrupted restoration can't be rolled back: members may hold different data.
    async fn roll_back(&self, run: &Startup<'_>, masters: &[Connected<'_>], error: Error) -> Error {
        if self.is_repeated() {
            return error;
        }
        let started = on_all(masters, async |(master, machine)| {
            let what = format!("start what was stopped on {}", master.node.name);
            run.wait(&what, async |_| {
                control::restart_etcd(machine).await?;
                control::start_control_plane(machine).await
            })
            .await
        })
        .await;
        self.clear(masters).await;
        let noted = started.and_then(|()| self.note(run, false));
        match noted {
            Ok(()) => Error::because(
                "stop etcd; nothing was replaced, and all was started again",
                error,
            ),
            Err(other) => Error::because(
                format!(
                    "stop etcd; nothing was replaced, and not all could be started again ({}): the same command goes on",
                    chain(&other)
                ),
                error,
            ),
        }
    }

    async fn put_in_place(
        &self,
        run: &Startup<'_>,
        masters: &[Connected<'_>],
    ) -> Result<BTreeMap<Label, String>, Error> {
        let mut aside = BTreeMap::new();
        for (master, machine) in masters {
            let name = &master.node.name;
            run.wait(&format!("replace etcd's data on {name}"), async |_| {
                let path = control::put_in_place(machine, &master.member).await?;
                aside.extend(path.map(|path| (name.clone(), path)));
                Ok(())
            })
            .await?;
            fail::fail_point!("kubespray::restore-replaced");
        }
        Ok(aside)
    }

    async fn start_etcd(&self, run: &Startup<'_>, masters: &[Connected<'_>]) -> Result<(), Error> {
        on_all(masters, async |(_, machine)| {
            control::restart_etcd(machine).await
        })
        .await?;
        let Some((_, first)) = masters.first() else {
            return Ok(());
        };
        run.wait("wait for etcd with all its members", async |waits| {
            let missing = control::wait(ETCD_LIMIT, waits, async || {
                self.missing_members(first).await
            })
            .await;
            missing.map_or(Ok(()), |missing| Err(late(missing)))
        })
        .await
    }

    /// Which masters are not yet healthy members of etcd, and why. None: all are.
    async fn missing_members(&self, machine: &Arc<dyn Remote>) -> Option<String> {
        let members = match control::members(machine).await {
            Ok(members) => members,
            Err(error) => return Some(chain(&error)),
        };
        let missing = self.masters.iter().filter_map(|master| {
            let own = members.iter().find(|own| own.name == master.member.name);
            match own.map(|own| &own.health) {
                Some(Health::Healthy) => None,
                Some(Health::Unhealthy(why)) => Some(format!("{}: {why}", master.node.name)),
                None => Some(format!("{}: it is no member", master.node.name)),
            }
        });
        let missing: Vec<_> = missing.collect();
        (!missing.is_empty()).then(|| missing.join("; "))
    }

    /// Starts the control plane, whose caches are empty then, and waits until every API server serves.
    async fn resume(&self, run: &Startup<'_>, masters: &[Connected<'_>]) -> Result<(), Error> {
        on_all(masters, async |(master, machine)| {
            let resumed = control::start_control_plane(machine).await;
            resumed.map_err(|e| Error::because(format!("start {}", master.node.name), e))
        })
        .await?;
        let names: Vec<_> = self.masters.iter().map(|own| &own.node.name).collect();
        let mut served = run.masters(&names).await.into_iter();
        served.try_for_each(|served| served.map(drop))
    }

    /// Restarts the kubelets of all workers: they drop what they have cached of the former etcd. Returns a sentence for each
    /// failure.
    async fn restart_kubelets(&self, run: &Startup<'_>) -> Vec<String> {
        let restarts = self.workers.iter().map(async |name| {
            let machine = run.login(name).await?;
            control::restart_kubelet(&machine).await
        });
        let restarted = side_by_side(restarts).await;
        let late = self.workers.iter().zip(restarted);
        let late = late.filter_map(|(name, restarted)| Some((name, restarted.err()?)));
        late.map(|(name, error)| {
            format!(
                "{name}: its kubelet could not be restarted ({}), and may use outdated data; `systemctl restart kubelet` there does it",
                chain(&error)
            )
        })
        .collect()
    }

    /// Removes the copied and unpacked snapshot from the masters. Returns a sentence if that failed: it holds every secret.
    async fn clear(&self, masters: &[Connected<'_>]) -> Option<String> {
        let cleared = on_all(masters, async |(master, machine)| {
            control::remove_unpacked(machine, &master.member).await?;
            control::discard_upload(machine).await
        });
        let error = cleared.await.err()?;
        Some(format!(
            "the snapshot, with every secret of the cluster, may still lie in {} of masters: {}",
            control::SNAPSHOT_FILE,
            chain(&error)
        ))
    }

    /// Notes on all masters whether a restoration of their etcd is under way. While one is noted, a plan refuses all other work.
    fn note(&self, run: &Startup<'_>, restoring: bool) -> Result<(), Error> {
        let mut masters = self.masters.iter();
        masters.try_for_each(|master| note(run, master, restoring))
    }
}

/// The error that etcd does not serve in time.
fn late(missing: String) -> Error {
    Error::Slow {
        what: "start etcd with the snapshot's data (`journalctl -u etcd` on the masters says why it does not serve)".to_owned(),
        limit: ETCD_LIMIT,
        lines: missing,
    }
}

fn note(run: &Startup<'_>, master: &Master, restoring: bool) -> Result<(), Error> {
    let mut note = master.note.clone();
    note.restoring = restoring;
    fail::fail_point!("kubespray::note");
    let noted = run.machines.note(&master.node, &note.text()?);
    noted.map_err(|e| Error::because(format!("write the note of {}", master.node.name), e))?;
    fail::fail_point!("kubespray::noted");
    Ok(())
}

/// Runs the same work on all masters, side by side. Returns the first failure.
async fn on_all<'a, T>(
    masters: &'a [T],
    work: impl AsyncFn(&'a T) -> Result<(), Error>,
) -> Result<(), Error> {
    let done = side_by_side(masters.iter().map(|master| work(master))).await;
    done.into_iter().collect()
}
