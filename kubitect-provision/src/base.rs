//! Base images on a host, which all its clusters share: upload, verification, and removal when nothing needs them.
//!
//! **Verified.** One cluster uploads an image, under a name that includes its own, so that two runs never write to one volume; the
//! digest is checked during the upload. Then a marker is made: an empty volume whose name holds the image's length and SHA-256. An
//! image without a marker, or with a file of another length (as after a power cut), is not used.
//!
//! **Removal against use.** A removal deletes the marker before it looks for overlays; a run that made an overlay looks for the marker
//! afterwards. So either the removal sees the overlay, or the other run sees that the image is being removed.
//!
//! **Use marks.** Hosts may share the folder, and no host lists the disks of another. So before an overlay is made, a use mark is put
//! beside the image: an empty volume whose name holds the cluster and the host. An image stays as long as it has a use mark. It is
//! made before an upload begins, too: by it, hosts of one run find out that they share a folder, and only one of them uploads.

use std::io::Read;
use std::path::PathBuf;

use kubitect_config::digest::hex;
use kubitect_config::value::Label;
use sha2::{Digest, Sha256};

use crate::change::{ImageSpec, ReleasedUses};
use crate::error::Error;
use crate::hypervisor::{Failure, Hypervisor};
use crate::image::LocalImage;
use crate::image_target::ImageTarget;
use crate::image_use::{self, empty};
use crate::names::{image_of_marker, parse_marker, uploader};
use crate::observe::{DomainState, PoolState};
use crate::resource::{BASE_POOL, Backing, Format};
use crate::uploads::Turn;

/// A base image that was uploaded completely, and whose digest was right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verified {
    /// Its volume.
    pub volume: String,
    /// The volume that says that it is verified.
    pub marker: String,
    /// Its digest.
    pub sha256: String,
    /// The backing image for overlays.
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

