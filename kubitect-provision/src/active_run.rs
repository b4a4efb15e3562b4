//! [`ActiveRun`]: the run that is changing a cluster now, to be shown by `status` and `plan`.

use std::fmt;
use std::time::SystemTime;

use kubitect_config::text;
use serde::Serialize;

use crate::fleet::Fleet;
use crate::host_lock::{self, Holder};

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveRun {
    /// Its process number.
    pub process: String,
    /// The time of its start, in UTC (RFC 3339).
    pub since: String,
    /// Its user, machine and folder, if its clusters are in another folder than this one's.
    pub place: Option<String>,
}

impl ActiveRun {
    /// The run that holds the lock of the cluster's folder; else a run of another folder that holds the lock on one of its hosts.
    pub fn on(fleet: &Fleet) -> Option<Self> {
        if let Some((process, since)) = fleet.dir.lock_holder() {
            return Some(Self::new(process, since, None));
        }
        let me = Holder::this(&fleet.dir);
        let other = host_lock::other_run(&fleet.cluster.name, &fleet.hosts, &me)?;
        let process = other.process().to_string();
        Some(Self::new(process, other.since(), Some(other.place())))
    }

    fn new(process: String, since: SystemTime, place: Option<String>) -> Self {
        let since = chrono::DateTime::<chrono::Utc>::from(since);
        Self {
            process,
            since: since.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            place: place.map(|place| text::line(&place)),
        }
    }
}

impl fmt::Display for ActiveRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            process,
            since,
            place,
        } = self;
        match place {
            None => write!(
                f,
                "a run is at work (process {process}, since {since}); `kubitect logs --follow` shows it"
            ),
            Some(place) => write!(
                f,
                "another run is at work, or was killed there (process {process} {place}, since {since})"
            ),
        }
    }
}
