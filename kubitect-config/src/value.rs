//! Small checked types. Their values can safely be a part of a name, a file or an argument.
//!
//! Each is read from text (`FromStr`), shown as text (`Display`) and serialised as that text: so a person reads what a person
//! wrote.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not a value of the wanted type; fits after "`text`: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// What is wrong, as "must …" or "is not …".
    pub message: String,
}

impl Invalid {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
        }
    }
}

/// Serialises and deserialises a type as its text.
macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

/// The longest DNS label, in bytes (RFC 1035, section 2.3.4).
pub const DNS_LABEL_MAX: usize = 63;

/// The longest [`Name`], in bytes.
const NAME_MAX: usize = 63;

/// A DNS label (RFC 1123): lower-case letters, digits and inner hyphens, at most 63 bytes.
///
/// Names of clusters, disks and nodes are labels, and so are ids: nothing in one can end a quotation, climb out of a
/// folder or begin an option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        match (bytes.first(), bytes.last()) {
            (Some(&first), Some(&last))
                if alphanumeric(first)
                    && alphanumeric(last)
                    && bytes.iter().all(|&b| alphanumeric(b) || b == b'-')
                    && bytes.len() <= DNS_LABEL_MAX =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => {
                let rule = "must be 1 to 63 lower-case letters, digits or hyphens, with a letter or digit at both ends";
                Err(Invalid::new(match suggested_label(text) {
                    Some(label) => format!("{rule}: write `{label}`"),
                    None => rule.to_owned(),
                }))
            }
        }
    }
}

/// The label to suggest: the text in lower case, with hyphens instead of `_`, `.` and blanks.
fn suggested_label(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
    let plain = text.to_ascii_lowercase().replace(['_', '.', ' '], "-");
    let plain = plain.trim_matches('-');
    let is_label = !plain.is_empty() && plain.len() <= DNS_LABEL_MAX && text.chars().all(fits);
    is_label.then(|| plain.to_owned())
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Label {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A name that a person chose for a host, a pool or a forwarded port: letters, digits, `-`, `_` and `.`.
///
/// It is never part of a host name, so it need not be a [`Label`]; but nothing in it can end a quotation, climb out of a
/// folder or begin an option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.len() <= NAME_MAX && text.starts_with(first) && text.chars().all(inner) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new(
                "must be 1 to 63 letters, digits, `-`, `_` or `.`, and begin with a letter, a digit or `_`",
            ))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// An Ethernet (MAC) address of one machine: unicast, six bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// An address derived from `seed`, always the same one: QEMU's prefix `52:54:00` and 24 bits of the seed's digest.
    pub fn derived(seed: &str) -> Self {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(seed.as_bytes());
        Self([0x52, 0x54, 0x00, digest[0], digest[1], digest[2]])
    }
}

impl FromStr for Mac {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid =
            || Invalid::new("must be six two-digit hexadecimal bytes, as 52:54:00:12:34:56");
        let digits: Vec<char> = text.chars().filter(char::is_ascii_hexdigit).collect();
        let is_other = !text.contains(':')
            && digits.len() == 12
            && text
                .chars()
                .all(|c| c.is_ascii_hexdigit() || c == '-' || c == '.');
        if is_other {
            let pairs: Vec<String> = digits.chunks(2).map(String::from_iter).collect();
            let message = format!("must be written as {}", pairs.join(":"));
            return Err(Invalid::new(message));
        }
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
                .ok_or_else(invalid)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        if parts.next().is_some() {
            return Err(invalid());
        }
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(Invalid::new(
                "must be a unicast address: its first byte even, and not all zero",
            ));
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A release number, written with or without a leading `v`, and shown with one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(semver::Version);

impl Version {
    /// The version with these numbers: `v1.23.7` from `(1, 23)` and 7.
    pub fn new((major, minor): (u64, u64), patch: u64) -> Self {
        Self(semver::Version::new(major, minor, patch))
    }

    /// The major and the minor number: `(1, 23)` of `v1.23.7`.
    pub fn minor(&self) -> (u64, u64) {
        (self.0.major, self.0.minor)
    }

    /// The patch number: 7 of `v1.23.7`.
    pub fn patch(&self) -> u64 {
        self.0.patch
    }

    /// Without the leading `v`: `1.23.7`.
    pub fn bare(&self) -> String {
        self.0.to_string()
    }
}

impl FromStr for Version {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let version = semver::Version::parse(text.strip_prefix('v').unwrap_or(text))
            .map_err(|_| Invalid::new("must be a version of three numbers, as v1.23.7"))?;
        if !version.pre.is_empty() || !version.build.is_empty() {
            let why = "must be a released version of three numbers, as v1.23.7";
            return Err(Invalid::new(why));
        }
        Ok(Self(version))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("v{}", self.0))
    }
}

as_text!(Label, Name, Mac, Version);

/// A size in GiB (2^30 bytes), at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GiB(pub u32);

impl GiB {
    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0) << 30
    }

    /// The size in MiB (2^20 bytes).
    pub fn mib(self) -> u64 {
        u64::from(self.0) << 10
    }
}

impl fmt::Display for GiB {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} GiB", self.0)
    }
}

/// The digest that an image must have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// SHA-256, 64 lower-case hexadecimal digits.
    Sha256(String),
    /// SHA-512, 128 lower-case hexadecimal digits.
    Sha512(String),
    /// The publisher's list of digests at this http(s) URL, in the format of `sha256sum` (or BSD's). The line with the image's
    /// file name counts; SHA-256 and SHA-512 are distinguished by their length.
    Published(String),
}

impl FromStr for Checksum {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let hex = |digits: &str, len: usize| {
            (digits.len() == len && digits.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| digits.to_ascii_lowercase())
        };
        let (kind, digits) = text.split_once(':').unwrap_or(("sha256", text));
        match kind {
            "sha256" => hex(digits, 64).map(Self::Sha256),
            "sha512" => hex(digits, 128).map(Self::Sha512),
            "http" | "https" => Some(Self::Published(text.to_owned())),
            _ => None,
        }
        .ok_or_else(|| {
            Invalid::new("must be sha256:<64 digits>, sha512:<128 digits> or the http(s) address of a list of digests")
        })
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digits) => write!(f, "sha256:{digits}"),
            Self::Sha512(digits) => write!(f, "sha512:{digits}"),
            Self::Published(url) => f.write_str(url),
        }
    }
}

as_text!(Checksum);
