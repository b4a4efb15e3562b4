//! What failed and interrupted runs leave on masters: asked, cleared and waited for, against recorded answers.

use std::time::Duration;

use kubitect_config::chain;
use kubitect_config::remote::BoxError;
use kubitect_config::value::Label;
use kubitect_kubespray::{control, kubeconfig};

use crate::fixture::{cluster, facts};
use crate::world::Recorded;
use tests::ansible::RELEASE;
use tests::example::example;
use tests::hangs::Hangs;

const SOON: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(3);

/// As kubeadm is given it on a first master (cut).
const SETTINGS: &str =
    "nodeRegistration:\n  name: \"c-master-1\"\n  criSocket: unix:///var/run/crio/crio.sock\n";

#[tokio::test]
async fn a_reset_leaves_etcd_alone_and_names_the_runtime() {
    let master = Recorded::new(&[
        (1, "", ""),
        (0, "", ""),
        (0, SETTINGS, ""),
        (0, "[reset] Stopping the kubelet service\n", ""),
        (0, "", ""),
    ]);
    control::reset(&master).await.unwrap();
    let asked = master.asked.into_inner().unwrap();
    assert_eq!(
        asked[3..],
        [
            "sudo -n /usr/local/bin/kubeadm reset --force --skip-phases=remove-etcd-member \
             --cri-socket=unix:///var/run/crio/crio.sock",
            "sudo -n rm -f -- /etc/kubernetes/manifests/kube-apiserver.yaml /etc/kubernetes/kubelet.conf \
             /var/lib/kubelet/config.yaml",
        ]
    );
    // What can't be looked for is not taken for something that is not there.
    let master = Recorded::new(&[(2, "", "sudo: a password is required")]);
    let error = control::traces(&master).await.unwrap_err().to_string();
    assert!(error.contains("a password is required"), "{error}");
}

#[tokio::test]
async fn a_name_stops_a_playbook_only_where_openssl_fails_for_it() {
    let lacks = "IP 10.0.0.9 does NOT match certificate\n";
    let asked = ["10.0.0.9".to_owned(), "api.example.org".to_owned()];
    // Up to 3.1 openssl ends well whatever it finds.
    let master = Recorded::new(&[(0, "", ""), (0, lacks, ""), (0, "", "")]);
    let stopping = control::failing_names(&master, &asked).await.unwrap();
    assert_eq!(stopping, [""; 0]);
    let master = Recorded::new(&[(0, "", ""), (1, lacks, ""), (0, "", "")]);
    let stopping = control::failing_names(&master, &asked).await.unwrap();
    assert_eq!(stopping, asked[..1]);
    assert_eq!(
        master.asked.into_inner().unwrap()[1..],
        [
            "sudo -n openssl x509 -noout -in /etc/kubernetes/ssl/apiserver.crt -checkip 10.0.0.9",
            "sudo -n openssl x509 -noout -in /etc/kubernetes/ssl/apiserver.crt -checkhost api.example.org",
        ]
    );
    // A machine without a certificate, and a certificate that can't be read.
    let new = Recorded::new(&[(1, "", "")]);
    assert_eq!(control::failing_names(&new, &asked).await.unwrap(), [""; 0]);
    let broken = Recorded::new(&[(0, "", ""), (1, "", "Unable to load certificate")]);
    let error = control::failing_names(&broken, &asked).await.unwrap_err();
    assert!(error.to_string().contains("Unable to load"), "{error}");
}

