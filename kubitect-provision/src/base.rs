//! Base images on a host: names, proof of being whole, and who needs them. Shared by all clusters of the host.
//!
//! An image is uploaded by one cluster under a name that holds the cluster's own (so that two runs never write to one
//! volume), its digest checked on the way. A marker volume made afterwards says that it is whole: its name carries the
//! image's length and full digest. Without the marker, or with a file of another length (as a power cut leaves it), an
//! image is not used. The marker goes first when the image is removed, and whoever made an overlay looks for the marker
//! once more: so either the remover sees the overlay, or the maker of the overlay sees that the image is on its way out.
//!
//! Hosts may share the folder, and none sees the disks of the others. So whoever makes an overlay puts a mark beside the image
//! before, whose name says which cluster uses it on which host; while there is one that stays, the image does. The mark is made
//! before an upload begins: by it, of several hosts of one run that share a folder, all but the first see that they do, and wait.

use std::io::Read;
use std::path::PathBuf;

use kubitect_config::digest::hex;
use kubitect_config::value::Label;
use sha2::{Digest, Sha256};

use crate::change::{ImageSpec, Uses};
use crate::error::Error;
use crate::hypervisor::{Failure, Hypervisor};
use crate::image::LocalImage;
use crate::image_use::{self, empty};
use crate::names::{image_of, marked, uploader};
use crate::observe::{DomainState, PoolState};
use crate::resource::{BASE_POOL, Backing, Format};
use crate::uploads::Turn;
use crate::way::Way;

/// A base image that is whole.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verified {
    /// Its volume.
    pub volume: String,
    /// The volume that says that it is whole.
    pub marker: String,
    /// Its digest.
    pub sha256: String,
    /// What overlays refer to.
    pub backing: Backing,
}

/// The name of the volume that this cluster uploads an image to.
fn volume_name(spec: &ImageSpec, image: &LocalImage) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let distro: String = spec.distro.chars().filter(plain).take(32).collect();
    let digest = image.sha256.get(..16).unwrap_or(&image.sha256);
    let (cluster, format) = (&spec.cluster, image.format.as_str());
    format!("{distro}-{digest}.{cluster}.{format}")
}

/// The images of the pool that are whole.
pub(crate) fn verified(pool: &PoolState) -> Vec<Verified> {
    let verified = pool.volumes.iter().filter_map(|marker| {
        let (name, length, sha256) = marked(&marker.name)?;
        let volume = pool.volume(name)?;
        volume
            .physical
            .is_none_or(|p| p == length)
            .then(|| Verified {
                volume: name.to_owned(),
                marker: marker.name.clone(),
                sha256: sha256.to_owned(),
                backing: Backing {
                    path: volume.path.clone(),
                    format: if name.ends_with(".qcow2") {
                        Format::Qcow2
                    } else {
                        Format::Raw
                    },
                },
            })
    });
    verified.collect()
}

/// The pool of base images as it is now, if it is there.
fn pool(hypervisor: &dyn Hypervisor) -> Result<Option<PoolState>, Failure> {
    hypervisor.pool_state(BASE_POOL)
}

/// The whole image of this digest, if the host has it.
fn find(hypervisor: &dyn Hypervisor, sha256: &str) -> Result<Option<Verified>, Failure> {
    Ok(pool(hypervisor)?.and_then(|pool| {
        let mut images = verified(&pool).into_iter();
        images.find(|image| image.sha256 == sha256)
    }))
}

/// Whether the image is still there and whole.
pub(crate) fn is_whole(hypervisor: &dyn Hypervisor, image: &Verified) -> Result<bool, Failure> {
    Ok(pool(hypervisor)?.is_some_and(|pool| verified(&pool).contains(image)))
}

/// As [`bring`], and says beside the image that the cluster uses it on this host.
pub(crate) fn ensure(
    way: &Way<'_>,
    spec: &ImageSpec,
    image: &LocalImage,
) -> Result<(Verified, bool), Error> {
    let (image, uploaded) = bring(way, spec, image)?;
    image_use::mark_use(way.hypervisor, &image.volume, &spec.cluster, way.host)
        .map_err(|failure| failure.on(way.host))?;
    Ok((image, uploaded))
}

