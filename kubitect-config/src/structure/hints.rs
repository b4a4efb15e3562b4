//! What mends a key or a value that has no place where it stands: a key that belongs elsewhere or is called otherwise here, a
//! single value where a list or a mapping should be.

use std::collections::HashMap;

use serde_json::Value as Schema;

use crate::release::names::last_with;
use crate::report::{At, nearest, quote};
use crate::tree::{Kind, Tree};
use crate::variables;

/// What other programs call keys of ours: word, key.
const OTHERWISE: [(&str, &str); 33] = [
    ("address", "ip"),
    ("agents", "worker"),
    ("cni", "networkPlugin"),
    ("containermanager", "manager"),
    ("containerruntime", "manager"),
    ("controllers", "master"),
    ("controlplane", "master"),
    ("controlplanes", "master"),
    ("cores", "cpu"),
    ("cri", "manager"),
    ("disk", "mainDiskSize"),
    ("disks", "dataDisks"),
    ("disksize", "mainDiskSize"),
    ("host", "ip"),
    ("hostname", "id"),
    ("hostname", "ip"),
    ("image", "source"),
    ("lb", "loadBalancer"),
    ("mem", "ram"),
    ("memory", "ram"),
    ("name", "distro"),
    ("name", "id"),
    ("numcpus", "cpu"),
    ("pools", "dataResourcePools"),
    ("range", "cidr"),
    ("runtime", "manager"),
    ("servers", "master"),
    ("storage", "mainDiskSize"),
    ("subnet", "cidr"),
    ("url", "source"),
    ("username", "user"),
    ("vcpu", "cpu"),
    ("vcpus", "cpu"),
];

/// Keys by which other programs say how many machines there are, or of which kinds.
const NUMBERS: [&str; 7] = [
    "count",
    "groups",
    "nodePools",
    "number",
    "pools",
    "replicas",
    "size",
];

/// What other programs have keys for, and here is none.
const WITHOUT: [(&[&str], &str); 10] = [
    (&["etcd"], "remove it: etcd runs on the masters"),
    (
        &["passwd", "password"],
        "remove it: who logs in does so by an SSH key (`keyfile` of hosts, `privateKeyPath` of machines)",
    ),
    (
        &[
            "gpu",
            "gpus",
            "hostdevices",
            "hostdevs",
            "passthrough",
            "pci",
            "pcidevices",
        ],
        "remove it: machines are given no devices of their host",
    ),
    (
        &["vlan", "vlanid"],
        "remove it, and name a bridge that the host has in that VLAN, as `bridge: br50`",
    ),
    (
        &[
            "clustercidr",
            "podcidr",
            "podnetworkcidr",
            "podsubnet",
            "podsubnets",
        ],
        "set `kube_pods_subnet` under `addons.kubespray`",
    ),
    (
        &[
            "servicecidr",
            "serviceclusteriprange",
            "servicesubnet",
            "servicesubnets",
        ],
        "set `kube_service_addresses` under `addons.kubespray`",
    ),
    (
        &["clusterdomain", "dnsdomain"],
        "set `dns_domain` under `addons.kubespray`",
    ),
    (
        &["kubeproxymode", "proxymode"],
        "set `kube_proxy_mode` under `addons.kubespray`",
    ),
    (
        &["featuregates"],
        "set `kube_feature_gates` under `addons.kubespray`, as `[NAME=true]`",
    ),
    (
        &["registries", "registrymirrors"],
        "set `containerd_registries_mirrors` under `addons.kubespray`",
    ),
];

/// What mends a key that has no place here: the one of this place that is meant, if there is one, and what to do.
pub(super) fn mended<'k>(
    key: &str,
    known: &[&'k str],
    places: &Places,
    at: &At,
) -> (Option<&'k str>, String) {
    let is_top = matches!(at, At::Key(At::Root, _));
    let is_addons = matches!(at, At::Key(At::Key(At::Root, "addons"), _));
    let managed = match is_variable(key, at) {
        true => variables::managed(key),
        false => None,
    };
    if is_variable(key, at) && managed.is_none() {
        let help = format!("write it under `addons.kubespray`: `kubespray: {{{key}: …}}`");
        return (None, help);
    }
    if let Some(help) = without(key) {
        return (None, help.to_owned());
    }
    let near = nearest(key, known.iter().copied());
    if let Some(guess) = near.or_else(|| otherwise(key, known)) {
        return (Some(guess), format!("did you mean `{guess}`?"));
    }
    if key == "plugins" && is_top {
        return (None, "did you mean `addons`?".to_owned());
    }
    let addon = || if is_addons { addon(key) } else { None };
    let help = managed
        .map(str::to_owned)
        .or_else(addon)
        .or_else(|| number(key, known))
        .or_else(|| elsewhere(places, at));
    let removed = || match known {
        [] => "remove it".to_owned(),
        known => {
            let more = if is_top {
                "; a key that begins with `x-` holds what is repeated"
            } else {
                ""
            };
            format!("remove it; known here are: {}{more}", known.join(", "))
        }
    };
    (None, help.unwrap_or_else(removed))
}

