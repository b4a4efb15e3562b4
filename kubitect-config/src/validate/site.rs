//! The site file.

use std::path::PathBuf;

use super::{proxy, template, words};
use crate::cluster::Pip;
use crate::report::{At, Report};
use crate::site::{Site, SiteImage, SiteKubespray, SiteProxy};
use crate::timeouts::{Timeout, Timeouts};
use crate::{images, raw};

/// The site that the file describes, if it has no error.
pub(crate) fn site(raw: &raw::Site, report: &mut Report) -> Option<Site> {
    let at = At::Root;
    let at_images = at.key("images");
    let images = raw
        .images
        .iter()
        .filter_map(|(distro, image)| {
            let at = at_images.key(distro);
            let image = site_image(image, &at, report)?;
            Some((images::canonical(distro).to_owned(), image))
        })
        .collect();

    let at_kubespray = at.key("kubespray");
    if let Some(url) = &raw.kubespray.url {
        report.checked(
            &at_kubespray.key("url"),
            "repository",
            url,
            words::repository_without_secret,
        );
    }
    if let Some(python) = &raw.kubespray.python {
        report.checked(
            &at_kubespray.key("python"),
            "path",
            python,
            words::absolute_path,
        );
    }
    let at_pip = at.key("pip");
    if let Some(url) = &raw.pip.index_url {
        report.checked(&at_pip.key("indexUrl"), "url", url, words::http);
    }
    if let Some(links) = &raw.pip.find_links {
        let rule = if links.starts_with('/') {
            words::absolute_path
        } else {
            words::http
        };
        report.checked(&at_pip.key("findLinks"), "path", links, rule);
    }
    let at_uris = at.key("libvirtUris");
    for (index, uri) in raw.libvirt_uris.iter().enumerate() {
        report.checked(&at_uris.index(index), "uri", uri, words::site_uri);
    }
    let at_proxy = at.key("proxy");
    for (key, url) in [("http", &raw.proxy.http), ("https", &raw.proxy.https)] {
        if let Some(url) = url {
            proxy::address(url, &at_proxy.key(key), report);
        }
    }
    let at_no = at_proxy.key("no");
    for (index, one) in raw.proxy.no.iter().enumerate() {
        report.checked(&at_no.index(index), "proxy", one, words::no_proxy);
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
        timeouts: timeouts(&raw.timeouts, &at.key("timeouts"), report),
    })
}

fn timeouts(raw: &raw::SiteTimeouts, at: &At, report: &mut Report) -> Timeouts {
    let raw::SiteTimeouts { boot, drain, ready } = raw;
    let mut timeout = |key, text: &Option<String>| {
        let text = text.as_deref()?;
        let rule = |text: &str| text.parse::<Timeout>().map(drop);
        report.checked(&at.key(key), "timeout", text, rule)?;
        text.parse().ok()
    };
    let (boot, drain, ready) = (
        timeout("boot", boot),
        timeout("drain", drain),
        timeout("ready", ready),
    );
    Timeouts::default().or([boot, drain, ready])
}

fn site_image(raw: &raw::SiteImage, at: &At, report: &mut Report) -> Option<SiteImage> {
    let checksum = raw
        .checksum
        .as_deref()
        .and_then(|text| template::checksum(text, &at.key("checksum"), report));
    let Some(source) = &raw.source else {
        report.missing(
            &at.key("source"),
            "give a path on this machine or an http(s) address",
        );
        return None;
    };
    report.checked(
        &at.key("source"),
        "image-source",
        source,
        words::image_source,
    )?;
    Some(SiteImage {
        source: source.clone(),
        checksum,
    })
}
