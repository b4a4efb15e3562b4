//! Section `cluster.nodeTemplate`.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::{network, words};
use crate::cluster::{CpuMode, Guest, Image};
use crate::release::Release;
use crate::report::{At, Report, nearest, quote};
use crate::site::Site;
use crate::value::{Checksum, Label};
use crate::{address, defaults, images, raw};

pub(super) fn guest(
    raw: &raw::NodeTemplate,
    site: &Site,
    release: Option<&Release>,
    at: &At,
    report: &mut Report,
) -> Option<Guest> {
    let user = raw.user.as_deref().unwrap_or(defaults::USER);
    report.checked(&at.key("user"), "user", user, words::new_login);

    let at_os = at.key("os");
    let interface = raw
        .os
        .network_interface
        .as_deref()
        .unwrap_or(defaults::INTERFACE);
    report.checked(
        &at_os.key("networkInterface"),
        "interface",
        interface,
        words::interface,
    );
    let image = image(&raw.os, site, release, &at_os, report);

    if let Some(path) = &raw.ssh.private_key_path {
        report.checked(
            &at.key("ssh").key("privateKeyPath"),
            "path",
            path,
            words::path,
        );
    }
    let at_dns = at.key("dns");
    let dns = raw
        .dns
        .iter()
        .enumerate()
        .filter_map(|(index, text)| name_server(text, &at_dns.index(index), report))
        .collect();
    Some(Guest {
        user: user.to_owned(),
        image: image?,
        interface: interface.to_owned(),
        private_key: raw.ssh.private_key_path.as_ref().map(PathBuf::from),
        add_to_known_hosts: raw
            .ssh
            .add_to_known_hosts
            .unwrap_or(defaults::ADD_TO_KNOWN_HOSTS),
        cpu_mode: raw.cpu_mode.unwrap_or(CpuMode::Custom),
        dns,
        update_on_boot: raw.update_on_boot.unwrap_or(defaults::UPDATE_ON_BOOT),
    })
}

/// A server that machines can ask: on their own loopback, as what systemd-resolved has there, none answers them.
fn name_server(text: &str, at: &At, report: &mut Report) -> Option<Ipv4Addr> {
    let address = network::ipv4(text, at, report)?;
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        let message = format!(
            "{address} is no name server that machines reach: there they find themselves, or nobody"
        );
        let help =
            "write the address of a server in your network, or leave `dns` out for the gateway";
        report.error(at, "name-server", message, help);
    }
    Some(address)
}

/// The file's own image, else the site's for the distro, else the distro's.
fn image(
    raw: &raw::Os,
    site: &Site,
    release: Option<&Release>,
    at: &At,
    report: &mut Report,
) -> Option<Image> {
    let checksum = match &raw.checksum {
        Some(text) => Some(checksum(text, &at.key("checksum"), report)?),
        None => None,
    };
    let image = match &raw.source {
        Some(source) => own_image(raw, source, at, report)?,
        None => named_image(raw, site, release, at, report)?,
    };
    let image = Image {
        checksum: checksum.or(image.checksum),
        ..image
    };
    if image.checksum.is_none() {
        let key = if raw.source.is_some() {
            "source"
        } else {
            "distro"
        };
        report.warning(
            &at.key(key),
            "image-unchecked",
            "the image is used without being checked, as no checksum is given",
            "add `checksum: sha256:<digits>` beside the source; `sha256sum` prints the digits",
        );
    }
    insecure(&image, raw, at, report);
    Some(image)
}

/// A warning where somebody on the way could bring another image, its digest with it.
fn insecure(image: &Image, raw: &raw::Os, at: &At, report: &mut Report) {
    let own = if raw.source.is_some() {
        "source"
    } else {
        "distro"
    };
    let (key, what, url) = match &image.checksum {
        Some(Checksum::Published(url)) if words::is_open(url) => {
            let key = if raw.checksum.is_some() {
                "checksum"
            } else {
                own
            };
            (key, "the image's list of digests", url)
        }
        None if words::is_open(&image.source) => (own, "the image", &image.source),
        _ => return,
    };
    report.warning(
        &at.key(key),
        "image-open",
        format!(
            "{what} comes from {}, over a connection that anybody on the way can change",
            quote(&address::shown(url))
        ),
        "use an address that begins with https://, or pin the image by `checksum: sha256:<digits>`",
    );
}

