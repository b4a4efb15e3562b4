//! Which etcd members API servers use, and etcd itself when it has no majority: against recorded answers.

use std::time::Duration;

use kubitect_kubespray::Error;
use kubitect_kubespray::control::{self, Health};

use crate::etcd::ENVIRONMENT;
use crate::world::Recorded;

const SOON: Duration = Duration::from_secs(60);

const CONFIG: &str = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: InitConfiguration\n---\nkind: ClusterConfiguration\netcd:\n  external:\n      \
                      endpoints:\n      - https://10.0.0.1:2379\n      caFile: /etc/ssl/etcd/ssl/ca.pem\n";
const OLD: &str = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --etcd-certfile=/c\n    - --etcd-servers=https://10.0.0.1:2379\n";
const NEW: &str = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --etcd-servers=https://10.0.0.2:2379,https://10.0.0.3:2379\n";
const RUNS_OLD: &str =
    "812 kube-apiserver --advertise-address=10.0.0.2 --etcd-servers=https://10.0.0.1:2379 --v=2\n";
const RUNS_NEW: &str =
    "977 kube-apiserver --etcd-servers=https://10.0.0.3:2379,https://10.0.0.2:2379 --v=2\n";

fn addresses(last: &[u8]) -> Vec<std::net::Ipv4Addr> {
    last.iter().map(|last| [10, 0, 0, *last].into()).collect()
}

#[tokio::test]
async fn an_api_server_gets_its_members_from_kubeadm_and_counts_when_it_runs_with_them() {
    let refused = "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?";
    let master = Recorded::new(&[
        (0, CONFIG, ""),
        (0, OLD, ""),
        (0, "", ""),
        (0, NEW, ""),
        // The old one runs on and answers until the kubelet has seen the manifest; then none runs; then it does not serve yet.
        (0, RUNS_OLD, ""),
        (1, "", ""),
        (0, RUNS_NEW, ""),
        (1, "", refused),
        (0, RUNS_NEW, ""),
        (0, "ok", ""),
    ]);
    let members = addresses(&[2, 3]);
    assert!(
        control::use_members(&master, &members, SOON, &|_| ())
            .await
            .unwrap()
    );
    let asked = master.asked.into_inner().unwrap();
    assert_eq!(
        asked[..4],
        [
            "sudo -n cat -- /etc/kubernetes/kubeadm-config.yaml".to_owned(),
            format!(
                "put /etc/kubernetes/kubeadm-config.yaml 640\n{}",
                CONFIG.replace(
                    "- https://10.0.0.1:2379",
                    "- \"https://10.0.0.2:2379\"\n      - \"https://10.0.0.3:2379\""
                )
            ),
            "sudo -n cat -- /etc/kubernetes/manifests/kube-apiserver.yaml".to_owned(),
            "sudo -n /usr/local/bin/kubeadm init phase control-plane apiserver --config /etc/kubernetes/kubeadm-config.yaml".to_owned(),
        ]
    );
    assert_eq!(asked.len(), 11, "{asked:?}");
}

#[tokio::test]
async fn a_control_plane_gets_its_arguments_and_counts_when_it_runs_with_them() {
    const NEW: &str =
        "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --request-timeout=90s\n";
    const RUNS: &str = "977 kube-apiserver --request-timeout=90s\n";
    let master = Recorded::new(&[
        (0, OLD, ""),
        (0, RUNS_OLD, ""),
        (0, "", ""),
        (0, NEW, ""),
        // The old one runs on for a moment, then none does.
        (0, RUNS_OLD, ""),
        (1, "", ""),
        (0, RUNS, ""),
        (0, "ok", ""),
        (0, "", ""),
    ]);
    let restarted = control::use_configuration(&master, SOON, &|_| ()).await;
    assert!(restarted.unwrap());
    let asked = master.asked.into_inner().unwrap();
    let phase = |line: &&String| line.contains("kubeadm init phase");
    let phases: Vec<_> = asked.iter().filter(phase).collect();
    let config = "--config /etc/kubernetes/kubeadm-config.yaml";
    for (phase, name) in phases
        .iter()
        .zip(["control-plane all", "upload-config kubeadm"])
    {
        assert!(phase.ends_with(&format!("{name} {config}")), "{phase}");
    }
    assert_eq!(phases.len(), 2, "{asked:?}");

    // What is as it should be restarts nothing.
    let same = [
        (0, OLD, ""),
        (0, RUNS_OLD, ""),
        (0, "", ""),
        (0, OLD, ""),
        (0, "", ""),
    ];
    let restarted = control::use_configuration(&Recorded::new(&same), SOON, &|_| ()).await;
    assert!(!restarted.unwrap());
}

