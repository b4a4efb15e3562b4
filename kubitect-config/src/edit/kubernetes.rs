//! Edits of `kubernetes` and `addons`.

use crate::yaml::Value;

use super::{Change, Edits, text};
use crate::cluster::{Addons, Kubernetes, Kubespray, Pip, Proxy};
use crate::release::Cilium;
use crate::variables::{HTTP_PROXY, HTTPS_PROXY, NO_PROXY};

/// Edits of `kubernetes`. The addons' variables say whether cilium is installed, and in which version.
pub(super) fn kubernetes(
    (was, was_addons): (&Kubernetes, &Addons),
    (wanted, wanted_addons): (&Kubernetes, &Addons),
    edits: &mut Edits,
) {
    let Kubernetes {
        version,
        network_plugin,
        dns_mode,
        container_manager,
        kubespray,
        auto_renew_certificates,
        merge_kubeconfig,
    } = was;
    // The applied file says whether there is cilium to upgrade; the wanted file says its new version.
    let cilium = match Cilium::of(network_plugin, &was_addons.kubespray) {
        Cilium::Absent => Cilium::Absent,
        _ => Cilium::of("cilium", &wanted_addons.kubespray),
    };
    let versions = || Change::Versions {
        cilium,
        from: was.hop(),
        to: wanted.hop(),
    };
    let path = |key: &str| format!("kubernetes.{key}");
    edits.value(path("version"), version, &wanted.version, versions());
    edits.value(
        path("networkPlugin"),
        network_plugin,
        &wanted.network_plugin,
        Change::NetworkPlugin,
    );
    edits.value(path("dnsMode"), dns_mode, &wanted.dns_mode, Change::DnsMode);
    edits.value(
        path("manager"),
        container_manager,
        &wanted.container_manager,
        Change::ContainerManager,
    );
    let Kubespray {
        version,
        url,
        any_commit,
        python,
        forks,
        pip,
    } = kubespray;
    let new = &wanted.kubespray;
    edits.value(path("kubespray.version"), version, &new.version, versions());
    edits.field(
        path("kubespray.url"),
        url,
        &new.url,
        |url| Some(crate::address::shown(url)),
        Change::KubespraySource,
    );
    edits.value(
        "site: kubespray.anyCommit",
        any_commit,
        &new.any_commit,
        Change::KubespraySource,
    );
    edits.field(
        "site: kubespray.python",
        python,
        &new.python,
        |path| path.as_ref().map(|path| path.display().to_string()),
        Change::KubespraySource,
    );
    edits.value(
        "site: kubespray.forks",
        forks,
        &new.forks,
        Change::KubespraySource,
    );
    let Pip {
        index_url,
        find_links,
    } = pip;
    let shown = |url: &Option<String>| url.as_deref().map(crate::address::shown);
    edits.field(
        "site: pip.indexUrl",
        index_url,
        &new.pip.index_url,
        shown,
        Change::KubespraySource,
    );
    edits.field(
        "site: pip.findLinks",
        find_links,
        &new.pip.find_links,
        shown,
        Change::KubespraySource,
    );
    edits.value(
        path("other.autoRenewCertificates"),
        auto_renew_certificates,
        &wanted.auto_renew_certificates,
        Change::CertificateRenewal,
    );
    edits.value(
        path("other.mergeKubeconfig"),
        merge_kubeconfig,
        &wanted.merge_kubeconfig,
        Change::MergeKubeconfig,
    );
}

/// Whether the file itself sets the proxy, or a part of it, by Kubespray's variables: then these variables are the edits.
pub(super) fn sets_proxy(addons: &Addons) -> bool {
    let mut names = [HTTP_PROXY, HTTPS_PROXY].into_iter().chain(NO_PROXY);
    names.any(|name| addons.kubespray.contains_key(name))
}

/// Edits of the site file's proxy. The cluster's own addresses, which are reached without the proxy (`own`), are not compared: they
/// change only with other edits.
pub(super) fn proxy(was: Option<&Proxy>, wanted: Option<&Proxy>, edits: &mut Edits) {
    let parts = |proxy: Option<&Proxy>| match proxy.cloned() {
        Some(Proxy {
            http,
            https,
            no,
            own: _,
        }) => (http, https, no),
        None => (None, None, Vec::new()),
    };
    let ((http, https, no), new) = (parts(was), parts(wanted));
    let shown = |url: &Option<String>| url.as_deref().map(crate::address::shown);
    edits.field("site: proxy.http", &http, &new.0, shown, Change::Proxy);
    edits.field("site: proxy.https", &https, &new.1, shown, Change::Proxy);
    edits.field(
        "site: proxy.no",
        &no,
        &new.2,
        |no| (!no.is_empty()).then(|| no.join(", ")),
        Change::Proxy,
    );
}

/// Edits of `addons`: one for each variable of Kubespray that differs, and one for Rook.
pub(super) fn addons(was: &Addons, wanted: &Addons, edits: &mut Edits) {
    let Addons { kubespray, rook } = was;
    let new = wanted
        .kubespray
        .keys()
        .filter(|key| !kubespray.contains_key(*key));
    for key in kubespray.keys().chain(new) {
        let name = text::on_one_line(key);
        let wanted = wanted.kubespray.get(key);
        edits.field(
            format!("addons.kubespray.{name}"),
            &kubespray.get(key),
            &wanted,
            |value| value.map(|value| text::variable(&name, value)),
            Change::AddonVariable {
                key: name.clone(),
                off: matches!(wanted, None | Some(Value::Bool(false) | Value::Null)),
            },
        );
    }
    edits.field(
        "addons.rook",
        rook,
        &wanted.rook,
        |rook| rook.as_ref().map(text::rook),
        Change::Rook,
    );
}
