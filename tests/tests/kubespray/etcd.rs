//! What etcd is asked and told: against members on this machine, and against recorded answers.

use std::time::Duration;

use kubitect_kubespray::control::{self, Health};

use crate::world::{Recorded, World};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn etcds_members_come_and_go_and_a_snapshot_is_whole() {
    let mut world = World::of(3);
    let health = |members: &[control::EtcdMember]| {
        let mut all: Vec<_> = members
            .iter()
            .map(|member| (member.name.clone(), member.health == Health::Healthy))
            .collect();
        all.sort();
        all
    };
    let named = |names: &[(&str, bool)]| -> Vec<(String, bool)> {
        names
            .iter()
            .map(|(name, well)| ((*name).to_owned(), *well))
            .collect()
    };
    let members = control::members(&world).await.unwrap();
    assert_eq!(
        health(&members),
        named(&[("m0", true), ("m1", true), ("m2", true)])
    );

    // The folder is made, and the file is what it is said to be.
    let path = world.path("snapshots/before.db");
    let snapshot = control::save_snapshot(&world, &path, SOON).await.unwrap();
    let content = std::fs::read(&path).unwrap();
    assert_eq!(snapshot.bytes, content.len() as u64);
    assert_eq!(snapshot.sha256, digest(&content));
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&world.path("snapshots")), 0o700);
    let again = control::save_snapshot(&world, &path, SOON).await.unwrap();
    assert_eq!(again.path, path);
    for _ in 0..2 {
        control::discard_snapshot(&world, &path).await.unwrap();
    }
    assert!(!std::path::Path::new(&path).exists());

    world.stop(2);
    let members = control::members(&world).await.unwrap();
    assert_eq!(
        health(&members),
        named(&[("m0", true), ("m1", true), ("m2", false)])
    );
    let third = "127.0.0.3".parse().unwrap();
    assert!(
        members
            .iter()
            .any(|member| member.name == "m2" && member.is_at(third))
    );
    assert!(
        !control::remove_member(&world, "127.0.0.30".parse().unwrap())
            .await
            .unwrap()
    );
    assert!(control::remove_member(&world, third).await.unwrap());
    assert!(!control::remove_member(&world, third).await.unwrap());
    let members = control::members(&world).await.unwrap();
    assert_eq!(health(&members), named(&[("m0", true), ("m1", true)]));

    // Without a quorum nothing is changed, and what is asked says so.
    world.stop(1);
    match control::api_health(&world).await.unwrap() {
        Health::Unhealthy(why) => assert!(!why.is_empty()),
        Health::Healthy => panic!("the API serves without a quorum"),
    }
    world.start(1);
    let end = std::time::Instant::now() + SOON;
    while control::api_health(&world).await.unwrap() != Health::Healthy {
        assert!(
            std::time::Instant::now() < end,
            "the API does not come back"
        );
    }
    let members = control::members(&world).await.unwrap();
    assert_eq!(health(&members), named(&[("m0", true), ("m1", true)]));
}

/// etcdctl 3.5 with one member down and one that has not started yet; paths of keys only.
pub const ENVIRONMENT: &str = "ETCDCTL_ENDPOINTS=https://127.0.0.1:2379\nETCDCTL_CACERT=/etc/ssl/etcd/ssl/ca.pem\n\
                           ETCDCTL_KEY=/etc/ssl/etcd/ssl/admin-c-master-1-key.pem\n\
                           ETCDCTL_CERT=/etc/ssl/etcd/ssl/admin-c-master-1.pem\n";
const MEMBERS: &str = r#"{"header":{"cluster_id":14841639068965178418,"member_id":10276657743932975437,"raft_term":2},"members":[
{"ID":10276657743932975437,"name":"etcd-1","peerURLs":["https://10.0.0.1:2380"],"clientURLs":["https://10.0.0.1:2379"]},
{"ID":12593026477526642892,"name":"etcd-2","peerURLs":["https://10.0.0.11:2380"],"clientURLs":["https://10.0.0.11:2379"]},
{"ID":2,"peerURLs":["https://10.0.0.3:2380"],"isLearner":false}]}"#;
const ENDPOINTS: &str = r#"[{"endpoint":"https://10.0.0.1:2379","health":true,"took":"9.6ms"},
{"endpoint":"https://10.0.0.11:2379","health":false,"took":"5.0s","error":"context deadline exceeded"}]"#;

#[tokio::test]
async fn members_that_are_down_or_have_not_started_are_told_apart() {
    let master = Recorded::new(&[
        (0, ENVIRONMENT, ""),
        (0, MEMBERS, ""),
        (0, ENVIRONMENT, ""),
        (1, ENDPOINTS, "Error: unhealthy cluster\n"),
    ]);
    let members = control::members(&master).await.unwrap();
    let health: Vec<_> = members.iter().map(|member| &member.health).collect();
    assert_eq!(health[0], &Health::Healthy);
    assert_eq!(
        health[1],
        &Health::Unhealthy("context deadline exceeded".to_owned())
    );
    assert_eq!(
        health[2],
        &Health::Unhealthy("it has not started yet".to_owned())
    );
    let asked = master.asked.into_inner().unwrap();
    assert_eq!(
        asked[1],
        "sudo -n env ETCDCTL_API=3 ETCDCTL_ENDPOINTS=https://127.0.0.1:2379 ETCDCTL_CACERT=/etc/ssl/etcd/ssl/ca.pem \
         ETCDCTL_CERT=/etc/ssl/etcd/ssl/admin-c-master-1.pem ETCDCTL_KEY=/etc/ssl/etcd/ssl/admin-c-master-1-key.pem \
         /usr/local/bin/etcdctl --command-timeout=10s member list --write-out=json"
    );
}

#[tokio::test]
async fn the_member_that_is_meant_is_removed_and_no_other() {
    let master = Recorded::new(&[
        (0, ENVIRONMENT, ""),
        (0, MEMBERS, ""),
        (0, ENVIRONMENT, ""),
        (
            1,
            "",
            "{\"error\":\"etcdserver: unhealthy cluster\"}\nError: etcdserver: unhealthy cluster\n",
        ),
        (0, "Member 8e9e05c52164694d removed from cluster\n", ""),
    ]);
    assert!(
        control::remove_member(&master, "10.0.0.1".parse().unwrap())
            .await
            .unwrap()
    );
    let asked = master.asked.into_inner().unwrap();
    assert!(
        asked[3].ends_with("member remove 8e9e05c52164694d"),
        "{asked:?}"
    );
    assert_eq!(asked[3], asked[4]);
    assert_eq!(asked.len(), 5);
}

fn mode(path: &str) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn digest(content: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
