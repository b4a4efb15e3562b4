//! The help for keys and values that the schema does not allow: a key that belongs under another parent or has another name here,
//! or a single value instead of a list or a mapping.

use std::collections::HashMap;

use serde_json::Value as Schema;

use crate::release::names::last_with;
use crate::report::{KeyPath, nearest, quote};
use crate::tree::{Kind, Tree};
use crate::variables;

/// Other programs' names for keys of the schema: their name, in lower case without signs, and the key.
const SYNONYMS: [(&str, &str); 33] = [
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
const COUNTS: [&str; 7] = [
    "count",
    "groups",
    "nodePools",
    "number",
    "pools",
    "replicas",
    "size",
];

/// Other programs' keys for which the schema has none, and what to do instead.
const UNSUPPORTED: [(&[&str], &str); 10] = [
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

/// The help for an unknown key, and the key that is probably meant, if there is one. `allowed` are the keys that the schema has
/// there.
pub(super) fn unknown_key<'k>(
    key: &str,
    allowed: &[&'k str],
    parents: &KeyParents,
    path: &KeyPath,
) -> (Option<&'k str>, String) {
    let is_top = matches!(path, KeyPath::Key(KeyPath::Root, _));
    let is_addons = matches!(path, KeyPath::Key(KeyPath::Key(KeyPath::Root, "addons"), _));
    let managed = match is_variable(key, path) {
        true => variables::managed(key),
        false => None,
    };
    if is_variable(key, path) && managed.is_none() {
        let help = format!("write it under `addons.kubespray`: `kubespray: {{{key}: …}}`");
        return (None, help);
    }
    if let Some(help) = unsupported(key) {
        return (None, help.to_owned());
    }
    let near = nearest(key, allowed.iter().copied());
    if let Some(guess) = near.or_else(|| synonym(key, allowed)) {
        return (Some(guess), format!("did you mean `{guess}`?"));
    }
    if key == "plugins" && is_top {
        return (None, "did you mean `addons`?".to_owned());
    }
    let addon = || if is_addons { addon(key) } else { None };
    let help = managed
        .map(str::to_owned)
        .or_else(addon)
        .or_else(|| count(key, allowed))
        .or_else(|| under_other_parent(parents, path));
    let removed = || match allowed {
        [] => "remove it".to_owned(),
        allowed => {
            let more = if is_top {
                "; a key that begins with `x-` holds what is repeated"
            } else {
                ""
            };
            format!("remove it; known here are: {}{more}", allowed.join(", "))
        }
    };
    (None, help.unwrap_or_else(removed))
}

/// Whether an unknown key is meant as a variable of Kubespray's: under `addons` any variable; elsewhere only one with `_`, which
/// no key of the schema has.
fn is_variable(key: &str, path: &KeyPath) -> bool {
    let is_addons = matches!(path, KeyPath::Key(KeyPath::Key(KeyPath::Root, "addons"), _));
    (is_addons || key.contains('_')) && last_with(key).is_some()
}

/// What to do instead of a key that other programs have and the schema has not.
fn unsupported(word: &str) -> Option<&'static str> {
    let plain = plain(word);
    let mut all = UNSUPPORTED.iter();
    let (_, help) = all.find(|(words, _)| words.contains(&plain.as_str()))?;
    Some(help)
}

/// The help for an addon's name, as `certManager`: the variable of Kubespray's that turns it on.
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

/// A word's letters and digits, in lower case.
fn plain(word: &str) -> String {
    let all = word.chars().filter(char::is_ascii_alphanumeric);
    all.map(|c| c.to_ascii_lowercase()).collect()
}

/// The allowed key for which another program has this name.
pub(super) fn synonym<'k>(word: &str, allowed: &[&'k str]) -> Option<&'k str> {
    let plain = plain(word);
    let mut keys = SYNONYMS.iter().filter(|(other, _)| *other == plain);
    keys.find_map(|(_, key)| allowed.iter().copied().find(|allowed| allowed == key))
}