/// Brings the image to the host unless a whole one is there; tells which it is, and whether it was uploaded.
fn bring(way: &Way<'_>, spec: &ImageSpec, image: &LocalImage) -> Result<(Verified, bool), Error> {
    let Way {
        host, hypervisor, ..
    } = *way;
    let on_host = |failure: Failure| failure.on(host);
    // Another cluster's settings may have put the pool elsewhere: it is one pool for the host.
    let exists = pool(hypervisor).map_err(on_host)?;
    if !exists.is_some_and(|pool| pool.active) {
        hypervisor.ensure_pool(&spec.pool).map_err(on_host)?;
    }
    // Another run may have filled, or a crash emptied, what libvirt remembers.
    if let Err(failure) = hypervisor.refresh_pool(BASE_POOL) {
        tracing::debug!(error = %failure.source, "pool of base images not refreshed");
    }
    let name = volume_name(spec, image);
    loop {
        if let Some(found) = find(hypervisor, &image.sha256).map_err(on_host)? {
            return Ok((found, false));
        }
        let other = match way
            .uploads
            .begin(&name, host, |others| way.shares(spec, &name, others))?
        {
            Turn::Now(_upload) => {
                // Who had uploaded it may have ended just before.
                if let Some(found) = find(hypervisor, &image.sha256).map_err(on_host)? {
                    return Ok((found, false));
                }
                upload(way, &name, image).inspect_err(|error| way.give_up(spec, &name, error))?;
                break;
            }
            Turn::After(other) => other,
        };
        if !way.uploads.wait(&name, &other, way.stopped) {
            return Err(Error::Cancelled);
        }
        hypervisor.refresh_pool(BASE_POOL).map_err(on_host)?;
    }
    match find(hypervisor, &image.sha256).map_err(on_host)? {
        Some(found) => Ok((found, true)),
        None => Err(Error::Hypervisor {
            host: host.to_string(),
            action: format!("use the uploaded image {name}"),
            source: "its file has not the length that was uploaded; is the disk full?".into(),
        }),
    }
}

fn upload(way: &Way<'_>, name: &str, image: &LocalImage) -> Result<(), Error> {
    let Way {
        host,
        hypervisor,
        progress,
        ..
    } = *way;
    let on_host = |failure: Failure| failure.on(host);
    let of_file = |source| Error::File {
        action: "read image",
        path: image.path.clone(),
        source,
    };
    let file = std::fs::File::open(&image.path).map_err(of_file)?;
    let length = file.metadata().map_err(of_file)?.len();
    // What lies here without a marker is what an earlier run of ours did not finish.
    let marker = format!("{name}.{length}.{}", image.sha256);
    for leftover in [&marker, name] {
        hypervisor
            .remove_volume(BASE_POOL, leftover)
            .map_err(on_host)?;
    }
    // It begins small and grows as it is written: then its length tells whether all of it got to the disk.
    hypervisor.create_volume(&empty(name)).map_err(on_host)?;
    fail::fail_point!("provision::halfway");
    let mut content = Hashing {
        inner: file,
        hasher: Sha256::new(),
        done: 0,
        length,
        progress,
    };
    hypervisor
        .upload(BASE_POOL, name, &mut content, length)
        .map_err(on_host)?;
    let found = hex(&content.hasher.finalize());
    if found != image.sha256 {
        hypervisor.remove_volume(BASE_POOL, name).map_err(on_host)?;
        return Err(Error::Checksum {
            image: image.path.display().to_string(),
            kind: "sha256",
            found,
            wanted: image.sha256.clone(),
        });
    }
    hypervisor.refresh_pool(BASE_POOL).map_err(on_host)?;
    fail::fail_point!("provision::halfway");
    hypervisor.create_volume(&empty(&marker)).map_err(on_host)
}

/// Hashes what is read through it, and tells how far it is.
struct Hashing<'a> {
    inner: std::fs::File,
    hasher: Sha256,
    done: u64,
    length: u64,
    /// Told how far it is; says whether to go on.
    progress: &'a dyn Fn(u64, u64) -> bool,
}

/// Progress is told once in so many bytes.
const STRIDE: u64 = 4 << 20;

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        let before = self.done / STRIDE;
        self.done += read as u64;
        if self.done / STRIDE > before && !(self.progress)(self.done, self.length) {
            return Err(std::io::Error::other("stopped on request"));
        }
        Ok(read)
    }
}

/// The paths of all images that something on the host lies over, or may.
///
/// What can't be seen counts as needing every image: the volumes of another cluster's inactive pool, and the disks of
/// another cluster's machines, and of copies of machines, that lie in no active pool.
pub(crate) enum Needed {
    /// Exactly these.
    Only(Vec<PathBuf>),
    /// Not known, because of this.
    Unknown(String),
}