fn own_image(raw: &raw::Os, source: &str, at: &At, report: &mut Report) -> Option<Image> {
    let distro = raw.distro.as_deref().unwrap_or("custom");
    let name = report.parse::<Label>(&at.key("distro"), "distro", distro);
    report.checked(
        &at.key("source"),
        "image-source",
        source,
        words::image_source,
    )?;
    name?;
    no_image(source, &at.key("source"), report);
    Some(Image {
        distro: images::canonical(distro).to_owned(),
        source: source.to_owned(),
        checksum: None,
    })
}

/// Files that are no images of disks, by how their names end, and what to do.
const NO_IMAGES: [(&str, &[&str], &str); 3] = [
    (
        "an installer's image, from which no machine starts by itself",
        &["iso"],
        "take the distro's cloud image, as a .img or .qcow2 file",
    ),
    (
        "packed, and is not unpacked here",
        &["7z", "bz2", "gz", "tar", "tgz", "xz", "zip", "zst"],
        "unpack it, and name the image in it",
    ),
    (
        "of a format that is not read here",
        &["ova", "ovf", "vdi", "vhd", "vhdx", "vmdk"],
        "convert it with `qemu-img convert -O qcow2`",
    ),
];

/// A warning where the source's name says that no disk is in it.
fn no_image(source: &str, at: &At, report: &mut Report) {
    let path = source.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let Some((_, end)) = name.rsplit_once('.') else {
        return;
    };
    let end = end.to_ascii_lowercase();
    for (what, ends, help) in NO_IMAGES {
        if ends.contains(&end.as_str()) {
            let message = format!("by its name, {} is {what}", quote(&address::shown(name)));
            report.warning(at, "image-format", message, help);
        }
    }
}

fn named_image(
    raw: &raw::Os,
    site: &Site,
    release: Option<&Release>,
    at: &At,
    report: &mut Report,
) -> Option<Image> {
    let distro = match raw.distro.as_deref().unwrap_or(defaults::DISTRO) {
        "debian" => debian(release, &at.key("distro"), report),
        other => other,
    };
    let canonical = images::canonical(distro);
    if let Some(image) = site.images.get(canonical) {
        return Some(Image {
            distro: canonical.to_owned(),
            source: image.source.clone(),
            checksum: image.checksum.clone(),
        });
    }
    if let Some(preset) = images::find(distro) {
        return Some(preset.image());
    }
    let known = || images::PRESETS.iter().map(|preset| preset.distro);
    let all = || known().collect::<Vec<_>>().join(", ");
    let help = match images::meant(distro).or_else(|| nearest(distro, known())) {
        Some(guess) => format!(
            "did you mean `{guess}`? Known are {}; any other needs `source`",
            all()
        ),
        None => format!(
            "give it a `source`, or use one of those that need none: {}",
            all()
        ),
    };
    let message = format!("{} is not a known distro", quote(distro));
    report.error(&at.key("distro"), "distro", message, help);
    None
}

/// What `debian` stands for: in the Go program's files, up to 3.3, Debian 11, which is also the only one that the
/// Kubespray releases of that time set up.
fn debian(release: Option<&Release>, at: &At, report: &mut Report) -> &'static str {
    if release.is_some_and(|release| release.tag.minor() < DEBIAN_12_SINCE) {
        return "debian11";
    }
    report.warning(
        at,
        "distro-moved",
        "`debian` is Debian 12 here; in files of the Go program up to 3.3 it was Debian 11",
        "write `debian12`, or `debian11` for what those files installed",
    );
    "debian12"
}

/// The first Kubespray that sets up Debian 12 (before, it installs packages which Debian 12 has no more).
const DEBIAN_12_SINCE: (u64, u64) = (2, 23);

/// A checksum; the address of a list of digests is held against the rule for addresses.
pub(super) fn checksum(text: &str, at: &At, report: &mut Report) -> Option<Checksum> {
    let checksum = report.parse(at, "checksum", text)?;
    if let Checksum::Published(url) = &checksum {
        report.checked(at, "checksum", url, words::http)?;
    }
    Some(checksum)
}