#[tokio::test]
async fn init_is_complete_when_others_can_join() {
    let there = "configmap/x\n";
    for (answers, complete) in [
        (vec![(1, "", "")], false),
        (vec![(0, "", ""), (0, "", "")], false),
        (vec![(0, "", ""), (0, there, ""), (0, "", "")], false),
        (vec![(0, "", ""), (0, there, ""), (0, there, "")], true),
    ] {
        let master = Recorded::new(&answers);
        let is_it = control::is_initialised(&master).await.unwrap();
        assert_eq!(is_it, complete, "{answers:?}");
        assert!(master.answers.into_inner().unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_api_server_of_another_version_is_not_the_one_that_is_waited_for() {
    let old = r#"{"major": "1", "minor": "34", "gitVersion": "v1.34.4"}"#;
    let new = r#"{"major": "1", "minor": "35", "gitVersion": "v1.35.4"}"#;
    let (node, wanted) = ("c-master-1".parse().unwrap(), "v1.35.4".parse().unwrap());
    let master = Recorded::new(&[(0, old, ""), (0, old, ""), (0, new, ""), (0, "ok", "")]);
    control::wait_api(&master, &node, &wanted, SOON, &|_| ())
        .await
        .unwrap();
    let stale = Recorded::new(&[(0, old, ""); 4]);
    let error = control::wait_api(&stale, &node, &wanted, SHORT, &|_| ()).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("API server of c-master-1")
            && error.contains("it runs v1.34.4, not v1.35.4"),
        "{error}"
    );
}

#[tokio::test]
async fn what_goes_on_is_waited_for_and_named_if_it_does_not_end() {
    let busy = "  12 /usr/local/bin/kubeadm init --config=/etc/kubernetes/kubeadm-config.yaml\n";
    let master = Recorded::new(&[(0, busy, ""), (0, busy, ""), (0, "  1 /sbin/init\n", "")]);
    let told = std::sync::Mutex::new(Vec::new());
    let tell = |what: &str| told.lock().unwrap().push(what.to_owned());
    control::wait_idle(&master, "c-master-1", SOON, tell)
        .await
        .unwrap();
    assert_eq!(told.into_inner().unwrap(), ["kubeadm (process 12)"]);
    let master = Recorded::new(&[(0, busy, ""); 4]);
    let error = control::wait_idle(&master, "c-master-1", SHORT, |_| ()).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("c-master-1 to end: kubeadm (process 12), not within 3 s"),
        "{error}"
    );
}

#[tokio::test]
async fn a_machine_that_hangs_is_waited_for_no_longer_than_is_said() {
    let wait = control::wait_idle(&Hangs, "c-master-1", SHORT, |_| ());
    let error = tokio::time::timeout(Duration::from_secs(30), wait).await;
    let error = error.expect("it ends in time").unwrap_err().to_string();
    assert!(error.contains("no answer, not within 3 s"), "{error}");
}

/// As kubeadm writes it.
const ADMIN: &str = "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: k, cluster: {server: 'https://127.0.0.1:6443', certificate-authority-data: Q0E=}}]\n\
                     contexts: [{name: a, context: {cluster: k, user: a}}]\nusers: [{name: a, user: {client-certificate-data: T05F, client-key-data: S0VZ}}]\n";

#[tokio::test]
async fn any_master_that_serves_hands_over_the_kubeconfig() {
    let cluster = cluster(&example(RELEASE));
    let facts = facts(&cluster, std::path::Path::new("/x"));
    let served = |last: &'static [(u32, &'static str, &'static str)]| {
        async move |name: &Label| -> Result<Recorded, BoxError> {
            match name.as_str().rsplit('-').next() {
                Some("1") => Err("no route to host".into()),
                Some("2") => Ok(Recorded::new(&[(1, "", "etcd failed: reason withheld")])),
                _ => Ok(Recorded::new(last)),
            }
        }
    };
    let third = served(&[(0, "ok", ""), (0, ADMIN, "")]);
    let text = kubeconfig::fetch(&cluster, &facts, third).await.unwrap();
    assert!(text.contains("T05F"), "{text}");
    let none = kubeconfig::fetch(&cluster, &facts, served(&[(1, "", "also away")])).await;
    let error = chain(&none.unwrap_err());
    for why in ["no route to host", "etcd failed", "also away"] {
        assert_eq!(error.matches(why).count(), 1, "{error}");
    }
    // Who hands over what is not taken is named.
    let evil = ADMIN.replace("{server:", "{tls-server-name: x, server:");
    let evil: &'static str = evil.leak();
    let taken = kubeconfig::fetch(&cluster, &facts, async move |_: &Label| {
        Ok(Recorded::new(&[(0, "ok", ""), (0, evil, "")]))
    });
    let error = taken.await.unwrap_err().to_string();
    assert!(
        error.contains("the kubeconfig on local-k8s-cluster-master-1"),
        "{error}"
    );
}
