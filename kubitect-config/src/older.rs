//! [`rewrite`]: renames the keys of files of the Go program's older series to today's.
//!
//! The tree is rewritten before it is checked against the schema, so that no later step has to know the older keys. Each renamed
//! key is a warning that shows the new one. Older keys are not just ignored: that would install another system than the file
//! says.

use crate::problem::Severity;
use crate::tree::{self, Fault, Kind, Tree};

const CODE: &str = "older-key";

/// An older key, and whether the file can be used with it.
pub(crate) type Finding = (Severity, Fault);

/// Renames all older keys in a cluster file.
pub(crate) fn rewrite(root: &mut Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (from, to) in MOVED {
        moved(root, from, to, &mut found);
    }
    any_distro(root);
    addons_file(root, &mut found);
    addons_text(root, &mut found);
    role_label(root, &mut found);
    for role in ["master", "worker"] {
        let group = format!("cluster.nodes.{role}");
        if let Some(default) = root.path_mut(&format!("{group}.default")) {
            label_list(default, &format!("{group}.default"), "labels", &mut found);
        }
        let instances = root.path_mut(&format!("{group}.instances"));
        if let Some(Kind::List(instances)) = instances.map(|tree| &mut tree.kind) {
            for (index, instance) in instances.iter_mut().enumerate() {
                let path = format!("{group}.instances[{index}]");
                label_list(instance, &path, "labels", &mut found);
            }
        }
    }
    if let Some(rook) = root.path_mut("addons.rook") {
        label_list(rook, "addons.rook", "nodeSelector", &mut found);
    }
    found
}

/// The older key of a file with the addons' variables, which is not read.
pub(crate) const ADDONS_FILE: &str = "kubernetes.kubespray.addons";

/// The older key of a label of all workers.
pub(crate) const ROLE_LABEL: &str = "cluster.nodes.worker.default.label";

/// Keys that have another path now: from, to. A mapping is merged into an existing one, whose own values count.
pub(crate) const MOVED: [(&str, &str); 7] = [
    ("cluster.nodeTemplate.image", "cluster.nodeTemplate.os"),
    // The documentation of 2.0 has this key.
    ("cluster.nodeTemplate.images", "cluster.nodeTemplate.os"),
    (
        "cluster.nodeTemplate.networkInterface",
        "cluster.nodeTemplate.os.networkInterface",
    ),
    ("cluster.network.dns", "cluster.nodeTemplate.dns"),
    (
        "kubernetes.kubespray.other.copyKubeconfig",
        "kubernetes.other.mergeKubeconfig",
    ),
    (
        "kubernetes.strictArp",
        "addons.kubespray.kube_proxy_strict_arp",
    ),
    ("kubernetes.kubespray.other", "kubernetes.other"),
];

fn moved(root: &mut Tree, from: &str, to: &str, found: &mut Vec<Finding>) {
    let Some((key, value)) = take(root, from) else {
        return;
    };
    if value.is_nothing() || matches!(&value.kind, Kind::Map(entries) if entries.is_empty()) {
        return;
    }
    found.push(warning(
        from,
        &key,
        format!("`{from}` is called `{to}` now"),
        format!("write it as `{to}`"),
    ));
    put(root, &to.split('.').collect::<Vec<_>>(), value);
}

/// 2.0: the distro `N/A` is a custom one, whose image has a `source`.
fn any_distro(root: &mut Tree) {
    if let Some(distro) = root.path_mut("cluster.nodeTemplate.os.distro")
        && let Kind::Scalar { text, .. } = &mut distro.kind
        && text == "N/A"
    {
        "custom".clone_into(text);
    }
}

/// 2.0: the addons' variables are in a separate file. That is an error, unless the file is turned off.
fn addons_file(root: &mut Tree, found: &mut Vec<Finding>) {
    const PATH: &str = ADDONS_FILE;
    let Some((key, value)) = take(root, PATH) else {
        return;
    };
    let text = |key: &str| value.get(key).map(|(_, value)| value.text().to_owned());
    let is_on = text("enabled").is_some_and(|enabled| !enabled.eq_ignore_ascii_case("false"));
    if is_on {
        let file = text("configPath").unwrap_or_default();
        found.push((
            Severity::Error,
            fault(
                PATH,
                &key,
                format!("the file of addons `{}` is not read", file.escape_debug()),
                "write its variables under `addons.kubespray`".to_owned(),
            ),
        ));
    } else {
        found.push(warning(
            PATH,
            &key,
            "the file of addons is turned off, and its key no longer means anything".to_owned(),
            "remove it; variables of addons stand under `addons.kubespray`".to_owned(),
        ));
    }
}

