//! Notes are written, compared and read again.

use super::*;
use proptest::prelude::*;

fn addons_of(text: &str) -> String {
    addons(&cluster("c", &format!("{{{text}}}"))).unwrap()
}

/// The domains of existing clusters contain these texts. A change of a text here needs code that still reads the former one.
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
    // The release of an upgrade is in the note only during the upgrade.
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

/// The digests of a cluster's settings and addons in its notes. If the digest of the same settings changed, every plan would be
/// refused.
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
    // The name of the cluster is the salt, and a changed secret changes the digest.
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
    /// A written note is read back; another text is an error, without a panic.
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

    /// Notes whose fields are of another type, lacking or too large: an error, or a note that is read again as the same.
    #[test]
    fn fuzz_notes_of_odd_fields(
        changes in prop::collection::vec((0..14usize, 0..20usize), 0..4),
        string in any::<String>(),
    ) {
        let names = [
            "finished", "busy", "drained", "release", "getting", "settings", "addons", "labels", "taints", "members",
            "joined", "restoring", "version", "other",
        ];
        let hop = serde_json::json!({"kubernetes": "v1.23.7", "kubespray": "v2.19.0"});
        let mut note = serde_json::json!({
            "finished": true, "busy": false, "release": hop, "settings": "s", "addons": "a", "labels": {},
            "taints": [], "members": ["c-master-1"], "joined": 0, "version": 1,
        });
        for (name, value) in changes {
            let odd = [
                serde_json::json!(null), true.into(), 1.into(), (-1).into(), u64::MAX.into(), u32::MAX.into(), 1e300.into(),
                string.clone().into(), "v99999999999999999999.1.0".into(), serde_json::json!({}), hop.clone(),
                serde_json::json!([]), serde_json::json!([[]]), serde_json::json!(["a", "a", "b c", "é"]),
                serde_json::json!([string]), serde_json::json!({&string: string}), serde_json::json!({"a": null}),
                serde_json::json!({"kubernetes": string, "kubespray": "v1"}),
                serde_json::json!({"kubernetes": "v4294967295.4294967295.4294967295", "kubespray": "v2.0.0"}),
            ];
            match odd.get(value) {
                Some(odd) => note[names[name]] = odd.clone(),
                None => _ = note.as_object_mut().unwrap().remove(names[name]),
            }
        }
        if let Ok(read) = Note::read(&note.to_string()) {
            prop_assert_eq!(Note::read(&read.text().unwrap()).unwrap(), read);
        }
    }
}
