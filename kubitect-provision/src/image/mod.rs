//! Images of operating systems: found or fetched, checked, and kept by checksum for all clusters of this machine.
//!
//! What lies in `share/images/` under the name of its SHA-256 is whole and was checked; it got there by a rename. A
//! fetch that was cut off leaves a `.part`, which the next one goes on with.

mod cache;
mod checksum;
mod download;
mod header;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use kubitect_config::address;
use kubitect_config::cluster::Image;
use kubitect_config::value::Checksum;

use crate::error::headline;
use crate::resource::Format;
use crate::{Error, Event, Outcome, file};
use checksum::{Expected, digest};
use download::Room;

/// A base image on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256, 64 lower-case hexadecimal digits; checked again while it is brought to a host.
    pub sha256: String,
    /// What a guest sees of it, in bytes.
    pub virtual_size: u64,
    /// How its bytes are kept.
    pub format: Format,
}

/// What a caller is asked and told meanwhile.
#[derive(Clone, Copy)]
struct Watch<'a> {
    what: &'a str,
    on_event: &'a (dyn Fn(Event) + Send + Sync),
    cancelled: &'a AtomicBool,
}

impl Watch<'_> {
    fn progress(&self, done: u64, total: Option<u64>) {
        (self.on_event)(Event::Progress {
            what: self.what.to_owned(),
            done,
            total,
        });
    }

    fn check_cancelled(&self) -> Result<(), Error> {
        if self.cancelled.load(Ordering::Relaxed) {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    /// What `work` gives, which may wait for a server for long: a cancel is noticed meanwhile, and the work is then
    /// left to end by itself.
    fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = mpsc::channel();
        // Nobody listens any more after a cancel.
        std::thread::spawn(move || drop(sender.send(work())));
        loop {
            match receiver.recv_timeout(Duration::from_millis(100)) {
                Ok(result) => return Ok(result),
                Err(RecvTimeoutError::Timeout) => self.check_cancelled()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(unusable(self.what, "reading it ended without a result"));
                }
            }
        }
    }
}

/// Brings an image to this machine. A file is used where it lies; what is fetched over http(s) is kept in `share`.
/// Blocking. `cancelled` is looked at several times a second.
pub fn fetch(
    image: &Image,
    share: &Path,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<LocalImage, Error> {
    let what = format!("get image {}", shown(&image.source));
    on_event(Event::Started { what: what.clone() });
    let watch = Watch {
        what: &what,
        on_event,
        cancelled,
    };
    let result = if is_url(&image.source) {
        remote(image, share, watch)
    } else {
        local(image, watch)
    };
    on_event(match &result {
        Ok((_, outcome)) => Event::Finished {
            what: what.clone(),
            outcome: outcome.clone(),
        },
        Err(error) => Event::Failed {
            what: what.clone(),
            error: headline(error),
        },
    });
    result.map(|(image, _)| image)
}

fn local(image: &Image, watch: Watch<'_>) -> Result<(LocalImage, Outcome), Error> {
    let path = Path::new(&image.source);
    let expected = Expected::of(image, watch)?;
    // Before it is opened: a pipe would be waited for.
    let about = path.metadata().map_err(file::error("open image", path))?;
    if !about.is_file() {
        return Err(unusable(&image.source, "it is not a file"));
    }
    Ok((
        checked(image, path, expected.as_ref(), watch)?,
        Outcome::Done,
    ))
}

fn remote(image: &Image, share: &Path, watch: Watch<'_>) -> Result<(LocalImage, Outcome), Error> {
    let cache = cache::Cache::open(share)?;
    let list = match &image.checksum {
        Some(Checksum::Published(list)) => Some(list.as_str()),
        _ => None,
    };
    // A list that was believed once is not asked again while its image is here and is what it was.
    if let Some(list) = list
        && let Some(sha256) = cache.listed(&image.source, list)?
    {
        let expected = Expected::Sha256(sha256);
        let entry = cache.entry(&image.source, Some(&expected));
        let _lock = entry.lock(watch)?;
        if let Some(path) = entry.published()? {
            match checked(image, &path, Some(&expected), watch) {
                Ok(found) => {
                    return Ok((found, Outcome::Skipped("it was fetched before".to_owned())));
                }
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(_) => entry.forget(&path)?,
            }
        }
    }
    let expected = Expected::of(image, watch)?;
    let (found, outcome) = by_digest(image, &cache, expected, watch)?;
    if let Some(list) = list {
        cache.remember(&image.source, list, &found.sha256)?;
    }
    Ok((found, outcome))
}

/// The image that hashes to this, from the cache or from its address.
fn by_digest(
    image: &Image,
    cache: &cache::Cache,
    expected: Option<Expected>,
    watch: Watch<'_>,
) -> Result<(LocalImage, Outcome), Error> {
    let entry = cache.entry(&image.source, expected.as_ref());
    let _lock = entry.lock(watch)?;
    if let Some(path) = entry.published()? {
        match checked(image, &path, expected.as_ref(), watch) {
            Ok(found) => return Ok((found, Outcome::Skipped("it was fetched before".to_owned()))),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            // A disk that forgets: the file is not what it was when it got its name.
            Err(_) => entry.forget(&path)?,
        }
    }
    let part = entry.part();
    let resumed = download::to(
        &image.source,
        &part,
        expected.is_some(),
        Room::DEFAULT,
        watch,
    )?;
    let found = match checked(image, &part, expected.as_ref(), watch) {
        // What an earlier run had left may have been of another image.
        Err(Error::Checksum { .. }) if resumed => {
            entry.forget(&part)?;
            download::to(&image.source, &part, false, Room::DEFAULT, watch)?;
            checked(image, &part, expected.as_ref(), watch)
        }
        found => found,
    };
    let found = match found {
        Err(error) if !matches!(error, Error::Cancelled) => {
            entry.forget(&part)?;
            return Err(error);
        }
        found => found?,
    };
    let path = entry.publish(&part, &found.sha256)?;
    let outcome = match expected {
        Some(_) => Outcome::Done,
        None => Outcome::Warned(format!(
            "it has no checksum to check it by; to pin what was fetched: sha256:{}",
            found.sha256
        )),
    };
    Ok((LocalImage { path, ..found }, outcome))
}

/// The image in this file, if it is one and hashes to what it should.
fn checked(
    image: &Image,
    path: &Path,
    expected: Option<&Expected>,
    watch: Watch<'_>,
) -> Result<LocalImage, Error> {
    let mut opened = File::open(path).map_err(file::error("open image", path))?;
    let digests = digest(&mut opened, path, expected, watch)?;
    if let Some(expected) = expected {
        expected.check(&image.source, &digests)?;
    }
    let header = header::read(&mut opened)
        .map_err(file::error("read image", path))?
        .map_err(|why| unusable(&image.source, why))?;
    Ok(LocalImage {
        path: path.to_owned(),
        sha256: digests.sha256,
        virtual_size: header.virtual_size,
        format: header.format,
    })
}

fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// The source without its secrets: what stands before the host, and the query.
fn shown(source: &str) -> String {
    address::shown(source).replacen("://(not shown)@", "://", 1)
}

fn unusable(source: &str, why: impl Into<String>) -> Error {
    Error::Image {
        image: shown(source),
        why: why.into(),
        source: None,
    }
}
