//! Runs what masters are asked: once, or until it succeeds where it fails for reasons that pass.

use std::time::Duration;

use kubitect_config::remote::{Output, Remote};
use kubitect_config::text;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;

use crate::Error;

/// What a command said, for a person: its last complaints, or what it printed where it did not complain.
pub(super) fn said(output: &Output) -> String {
    let complaints = String::from_utf8_lossy(&output.stderr);
    let text = if complaints.trim().is_empty() {
        String::from_utf8_lossy(&output.stdout)
    } else {
        complaints
    };
    crate::program::last_lines(&text, 8)
}

/// Whether something serves, and if not, what it says of it. For programs it is two fields: `healthy` and `reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It serves.
    Well,
    /// It does not.
    Ill(String),
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let reason = match self {
            Self::Well => None,
            Self::Ill(why) => Some(why),
        };
        let mut fields = to.serialize_struct("Health", 2)?;
        fields.serialize_field("healthy", &reason.is_none())?;
        fields.serialize_field("reason", &reason)?;
        fields.end()
    }
}

impl Health {
    /// It does not serve; what a machine says of it becomes one clean line.
    pub(super) fn ill(why: &str) -> Self {
        Self::Ill(text::line(why))
    }
}

/// The most entries of a list that a cluster hands over: more than twice of what Kubernetes itself supports (5,000 nodes).
const MANY: usize = 12_000;

/// Reads a list that a cluster hands over, and no more of it than [`MANY`] entries.
pub(super) fn bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct List<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a list of at most {MANY}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(entry) = entries.next_element()? {
                if list.len() == MANY {
                    return Err(serde::de::Error::invalid_length(MANY + 1, &self));
                }
                list.push(entry);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(List(std::marker::PhantomData))
}

/// How long anything that only asks may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two tries of something that fails for a moment.
const PAUSE: Duration = Duration::from_secs(2);

/// What API servers, etcd and the connections to them say while one of them restarts or elects a leader.
const PASSING: [&str; 15] = [
    "connection refused",
    "was refused - did you",
    "connection reset",
    "i/o timeout",
    "TLS handshake timeout",
    "unexpected EOF",
    ": EOF",
    "etcdserver: leader changed",
    "etcdserver: no leader",
    "etcdserver: request timed out",
    "etcdserver: unhealthy cluster",
    "context deadline exceeded",
    "ServiceUnavailable",
    "the object has been modified",
    "the server is currently unable to handle the request",
];

/// Runs a command as root, once; any exit status is an `Ok`.
pub(super) async fn once(
    remote: &impl Remote,
    what: &str,
    argv: &[&str],
    limit: Duration,
) -> Result<Output, Error> {
    let argv = [&["sudo", "-n"], argv].concat();
    // The connection keeps to the deadline itself; that is no reason to trust it.
    let patience = limit + Duration::from_secs(15);
    match tokio::time::timeout(patience, remote.run(&argv, limit)).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(source)) => Err(Error::Remote {
            what: what.to_owned(),
            source,
        }),
        Err(_) => Err(Error::Slow {
            what: what.to_owned(),
            limit,
            lines: String::new(),
        }),
    }
}

/// Runs a command as root until it succeeds, for as long as it fails for reasons that pass.
pub(super) async fn succeed(
    remote: &impl Remote,
    what: &str,
    argv: &[&str],
    limit: Duration,
) -> Result<Output, Error> {
    let end = Instant::now() + limit;
    loop {
        let output = once(remote, what, argv, limit).await?;
        if output.status == 0 {
            return Ok(output);
        }
        let said = said(&output);
        let passes = PASSING.iter().any(|text| said.contains(text));
        if !passes || Instant::now() + PAUSE >= end {
            return Err(Error::Program {
                what: what.to_owned(),
                lines: said,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Replaces a file.
pub(super) async fn write(
    remote: &impl Remote,
    what: &str,
    path: &str,
    bytes: &[u8],
    mode: u32,
) -> Result<(), Error> {
    let patience = PATIENCE + Duration::from_secs(15);
    match tokio::time::timeout(patience, remote.put(path, bytes, mode, PATIENCE)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(Error::Remote {
            what: what.to_owned(),
            source,
        }),
        Err(_) => Err(Error::Slow {
            what: what.to_owned(),
            limit: PATIENCE,
            lines: String::new(),
        }),
    }
}

/// What a command printed, as JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(what: &str, text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|source| Error::Answer {
        what: what.to_owned(),
        source,
    })
}
