//! Distros by name: each publisher's own cloud image and its own list of digests.

use crate::cluster::Image;
use crate::value::Checksum;

/// A distro that can be named in `cluster.nodeTemplate.os.distro`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name, as `ubuntu22`.
    pub distro: &'static str,
    /// Address of its image, x86-64.
    pub source: &'static str,
    /// Address of the publisher's list of digests.
    pub checksums: &'static str,
}

impl Preset {
    /// The image, to be checked against the publisher's list.
    pub fn image(&self) -> Image {
        Image {
            distro: self.distro.to_owned(),
            source: self.source.to_owned(),
            checksum: Some(Checksum::Published(self.checksums.to_owned())),
        }
    }
}

macro_rules! presets {
    ($($distro:literal $folder:literal $image:literal $list:literal)+) => {
        [$(Preset {
            distro: $distro,
            source: concat!($folder, $image),
            checksums: concat!($folder, $list),
        }),+]
    };
}

/// All distros with an image of their own.
pub const PRESETS: [Preset; 8] = presets! {
    "ubuntu20" "https://cloud-images.ubuntu.com/focal/current/" "focal-server-cloudimg-amd64.img" "SHA256SUMS"
    "ubuntu22" "https://cloud-images.ubuntu.com/jammy/current/" "jammy-server-cloudimg-amd64.img" "SHA256SUMS"
    "ubuntu24" "https://cloud-images.ubuntu.com/noble/current/" "noble-server-cloudimg-amd64.img" "SHA256SUMS"
    "debian11" "https://cloud.debian.org/images/cloud/bullseye/latest/" "debian-11-generic-amd64.qcow2" "SHA512SUMS"
    "debian12" "https://cloud.debian.org/images/cloud/bookworm/latest/" "debian-12-generic-amd64.qcow2" "SHA512SUMS"
    "debian13" "https://cloud.debian.org/images/cloud/trixie/latest/" "debian-13-generic-amd64.qcow2" "SHA512SUMS"
    "centos9" "https://cloud.centos.org/centos/9-stream/x86_64/images/"
        "CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2" "CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2.SHA256SUM"
    "rocky9" "https://dl.rockylinux.org/pub/rocky/9/images/x86_64/"
        "Rocky-9-GenericCloud.latest.x86_64.qcow2" "Rocky-9-GenericCloud.latest.x86_64.qcow2.CHECKSUM"
};

/// A distro's own name where a shorter one was given: `ubuntu22` for `ubuntu`.
pub fn canonical(distro: &str) -> &str {
    match distro {
        "ubuntu" => "ubuntu22",
        "debian" => "debian12",
        "centos" => "centos9",
        "rocky" => "rocky9",
        other => other,
    }
}

/// Names of releases, and the distros that they stand for.
const RELEASES: [(&str, &str); 11] = [
    ("focal", "ubuntu20"),
    ("jammy", "ubuntu22"),
    ("noble", "ubuntu24"),
    ("bullseye", "debian11"),
    ("bookworm", "debian12"),
    ("trixie", "debian13"),
    ("centosstream9", "centos9"),
    ("rockylinux9", "rocky9"),
    ("ubuntu2004", "ubuntu20"),
    ("ubuntu2204", "ubuntu22"),
    ("ubuntu2404", "ubuntu24"),
];

/// The distro that another spelling of its name or release means: `Ubuntu 22.04`, `debian-12`, `jammy`.
pub(crate) fn meant(text: &str) -> Option<&'static str> {
    let plain: String = text
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '.')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    // `22.04`, `12.5`: the first number is the distro's.
    let plain = plain.split('.').next().unwrap_or_default();
    let of_release = RELEASES.iter().find(|(name, _)| *name == plain);
    let name = of_release.map_or(plain, |(_, distro)| distro);
    let mut distros = PRESETS.iter().map(|preset| preset.distro);
    distros.find(|distro| *distro == name)
}

/// The distro of this name, or of the one it is short for.
pub fn find(distro: &str) -> Option<&'static Preset> {
    let distro = canonical(distro);
    PRESETS.iter().find(|preset| preset.distro == distro)
}