/// The verified images of the pool.
pub(crate) fn verified(pool: &PoolState) -> Vec<Verified> {
    let verified = pool.volumes.iter().filter_map(|marker| {
        let (name, length, sha256) = parse_marker(&marker.name)?;
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

/// The pool of base images as it is now, if it exists.
fn pool(hypervisor: &dyn Hypervisor) -> Result<Option<PoolState>, Failure> {
    hypervisor.pool_state(BASE_POOL)
}

/// The verified image with this digest, if the host has it.
fn find(hypervisor: &dyn Hypervisor, sha256: &str) -> Result<Option<Verified>, Failure> {
    Ok(pool(hypervisor)?.and_then(|pool| {
        let mut images = verified(&pool).into_iter();
        images.find(|image| image.sha256 == sha256)
    }))
}

/// Whether the image still exists and is verified.
pub(crate) fn is_whole(hypervisor: &dyn Hypervisor, image: &Verified) -> Result<bool, Failure> {
    Ok(pool(hypervisor)?.is_some_and(|pool| verified(&pool).contains(image)))
}

/// As [`bring`], and adds the use mark of the cluster on this host.
pub(crate) fn ensure(
    target: &ImageTarget<'_>,
    spec: &ImageSpec,
    image: &LocalImage,
) -> Result<(Verified, bool), Error> {
    let (image, uploaded) = bring(target, spec, image)?;
    image_use::add_use_mark(target.hypervisor, &image.volume, &spec.cluster, target.host)
        .map_err(|failure| failure.on(target.host))?;
    Ok((image, uploaded))
}

/// Uploads the image to the host unless it has a verified one; returns the image, and whether it was uploaded.
fn bring(
    target: &ImageTarget<'_>,
    spec: &ImageSpec,
    image: &LocalImage,
) -> Result<(Verified, bool), Error> {
    let ImageTarget {
        host, hypervisor, ..
    } = *target;
    let on_host = |failure: Failure| failure.on(host);
    // The host has one pool of base images, in the folder that the first cluster's configuration named.
    let existing = pool(hypervisor).map_err(on_host)?;
    if !existing.is_some_and(|pool| pool.active) {
        hypervisor.ensure_pool(&spec.pool).map_err(on_host)?;
    }
    // libvirt's list of volumes may be older than the folder, which another run, or a crash of the host, has changed.
    if let Err(failure) = hypervisor.refresh_pool(BASE_POOL) {
        tracing::debug!(error = %failure.source, "pool of base images not refreshed");
    }
    let name = volume_name(spec, image);
    loop {
        if let Some(found) = find(hypervisor, &image.sha256).map_err(on_host)? {
            return Ok((found, false));
        }
        let other = match target.uploads.begin(&name, host, |others| {
            target.shared_with(spec, &name, others)
        })? {
            Turn::Now(_upload) => {
                // Another host may have ended its upload between the first look and this turn.
                if let Some(found) = find(hypervisor, &image.sha256).map_err(on_host)? {
                    return Ok((found, false));
                }
                upload(target, &name, image)
                    .inspect_err(|error| target.remove_use_mark(spec, &name, error))?;
                break;
            }
            Turn::After(other) => other,
        };
        if !target.uploads.wait(&name, &other, target.stopped) {
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

fn upload(target: &ImageTarget<'_>, name: &str, image: &LocalImage) -> Result<(), Error> {
    let ImageTarget {
        host,
        hypervisor,
        progress,
        ..
    } = *target;
    let on_host = |failure: Failure| failure.on(host);
    let of_file = |source| Error::File {
        action: "read image",
        path: image.path.clone(),
        source,
    };
    let file = std::fs::File::open(&image.path).map_err(of_file)?;
    let length = file.metadata().map_err(of_file)?.len();
    // An image without a marker is the rest of an upload that an earlier run of this cluster did not finish.
    let marker = format!("{name}.{length}.{}", image.sha256);
    for leftover in [&marker, name] {
        hypervisor
            .remove_volume(BASE_POOL, leftover)
            .map_err(on_host)?;
    }
    // It is made small and grows as it is written, so that its length shows whether all of it was written.
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

/// A reader that hashes what is read through it, and reports its progress.
struct Hashing<'a> {
    inner: std::fs::File,
    hasher: Sha256,
    done: u64,
    length: u64,
    /// Called with the bytes so far and all bytes; returns whether to go on.
    progress: &'a dyn Fn(u64, u64) -> bool,
}

/// Progress is reported once in so many bytes.
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

/// The images that disks on the host are overlays on.
///
/// A disk that libvirt does not list may need any image: one in another cluster's stopped pool, and one of another cluster's machine,
/// or of a copy of a machine, in no started pool.
pub(crate) enum Needed {
    /// Exactly the images at these paths.
    Only(Vec<PathBuf>),
    /// Any image, for this reason.
    Unknown(String),
}

impl Needed {
    /// Why this image is needed; none if it is not.
    pub(crate) fn why(&self, path: &std::path::Path) -> Option<String> {
        match self {
            // By the file's name, which holds the digest: hosts that share a folder may have it at different paths.
            Self::Only(paths) => paths
                .iter()
                .any(|needed| needed.file_name() == path.file_name())
                .then(|| "a disk lies over it".to_owned()),
            Self::Unknown(why) => Some(why.clone()),
        }
    }
}

/// The base images that are needed once this cluster's machines and the `removed` volumes are gone.
pub(crate) fn needed(
    pools: &[PoolState],
    domains: &[DomainState],
    cluster: &Label,
    removed: &[PathBuf],
) -> Needed {
    let own_pool = format!("{cluster}-main-resource-pool");
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
    // A copy or a renamed machine has no mark of its own, and may have the disk of a cluster.
    let others = domains.iter().filter(|domain| {
        let mark = domain.mark.as_ref();
        domain.copy_of.is_some() || mark.is_some_and(|mark| mark.cluster != *cluster)
    });
    for domain in others {
        if let Some(main) = domain.disks.first()
            && !volumes().any(|volume| volume.path == *main)
        {
            return Needed::Unknown(format!("the disk of machine {} can't be seen", domain.name));
        }
    }
    let backings = volumes()
        .filter(|volume| !removed.contains(&volume.path))
        .filter_map(|volume| volume.backing.clone());
    let foreign = domains.iter().filter(|domain| !domain.is_of(cluster));
    let under = foreign.flat_map(|domain| domain.under.clone());
    Needed::Only(backings.chain(under).collect())
}

/// Removes the `released` use marks of an image, and then the image, unless something still needs it: then returns why it stays.
pub(crate) fn remove(
    hypervisor: &dyn Hypervisor,
    cluster: &Label,
    volume: &str,
    released: &ReleasedUses,
) -> Result<Option<String>, Failure> {
    image_use::release(hypervisor, cluster, volume, released)?;
    let Some(before) = pool(hypervisor)? else {
        return Ok(None);
    };
    let markers: Vec<_> = before
        .volumes
        .iter()
        .filter(|marker| image_of_marker(&marker.name) == Some(volume))
        .collect();
    for marker in &markers {
        hypervisor.remove_volume(BASE_POOL, &marker.name)?;
        fail::fail_point!("provision::halfway");
    }
    let Some(image) = before.volume(volume) else {
        return Ok(None);
    };
    // Another host may have added a use mark since, or have removed the folder with all that was in it.
    if let Err(failure) = hypervisor.refresh_pool(BASE_POOL) {
        let is_active = pool(hypervisor)?.is_some_and(|pool| pool.active);
        return if is_active { Err(failure) } else { Ok(None) };
    }
    let pools = hypervisor.pools()?;
    let mut base = pools.iter().filter(|pool| pool.name == BASE_POOL);
    let why = match base.any(|pool| image_use::is_used(pool, volume, cluster, released)) {
        true => Some("disks on another host lie over it".to_owned()),
        false => needed(&pools, &hypervisor.domains()?, cluster, &[]).why(&image.path),
    };
    if why.is_some() {
        // The image stays in use, so it gets its markers back.
        for marker in markers {
            hypervisor.create_volume(&empty(&marker.name))?;
        }
        return Ok(why);
    }
    hypervisor.remove_volume(BASE_POOL, volume)?;
    Ok(None)
}

/// The images of the pool that this cluster uploaded, or a cluster that has no main pool on the host any more.
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
