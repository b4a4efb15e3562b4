//! [`Timeouts`]: the deadlines of waits for machines and nodes. They are settings of the site, as they depend on the hosts' speed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::value::Invalid;

/// The longest timeout, in seconds: nobody waits for a run for more than a day.
const MOST: u64 = 24 * 3600;

/// A timeout, written as `90s`, `20m` or `2h`: from one second to one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timeout(u64);

impl From<Timeout> for Duration {
    fn from(timeout: Timeout) -> Self {
        Self::from_secs(timeout.0)
    }
}

impl FromStr for Timeout {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let units = [("s", 1), ("m", 60), ("h", 3600)];
        let parts = units
            .iter()
            .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
        let seconds = parts.and_then(|(number, seconds)| {
            let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
            let number: u64 = digits.then(|| number.parse().ok())??;
            number.checked_mul(*seconds)
        });
        match seconds {
            Some(seconds) if (1..=MOST).contains(&seconds) => Ok(Self(seconds)),
            _ => Err(Invalid::new(
                "must be a whole number with its unit, as `90s`, `20m` or `2h`, of 1 s to 24 h",
            )),
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds if seconds % 3600 == 0 => write!(f, "{}h", seconds / 3600),
            seconds if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            seconds => write!(f, "{seconds}s"),
        }
    }
}

impl Serialize for Timeout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The timeouts of all waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// For a machine that starts: for its address, and again for the end of cloud-init.
    pub boot: Timeout,
    /// For pods to leave a node.
    pub drain: Timeout,
    /// For a node to be Ready, and for a master's API to serve.
    pub ready: Timeout,
}

impl Default for Timeouts {
    /// Long enough for emulated machines, several of which boot on one processor.
    fn default() -> Self {
        Self {
            boot: Timeout(20 * 60),
            drain: Timeout(5 * 60),
            ready: Timeout(10 * 60),
        }
    }
}

impl Timeouts {
    /// The same timeouts, with those for boot, drain and Ready replaced that are given.
    pub fn or(self, [boot, drain, ready]: [Option<Timeout>; 3]) -> Self {
        Self {
            boot: boot.unwrap_or(self.boot),
            drain: drain.unwrap_or(self.drain),
            ready: ready.unwrap_or(self.ready),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_its_unit() {
        for (text, shown, seconds) in [
            ("90s", "90s", 90),
            ("120s", "2m", 120),
            ("20m", "20m", 1200),
            ("24h", "24h", 86_400),
        ] {
            let timeout: Timeout = text.parse().unwrap();
            assert_eq!(timeout.to_string(), shown);
            assert_eq!(Duration::from(timeout), Duration::from_secs(seconds));
        }
        let wrong = [
            "",
            "5",
            "m",
            "0s",
            "25h",
            "-5m",
            "+5m",
            "1.5h",
            "5 m",
            "5min",
            "99999999999999999999s",
            "18446744073709551615h",
            "٣m",
        ];
        for text in wrong {
            assert!(text.parse::<Timeout>().is_err(), "{text}");
        }
    }
}