impl Needed {
    /// Why this image is needed; none: it is not.
    pub(crate) fn why(&self, path: &std::path::Path) -> Option<String> {
        match self {
            // By its name, which tells what is in it: hosts that share a folder may have it at other paths.
            Self::Only(paths) => paths
                .iter()
                .any(|needed| needed.file_name() == path.file_name())
                .then(|| "a disk lies over it".to_owned()),
            Self::Unknown(why) => Some(why.clone()),
        }
    }
}

/// Who needs base images, `except` for what this cluster still has.
pub(crate) fn needed(
    pools: &[PoolState],
    domains: &[DomainState],
    without: &Label,
    except_volumes: &[PathBuf],
) -> Needed {
    let own_pool = format!("{without}-main-resource-pool");
    let hidden = pools.iter().find(|pool| {
        !pool.active && pool.name.ends_with("-main-resource-pool") && pool.name != own_pool
    });
    if let Some(pool) = hidden {
        return Needed::Unknown(format!(
            "pool {} is stopped, and its disks may lie over it",
            pool.name
        ));
    }
    let volumes = || pools.iter().flat_map(|pool| &pool.volumes);
    // Copies and renamed machines bear no mark of their own.
    let others = domains.iter().filter(|domain| {
        let mark = domain.mark.as_ref();
        domain.copy_of.is_some() || mark.is_some_and(|mark| mark.cluster != *without)
    });
    for domain in others {
        if let Some(main) = domain.disks.first()
            && !volumes().any(|volume| volume.path == *main)
        {
            return Needed::Unknown(format!("the disk of machine {} can't be seen", domain.name));
        }
    }
    let backings = volumes()
        .filter(|volume| !except_volumes.contains(&volume.path))
        .filter_map(|volume| volume.backing.clone());
    let strangers = domains.iter().filter(|domain| !domain.is_of(without));
    let under = strangers.flat_map(|domain| domain.under.clone());
    Needed::Only(backings.chain(under).collect())
}

/// Removes an image unless something needs it (now, after all that was removed); tells why it stayed. The marks of use that are
/// `going` are removed before.
pub(crate) fn remove(
    hypervisor: &dyn Hypervisor,
    cluster: &Label,
    volume: &str,
    going: &Uses,
) -> Result<Option<String>, Failure> {
    image_use::release(hypervisor, cluster, volume, going)?;
    let Some(before) = pool(hypervisor)? else {
        return Ok(None);
    };
    let markers: Vec<_> = before
        .volumes
        .iter()
        .filter(|marker| image_of(&marker.name) == Some(volume))
        .collect();
    for marker in &markers {
        hypervisor.remove_volume(BASE_POOL, &marker.name)?;
        fail::fail_point!("provision::halfway");
    }
    let Some(image) = before.volume(volume) else {
        return Ok(None);
    };
    // Another host may have marked its use meanwhile, or have removed the folder with all that was in it.
    if let Err(failure) = hypervisor.refresh_pool(BASE_POOL) {
        let is_there = pool(hypervisor)?.is_some_and(|pool| pool.active);
        return if is_there { Err(failure) } else { Ok(None) };
    }
    let pools = hypervisor.pools()?;
    let mut base = pools.iter().filter(|pool| pool.name == BASE_POOL);
    let why = match base.any(|pool| image_use::is_used(pool, volume, cluster, going)) {
        true => Some("disks on another host lie over it".to_owned()),
        false => needed(&pools, &hypervisor.domains()?, cluster, &[]).why(&image.path),
    };
    if why.is_some() {
        // The image serves on.
        for marker in markers {
            hypervisor.create_volume(&empty(&marker.name))?;
        }
        return Ok(why);
    }
    hypervisor.remove_volume(BASE_POOL, volume)?;
    Ok(None)
}

/// The images of the pool that no living cluster but `cluster` put there: its own, and those of clusters that are gone.
pub(crate) fn removable<'a>(
    base: &'a PoolState,
    pools: &'a [PoolState],
    cluster: &'a Label,
) -> impl Iterator<Item = &'a crate::observe::VolumeState> {
    base.volumes.iter().filter(move |volume| {
        uploader(&volume.name).is_some_and(|uploader| {
            uploader == cluster.as_str() || {
                let pool = format!("{uploader}-main-resource-pool");
                !pools.iter().any(|other| other.name == pool)
            }
        })
    })
}
