//! `Restore::carry_out`: brings a cluster's etcd back to a snapshot.

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
use crate::living::Back;

/// How long etcd may take to serve with all members.
const ETCD: Duration = Duration::from_secs(5 * 60);

/// What became of a cluster's etcd.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// Where the data of each master's member are that were there before.
    pub aside: BTreeMap<Label, String>,
    /// What is left to do by hand, a sentence each.
    pub left: Vec<String>,
}

impl Restored {
    /// What is kept of before, and where, a sentence each.
    pub fn kept(&self) -> impl Iterator<Item = String> {
        self.aside.iter().map(|(name, path)| {
            format!("{name}: what it held before is in {path}; remove that when nobody misses it")
        })
    }
}

/// A master, and the connection to it.
type Connected<'a> = (&'a Master, Arc<dyn Remote>);

impl Restore {
    /// Does it; `phase` hears of each phase by its number, from 1. Killed or interrupted, the same begins anew. What fails before any
    /// data are replaced leaves the cluster as it was.
    pub async fn carry_out(
        &self,
        back: &Back<'_>,
        phase: &(dyn Fn(usize) + Send + Sync),
    ) -> Result<Restored, Error> {
        let masters = self.masters.iter().map(async |master| {
            let session = back.login(&master.node.name).await?;
            Ok((master, session))
        });
        let masters = side_by_side(masters).await.into_iter();
        let masters: Vec<_> = masters.collect::<Result<_, Error>>()?;
        phase(1);
        if let Err(error) = self.prepare(back, &masters).await {
            self.clear(&masters).await;
            return Err(error);
        }
        phase(2);
        if let Err(error) = self.halt(back, &masters).await {
            return Err(self.give_up(back, &masters, error).await);
        }
        fail::fail_point!("kubespray::restore-halted");
        phase(3);
        let aside = self.put_in_place(back, &masters).await?;
        self.start_etcd(back, &masters).await?;
        fail::fail_point!("kubespray::restore-started");
        phase(4);
        self.resume(back, &masters).await?;
        let mut left = self.restart_kubelets(back).await;
        left.extend(self.clear(&masters).await);
        self.note(back, false)?;
        Ok(Restored { aside, left })
    }

