//! [`foreign_file`]: recognises files of other programs, and a site file in the place of a cluster file or the reverse. One error
//! says what the file is, instead of an error for each key.

use serde_json::Value as Schema;

use super::hints;
use super::is_extension;
use crate::release::names::last_with;
use crate::report::{KeyPath, nearest, quote};
use crate::schema;
use crate::tree::{Kind, Tree};

/// The message and the help for a file that has no key of the schema, and none that may be a misspelt one. None: it may be the
/// wanted file.
pub(crate) fn foreign_file(tree: &Tree, schema: &Schema) -> Option<(String, String)> {
    let entries = match &tree.kind {
        Kind::Map(entries) => entries,
        Kind::List(items) => return of_list(items, schema),
        Kind::Scalar { text, .. } => return Some(other_file(schema, of_text(text))),
    };
    let value = |name: &str| entries.iter().find(|(key, _)| key.text() == name);
    let text = |name: &str| value(name).map(|(_, value)| value.text());
    if let (Some(version), Some(kind)) = (text("apiVersion"), text("kind")) {
        return Some(other_file(schema, &of_kubernetes(version, kind)));
    }
    let names = entries.iter().map(|(key, _)| key.text());
    let names = names.filter(|name| !is_extension(name, &KeyPath::Root.key(name)));
    let names: Vec<_> = names.collect();
    if let Some(what) = of_kubitect(&names, schema) {
        return Some(other_file(schema, what));
    }
    if let Some(what) = of_other_program(&names, text("version")) {
        return Some(other_file(schema, what));
    }
    let first = names.first()?;
    let (own, parents) = (keys(schema).collect::<Vec<_>>(), hints::key_parents(schema));
    if names.iter().any(|name| may_mean_own(name, &own, &parents)) {
        return None;
    }
    Some(match () {
        () if entries.iter().any(|(_, value)| is_group(value)) => other_file(
            schema,
            "it is an inventory of Ansible's; Kubitect writes its own",
        ),
        () => other_file(
            schema,
            &format!("its first key is {}, which is none of one", quote(first)),
        ),
    })
}

/// Whether a value is a group of an Ansible inventory.
fn is_group(value: &Tree) -> bool {
    let is_part = |key: &Tree| ["hosts", "children", "vars"].contains(&key.text());
    matches!(&value.kind, Kind::Map(entries) if entries.iter().any(|(key, _)| is_part(key)))
}

/// Whether a key may mean one of the schema's own keys: misspelt, by another program's name for it, or under the wrong parent.
fn may_mean_own(name: &str, own: &[&str], parents: &hints::KeyParents) -> bool {
    own.contains(&name)
        || name == "plugins"
        || nearest(name, own.iter().copied()).is_some()
        || hints::synonym(name, own).is_some()
        || hints::under_other_parent(parents, &KeyPath::Root.key(name)).is_some()
}

/// Kubitect's other kind of file: all keys are the other schema's, and none is this one's.
fn of_kubitect(names: &[&str], schema: &Schema) -> Option<&'static str> {
    let (other, what) = match is_site(schema) {
        true => (&*schema::CLUSTER, "it is a cluster file, which -c names"),
        false => (
            &*schema::SITE,
            "it is a site file, whose place is `site.yaml` in Kubitect's folder",
        ),
    };
    let has = |schema: &Schema, name: &str| keys(schema).any(|key| key == name);
    let is_other = |name: &&str| has(other, name) && !has(schema, name);
    (!names.is_empty() && names.iter().all(is_other)).then_some(what)
}

/// A file of another program, by its keys.
fn of_other_program(names: &[&str], version: Option<&str>) -> Option<&'static str> {
    let is_talos = version.is_some_and(|version| version.starts_with("v1alpha"));
    let is_variable = |name: &&str| name.contains('_') && last_with(name).is_some();
    match () {
        () if names.contains(&"machine") && is_talos => {
            Some("it is a machine's configuration of Talos")
        }
        () if names.contains(&"services") => Some("it is a file of Docker Compose"),
        () if names.contains(&"talosVersion") => Some("it is a configuration of talhelper's"),
        () if names.contains(&"ctlplanes") => Some("it is a file of parameters of kcli's"),
        () if !names.is_empty() && names.iter().all(is_variable) => {
            Some("its keys are variables of Kubespray, which stand under `addons.kubespray` of one")
        }
        () => None,
    }
}

/// A file without a single key.
fn of_text(text: &str) -> &'static str {
    let begins = |start: &str| text.trim_start().starts_with(start);
    match () {
        () if begins("Vagrant.configure") => "it is a Vagrantfile",
        () if begins("<") => "it is XML",
        () if begins("resource \"") || begins("terraform {") || begins("provider \"") => {
            "it is a file of Terraform's"
        }
        () => "there is no `key: value` in it",
    }
}

/// A playbook of Ansible's: a list of plays.
fn of_list(items: &[Tree], schema: &Schema) -> Option<(String, String)> {
    let Kind::Map(entries) = &items.first()?.kind else {
        return None;
    };
    let has = |name: &str| entries.iter().any(|(key, _)| key.text() == name);
    let is_play = has("hosts") && (has("tasks") || has("roles"));
    is_play.then(|| other_file(schema, "it is a playbook of Ansible's"))
}