#[tokio::test]
async fn an_api_server_that_has_its_members_is_left_alone() {
    let master = Recorded::new(&[
        (0, CONFIG, ""),
        (0, OLD, ""),
        (0, RUNS_OLD, ""),
        (0, "ok", ""),
    ]);
    assert!(
        !control::use_members(&master, &addresses(&[1]), SOON, &|_| ())
            .await
            .unwrap()
    );
    let asked = master.asked.into_inner().unwrap();
    assert!(
        !asked
            .iter()
            .any(|line| line.starts_with("put") || line.contains("kubeadm init")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_manifest_that_kubeadm_did_not_change_is_an_error() {
    let master = Recorded::new(&[(0, CONFIG, ""), (0, OLD, ""), (0, "", ""), (0, OLD, "")]);
    let error = control::use_members(&master, &addresses(&[2, 3]), SOON, &|_| ()).await;
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("it lists https://10.0.0.1:2379, not https://10.0.0.2:2379"),
        "{text}"
    );
}

#[tokio::test]
async fn an_api_server_that_goes_on_with_the_old_members_is_an_error() {
    let answers = [
        (0, CONFIG, ""),
        (0, OLD, ""),
        (0, "", ""),
        (0, NEW, ""),
        (0, RUNS_OLD, ""),
    ];
    let master = Recorded::new(&answers);
    let error = control::use_members(
        &master,
        &addresses(&[2, 3]),
        Duration::from_secs(1),
        &|_| (),
    )
    .await;
    match error.unwrap_err() {
        Error::ApiServer { missing, .. } => {
            assert_eq!(missing, "it still runs with https://10.0.0.1:2379");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_an_api_server_lists_is_told_from_none_at_all() {
    let master = Recorded::new(&[
        (0, NEW, ""),
        (1, "", "No such file"),
        (1, "", ""),
        (1, "", "denied"),
        (0, "", ""),
    ]);
    let listed = control::listed_members(&master).await.unwrap();
    let wanted: Vec<_> = addresses(&[2, 3])
        .into_iter()
        .map(control::endpoint)
        .collect();
    assert_eq!(listed.into_iter().collect::<Vec<_>>(), wanted);
    assert!(control::listed_members(&master).await.unwrap().is_empty());
    assert!(
        control::listed_members(&master).await.is_err(),
        "what can't be read is no answer"
    );
}

#[tokio::test]
async fn the_list_from_which_masters_join_is_written_once() {
    let map = r#"{"kind":"ConfigMap","data":{"ClusterConfiguration":"etcd:\n  external:\n    endpoints:\n    - https://10.0.0.1:2379\n"}}"#;
    let new = r#"{"kind":"ConfigMap","data":{"ClusterConfiguration":"etcd:\n  external:\n    endpoints:\n    - https://10.0.0.2:2379\n"}}"#;
    let master = Recorded::new(&[
        (0, map, ""),
        (0, CONFIG, ""),
        (0, "", ""),
        (0, new, ""),
        (0, new, ""),
    ]);
    assert!(
        control::publish_members(&master, &addresses(&[2]))
            .await
            .unwrap()
    );
    assert!(
        !control::publish_members(&master, &addresses(&[2]))
            .await
            .unwrap()
    );
    let asked = master.asked.into_inner().unwrap();
    let uploads = asked.iter().filter(|line| {
        line.ends_with(
            "kubeadm init phase upload-config kubeadm --config /etc/kubernetes/kubeadm-config.yaml",
        )
    });
    assert_eq!(uploads.count(), 1, "{asked:?}");
    // A release whose kubeadm takes no notice of the file is found out.
    let master = Recorded::new(&[(0, map, ""), (0, CONFIG, ""), (0, "", ""), (0, map, "")]);
    assert!(
        control::publish_members(&master, &addresses(&[2]))
            .await
            .is_err()
    );
}

const ALONE: &str = r#"[{"Endpoint":"https://10.0.0.1:2379","Status":{"header":{"cluster_id":1,"member_id":77,"revision":5},"version":"3.5.29","dbSize":20480,
"raftIndex":9,"errors":["etcdserver: no leader"]}}]"#;
const LED: &str = r#"[{"Endpoint":"https://127.0.0.1:2379","Status":{"header":{"member_id":77},"version":"3.5.29","leader":77,"raftIndex":9}}]"#;

#[tokio::test]
async fn without_a_majority_each_member_says_how_it_is() {
    let master = Recorded::new(&[
        (0, ENVIRONMENT, ""),
        (
            1,
            ALONE,
            "Failed to get the status of endpoint https://10.0.0.2:2379",
        ),
    ]);
    let members = control::members_without_quorum(&master, &addresses(&[1, 2]))
        .await
        .unwrap();
    assert_eq!(members.len(), 2);
    assert!(members[0].is_at([10, 0, 0, 1].into()) && members[0].id == 77);
    assert_eq!(
        members[0].health,
        Health::Unhealthy("it runs, and a majority of the members is missing".to_owned())
    );
    assert!(members[1].is_at([10, 0, 0, 2].into()));
    assert_eq!(
        members[1].health,
        Health::Unhealthy("it does not answer".to_owned())
    );
    let asked = master.asked.into_inner().unwrap();
    assert!(
        asked[1].contains(" ETCDCTL_ENDPOINTS=https://10.0.0.1:2379,https://10.0.0.2:2379 "),
        "{asked:?}"
    );
    assert!(!asked[1].contains("127.0.0.1"), "{asked:?}");

    let master = Recorded::new(&[
        (0, ENVIRONMENT, ""),
        (0, ALONE, ""),
        (0, ENVIRONMENT, ""),
        (0, LED, ""),
    ]);
    assert!(!control::has_leader(&master).await.unwrap());
    assert!(control::has_leader(&master).await.unwrap());
}

/// etcd is slow for a moment on a busy master; other checks that fail are no matter of luck.
#[tokio::test]
async fn an_api_server_whose_etcd_is_slow_once_serves() {
    const SLOW: &str = "Error from server (InternalError): an error on the server (\"[+]ping ok\\n[-]etcd failed: reason \
                        withheld\\n[-]etcd-readiness failed: reason withheld\\nreadyz check failed\") has prevented the request\n";
    const STARTS: &str = "Error from server (InternalError): an error on the server (\"[+]etcd ok\\n[-]poststarthook/rbac/\
                          bootstrap-roles failed: reason withheld\\nreadyz check failed\") has prevented the request\n";
    let (ok, slow, starts) = ((0, "ok", ""), (1, "", SLOW), (1, "", STARTS));
    for (answers, serves, asked) in [
        (vec![slow, slow, ok], true, 3),
        (vec![slow, slow, slow, ok], false, 3),
        (vec![starts, ok], false, 1),
    ] {
        let master = Recorded::new(&answers);
        let health = control::api_health(&master).await.unwrap();
        assert_eq!(health == Health::Healthy, serves, "{health:?}");
        assert_eq!(master.asked.into_inner().unwrap().len(), asked);
    }
}

#[tokio::test]
async fn old_data_are_set_aside_once_etcd_has_stopped() {
    let none = Recorded::new(&[(1, "", "")]);
    assert_eq!(
        control::set_data_aside(&none, "/var/lib/etcd")
            .await
            .unwrap(),
        None
    );

    let master = Recorded::new(&[
        (0, "", ""),
        (0, "", ""),
        (3, "", ""),
        (0, "", ""),
        (0, "", ""),
    ]);
    let aside = control::set_data_aside(&master, "/var/lib/etcd")
        .await
        .unwrap()
        .unwrap();
    assert!(aside.starts_with("/var/lib/etcd/set-aside-"), "{aside}");
    let asked = master.asked.into_inner().unwrap();
    assert_eq!(asked[0], "sudo -n test -e /var/lib/etcd/member");
    assert_eq!(asked[1], "sudo -n systemctl disable --now etcd");
    assert_eq!(
        asked[4],
        format!("sudo -n mv -f -T -- /var/lib/etcd/member {aside}")
    );

    // Nothing is moved under an etcd that runs.
    let master = Recorded::new(&[(0, "", ""), (1, "", "timed out"), (0, "", "")]);
    let error = control::set_data_aside(&master, "/var/lib/etcd")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("does not stop") && error.contains("timed out"),
        "{error}"
    );
    assert_eq!(master.asked.into_inner().unwrap().len(), 3);
}
