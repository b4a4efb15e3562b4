//! The names of a cluster's machines and volumes, and what a name says: which cluster, node or image it belongs to.

use kubitect_config::value::{Label, Name};

/// The part after the cluster's name and a hyphen, if the name begins like a node's: `demo-master-1-seed` gives `master-1-seed`.
pub(crate) fn node_suffix<'a>(cluster: &str, name: &'a str) -> Option<&'a str> {
    let rest = name.strip_prefix(cluster)?.strip_prefix('-')?;
    ["lb-", "master-", "worker-"]
        .iter()
        .any(|role| rest.starts_with(role))
        .then_some(rest)
}

/// Whether a volume in one of the cluster's pools is, by its name, a disk, seed or console log of one of its nodes.
pub(crate) fn is_own_volume(cluster: &str, name: &str) -> bool {
    node_suffix(cluster, name).is_some_and(|rest| {
        ["-main-disk", "-data-disk", "-seed"]
            .iter()
            .any(|end| rest.ends_with(end))
            || is_log(rest)
    })
}

/// The disk of one of the cluster's nodes whose snapshot this file is, by its name: libvirt appends a dot and the snapshot's name to
/// the disk's file name.
pub(crate) fn disk_of_snapshot<'a>(cluster: &str, name: &'a str) -> Option<&'a str> {
    let (disk, snapshot) = name.split_once('.')?;
    let is_disk = ["-main-disk", "-data-disk"]
        .iter()
        .any(|end| disk.ends_with(end));
    (is_disk && !snapshot.is_empty() && is_own_volume(cluster, disk)).then_some(disk)
}

/// Whether a volume is a console log, or a rotated part of one: virtlogd names those `.0`, `.1` and so on.
pub(crate) fn is_log(name: &str) -> bool {
    node_of_log(name).is_some()
}

/// The node whose console log this volume is, or a rotated part of.
pub(crate) fn node_of_log(name: &str) -> Option<&str> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let current = match name.rsplit_once('.') {
        Some((front, part)) if is_number(part) => front,
        _ => name,
    };
    current.strip_suffix("-console.log")
}

/// The cluster that uploaded the image in this volume, or is uploading it.
pub(crate) fn uploader(volume: &str) -> Option<&str> {
    let mut parts = volume.split('.');
    let (Some(_), Some(cluster), Some("raw" | "qcow2"), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    Some(cluster)
}

/// The image, its length and its SHA-256 in the name of a marker, which says that the image is verified; none if it is no marker.
pub(crate) fn parse_marker(name: &str) -> Option<(&str, u64, &str)> {
    let mut parts = name.rsplitn(3, '.');
    let (sha256, length, volume) = (parts.next()?, parts.next()?, parts.next()?);
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
    uploader(volume)?;
    is_digest.then_some((volume, length.parse().ok()?, sha256))
}

/// The image that a marker says is verified.
pub(crate) fn image_of_marker(marker: &str) -> Option<&str> {
    parse_marker(marker).map(|(volume, ..)| volume)
}

/// The name of a use mark: the volume that says that disks of this cluster on this host are overlays on the image.
pub(crate) fn use_mark(image: &str, cluster: &Label, host: &Name) -> String {
    format!("{image}.used.{cluster}.{host}")
}

/// The image, cluster and host in the name of a use mark; none if it is none.
pub(crate) fn parse_use_mark(name: &str) -> Option<(&str, &str, &str)> {
    let (end, _) = name.match_indices('.').nth(2)?;
    let (image, rest) = name.split_at(end);
    uploader(image)?;
    let (cluster, host) = rest.strip_prefix(".used.")?.split_once('.')?;
    Some((image, cluster, host))
}

/// The image that a marker or a use mark belongs to.
pub(crate) fn owning_image(name: &str) -> Option<&str> {
    image_of_marker(name).or_else(|| parse_use_mark(name).map(|(image, ..)| image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_marks_images_and_markers_are_told_apart() {
        for (cluster, host) in [("demo", "box"), ("used", "a.used.b"), ("raw", "_h")] {
            let image = format!("ubuntu22-0123456789abcdef.{cluster}.qcow2");
            let (label, name): (Label, Name) = (cluster.parse().unwrap(), host.parse().unwrap());
            let mark = use_mark(&image, &label, &name);
            assert_eq!(parse_use_mark(&mark), Some((image.as_str(), cluster, host)));
            assert_eq!(owning_image(&mark), Some(image.as_str()));
            assert_eq!((uploader(&mark), parse_marker(&mark)), (None, None));
            let marker = format!("{image}.77.{}", "a1".repeat(32));
            assert_eq!((parse_use_mark(&marker), uploader(&marker)), (None, None));
            assert_eq!(owning_image(&marker), Some(image.as_str()));
            assert_eq!(uploader(&image), Some(cluster));
            assert_eq!((parse_use_mark(&image), owning_image(&image)), (None, None));
        }
    }
}