/// Whether a key is a variable of Kubespray's: of `addons` anyone, elsewhere one that no key of ours is written like.
fn is_variable(key: &str, at: &At) -> bool {
    let is_addons = matches!(at, At::Key(At::Key(At::Root, "addons"), _));
    (is_addons || key.contains('_')) && last_with(key).is_some()
}

/// What to do instead of a key that other programs have.
fn without(word: &str) -> Option<&'static str> {
    let plain = plain(word);
    let mut all = WITHOUT.iter();
    let (_, help) = all.find(|(words, _)| words.contains(&plain.as_str()))?;
    Some(help)
}

/// An addon by the name that it has elsewhere: the variable that turns it on.
fn addon(word: &str) -> Option<String> {
    let mut name = String::new();
    for c in word.chars() {
        match c {
            'A'..='Z' => name.extend(['_', c.to_ascii_lowercase()]),
            '-' => name.push('_'),
            c => name.push(c),
        }
    }
    let name = format!("{}_enabled", name.trim_start_matches('_'));
    last_with(&name)
        .is_some()
        .then(|| format!("write it under `addons.kubespray`: `kubespray: {{{name}: true}}`"))
}

/// A word's letters and digits alone.
fn plain(word: &str) -> String {
    let all = word.chars().filter(char::is_ascii_alphanumeric);
    all.map(|c| c.to_ascii_lowercase()).collect()
}

/// The key of this place that another program's word means.
pub(super) fn otherwise<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = plain(word);
    let mut meant = OTHERWISE.iter().filter(|(other, _)| *other == plain);
    meant.find_map(|(_, key)| known.iter().copied().find(|known| known == key))
}

/// What to do instead of saying a number of machines.
fn number(word: &str, known: &[&str]) -> Option<String> {
    (NUMBERS.contains(&word) && known.contains(&"instances")).then(|| {
        "write a machine each under `instances`: `- id: 1`, `- id: 2` and so on".to_owned()
    })
}

/// The paths of the mappings that have a key, by the key.
pub(super) type Places = HashMap<String, Vec<String>>;

/// All keys of a schema.
pub(super) fn places(root: &Schema) -> Places {
    let mut found = Places::new();
    gather(root, root, "", 0, &mut found);
    found
}

/// Where a key belongs that has no place at `at`: below this place if one alone has it there, else wherever one alone has it.
pub(super) fn elsewhere(places: &Places, at: &At) -> Option<String> {
    let At::Key(parent, key) = at else {
        return None;
    };
    let found = places.get(*key)?;
    let here = general(&parent.to_string());
    let below = |place: &&String| here.is_empty() || place.starts_with(&format!("{here}."));
    let inner: Vec<&String> = found.iter().filter(below).collect();
    let places: Vec<&str> = match (inner.as_slice(), found.as_slice()) {
        ([], [one]) => vec![one],
        ([], _) => return None,
        (inner, _) => inner.iter().map(|place| place.as_str()).collect(),
    };
    match places.as_slice() {
        [""] => Some("it belongs to the top of the file: write it without indentation".to_owned()),
        [place] => Some(format!("it belongs under `{place}`")),
        places if places.len() <= SEVERAL => {
            Some(format!("it belongs under one of `{}`", places.join("`, `")))
        }
        _ => None,
    }
}

/// How many places are named.
const SEVERAL: usize = 3;

/// A path with its indices left out.
fn general(path: &str) -> String {
    let mut plain = String::new();
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => inside = true,
            ']' => {
                inside = false;
                plain.push_str("[]");
            }
            c if !inside => plain.push(c),
            _ => {}
        }
    }
    plain
}

