//! Runs commands on machines as root: once, or again while they fail for transient reasons.

use std::time::Duration;

use kubitect_config::remote::{Output, Remote};
use kubitect_config::text;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;

use crate::Error;

/// The last lines of a command's stderr, or of its stdout if stderr is empty; for error messages.
pub(super) fn last_output(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let text = if stderr.trim().is_empty() {
        String::from_utf8_lossy(&output.stdout)
    } else {
        stderr
    };
    crate::program::last_lines(&text, 8)
}

/// Whether an API server or a member of etcd serves, or a node is Ready. In JSON it is two fields: `healthy` and `reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It serves, or is Ready.
    Healthy,
    /// It does not, for this reason.
    Unhealthy(String),
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let reason = match self {
            Self::Healthy => None,
            Self::Unhealthy(why) => Some(why),
        };
        let mut fields = to.serialize_struct("Health", 2)?;
        fields.serialize_field("healthy", &reason.is_none())?;
        fields.serialize_field("reason", &reason)?;
        fields.end()
    }
}

impl Health {
    /// The reason, from the output of a machine, becomes one line without control characters.
    pub(super) fn unhealthy(why: &str) -> Self {
        Self::Unhealthy(text::line(why))
    }
}

/// The most entries of a list that is read from a cluster: more than twice the nodes that Kubernetes supports (5,000).
const MAX_ENTRIES: usize = 12_000;

/// Deserializes a list of at most [`MAX_ENTRIES`] entries, so that a compromised master can't fill the memory.
pub(super) fn bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct List<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a list of at most {MAX_ENTRIES}")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(entry) = entries.next_element()? {
                if list.len() == MAX_ENTRIES {
                    return Err(serde::de::Error::invalid_length(MAX_ENTRIES + 1, &self));
                }
                list.push(entry);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_seq(List(std::marker::PhantomData))
}

/// How long a command may take, unless it has a limit of its own.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// The time between two tries.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// Errors of API servers, etcd and connections to them that pass: while one restarts, or etcd elects a leader.
const TRANSIENT: [&str; 15] = [
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

/// Whether what a command printed has an error of [`TRANSIENT`].
pub(super) fn is_transient(lines: &str) -> bool {
    TRANSIENT.iter().any(|text| lines.contains(text))
}

/// Runs a command as root, once; any exit status is an `Ok`.
pub(super) async fn run_once(
    remote: &impl Remote,
    what: &str,
    argv: &[&str],
    limit: Duration,
) -> Result<Output, Error> {
    let argv = [&["sudo", "-n"], argv].concat();
    // The connection has the same limit; this longer one holds even if the connection does not keep it.
    let deadline = limit + Duration::from_secs(15);
    match tokio::time::timeout(deadline, remote.run(&argv, limit)).await {
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

/// Runs a command as root, again within `limit` while it fails with an error of [`TRANSIENT`]. Any other failure is an error at
/// once.
pub(super) async fn run_retrying(
    remote: &impl Remote,
    what: &str,
    argv: &[&str],
    limit: Duration,
) -> Result<Output, Error> {
    let end = Instant::now() + limit;
    loop {
        let output = run_once(remote, what, argv, limit).await?;
        if output.status == 0 {
            return Ok(output);
        }
        let lines = last_output(&output);
        if !is_transient(&lines) || Instant::now() + PAUSE >= end {
            return Err(Error::Program {
                what: what.to_owned(),
                lines,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Replaces a file on the machine.
pub(super) async fn write(
    remote: &impl Remote,
    what: &str,
    path: &str,
    bytes: &[u8],
    mode: u32,
) -> Result<(), Error> {
    let deadline = LIMIT + Duration::from_secs(15);
    match tokio::time::timeout(deadline, remote.put(path, bytes, mode, LIMIT)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(Error::Remote {
            what: what.to_owned(),
            source,
        }),
        Err(_) => Err(Error::Slow {
            what: what.to_owned(),
            limit: LIMIT,
            lines: String::new(),
        }),
    }
}

/// Parses what a command printed as JSON.
pub(super) fn parse_json<T: serde::de::DeserializeOwned>(
    what: &str,
    text: &[u8],
) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|source| Error::Answer {
        what: what.to_owned(),
        source,
    })
}
