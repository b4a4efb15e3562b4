//! When the certificates on a master end, by openssl.

use kubitect_config::{Remote, text};
use serde::Serialize;
use tokio::time::{Duration, timeout};

use super::remote::{PATIENCE, succeed};
use crate::Error;

/// Where Kubespray keeps the certificates of Kubernetes and of etcd.
const FOLDERS: [&str; 2] = ["/etc/kubernetes/ssl", "/etc/ssl/etcd/ssl"];

/// How many certificates are looked at; a master has some 15, and each member of etcd three more.
const FILES: usize = 100;

/// How long looking at all of them may take.
const TOTAL: Duration = Duration::from_secs(5 * 60);

/// A certificate on a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Its file.
    pub path: String,
    /// When it ends, in seconds since 1970.
    pub ends: i64,
    /// The same for people, as openssl writes it: `Nov 22 20:03:09 2035 GMT`.
    pub ends_text: String,
}

/// All certificates of Kubernetes and etcd on this master, the first to end first.
pub async fn certificates(remote: &impl Remote) -> Result<Vec<Certificate>, Error> {
    let what = "look for the certificates";
    timeout(TOTAL, all(remote, what)).await.unwrap_or_else(|_| {
        Err(Error::Slow {
            what: what.to_owned(),
            limit: TOTAL,
            lines: String::new(),
        })
    })
}

async fn all(remote: &impl Remote, what: &str) -> Result<Vec<Certificate>, Error> {
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
    let output = succeed(remote, what, &argv, PATIENCE).await?;
    let paths = String::from_utf8_lossy(&output.stdout);
    if paths.lines().nth(FILES).is_some() {
        return Err(Error::Program {
            what: what.to_owned(),
            lines: format!("there are more than {FILES}"),
        });
    }
    let mut found = Vec::new();
    for path in paths.lines() {
        let shown = text::line(path);
        let what = format!("ask when {shown} ends");
        let argv = ["openssl", "x509", "-noout", "-enddate", "-in", path];
        let output = succeed(remote, &what, &argv, PATIENCE).await?;
        let text = text::line(String::from_utf8_lossy(&output.stdout).trim());
        let text = text.trim_start_matches("notAfter=");
        let Some(ends) = seconds(text) else {
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

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// `Nov 22 20:03:09 2035 GMT` as seconds since 1970: Howard Hinnant's days_from_civil.
fn seconds(text: &str) -> Option<i64> {
    let words: Vec<_> = text.split_whitespace().collect();
    let [month, day, time, year, "GMT"] = words[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)? as i64;
    let number = |text: &str, to: i64| text.parse().ok().filter(|n| (0..=to).contains(n));
    let (day, year) = (number(day, 31)?, number(year, 9999)?);
    let time: Option<Vec<i64>> = time.split(':').map(|part| number(part, 60)).collect();
    let [hours, minutes, seconds] = time?[..] else {
        return None;
    };
    // The year begins in March, so that the day that may be missing is its last.
    let (year, month) = if month < 2 {
        (year - 1, month + 10)
    } else {
        (year, month - 2)
    };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    Some(days * 86_400 + hours * 3_600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_openssl_writes_them() {
        assert_eq!(seconds("Jan  1 00:00:00 1970 GMT"), Some(0));
        assert_eq!(seconds("Feb 29 00:00:00 2000 GMT"), Some(951_782_400));
        assert_eq!(seconds("Dec 31 23:59:59 2025 GMT"), Some(1_767_225_599));
        assert_eq!(seconds("Dec 31 23:59 2025 GMT"), None);
        assert_eq!(seconds("tomorrow"), None);
        // A master may write what it likes.
        assert_eq!(seconds("Dec 31 23:59:59:\u{1b}[2J 2025 GMT"), None);
        assert_eq!(seconds("Dec 31 23:59:59 9223372036854775807 GMT"), None);
        assert_eq!(seconds("Dec -9223372036854775808 23:59:59 2025 GMT"), None);
    }
}
