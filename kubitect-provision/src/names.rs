//! What volumes and machines of a cluster are called, and whose a name is.

use kubitect_config::value::{Label, Name};

/// The name after the cluster's, if it begins like that of a node.
pub(crate) fn of_node<'a>(cluster: &str, name: &'a str) -> Option<&'a str> {
    let rest = name.strip_prefix(cluster)?.strip_prefix('-')?;
    ["lb-", "master-", "worker-"]
        .iter()
        .any(|role| rest.starts_with(role))
        .then_some(rest)
}

/// Whether a volume in one of the cluster's pools is a disk, seed or console of one of its nodes.
pub(crate) fn is_own_volume(cluster: &str, name: &str) -> bool {
    of_node(cluster, name).is_some_and(|rest| {
        ["-main-disk", "-data-disk", "-seed"]
            .iter()
            .any(|end| rest.ends_with(end))
            || is_log(rest)
    })
}

/// The disk of one of the cluster's nodes that this is a snapshot's file of, by its name: libvirt names the file of a snapshot after
/// the disk's own, with the snapshot's name behind a dot.
pub(crate) fn snapshot_of<'a>(cluster: &str, name: &'a str) -> Option<&'a str> {
    let (disk, snapshot) = name.split_once('.')?;
    let is_disk = ["-main-disk", "-data-disk"]
        .iter()
        .any(|end| disk.ends_with(end));
    (is_disk && !snapshot.is_empty() && is_own_volume(cluster, disk)).then_some(disk)
}

/// Whether a volume is a console's log, or an older part of one: libvirt's log daemon keeps `.0`, `.1` and so on.
pub(crate) fn is_log(name: &str) -> bool {
    log_of(name).is_some()
}

/// The name before a console's log.
pub(crate) fn log_of(name: &str) -> Option<&str> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let current = match name.rsplit_once('.') {
        Some((front, part)) if is_number(part) => front,
        _ => name,
    };
    current.strip_suffix("-console.log")
}

/// The cluster that uploaded, or uploads, the image in this volume.
pub(crate) fn uploader(volume: &str) -> Option<&str> {
    let mut parts = volume.split('.');
    let (Some(_), Some(cluster), Some("raw" | "qcow2"), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    Some(cluster)
}

/// The image, length and digest that a marker's name tells; none if it is no marker.
pub(crate) fn marked(name: &str) -> Option<(&str, u64, &str)> {
    let mut parts = name.rsplitn(3, '.');
    let (sha256, length, volume) = (parts.next()?, parts.next()?, parts.next()?);
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
    uploader(volume)?;
    is_digest.then_some((volume, length.parse().ok()?, sha256))
}

/// The image that this marker belongs to.
pub(crate) fn image_of(marker: &str) -> Option<&str> {
    marked(marker).map(|(volume, ..)| volume)
}

/// The name of the volume that says that disks of this cluster on this host lie over the image.
pub(crate) fn use_of(image: &str, cluster: &Label, host: &Name) -> String {
    format!("{image}.used.{cluster}.{host}")
}

/// The image, cluster and host that such a name tells; none if it is none.
pub(crate) fn used(name: &str) -> Option<(&str, &str, &str)> {
    let (end, _) = name.match_indices('.').nth(2)?;
    let (image, rest) = name.split_at(end);
    uploader(image)?;
    let (cluster, host) = rest.strip_prefix(".used.")?.split_once('.')?;
    Some((image, cluster, host))
}

/// The image that a marker or a mark of use belongs to.
pub(crate) fn beside(name: &str) -> Option<&str> {
    image_of(name).or_else(|| used(name).map(|(image, ..)| image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_use_are_told_from_images_and_their_markers() {
        for (cluster, host) in [("demo", "box"), ("used", "a.used.b"), ("raw", "_h")] {
            let image = format!("ubuntu22-0123456789abcdef.{cluster}.qcow2");
            let (label, name): (Label, Name) = (cluster.parse().unwrap(), host.parse().unwrap());
            let mark = use_of(&image, &label, &name);
            assert_eq!(used(&mark), Some((image.as_str(), cluster, host)));
            assert_eq!(beside(&mark), Some(image.as_str()));
            assert_eq!((uploader(&mark), marked(&mark)), (None, None));
            let marker = format!("{image}.77.{}", "a1".repeat(32));
            assert_eq!((used(&marker), uploader(&marker)), (None, None));
            assert_eq!(beside(&marker), Some(image.as_str()));
            assert_eq!(uploader(&image), Some(cluster));
            assert_eq!((used(&image), beside(&image)), (None, None));
        }
    }
}