/// What to do instead of a number of machines.
fn count(word: &str, allowed: &[&str]) -> Option<String> {
    (COUNTS.contains(&word) && allowed.contains(&"instances")).then(|| {
        "write a machine each under `instances`: `- id: 1`, `- id: 2` and so on".to_owned()
    })
}

/// For each key of the schema, the paths of the mappings that may have it.
pub(super) type KeyParents = HashMap<String, Vec<String>>;

/// All keys of a schema, with their parents.
pub(super) fn key_parents(root: &Schema) -> KeyParents {
    let mut found = KeyParents::new();
    gather(root, root, "", 0, &mut found);
    found
}

/// The help for a key of the schema under the wrong parent: the mappings below this parent that may have it, if there are any;
/// else the only one in the file that may have it.
pub(super) fn under_other_parent(parents: &KeyParents, path: &KeyPath) -> Option<String> {
    let KeyPath::Key(parent, key) = path else {
        return None;
    };
    let found = parents.get(*key)?;
    let current = without_indices(&parent.to_string());
    let below = |other: &&String| current.is_empty() || other.starts_with(&format!("{current}."));
    let inner: Vec<&String> = found.iter().filter(below).collect();
    let paths: Vec<&str> = match (inner.as_slice(), found.as_slice()) {
        ([], [only]) => vec![only],
        ([], _) => return None,
        (inner, _) => inner.iter().map(|other| other.as_str()).collect(),
    };
    match paths.as_slice() {
        [""] => Some("it belongs to the top of the file: write it without indentation".to_owned()),
        [path] => Some(format!("it belongs under `{path}`")),
        paths if paths.len() <= MOST_PATHS => {
            Some(format!("it belongs under one of `{}`", paths.join("`, `")))
        }
        _ => None,
    }
}

/// The most paths that a help names.
const MOST_PATHS: usize = 3;

/// A path without the numbers of its indices: `nodes[3].id` is `nodes[].id`.
fn without_indices(path: &str) -> String {
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

fn gather(root: &Schema, schema: &Schema, path: &str, depth: usize, found: &mut KeyParents) {
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

/// The help for a value of another type than wanted, where its meaning is clear: what to write.
pub(super) fn shape(tree: &Tree, types: &[&str], path: &KeyPath) -> Option<String> {
    let KeyPath::Key(parent, key) = path else {
        return item(tree, path).or_else(|| taint(tree, path));
    };
    let text = tree.text();
    let is_short = !text.is_empty() && text.len() <= 60 && !text.contains(char::is_control);
    match &tree.kind {
        Kind::Scalar { .. } if types.contains(&"object") && is_short => {
            let inner = match *key {
                "kubespray" if matches!(parent, KeyPath::Key(_, "kubernetes")) => "version",
                "connection" => "type",
                "os" => "distro",
                "network" if text.contains('/') => "cidr",
                "network" => "mode",
                "kubernetes" => "version",
                role if ROLES.contains(&role) => return count("count", &["instances"]),
                _ => return None,
            };
            Some(format!(
                "write {}",
                quote(&format!("{key}: {{{inner}: {text}}}"))
            ))
        }
        Kind::Scalar { .. } if types.contains(&"array") && is_short => match *key {
            "dns" | "taints" => Some(format!("write {}", quote(&format!("{key}: [{text}]")))),
            "instances" => count("count", &["instances"]),
            _ => None,
        },
        Kind::List(_) if ROLES.contains(key) => {
            Some("write `instances:`, and the list under it".to_owned())
        }
        Kind::Map(entries) if types.contains(&"array") => {
            let (first, value) = entries.first()?;
            let first = match value.kind {
                // A mapping of machines by their ids.
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

/// The help for an item that is a single word where a mapping is wanted: the mapping with the word as its first value.
fn item(tree: &Tree, path: &KeyPath) -> Option<String> {
    let KeyPath::Index(KeyPath::Key(_, key), _) = path else {
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

/// The help for a taint that is written as a mapping, as in Kubernetes' manifests.
fn taint(tree: &Tree, path: &KeyPath) -> Option<String> {
    if !matches!(path, KeyPath::Index(KeyPath::Key(_, "taints"), _)) {
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
