//! `share/images/`: images by checksum, shared by all clusters and by concurrent runs.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kubitect_config::digest;

use super::Control;
use super::checksum::Expected;
use crate::{Error, file};

/// How long to wait for another run that fetches the same image.
const LOCK_WAIT: Duration = Duration::from_secs(2 * 3600);

/// The folder.
pub(super) struct Cache {
    folder: PathBuf,
}

/// One image in the cache, identified by what is known before the download: a digest, or only its address.
pub(super) struct Entry<'a> {
    folder: &'a Path,
    key: String,
    /// The image's SHA-256, if the configuration says it.
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

    /// The SHA-256 of the image that was fetched for this address, checked by this published list; none: none was.
    pub fn listed(&self, source: &str, list: &str) -> Result<Option<String>, Error> {
        read_digest(&self.list(source, list))
    }

    /// Records the SHA-256 for [`Self::listed`].
    pub fn record_listed(&self, source: &str, list: &str, sha256: &str) -> Result<(), Error> {
        let path = self.list(source, list);
        file::replace(&path, format!("{sha256}\n").as_bytes(), 0o600)
    }

    fn list(&self, source: &str, list: &str) -> PathBuf {
        let key = digest::sha256(format!("{source}\n{list}").as_bytes());
        self.folder.join(format!("list-{key}.is"))
    }
}

/// The SHA-256 in a file; none if there is no file, or it holds something else: then it will be written again.
fn read_digest(path: &Path) -> Result<Option<String>, Error> {
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
    /// Locks the image, so that no other run fetches it at the same time.
    pub fn lock(&self, control: Control<'_>) -> Result<File, Error> {
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
            control.check_cancelled()?;
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

    /// The complete image, if the cache has it.
    pub fn find(&self) -> Result<Option<PathBuf>, Error> {
        let sha256 = match &self.sha256 {
            Some(sha256) => sha256.clone(),
            None => match read_digest(&self.reference())? {
                Some(sha256) => sha256,
                None => return Ok(None),
            },
        };
        let path = self.image(&sha256);
        Ok(path.is_file().then_some(path))
    }

    /// The path of an image while it is fetched.
    pub fn part(&self) -> PathBuf {
        self.folder.join(format!("{}.part", self.key))
    }

    /// Renames a complete image to its final name.
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

    /// Removes a file with a wrong digest, or that is no image.
    pub fn remove(&self, path: &Path) -> Result<(), Error> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(file::error("remove", path)(e)),
            _ => Ok(()),
        }
    }

    fn image(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("sha256-{sha256}.img"))
    }

    /// The file with the SHA-256 of an image that is identified by SHA-512 or only by its address.
    fn reference(&self) -> PathBuf {
        self.folder.join(format!("{}.is", self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_digest_file_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.is");
        assert_eq!(read_digest(&path).unwrap(), None);
        let digits = "0a".repeat(32);
        for (text, says) in [
            (format!("{digits}\n"), Some(&digits)),
            (digits[..40].to_owned(), None),
            (format!("../{digits}"), None),
            ("\0".repeat(64), None),
            (String::new(), None),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_digest(&path).unwrap().as_ref(), says);
        }
        std::fs::write(&path, [0xff; 65]).unwrap();
        assert_eq!(read_digest(&path).unwrap(), None);
    }
}
