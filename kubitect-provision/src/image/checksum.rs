//! The digest that an image must have, and the digests that a file has.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use kubitect_config::cluster::Image;
use kubitect_config::digest::hex;
use kubitect_config::value::Checksum;
use sha2::{Digest, Sha256, Sha512};

use super::{Control, download, is_url, unusable};
use crate::{Error, file};

/// The digest that an image must have, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    Sha256(String),
    Sha512(String),
}

/// The digests of a file.
pub(super) struct Digests {
    pub sha256: String,
    /// Only computed if the expected digest is a SHA-512.
    pub sha512: Option<String>,
}

impl Expected {
    /// The digest that the configuration gives, directly or by a published list, which is fetched.
    pub fn of(image: &Image, control: Control<'_>) -> Result<Option<Self>, Error> {
        let url = match &image.checksum {
            None => return Ok(None),
            Some(Checksum::Sha256(digits)) => return Ok(Some(Self::Sha256(digits.clone()))),
            Some(Checksum::Sha512(digits)) => return Ok(Some(Self::Sha512(digits.clone()))),
            Some(Checksum::Published(url)) => url,
        };
        let name = file_name(&image.source);
        let list = download::text(url, control)?;
        match in_list(&list, name) {
            Some(expected) => Ok(Some(expected)),
            None => Err(unusable(
                url,
                format!(
                    "the list of digests has no line for {name}; give the image's checksum as sha256:<digits>"
                ),
            )),
        }
    }

    /// The name of the hash function, as in checksums.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Sha512(_) => "sha512",
        }
    }

    /// The digits.
    pub fn digits(&self) -> &str {
        let (Self::Sha256(digits) | Self::Sha512(digits)) = self;
        digits
    }

    /// Fails with both digests if they differ.
    pub fn check(&self, source: &str, found: &Digests) -> Result<(), Error> {
        let found = match self {
            Self::Sha256(_) => &found.sha256,
            Self::Sha512(_) => found.sha512.as_ref().unwrap_or(&found.sha256),
        };
        if found == self.digits() {
            return Ok(());
        }
        Err(Error::Checksum {
            image: super::without_secrets(source),
            kind: self.kind(),
            found: found.clone(),
            wanted: self.digits().to_owned(),
        })
    }
}

/// Hashes a file from its beginning.
pub(super) fn digest(
    opened: &mut File,
    path: &Path,
    expected: Option<&Expected>,
    control: Control<'_>,
) -> Result<Digests, Error> {
    let mut sha256 = Sha256::new();
    let mut sha512 = matches!(expected, Some(Expected::Sha512(_))).then(Sha512::new);
    let mut buffer = vec![0; 1 << 20];
    opened
        .seek(SeekFrom::Start(0))
        .map_err(file::error("read image", path))?;
    loop {
        control.check_cancelled()?;
        let read = opened
            .read(&mut buffer)
            .map_err(file::error("read image", path))?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        sha256.update(bytes);
        if let Some(sha512) = &mut sha512 {
            sha512.update(bytes);
        }
    }
    Ok(Digests {
        sha256: hex(&sha256.finalize()),
        sha512: sha512.map(|hasher| hex(&hasher.finalize())),
    })
}

/// The last part of a path or of an address.
fn file_name(source: &str) -> &str {
    let path = if is_url(source) {
        source.split(['?', '#']).next().unwrap_or(source)
    } else {
        source
    };
    path.rsplit('/').next().unwrap_or(path)
}

/// The digest of the file of this name, SHA-256 before SHA-512, in a list as `sha256sum` or BSD's `sha256` writes it.
fn in_list(list: &str, name: &str) -> Option<Expected> {
    let entries = list.lines().filter_map(entry);
    let of_file = entries.filter(|(file, _)| file_name(file) == name);
    let found = of_file.filter_map(|(_, digits)| of_length(digits));
    found.min_by_key(|expected| expected.digits().len())
}

/// The name and the digest of one line: `<digits> [*]<name>` or `SHA256 (<name>) = <digits>`.
fn entry(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if let Some((head, digits)) = line.split_once(") = ") {
        let (_, name) = head.split_once(" (")?;
        return Some((name, digits.trim()));
    }
    let (digits, name) = line.split_once([' ', '\t'])?;
    let name = name.trim_start();
    Some((name.strip_prefix('*').unwrap_or(name), digits))
}

fn of_length(digits: &str) -> Option<Expected> {
    let digits = digits.to_ascii_lowercase();
    match digits.len() {
        _ if !digits.bytes().all(|b| b.is_ascii_hexdigit()) => None,
        64 => Some(Expected::Sha256(digits)),
        128 => Some(Expected::Sha512(digits)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_all_publishers_are_understood() {
        let (a, b) = ("a".repeat(64), "B".repeat(128));
        let found = |list: String| in_list(&list, "x.img");
        let sha256 = Some(Expected::Sha256(a.clone()));
        let sha512 = Some(Expected::Sha512(b.to_lowercase()));
        assert_eq!(
            found(format!("{}  y.img\n{a} *x.img\n", "c".repeat(64))),
            sha256
        );
        assert_eq!(found(format!("{b}  x.img\n")), sha512);
        assert_eq!(
            found(format!("# x.img: 12 bytes\nSHA256 (x.img) = {a}\n")),
            sha256
        );
        assert_eq!(found(format!("{b} x.img\n{a} ./x.img\n")), sha256);
        assert_eq!(found(format!("{a}  yx.img\n{a}\n\n")), None);
        assert_eq!(found(format!("{}  x.img\n", "z".repeat(64))), None);
        assert_eq!(
            found("d41d8cd98f00b204e9800998ecf8427e  x.img".to_owned()),
            None
        );
    }

    #[test]
    fn names_of_files_leave_queries_out() {
        assert_eq!(file_name("https://example.org/a/x.img?token=1#y"), "x.img");
        assert_eq!(file_name("/images/what?.img"), "what?.img");
    }

    proptest::proptest! {
        /// For any text as a list: no panic, and the digits that are found are in the text.
        #[test]
        fn fuzz_lists_of_digests(
            text in "([0-9a-fA-F]{60,68}|SHA256 \\(|\\) = |x\\.img|[ \t*./\n]|\\PC){0,40}",
            lines in "((SHA256|SHA512|MD5)? ?([0-9a-fA-F]{64}|[0-9a-f]{128}|[0-9a-f]{63}|é{32}|SHA256)( [ *]|\t| \\()(\\./|a/)?(x\\.img|X\\.img|y)(\\) = [0-9a-f]{64}|\\) = | x)?(\r)?\n){0,6}",
            raw in proptest::prelude::any::<String>(),
        ) {
            for list in [&text, &lines, &raw] {
                if let Some(found) = in_list(list, "x.img") {
                    proptest::prop_assert!([64, 128].contains(&found.digits().len()));
                    proptest::prop_assert!(list.to_ascii_lowercase().contains(found.digits()));
                }
            }
        }
    }
}
