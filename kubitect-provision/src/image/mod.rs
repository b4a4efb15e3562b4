//! Images of operating systems: used from a file, or downloaded, verified, and cached by checksum for all clusters of this
//! machine.
//!
//! A file in `share/images/` with its SHA-256 in its name is complete and was verified: it got the name by a rename. A download
//! that was interrupted leaves a `.part` file, with which the next one goes on.

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
use download::Limits;

/// A base image on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256, 64 lower-case hexadecimal digits; verified again while it is uploaded to a host.
    pub sha256: String,
    /// The size of the disk that a guest sees, in bytes.
    pub virtual_size: u64,
    /// Its file format.
    pub format: Format,
}

/// The caller's side of a fetch: events and cancellation.
#[derive(Clone, Copy)]
struct Control<'a> {
    what: &'a str,
    on_event: &'a (dyn Fn(Event) + Send + Sync),
    cancelled: &'a AtomicBool,
}

impl Control<'_> {
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

    /// The result of `work`, which may wait long for a server. If the run is cancelled meanwhile, this returns at once, and the
    /// work ends by itself in its thread.
    fn wait<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = mpsc::channel();
        // After a cancel the send fails, and the result is dropped.
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

/// Makes an image available on this machine. A file is used where it is; a download over http(s) is cached in `share`. Blocking.
/// `cancelled` is checked several times a second.
pub fn fetch(
    image: &Image,
    share: &Path,
    cancelled: &AtomicBool,
    on_event: &(dyn Fn(Event) + Send + Sync),
) -> Result<LocalImage, Error> {
    let what = format!("get image {}", without_secrets(&image.source));
    on_event(Event::Started { what: what.clone() });
    let control = Control {
        what: &what,
        on_event,
        cancelled,
    };
    let result = if is_url(&image.source) {
        remote(image, share, control)
    } else {
        local(image, control)
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

fn local(image: &Image, control: Control<'_>) -> Result<(LocalImage, Outcome), Error> {
    let path = Path::new(&image.source);
    let expected = Expected::of(image, control)?;
    // Checked before it is opened: opening a pipe would wait for its other end.
    let metadata = path.metadata().map_err(file::error("open image", path))?;
    if !metadata.is_file() {
        return Err(unusable(&image.source, "it is not a file"));
    }
    Ok((
        verify(image, path, expected.as_ref(), control)?,
        Outcome::Done,
    ))
}

fn remote(
    image: &Image,
    share: &Path,
    control: Control<'_>,
) -> Result<(LocalImage, Outcome), Error> {
    let cache = cache::Cache::open(share)?;
    let list = match &image.checksum {
        Some(Checksum::Published(list)) => Some(list.as_str()),
        _ => None,
    };
    // A published list is not fetched again while the image that it identified is in the cache, with the same digest: a list may
    // change with each build of the image.
    if let Some(list) = list
        && let Some(sha256) = cache.listed(&image.source, list)?
    {
        let expected = Expected::Sha256(sha256);
        let entry = cache.entry(&image.source, Some(&expected));
        let _lock = entry.lock(control)?;
        if let Some(path) = entry.find()? {
            match verify(image, &path, Some(&expected), control) {
                Ok(found) => {
                    return Ok((found, Outcome::Skipped("it was fetched before".to_owned())));
                }
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(_) => entry.remove(&path)?,
            }
        }
    }
    let expected = Expected::of(image, control)?;
    let (found, outcome) = cached_or_fetched(image, &cache, expected, control)?;
    if let Some(list) = list {
        cache.record_listed(&image.source, list, &found.sha256)?;
    }
    Ok((found, outcome))
}

/// The image with this digest, from the cache, or else downloaded.
fn cached_or_fetched(
    image: &Image,
    cache: &cache::Cache,
    expected: Option<Expected>,
    control: Control<'_>,
) -> Result<(LocalImage, Outcome), Error> {
    let entry = cache.entry(&image.source, expected.as_ref());
    let _lock = entry.lock(control)?;
    if let Some(path) = entry.find()? {
        match verify(image, &path, expected.as_ref(), control) {
            Ok(found) => return Ok((found, Outcome::Skipped("it was fetched before".to_owned()))),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            // The file has changed since it got its name, as on a failing disk.
            Err(_) => entry.remove(&path)?,
        }
    }
    let part = entry.part();
    let resumed = download::download_to(
        &image.source,
        &part,
        expected.is_some(),
        Limits::DEFAULT,
        control,
    )?;
    let found = match verify(image, &part, expected.as_ref(), control) {
        // The part that an earlier run had left may have been of another image.
        Err(Error::Checksum { .. }) if resumed => {
            entry.remove(&part)?;
            download::download_to(&image.source, &part, false, Limits::DEFAULT, control)?;
            verify(image, &part, expected.as_ref(), control)
        }
        found => found,
    };
    let found = match found {
        Err(error) if !matches!(error, Error::Cancelled) => {
            entry.remove(&part)?;
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

/// The image in this file, if it has the expected digest and is an image.
fn verify(
    image: &Image,
    path: &Path,
    expected: Option<&Expected>,
    control: Control<'_>,
) -> Result<LocalImage, Error> {
    let mut opened = File::open(path).map_err(file::error("open image", path))?;
    let digests = digest(&mut opened, path, expected, control)?;
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

/// The source without secrets: without user and password, and without the query.
fn without_secrets(source: &str) -> String {
    address::shown(source).replacen("://(not shown)@", "://", 1)
}

fn unusable(source: &str, why: impl Into<String>) -> Error {
    Error::Image {
        image: without_secrets(source),
        why: why.into(),
        source: None,
    }
}
