//! When the certificates on a master expire, asked with openssl.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use kubitect_config::remote::Output;
use kubitect_config::{Remote, text};
use serde::{Serialize, Serializer};
use tokio::time::{Duration, timeout};

use super::remote::{LIMIT, last_output, run_once, run_retrying};
use crate::Error;

/// The folders in which Kubespray stores the certificates of Kubernetes and of etcd.
const FOLDERS: [&str; 2] = ["/etc/kubernetes/ssl", "/etc/ssl/etcd/ssl"];

/// The most certificates that are read; a master has about 15, and three more for each member of etcd.
const MAX_FILES: usize = 100;

/// How long reading all of them may take.
const TOTAL_LIMIT: Duration = Duration::from_secs(5 * 60);

/// A certificate on a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Its file.
    pub path: String,
    /// When it expires.
    #[serde(serialize_with = "as_text")]
    pub ends: DateTime<Utc>,
    /// The same date as openssl prints it, for people: `Nov 22 20:03:09 2035 GMT`.
    #[serde(skip)]
    pub ends_text: String,
}

/// All certificates of Kubernetes and etcd on this master, sorted by expiry, the earliest first.
pub async fn certificates(remote: &impl Remote) -> Result<Vec<Certificate>, Error> {
    let what = "look for the certificates";
    timeout(TOTAL_LIMIT, read_all(remote, what))
        .await
        .unwrap_or_else(|_| {
            Err(Error::Slow {
                what: what.to_owned(),
                limit: TOTAL_LIMIT,
                lines: String::new(),
            })
        })
}

/// Whether `find` failed only because folders do not exist, as before etcd is set up. Such a folder has no certificates, so this
/// is no error.
fn lacks_folders(output: &Output) -> bool {
    let complaints = String::from_utf8_lossy(&output.stderr);
    let mut lines = complaints.trim().lines().peekable();
    lines.peek().is_some() && lines.all(|line| line.ends_with(": No such file or directory"))
}

async fn read_all(remote: &impl Remote, what: &str) -> Result<Vec<Certificate>, Error> {
    let arguments = [
        "-maxdepth",
        "1",
        "-type",
        "f",
        "(",
        "-name",
        "*.crt",
        "-o",
        "-name",
        "*.pem",
        ")",
        "!",
        "-name",
        "*-key.pem",
    ];
    let argv = [&["find"], &FOLDERS[..], &arguments].concat();
    let output = run_once(remote, what, &argv, LIMIT).await?;
    if !output.success() && !lacks_folders(&output) {
        return Err(Error::Program {
            what: what.to_owned(),
            lines: last_output(&output),
        });
    }
    let paths = String::from_utf8_lossy(&output.stdout);
    if paths.lines().nth(MAX_FILES).is_some() {
        return Err(Error::Program {
            what: what.to_owned(),
            lines: format!("there are more than {MAX_FILES}"),
        });
    }
    let mut found = Vec::new();
    for path in paths.lines() {
        let shown = text::line(path);
        let what = format!("ask when {shown} ends");
        let argv = ["openssl", "x509", "-noout", "-enddate", "-in", path];
        let output = run_retrying(remote, &what, &argv, LIMIT).await?;
        let text = text::line(String::from_utf8_lossy(&output.stdout).trim());
        let text = text.trim_start_matches("notAfter=");
        let Some(ends) = date(text) else {
            return Err(Error::Program {
                what,
                lines: format!("`{text}` is not a date as openssl writes it"),
            });
        };
        found.push(Certificate {
            path: shown,
            ends,
            ends_text: text.to_owned(),
        });
    }
    found.sort_by(|a, b| (a.ends, &a.path).cmp(&(b.ends, &b.path)));
    Ok(found)
}

/// Parses a date as openssl prints it: `Nov 22 20:03:09 2035 GMT`.
fn date(text: &str) -> Option<DateTime<Utc>> {
    let date = NaiveDateTime::parse_from_str(text, "%b %e %H:%M:%S %Y GMT");
    Some(date.ok()?.and_utc())
}

/// Serializes a date in the format of RFC 3339.
fn as_text<S: Serializer>(date: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&date.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_openssl_writes_them() {
        let seconds = |text: &str| Some(date(text)?.timestamp());
        assert_eq!(seconds("Jan  1 00:00:00 1970 GMT"), Some(0));
        assert_eq!(seconds("Feb 29 00:00:00 2000 GMT"), Some(951_782_400));
        assert_eq!(seconds("Dec 31 23:59:59 2025 GMT"), Some(1_767_225_599));
        // The date of RFC 5280 for certificates without an expiry.
        assert_eq!(seconds("Dec 31 23:59:59 9999 GMT"), Some(253_402_300_799));
        for text in [
            "Dec 31 23:59 2025 GMT",
            "Feb 30 00:00:00 2025 GMT",
            "tomorrow",
            // A compromised master may print anything.
            "Dec 31 23:59:59:\u{1b}[2J 2025 GMT",
            "Dec 31 23:59:59 9223372036854775807 GMT",
            "Dec -9223372036854775808 23:59:59 2025 GMT",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn programs_get_a_date_of_rfc_3339() {
        let text = "Nov  2 20:03:09 2035 GMT";
        let certificate = Certificate {
            path: "/x".to_owned(),
            ends: date(text).unwrap(),
            ends_text: text.to_owned(),
        };
        assert_eq!(
            serde_json::to_string(&certificate).unwrap(),
            r#"{"path":"/x","ends":"2035-11-02T20:03:09Z"}"#
        );
    }
}
