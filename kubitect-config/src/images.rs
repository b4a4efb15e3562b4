//! The distros that have names: each with its publisher's cloud image and list of digests.

use crate::cluster::Image;
use crate::value::Checksum;

/// A distro that can be named in `cluster.nodeTemplate.os.distro`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name, as `ubuntu22`.
    pub distro: &'static str,
    /// URL of its image, x86-64.
    pub source: &'static str,
    /// URL of the publisher's list of digests.
    pub checksums: &'static str,
}

impl Preset {
    /// The image, which will be checked against the publisher's list.
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

/// All distros that have names.
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

/// A distro's full name: `ubuntu22` for `ubuntu`. Other names stay as they are.
pub fn canonical(distro: &str) -> &str {
    match distro {
        "ubuntu" => "ubuntu22",
        "debian" => "debian12",
        "centos" => "centos9",
        "rocky" => "rocky9",
        other => other,
    }
}

/// Names of releases, with the distro that each means.
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

/// The distro to suggest for another spelling of its name or release: `Ubuntu 22.04`, `debian-12`, `jammy`.
pub(crate) fn suggestion(text: &str) -> Option<&'static str> {
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

/// The distro with this name, also a short one.
pub fn find(distro: &str) -> Option<&'static Preset> {
    let distro = canonical(distro);
    PRESETS.iter().find(|preset| preset.distro == distro)
}
