//! [`Note`]: what is set up on a machine, as it is kept in libvirt's record of the machine.
//!
//! So a plan needs to ask libvirt only, the cluster's folder may be lost, and a machine that is recreated has no note.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use kubitect_config::cluster::{Node, Role};
use kubitect_config::release::Hop;
use kubitect_config::value::Label;
use kubitect_config::yaml::{Mapping, Value};
use kubitect_config::{Cluster, digest, variables};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What is set up on a master or a worker. A balancer's note is the digest of its files alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Whether Kubernetes is set up; else that has begun.
    pub finished: bool,
    /// Whether pods are kept away from it while it is worked on: by us, and not by a person.
    pub busy: bool,
    /// Whether the balancers keep new connections away from it while it is worked on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drained: bool,
    /// The Kubernetes that is set up, and the Kubespray that did it.
    pub release: Hop,
    /// What it is being upgraded to, from before the playbook that does it until all of that is done: it may have parts of both. On
    /// masters from before the first one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub getting: Option<Hop>,
    /// A digest of the cluster's settings that can't be changed later.
    pub settings: String,
    /// A digest of the addons.
    pub addons: String,
    /// The node's labels, as configured.
    pub labels: BTreeMap<String, String>,
    /// The node's taints, as configured.
    pub taints: BTreeSet<String>,
    /// The masters whose etcd members this master's API server uses.
    pub members: BTreeSet<Label>,
    /// Where a master stands among etcd's members: 0 for those that began together, one more than all others for one that
    /// joined later.
    #[serde(default)]
    pub joined: u32,
    /// Whether its etcd was being brought back to a snapshot, which has not ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restoring: bool,
}

impl Note {
    /// Whether something is kept away from it for work that has not ended.
    pub fn is_held(&self) -> bool {
        self.busy || self.drained
    }

    /// What is noted of a node when the cluster's file is carried out on it with this `release`.
    pub fn of(
        cluster: &Cluster,
        node: &Node,
        release: &Hop,
        members: &BTreeSet<Label>,
        finished: bool,
    ) -> Result<Self, Error> {
        Ok(Self {
            finished,
            busy: false,
            drained: false,
            release: release.clone(),
            getting: None,
            settings: settings(cluster)?,
            addons: addons(cluster)?,
            labels: node.labels.clone(),
            taints: node.taints.iter().map(ToString::to_string).collect(),
            members: match node.role {
                Role::Master => members.clone(),
                _ => BTreeSet::new(),
            },
            joined: 0,
            restoring: false,
        })
    }

    /// Reads a note as it lies in libvirt. One that can't be read is an error and never "not set up": a plan that took it for
    /// that would make a living cluster anew.
    pub fn read(text: &str) -> Result<Self, Error> {
        let unreadable =
            |e| Error::because("read what is noted of it: it is no note of Kubitect's", e);
        let form: Form = serde_json::from_str(text).map_err(unreadable)?;
        if form.version != VERSION {
            return Err(Error::failed(format!(
                "read what is noted of it: the note has version {}, and this Kubitect reads version {VERSION}; use the \
                 Kubitect that wrote it, or a newer one",
                form.version
            )));
        }
        serde_json::from_str(text).map_err(unreadable)
    }

    /// The note as it lies in libvirt.
    pub fn text(&self) -> Result<String, Error> {
        let kept = Kept {
            version: VERSION,
            note: self,
        };
        serde_json::to_string(&kept).map_err(|e| Error::because("note what is set up", e))
    }
}

/// The version of the form in which notes lie in libvirt. A field that older programs may ignore needs no new one, but a default
/// for the notes that lack it; a field that changes its meaning needs one, and a way to read the former.
const VERSION: u32 = 1;

/// What is read of a note first.
#[derive(Deserialize)]
struct Form {
    /// The first notes had no version.
    #[serde(default = "first")]
    version: u32,
}

fn first() -> u32 {
    1
}

/// A note with the version of its form.
#[derive(Serialize)]
struct Kept<'a> {
    version: u32,
    #[serde(flatten)]
    note: &'a Note,
}

/// Of the cluster's settings those that reach Kubernetes and that Kubespray can't change later. Neither paths of this
/// machine nor where tools come from.
pub fn settings(cluster: &Cluster) -> Result<String, Error> {
    let kubernetes = &cluster.kubernetes;
    digest(&(
        (
            &kubernetes.network_plugin,
            &kubernetes.dns_mode,
            &kubernetes.container_manager,
        ),
        kubernetes.auto_renew_certificates,
        cluster.balancing.vip,
    ))
}