/// A file with `apiVersion` and `kind`.
fn of_kubernetes(version: &str, kind: &str) -> String {
    match (version, kind) {
        ("v1", "Config") => "it is a kubeconfig".to_owned(),
        _ if version.contains("kubeadm") || kind.starts_with("Kubelet") => {
            format!("it is a file for kubeadm ({})", quote(kind))
        }
        _ if version.contains("k0sctl") => "it is a cluster of k0sctl's".to_owned(),
        _ if version.starts_with("kind.") => "it is a cluster of kind's".to_owned(),
        _ if version.starts_with("k3d.") => "it is a cluster of k3d's".to_owned(),
        _ => format!(
            "it is an object of Kubernetes ({}), which `kubectl apply -f` takes",
            quote(kind)
        ),
    }
}

/// The message, with what the file is, and the help, with the keys of the wanted file.
fn other_file(schema: &Schema, what: &str) -> (String, String) {
    let (name, help) = match is_site(schema) {
        true => (
            "the site file",
            "a site file has virtType, images, kubespray, pip, libvirtUris, proxy or timeouts",
        ),
        false => (
            "a cluster file",
            "a cluster file has hosts, cluster and kubernetes; `kubitect init` writes one",
        ),
    };
    (format!("this is not {name}: {what}"), help.to_owned())
}

fn is_site(schema: &Schema) -> bool {
    !keys(schema).any(|key| key == "hosts")
}

fn keys(schema: &Schema) -> impl Iterator<Item = &str> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties.map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use crate::{Site, parse};

    /// A file of another program gets one error that says what it is; a misspelt cluster file gets an error for each key.
    #[test]
    fn a_file_of_another_program_is_called_one() {
        let codes = |error: crate::Error| {
            let problems = error.problems().iter();
            let all = problems.map(|problem| (problem.code, problem.message.clone()));
            all.collect::<Vec<_>>()
        };
        let of_cluster = |text: &str| codes(parse(text, "x", &Site::default()).unwrap_err());
        let of_site = |text: &str| codes(Site::parse(text, "site.yaml").unwrap_err());
        let whole = "hosts: []\ncluster: {name: c}\nkubernetes: {version: v1.35.4}\n";
        for (text, part) in [
            (
                "apiVersion: apps/v1\nkind: Deployment\n",
                "object of Kubernetes (`Deployment`)",
            ),
            (
                "apiVersion: v1\nkind: Config\nclusters: []\n",
                "a kubeconfig",
            ),
            (
                "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\n",
                "for kubeadm",
            ),
            (
                "all: {children: {etcd: {hosts: {a: }}}}\n",
                "inventory of Ansible's",
            ),
            ("etcd: {hosts: {a: }}\n", "inventory of Ansible's"),
            ("- hosts: all\n  tasks: []\n", "playbook"),
            ("services: {web: {image: nginx}}\n", "Docker Compose"),
            (
                "version: '3'\nservices: {web: {image: nginx}}\n",
                "Docker Compose",
            ),
            (
                "apiVersion: kind.x-k8s.io/v1alpha4\nkind: Cluster\n",
                "a cluster of kind's",
            ),
            ("foo: 1\nbar: 2\n", "its first key is `foo`"),
            ("version: v1alpha1\nmachine: {}\ncluster: {}\n", "Talos"),
            (
                "clusterName: a\ntalosVersion: v1.7.0\nnodes: []\n",
                "talhelper",
            ),
            ("cluster: a\nctlplanes: 3\nworkers: 2\n", "kcli"),
            (
                "kube_version: 1.35.4\nkube_network_plugin: calico\n",
                "variables of Kubespray",
            ),
            ("Vagrant.configure('2') do |config|\nend\n", "a Vagrantfile"),
            (
                "resource \"libvirt_domain\" \"m\" {\n  a = 1\n}\n",
                "Terraform",
            ),
            ("<domain type='kvm'><name>x</name></domain>\n", "XML"),
            ("just words\n", "no `key: value` in it"),
            (
                "virtType: qemu\ntimeouts: {boot: 20m}\n",
                "it is a site file",
            ),
        ] {
            let [(code, message)] = &of_cluster(text)[..] else {
                panic!("{text}: {:?}", of_cluster(text));
            };
            assert!(*code == "other-file" && message.contains(part), "{message}");
        }
        for text in [
            whole,
            "all: {hosts: {a: }}\n",
            "apiVersion: v1\nkind: Pod\n",
        ] {
            let [(code, message)] = &of_site(text)[..] else {
                panic!("{text}: {:?}", of_site(text));
            };
            assert!(
                *code == "other-file" && message.contains("not the site file"),
                "{message}"
            );
        }
        for text in [
            "clusters: {name: c}\n",
            "nodes: {}\n",
            "x-a: 1\n",
            "host: {}\n",
        ] {
            let all = of_cluster(text);
            assert!(all.iter().all(|(code, _)| *code != "other-file"), "{all:?}");
        }
        let all = of_site("virtTyp: qemu\n");
        assert_eq!(all[0].0, "unknown-key");
    }
}
