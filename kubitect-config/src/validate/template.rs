//! Section `cluster.nodeTemplate`: what all machines have in common, above all their image.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::{formats, network};
use crate::cluster::{CpuMode, Guest, Image};
use crate::release::Release;
use crate::report::{KeyPath, Report, nearest, quote};
use crate::site::Site;
use crate::value::{Checksum, Label};
use crate::{address, defaults, images, raw};

pub(super) fn guest(
    raw: &raw::NodeTemplate,
    site: &Site,
    release: Option<&Release>,
    path: &KeyPath,
    report: &mut Report,
) -> Option<Guest> {
    let user = raw.user.as_deref().unwrap_or(defaults::USER);
    report.checked(&path.key("user"), "user", user, formats::new_login);

    let os_path = path.key("os");
    let interface = raw
        .os
        .network_interface
        .as_deref()
        .unwrap_or(defaults::INTERFACE);
    report.checked(
        &os_path.key("networkInterface"),
        "interface",
        interface,
        formats::interface,
    );
    let image = image(&raw.os, site, release, &os_path, report);

    if let Some(file) = &raw.ssh.private_key_path {
        report.checked(
            &path.key("ssh").key("privateKeyPath"),
            "path",
            file,
            formats::path,
        );
    }
    let dns_path = path.key("dns");
    let dns = raw
        .dns
        .iter()
        .enumerate()
        .filter_map(|(index, text)| name_server(text, &dns_path.index(index), report))
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

/// The address of a name server. A loopback address (as systemd-resolved's on this machine) is reported: on a machine, no server
/// is there.
fn name_server(text: &str, path: &KeyPath, report: &mut Report) -> Option<Ipv4Addr> {
    let address = network::ipv4(text, path, report)?;
    if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
        let message = format!(
            "{address} is no name server that machines reach: there they find themselves, or nobody"
        );
        let help =
            "write the address of a server in your network, or leave `dns` out for the gateway";
        report.error(path, "name-server", message, help);
    }
    Some(address)
}

/// The image: the file's own source, else the site file's for the distro, else the distro's official one.
fn image(
    raw: &raw::Os,
    site: &Site,
    release: Option<&Release>,
    path: &KeyPath,
    report: &mut Report,
) -> Option<Image> {
    let checksum = match &raw.checksum {
        Some(text) => Some(checksum(text, &path.key("checksum"), report)?),
        None => None,
    };
    let image = match &raw.source {
        Some(source) => own_image(raw, source, path, report)?,
        None => named_image(raw, site, release, path, report)?,
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
            &path.key(key),
            "image-unchecked",
            "the image is used without being checked, as no checksum is given",
            "add `checksum: sha256:<digits>` beside the source; `sha256sum` prints the digits",
        );
    }
    insecure(&image, raw, path, report);
    Some(image)
}

/// Warns if the image or its list of digests comes over an unencrypted connection: anybody on the network path could replace both.
fn insecure(image: &Image, raw: &raw::Os, path: &KeyPath, report: &mut Report) {
    let own = if raw.source.is_some() {
        "source"
    } else {
        "distro"
    };
    let (key, what, url) = match &image.checksum {
        Some(Checksum::Published(url)) if formats::is_insecure(url) => {
            let key = if raw.checksum.is_some() {
                "checksum"
            } else {
                own
            };
            (key, "the image's list of digests", url)
        }
        None if formats::is_insecure(&image.source) => (own, "the image", &image.source),
        _ => return,
    };
    report.warning(
        &path.key(key),
        "image-open",
        format!(
            "{what} comes from {}, over a connection that anybody on the way can change",
            quote(&address::shown(url))
        ),
        "use an address that begins with https://, or pin the image by `checksum: sha256:<digits>`",
    );
}

fn own_image(raw: &raw::Os, source: &str, path: &KeyPath, report: &mut Report) -> Option<Image> {
    let distro = raw.distro.as_deref().unwrap_or("custom");
    let name = report.parse::<Label>(&path.key("distro"), "distro", distro);
    report.checked(
        &path.key("source"),
        "image-source",
        source,
        formats::image_source,
    )?;
    name?;
    unusable_format(source, &path.key("source"), report);
    Some(Image {
        distro: images::canonical(distro).to_owned(),
        source: source.to_owned(),
        checksum: None,
    })
}

/// Files that are no disk images, by the endings of their names, and what to do.
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

/// Warns if the ending of the source's name says that it is no disk image.
fn unusable_format(source: &str, path: &KeyPath, report: &mut Report) {
    let location = source.split(['?', '#']).next().unwrap_or_default();
    let name = location.rsplit('/').next().unwrap_or_default();
    let Some((_, end)) = name.rsplit_once('.') else {
        return;
    };
    let end = end.to_ascii_lowercase();
    for (what, ends, help) in NO_IMAGES {
        if ends.contains(&end.as_str()) {
            let message = format!("by its name, {} is {what}", quote(&address::shown(name)));
            report.warning(path, "image-format", message, help);
        }
    }
}

fn named_image(
    raw: &raw::Os,
    site: &Site,
    release: Option<&Release>,
    path: &KeyPath,
    report: &mut Report,
) -> Option<Image> {
    let distro = match raw.distro.as_deref().unwrap_or(defaults::DISTRO) {
        "debian" => debian(release, &path.key("distro"), report),
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
    let distros = || images::PRESETS.iter().map(|preset| preset.distro);
    let all = || distros().collect::<Vec<_>>().join(", ");
    let help = match images::suggestion(distro).or_else(|| nearest(distro, distros())) {
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
    report.error(&path.key("distro"), "distro", message, help);
    None
}

/// The distro that `debian` means. For Kubespray releases before v2.23 it is Debian 11, the only one that they set up, and what
/// the Go program up to 3.3 meant. For later releases it is Debian 12, with a warning.
fn debian(release: Option<&Release>, path: &KeyPath, report: &mut Report) -> &'static str {
    if release.is_some_and(|release| release.tag.minor() < DEBIAN_12_SINCE) {
        return "debian11";
    }
    report.warning(
        path,
        "distro-moved",
        "`debian` is Debian 12 here; in files of the Go program up to 3.3 it was Debian 11",
        "write `debian12`, or `debian11` for what those files installed",
    );
    "debian12"
}

/// The first Kubespray that sets up Debian 12. Earlier ones install packages that Debian 12 no longer has.
const DEBIAN_12_SINCE: (u64, u64) = (2, 23);

/// A checksum: a digest, or the URL of a list of digests, which must be an http(s) URL.
pub(super) fn checksum(text: &str, path: &KeyPath, report: &mut Report) -> Option<Checksum> {
    let checksum = report.parse(path, "checksum", text)?;
    if let Checksum::Published(url) = &checksum {
        report.checked(path, "checksum", url, formats::http)?;
    }
    Some(checksum)
}
