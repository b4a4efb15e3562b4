//! The site file: its rules.

use std::path::PathBuf;

use super::{formats, proxy, template};
use crate::cluster::Pip;
use crate::report::{KeyPath, Report};
use crate::site::{Site, SiteImage, SiteKubespray, SiteProxy};
use crate::timeouts::{Timeout, Timeouts};
use crate::{images, raw};

/// The site that the file describes, if it has no error.
pub(crate) fn site(raw: &raw::Site, report: &mut Report) -> Option<Site> {
    let path = KeyPath::Root;
    let images_path = path.key("images");
    let images = raw
        .images
        .iter()
        .filter_map(|(distro, image)| {
            let path = images_path.key(distro);
            let image = site_image(image, &path, report)?;
            Some((images::canonical(distro).to_owned(), image))
        })
        .collect();

    let kubespray_path = path.key("kubespray");
    if let Some(url) = &raw.kubespray.url {
        report.checked(
            &kubespray_path.key("url"),
            "repository",
            url,
            formats::repository_without_secret,
        );
    }
    if let Some(python) = &raw.kubespray.python {
        report.checked(
            &kubespray_path.key("python"),
            "path",
            python,
            formats::absolute_path,
        );
    }
    let pip_path = path.key("pip");
    if let Some(url) = &raw.pip.index_url {
        report.checked(&pip_path.key("indexUrl"), "url", url, formats::http);
    }
    if let Some(links) = &raw.pip.find_links {
        let rule = if links.starts_with('/') {
            formats::absolute_path
        } else {
            formats::http
        };
        report.checked(&pip_path.key("findLinks"), "path", links, rule);
    }
    let uris_path = path.key("libvirtUris");
    for (index, uri) in raw.libvirt_uris.iter().enumerate() {
        report.checked(&uris_path.index(index), "uri", uri, formats::site_uri);
    }
    let proxy_path = path.key("proxy");
    for (key, url) in [("http", &raw.proxy.http), ("https", &raw.proxy.https)] {
        if let Some(url) = url {
            proxy::address(url, &proxy_path.key(key), report);
        }
    }
    let no_proxy_path = proxy_path.key("no");
    for (index, name) in raw.proxy.no.iter().enumerate() {
        report.checked(
            &no_proxy_path.index(index),
            "proxy",
            name,
            formats::no_proxy,
        );
    }
    Some(Site {
        libvirt_uris: raw.libvirt_uris.clone(),
        virt_type: raw.virt_type.unwrap_or_default(),
        images,
        kubespray: SiteKubespray {
            url: raw.kubespray.url.clone(),
            python: raw.kubespray.python.as_ref().map(PathBuf::from),
            forks: raw.kubespray.forks,
            any_commit: raw.kubespray.any_commit,
        },
        pip: Pip {
            index_url: raw.pip.index_url.clone(),
            find_links: raw.pip.find_links.clone(),
        },
        proxy: SiteProxy {
            http: raw.proxy.http.clone(),
            https: raw.proxy.https.clone(),
            no: raw.proxy.no.clone(),
        },
        timeouts: timeouts(&raw.timeouts, &path.key("timeouts"), report),
    })
}

fn timeouts(raw: &raw::SiteTimeouts, path: &KeyPath, report: &mut Report) -> Timeouts {
    let raw::SiteTimeouts { boot, drain, ready } = raw;
    let mut timeout = |key, text: &Option<String>| {
        let text = text.as_deref()?;
        let rule = |text: &str| text.parse::<Timeout>().map(drop);
        report.checked(&path.key(key), "timeout", text, rule)?;
        text.parse().ok()
    };
    let (boot, drain, ready) = (
        timeout("boot", boot),
        timeout("drain", drain),
        timeout("ready", ready),
    );
    Timeouts::default().or([boot, drain, ready])
}

fn site_image(raw: &raw::SiteImage, path: &KeyPath, report: &mut Report) -> Option<SiteImage> {
    let checksum = raw
        .checksum
        .as_deref()
        .and_then(|text| template::checksum(text, &path.key("checksum"), report));
    let Some(source) = &raw.source else {
        report.missing(
            &path.key("source"),
            "give a path on this machine or an http(s) address",
        );
        return None;
    };
    report.checked(
        &path.key("source"),
        "image-source",
        source,
        formats::image_source,
    )?;
    Some(SiteImage {
        source: source.clone(),
        checksum,
    })
}
