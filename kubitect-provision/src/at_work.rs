//! [`AtWork`]: the run that is at work on a cluster, for who looks at it.

use std::fmt;
use std::time::SystemTime;

use kubitect_config::text;
use serde::Serialize;

use crate::fleet::Fleet;
use crate::host_lock::{self, Holder};

/// A run that is at work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AtWork {
    /// The number of its process.
    pub process: String,
    /// Since when, in UTC (RFC 3339).
    pub since: String,
    /// Where it is, if its clusters are in another folder than this one's.
    pub place: Option<String>,
}

impl AtWork {
    /// The run that holds the cluster's folder, or that holds its hosts from another one.
    pub fn on(fleet: &Fleet) -> Option<Self> {
        if let Some((process, since)) = fleet.dir.at_work() {
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

impl fmt::Display for AtWork {
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
