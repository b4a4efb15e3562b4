//! `share/images/`: images by checksum, shared by clusters and by runs side by side.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kubitect_config::digest;

use super::Watch;
use super::checksum::Expected;
use crate::{Error, file};

/// How long another run may fetch the same image before we give up.
const LOCK_WAIT: Duration = Duration::from_secs(2 * 3600);

/// The folder.
pub(super) struct Cache {
    folder: PathBuf,
}

/// One image in it, by what is known before it is fetched: a digest, or only its address.
pub(super) struct Entry<'a> {
    folder: &'a Path,
    key: String,
    /// The name that a whole image has, where that is known beforehand.
    sha256: Option<String>,
}

impl Cache {
    pub fn open(share: &Path) -> Result<Self, Error> {
        let folder = share.join("images");
        file::make_private(&folder)?;
        Ok(Self { folder })
    }

    pub fn entry(&self, source: &str, expected: Option<&Expected>) -> Entry<'_> {
        let sha256 = match expected {
            Some(Expected::Sha256(digits)) => Some(digits.clone()),
            _ => None,
        };
        let key = match expected {
            Some(expected) => format!("{}-{}", expected.kind(), expected.digits()),
            None => format!("url-{}", digest::sha256(source.as_bytes())),
        };
        Entry {
            folder: &self.folder,
            key,
            sha256,
        }
    }

    /// The image that a published list gave for this address when it was fetched, by its SHA-256.
    pub fn listed(&self, source: &str, list: &str) -> Result<Option<String>, Error> {
        noted(&self.list(source, list))
    }

    /// Remembers what [`Self::listed`] gives.
    pub fn remember(&self, source: &str, list: &str, sha256: &str) -> Result<(), Error> {
        let path = self.list(source, list);
        file::replace(&path, format!("{sha256}\n").as_bytes(), 0o600)
    }

    fn list(&self, source: &str, list: &str) -> PathBuf {
        let key = digest::sha256(format!("{source}\n{list}").as_bytes());
        self.folder.join(format!("list-{key}.is"))
    }
}

/// The SHA-256 that a file says; none where it is not there, or says something else: it is written again.
fn noted(path: &Path) -> Result<Option<String>, Error> {
    let text = match kubitect_config::file::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(file::error("read", path)(e)),
    };
    let digits = text.trim_ascii();
    let is_digest = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
    Ok(is_digest.then(|| String::from_utf8_lossy(digits).into_owned()))
}

impl Entry<'_> {
    /// Keeps other runs from fetching the same image.
    pub fn lock(&self, watch: Watch<'_>) -> Result<File, Error> {
        let path = self.folder.join(format!("{}.lock", self.key));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(file::error("open", &path))?;
        let started = Instant::now();
        loop {
            watch.check_cancelled()?;
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Timeout {
                        what: format!("another run finish with {}", path.display()),
                        after: LOCK_WAIT,
                        evidence: Vec::new(),
                    });
                }
                Err(TryLockError::Error(e)) => return Err(file::error("lock", &path)(e)),
            }
        }
    }

    /// The whole image, if it is there.
    pub fn published(&self) -> Result<Option<PathBuf>, Error> {
        let sha256 = match &self.sha256 {
            Some(sha256) => sha256.clone(),
            None => match noted(&self.reference())? {
                Some(sha256) => sha256,
                None => return Ok(None),
            },
        };
        let path = self.image(&sha256);
        Ok(path.is_file().then_some(path))
    }

    /// Where an image lies while it is fetched.
    pub fn part(&self) -> PathBuf {
        self.folder.join(format!("{}.part", self.key))
    }

    /// Gives a whole image its name.
    pub fn publish(&self, part: &Path, sha256: &str) -> Result<PathBuf, Error> {
        let path = self.image(sha256);
        File::open(part)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(part, &path))
            .and_then(|()| File::open(self.folder)?.sync_all())
            .map_err(file::error("write", &path))?;
        if self.sha256.is_none() {
            file::replace(&self.reference(), format!("{sha256}\n").as_bytes(), 0o600)?;
        }
        Ok(path)
    }

    /// Removes a file that is not what it should be.
    pub fn forget(&self, path: &Path) -> Result<(), Error> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(file::error("remove", path)(e)),
            _ => Ok(()),
        }
    }

    fn image(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("sha256-{sha256}.img"))
    }

    /// Says which image another digest, or an address without one, stands for.
    fn reference(&self) -> PathBuf {
        self.folder.join(format!("{}.is", self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_that_is_broken_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.is");
        assert_eq!(noted(&path).unwrap(), None);
        let digits = "0a".repeat(32);
        for (text, says) in [
            (format!("{digits}\n"), Some(&digits)),
            (digits[..40].to_owned(), None),
            (format!("../{digits}"), None),
            ("\0".repeat(64), None),
            (String::new(), None),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(noted(&path).unwrap().as_ref(), says);
        }
        std::fs::write(&path, [0xff; 65]).unwrap();
        assert_eq!(noted(&path).unwrap(), None);
    }
}