    /// Brings the snapshot to all masters, and unpacks it there. Nothing of what runs is touched.
    async fn prepare(&self, back: &Back<'_>, masters: &[Connected<'_>]) -> Result<(), Error> {
        let cluster: Vec<_> = self
            .masters
            .iter()
            .map(|own| own.member.initial())
            .collect();
        let cluster = cluster.join(",");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // Of its own for each try: members of two etcds with the same token and addresses take one another for their own.
        let token = format!("kubitect-{}", now.unwrap_or_default().as_nanos());
        each(masters, async |(master, machine)| {
            let name = &master.node.name;
            let content = &self.content;
            back.told(&format!("bring the snapshot to {name}"), async |_| {
                control::bring(machine, &content.file, &content.sha256).await
            })
            .await?;
            back.told(&format!("unpack the snapshot on {name}"), async |_| {
                control::unpack(machine, &master.member, &cluster, &token, self.bumps).await
            })
            .await
        })
        .await?;
        fail::fail_point!("kubespray::restore-unpacked");
        self.note(back, true)
    }

    /// Stops all that uses etcd, then all members: only then is any of their data replaced.
    async fn halt(&self, back: &Back<'_>, masters: &[Connected<'_>]) -> Result<(), Error> {
        each(masters, async |(master, machine)| {
            let what = format!("stop the control plane on {}", master.node.name);
            back.told(&what, async |_| control::halt(machine).await)
                .await
        })
        .await?;
        fail::fail_point!("kubespray::restore-api-stopped");
        each(masters, async |(master, machine)| {
            let what = format!("stop etcd on {}", master.node.name);
            back.told(&what, async |_| control::stop_member(machine).await)
                .await
        })
        .await
    }

    /// Whether a run before was stopped half-way: some members may have the snapshot's data, and others their own.
    fn goes_on(&self) -> bool {
        self.masters.iter().any(|master| master.note.restoring)
    }

    /// Starts again what was stopped, with what it held; the error with what could not be.
    async fn give_up(&self, back: &Back<'_>, masters: &[Connected<'_>], error: Error) -> Error {
        if self.goes_on() {
            return error;
        }
        let started = each(masters, async |(master, machine)| {
            let what = format!("start what was stopped on {}", master.node.name);
            back.told(&what, async |_| {
                control::restart_etcd(machine).await?;
                control::resume(machine).await
            })
            .await
        })
        .await;
        self.clear(masters).await;
        let noted = started.and_then(|()| self.note(back, false));
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
        back: &Back<'_>,
        masters: &[Connected<'_>],
    ) -> Result<BTreeMap<Label, String>, Error> {
        let mut aside = BTreeMap::new();
        for (master, machine) in masters {
            let name = &master.node.name;
            back.told(&format!("replace etcd's data on {name}"), async |_| {
                let path = control::put_in_place(machine, &master.member).await?;
                aside.extend(path.map(|path| (name.clone(), path)));
                Ok(())
            })
            .await?;
            fail::fail_point!("kubespray::restore-replaced");
        }
        Ok(aside)
    }

    async fn start_etcd(&self, back: &Back<'_>, masters: &[Connected<'_>]) -> Result<(), Error> {
        each(masters, async |(_, machine)| {
            control::restart_etcd(machine).await
        })
        .await?;
        let Some((_, first)) = masters.first() else {
            return Ok(());
        };
        back.told("wait for etcd with all its members", async |waits| {
            let missing = control::wait(ETCD, waits, async || self.lacks(first).await).await;
            missing.map_or(Ok(()), |missing| Err(late(missing)))
        })
        .await
    }

    /// What etcd lacks of being one of all masters, and well.
    async fn lacks(&self, machine: &Arc<dyn Remote>) -> Option<String> {
        let members = match control::members(machine).await {
            Ok(members) => members,
            Err(error) => return Some(chain(&error)),
        };
        let lacking = self.masters.iter().filter_map(|master| {
            let own = members.iter().find(|own| own.name == master.member.name);
            match own.map(|own| &own.health) {
                Some(Health::Well) => None,
                Some(Health::Ill(why)) => Some(format!("{}: {why}", master.node.name)),
                None => Some(format!("{}: it is no member", master.node.name)),
            }
        });
        let lacking: Vec<_> = lacking.collect();
        (!lacking.is_empty()).then(|| lacking.join("; "))
    }

    /// Starts the control plane with all that it knew forgotten, and waits until every API server serves.
    async fn resume(&self, back: &Back<'_>, masters: &[Connected<'_>]) -> Result<(), Error> {
        each(masters, async |(master, machine)| {
            let resumed = control::resume(machine).await;
            resumed.map_err(|e| Error::because(format!("start {}", master.node.name), e))
        })
        .await?;
        let names: Vec<_> = self.masters.iter().map(|own| &own.node.name).collect();
        let mut served = back.masters(&names).await.into_iter();
        served.try_for_each(|served| served.map(drop))
    }

    /// Has the kubelets of all workers ask for everything again; what could not be, in words.
    async fn restart_kubelets(&self, back: &Back<'_>) -> Vec<String> {
        let restarts = self.workers.iter().map(async |name| {
            let machine = back.login(name).await?;
            control::restart_kubelet(&machine).await
        });
        let restarted = side_by_side(restarts).await;
        let late = self.workers.iter().zip(restarted);
        let late = late.filter_map(|(name, restarted)| Some((name, restarted.err()?)));
        late.map(|(name, error)| {
            format!(
                "{name}: its kubelet could not be restarted ({}), and may go by what it knew; `systemctl restart kubelet` there does it",
                chain(&error)
            )
        })
        .collect()
    }

    /// Removes what was brought and unpacked; what could not be, in words.
    async fn clear(&self, masters: &[Connected<'_>]) -> Option<String> {
        let cleared = each(masters, async |(master, machine)| {
            control::clear(machine, &master.member).await?;
            control::discard(machine).await
        });
        let error = cleared.await.err()?;
        Some(format!(
            "the snapshot, with every secret of the cluster, may still lie in {} of masters: {}",
            control::BROUGHT,
            chain(&error)
        ))
    }

    /// Notes on all masters that their etcd is being replaced, or is no more.
    fn note(&self, back: &Back<'_>, restoring: bool) -> Result<(), Error> {
        let mut masters = self.masters.iter();
        masters.try_for_each(|master| note(back, master, restoring))
    }
}

/// etcd does not serve in time.
fn late(missing: String) -> Error {
    Error::Slow {
        what: "start etcd with the snapshot's data (`journalctl -u etcd` on the masters says why it does not serve)".to_owned(),
        limit: ETCD,
        lines: missing,
    }
}

fn note(back: &Back<'_>, master: &Master, restoring: bool) -> Result<(), Error> {
    let mut note = master.note.clone();
    note.restoring = restoring;
    fail::fail_point!("kubespray::note");
    let noted = back.machines.note(&master.node, &note.text()?);
    noted.map_err(|e| Error::because(format!("note it on {}", master.node.name), e))?;
    fail::fail_point!("kubespray::noted");
    Ok(())
}

/// Does the same on all masters, side by side; the first failure.
async fn each<'a, T>(
    masters: &'a [T],
    work: impl AsyncFn(&'a T) -> Result<(), Error>,
) -> Result<(), Error> {
    let done = side_by_side(masters.iter().map(|master| work(master))).await;
    done.into_iter().collect()
}