/// The addons: those variables that their tasks carry out. Neither what else the file passes to Kubespray counts, nor the
/// order in which it is written.
pub fn addons(cluster: &Cluster) -> Result<String, Error> {
    let is_addons = |name: &Value| name.as_str().is_some_and(variables::is_addons);
    let addons = cluster.addons.kubespray.iter();
    let addons: Mapping = addons
        .filter(|(name, _)| is_addons(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // Whoever may read libvirt sees the digest: where secrets are among the variables, trying them out takes long.
    let secret = variables::hold_secret(&addons);
    let plain = digest(&(in_order(Value::Mapping(addons)), &cluster.addons.rook))?;
    Ok(match secret {
        true => slow(&cluster.name, plain),
        false => plain,
    })
}

/// The same value, mappings in the order of their keys.
fn in_order(value: Value) -> Value {
    match value {
        Value::Mapping(mapping) => {
            let mut entries: Vec<_> = mapping
                .into_iter()
                .map(|(key, value)| (key, in_order(value)))
                .collect();
            entries.sort_by(|(a, _), (b, _)| a.partial_cmp(b).unwrap_or(Ordering::Equal));
            Value::Mapping(entries.into_iter().collect())
        }
        Value::Sequence(list) => Value::Sequence(list.into_iter().map(in_order).collect()),
        other => other,
    }
}

/// How often a digest with secrets in it is taken: some 50 ms.
const ROUNDS: u32 = 100_000;

/// A digest that is the cluster's own and takes long to make. Every node of a cluster has the same: the last one is remembered.
fn slow(salt: &Label, plain: String) -> String {
    static LAST: Mutex<Option<(Label, String, String)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, from, made)) = &*last
        && (of, from) == (salt, &plain)
    {
        return made.clone();
    }
    let mut made = digest::sha256(format!("{salt}\0{plain}").as_bytes());
    for _ in 0..ROUNDS {
        made = digest::sha256(format!("{salt}\0{made}").as_bytes());
    }
    *last = Some((salt.clone(), plain, made.clone()));
    made
}