/// 3.0: the addons' variables are one text, which is YAML itself.
fn addons_text(root: &mut Tree, found: &mut Vec<Finding>) {
    const PATH: &str = "addons.kubespray";
    let Some(addons) = root.path_mut("addons") else {
        return;
    };
    let Some((key, value)) = addons.entry_mut("kubespray") else {
        return;
    };
    let (Some(mut inner), faults) = tree::read(value.text(), true) else {
        return;
    };
    if !faults.is_empty() || !matches!(inner.kind, Kind::Map(_)) {
        return;
    }
    inner.set_position(value.start, value.end);
    *value = inner;
    let key = key.clone();
    found.push(warning(
        PATH,
        &key,
        "the variables stand in a text; they are read as a mapping".to_owned(),
        "write `kubespray:` without `|`".to_owned(),
    ));
}

/// 2.0: `label` is the role in a label of all workers.
fn role_label(root: &mut Tree, found: &mut Vec<Finding>) {
    const PATH: &str = ROLE_LABEL;
    let Some((key, value)) = take(root, PATH) else {
        return;
    };
    if value.text().is_empty() {
        return;
    }
    let label = format!("node-role.kubernetes.io/{}", value.text());
    found.push(warning(
        PATH,
        &key,
        "`label` is called `labels` now, and names the whole label".to_owned(),
        format!(
            "write it as `labels: {{\"{}\": \"\"}}`",
            label.escape_debug()
        ),
    ));
    let scalar = |text: &str| Tree {
        kind: Kind::Scalar {
            text: text.to_owned(),
            plain: false,
        },
        ..value.clone()
    };
    let labels = Tree {
        kind: Kind::Map(vec![(scalar(&label), scalar(""))]),
        ..value.clone()
    };
    let path = ["cluster", "nodes", "worker", "default", "labels"];
    put(root, &path, labels);
}

/// 2.1 to 2.3: labels are a list of mappings; of two labels with one name, the later counts.
fn label_list(parent: &mut Tree, path: &str, name: &str, found: &mut Vec<Finding>) {
    let Some((key, value)) = parent.entry_mut(name) else {
        return;
    };
    let Kind::List(items) = &value.kind else {
        return;
    };
    let mut labels: Vec<(Tree, Tree)> = Vec::new();
    for item in items {
        let Kind::Map(entries) = &item.kind else {
            return;
        };
        for (key, value) in entries {
            labels.retain(|(other, _)| other.text() != key.text());
            labels.push((key.clone(), value.clone()));
        }
    }
    let key = key.clone();
    value.kind = Kind::Map(labels);
    found.push(warning(
        &format!("{path}.{name}"),
        &key,
        format!("`{name}` is a list of mappings; it is read as one mapping"),
        "write the lines without their `- `".to_owned(),
    ));
}

fn warning(path: &str, key: &Tree, message: String, help: String) -> Finding {
    (Severity::Warning, fault(path, key, message, help))
}

fn fault(path: &str, key: &Tree, message: String, help: String) -> Fault {
    Fault {
        path: path.to_owned(),
        start: key.start,
        end: key.end,
        code: CODE,
        message,
        help,
    }
}

/// Removes the entry at a path, and gives its key and value.
fn take(root: &mut Tree, path: &str) -> Option<(Tree, Tree)> {
    let (parent, key) = path.rsplit_once('.')?;
    let Kind::Map(entries) = &mut root.path_mut(parent)?.kind else {
        return None;
    };
    let index = entries.iter().position(|(k, _)| k.text() == key)?;
    Some(entries.remove(index))
}

/// Adds a value at a path, with the mappings above it. A value that exists already counts.
fn put(tree: &mut Tree, path: &[&str], value: Tree) {
    if tree.is_nothing() {
        tree.kind = Kind::Map(Vec::new());
    }
    let (Kind::Map(entries), Some((key, rest))) = (&mut tree.kind, path.split_first()) else {
        return;
    };
    let index = match entries.iter().position(|(k, _)| k.text() == *key) {
        Some(index) => index,
        None => {
            let scalar = |text: &str| Tree {
                kind: Kind::Scalar {
                    text: text.to_owned(),
                    plain: true,
                },
                ..value.clone()
            };
            entries.push((scalar(key), scalar("")));
            entries.len() - 1
        }
    };
    let existing = &mut entries[index].1;
    match value.kind {
        _ if !rest.is_empty() => put(existing, rest, value),
        _ if existing.is_nothing() => *existing = value,
        Kind::Map(more) => {
            for (key, value) in more {
                put(existing, &[key.text()], value);
            }
        }
        _ => {}
    }
}