fn gather(root: &Schema, schema: &Schema, path: &str, depth: usize, found: &mut Places) {
    const DEPTH: usize = 8;
    let schema = super::resolve(root, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if property["deprecated"] == true {
            continue;
        }
        found.entry(name.clone()).or_default().push(path.to_owned());
        let inner = super::resolve(root, property);
        let (inner, list) = match inner.get("items") {
            Some(items) => (items, "[]"),
            None => (inner, ""),
        };
        if depth < DEPTH {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{name}{list}");
            gather(root, inner, &path, depth + 1, found);
        }
    }
}

/// Kinds of machines.
const ROLES: [&str; 3] = ["loadBalancer", "master", "worker"];

/// What to write for a value of another shape than wanted.
pub(super) fn shape(tree: &Tree, types: &[&str], at: &At) -> Option<String> {
    let At::Key(parent, key) = at else {
        return item(tree, at).or_else(|| taint(tree, at));
    };
    let text = tree.text();
    let is_short = !text.is_empty() && text.len() <= 60 && !text.contains(char::is_control);
    match &tree.kind {
        Kind::Scalar { .. } if types.contains(&"object") && is_short => {
            let inner = match *key {
                "kubespray" if matches!(parent, At::Key(_, "kubernetes")) => "version",
                "connection" => "type",
                "os" => "distro",
                "network" if text.contains('/') => "cidr",
                "network" => "mode",
                "kubernetes" => "version",
                role if ROLES.contains(&role) => return number("count", &["instances"]),
                _ => return None,
            };
            Some(format!(
                "write {}",
                quote(&format!("{key}: {{{inner}: {text}}}"))
            ))
        }
        Kind::Scalar { .. } if types.contains(&"array") && is_short => match *key {
            "dns" | "taints" => Some(format!("write {}", quote(&format!("{key}: [{text}]")))),
            "instances" => number("count", &["instances"]),
            _ => None,
        },
        Kind::List(_) if ROLES.contains(key) => {
            Some("write `instances:`, and the list under it".to_owned())
        }
        Kind::Map(entries) if types.contains(&"array") => {
            let (first, value) = entries.first()?;
            let first = match value.kind {
                // Machines by their ids.
                Kind::Map(_) if *key == "instances" => quote(&format!("- id: {}", first.text())),
                _ => quote(&format!("- {}:", first.text())),
            };
            Some(format!(
                "begin each item with `- `, the first one with {first}"
            ))
        }
        Kind::List(items) if types.contains(&"object") => {
            let (name, value) = items.first()?.text().split_once(['=', ':'])?;
            let pair = format!("{}: {}", name.trim(), value.trim());
            Some(format!(
                "write a line each without its `- `, as {}",
                quote(&pair)
            ))
        }
        _ => None,
    }
}

/// An item of a list of mappings that is written as its first value alone.
fn item(tree: &Tree, at: &At) -> Option<String> {
    let At::Index(At::Key(_, key), _) = at else {
        return None;
    };
    if tree.is_nothing() {
        return None;
    }
    let text = tree.text();
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > 60 || !text.chars().all(is_word) {
        return None;
    }
    let item = match *key {
        "hosts" => format!("{{name: {text}, connection: {{type: local}}}}"),
        "instances" => format!("{{id: {text}}}"),
        "forwardPorts" if text.parse::<u16>().is_ok() => {
            format!("{{name: port-{text}, port: {text}}}")
        }
        "dataDisks" => format!("{{name: {text}, size: 10}}"),
        "dataResourcePools" => format!("{{name: {text}}}"),
        _ => return None,
    };
    Some(format!("write {}", quote(&item)))
}

/// A taint as Kubernetes' own manifests write it.
fn taint(tree: &Tree, at: &At) -> Option<String> {
    if !matches!(at, At::Index(At::Key(_, "taints"), _)) {
        return None;
    }
    let (_, key) = tree.get("key")?;
    let (_, effect) = tree.get("effect")?;
    let value = tree.get("value").map(|(_, value)| value.text());
    let value = value
        .filter(|value| !value.is_empty())
        .map(|value| format!("={value}"));
    let taint = format!(
        "{}{}:{}",
        key.text(),
        value.unwrap_or_default(),
        effect.text()
    );
    Some(format!("write {}", quote(&taint)))
}