fn digest(value: &impl Serialize) -> Result<String, Error> {
    digest::of(value).map_err(|e| Error::because("take a digest of the settings", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addons_of(text: &str) -> String {
        addons(&cluster("c", &format!("{{{text}}}"))).unwrap()
    }

    /// These texts lie in the domains of living clusters. Whoever has to change one here changes what every one of them is
    /// taken for: read the former text as well.
    #[test]
    fn golden_what_is_noted_in_the_field_is_read() {
        let note = Note {
            finished: true,
            busy: false,
            drained: false,
            release: Hop {
                kubernetes: "v1.23.7".parse().unwrap(),
                kubespray: "v2.19.0".parse().unwrap(),
            },
            getting: None,
            settings: "aa".to_owned(),
            addons: "bb".to_owned(),
            labels: [("tier".to_owned(), "db".to_owned())].into(),
            taints: ["only=db:NoSchedule".to_owned()].into(),
            members: ["c-master-1".parse().unwrap()].into(),
            joined: 0,
            restoring: false,
        };
        let fields = r#""finished":true,"busy":false,"release":{"kubernetes":"v1.23.7","kubespray":"v2.19.0"},"settings":"aa","addons":"bb","labels":{"tier":"db"},"taints":["only=db:NoSchedule"],"members":["c-master-1"]"#;
        let first = format!("{{{fields}}}");
        assert_eq!(Note::read(&first).unwrap(), note);
        let now = format!("{{\"version\":1,{fields},\"joined\":0}}");
        assert_eq!(note.text().unwrap(), now);
        assert_eq!(Note::read(&now).unwrap(), note);
        // What a node is being upgraded to stands there only while it is.
        let fields = fields.replace(
            r#""settings""#,
            r#""getting":{"kubernetes":"v1.24.6","kubespray":"v2.20.0"},"settings""#,
        );
        let getting = Note {
            getting: Some(Hop {
                kubernetes: "v1.24.6".parse().unwrap(),
                kubespray: "v2.20.0".parse().unwrap(),
            }),
            ..note
        };
        let now = format!("{{\"version\":1,{fields},\"joined\":0}}");
        assert_eq!(getting.text().unwrap(), now);
        assert_eq!(Note::read(&now).unwrap(), getting);
    }

    #[test]
    fn a_note_that_cannot_be_read_is_an_error() {
        for (text, part) in [
            (r#"{"version":2,"done":true}"#, "version 2"),
            (r#"{"finished":true}"#, "no note of Kubitect's"),
            ("", "no note of Kubitect's"),
        ] {
            let error = Note::read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    /// The digests of a cluster's settings and addons, which lie in its notes: another digest says that Kubernetes was set up
    /// otherwise, and refuses every change.
    #[test]
    fn golden_digests_of_settings() {
        let text = "hosts: [{name: h, connection: {type: local}}]\ncluster:\n  name: c\n  network: {mode: nat, cidr: \
                    192.168.113.0/24}\n  nodes: {master: {instances: [{id: 1}]}}\nkubernetes: {version: v1.23.7, \
                    networkPlugin: calico, dnsMode: coredns, kubespray: {version: v2.19.0}}\n";
        let parsed = kubitect_config::parse(text, "c.yaml", &kubitect_config::Site::default());
        let cluster = parsed.unwrap().cluster;
        let of = [settings(&cluster).unwrap(), addons(&cluster).unwrap()];
        let texts = [
            r#"[["calico","coredns","containerd"],false,null]"#,
            "[{},null]",
        ];
        assert_eq!(of, texts.map(|text| digest::sha256(text.as_bytes())));
    }

    #[test]
    fn only_addons_count_and_not_their_order() {
        let base = addons_of("helm_enabled: true, metallb_config: {a: {x: 1, y: 2}, b: [1]}");
        for same in [
            "metallb_config: {b: [1], a: {y: 2, x: 1}}, helm_enabled: true",
            "helm_enabled: true, kubelet_max_pods: 64, metallb_config: {a: {x: 1, y: 2}, b: [1]}",
            "helm_enabled: true, metallb_config: {a: {x: 1, y: 2}, b: [1]}, http_proxy: ''",
        ] {
            assert_eq!(addons_of(same), base, "{same}");
        }
        for other in [
            "metallb_config: {a: {x: 1, y: 2}, b: [1]}",
            "helm_enabled: false, metallb_config: {a: {x: 1, y: 2}, b: [1]}",
            "helm_enabled: true, metallb_config: {a: {x: 1, y: 3}, b: [1]}",
        ] {
            assert_ne!(addons_of(other), base, "{other}");
        }
    }

    fn cluster(name: &str, addons: &str) -> Cluster {
        let text = format!(
            "hosts: [{{name: h, connection: {{type: local}}}}]\ncluster: {{name: {name}, network: {{mode: nat, cidr: \
             192.168.113.0/24}}, nodes: {{master: {{instances: [{{id: 1}}]}}}}}}\nkubernetes: {{version: v1.23.7}}\naddons: \
             {{kubespray: {addons}}}\n"
        );
        let parsed = kubitect_config::parse(&text, "c.yaml", &kubitect_config::Site::default());
        parsed.unwrap().cluster
    }

    #[test]
    fn a_secret_among_the_addons_is_not_tried_out_quickly() {
        let open = cluster("c", "{helm_enabled: true}");
        assert_eq!(
            addons(&open).unwrap(),
            addons(&cluster("d", "{helm_enabled: true}")).unwrap()
        );
        let secret = cluster(
            "c",
            "{helm_enabled: true, metallb_config: {password: s3cret}}",
        );
        let first = addons(&secret).unwrap();
        assert_eq!(addons(&secret).unwrap(), first);
        // Another cluster's tells nothing of it, and a change is noticed.
        assert_ne!(
            addons(&cluster(
                "d",
                "{helm_enabled: true, metallb_config: {password: s3cret}}"
            ))
            .unwrap(),
            first
        );
        assert_ne!(
            addons(&cluster(
                "c",
                "{helm_enabled: true, metallb_config: {password: other}}"
            ))
            .unwrap(),
            first
        );
        assert_eq!(addons(&secret).unwrap(), first);
    }

    proptest! {
        /// What is noted is read back; what is not a note is an error, without a panic.
        #[test]
        fn fuzz_notes(
            text in any::<String>(),
            labels in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
            cut in 0..400usize,
        ) {
            let cluster = cluster("c", "{}");
            let release = cluster.kubernetes.hop();
            let mut note = Note {
                finished: true,
                busy: false,
                drained: false,
                getting: (cut % 3 == 0).then(|| release.clone()),
                release,
                settings: text.clone(),
                addons: String::new(),
                labels,
                taints: BTreeSet::from([text.clone()]),
                members: BTreeSet::from(["c-master-1".parse().unwrap()]),
                joined: 1,
                restoring: cut % 5 == 0,
            };
            note.busy = cut % 2 == 0;
            let written = note.text().unwrap();
            prop_assert_eq!(Note::read(&written).unwrap(), note);
            let part: String = written.chars().take(cut).collect();
            let _ = (Note::read(&part), Note::read(&text));
        }
    }
}
