//! How a drain ends: against recorded answers of kubectl.

use std::time::Duration;

use kubitect_kubespray::control;

use crate::world::Recorded;

/// kubectl 1.28 with two pods that a budget keeps, and the pods that are left.
const KEPT: &str = "error when evicting pods/\"db-0\" -n \"prod\" (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget.\n\
                    There are pending nodes to be drained:\n c-worker-1\n\
                    error: error when evicting pods/\"db-0\" -n \"prod\": global timeout reached: 3s\n";
const PODS: &str = r#"{"kind":"List","items":[
{"metadata":{"name":"db-0","namespace":"prod","ownerReferences":[{"kind":"StatefulSet"}]},"status":{"phase":"Running"}},
{"metadata":{"name":"slow","namespace":"prod"},"status":{"phase":"Running"}},
{"metadata":{"name":"done","namespace":"prod"},"status":{"phase":"Succeeded"}},
{"metadata":{"name":"etcd","namespace":"kube-system","annotations":{"kubernetes.io/config.mirror":"x"}},"status":{"phase":"Running"}}]}"#;

#[tokio::test]
async fn pods_that_would_not_go_are_named_with_the_reason() {
    let master = Recorded::new(&[(1, "", KEPT), (0, PODS, "")]);
    let error = control::drain(
        &master,
        &"c-worker-1".parse().unwrap(),
        Duration::from_secs(3),
        &|_| (),
    )
    .await;
    let text = error.unwrap_err().to_string();
    for part in [
        "drain c-worker-1: 2 pods had not gone",
        "prod/db-0: Cannot evict pod as it would violate the pod's disruption budget.; prod/slow)",
        "after 3 s",
        "apply again",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

/// kubectl 1.34, seen: while the API server was under load it did not answer one eviction within 30 s.
const UNANSWERED: &str = "There are pending pods in node \"c-worker-1\" when an error occurred: error when evicting pods/\"db-0\" -n \"prod\": \
                          Post \"https://127.0.0.1:6443/api/v1/namespaces/prod/pods/db-0/eviction\": context deadline exceeded \
                          (Client.Timeout exceeded while awaiting headers)\nerror: unable to drain node \"c-worker-1\"\n";

#[tokio::test]
async fn a_drain_goes_on_after_an_eviction_that_the_api_server_did_not_answer() {
    let drain = async |answers: &[_]| {
        let master = Recorded::new(answers);
        let limit = Duration::from_secs(300);
        let result = control::drain(&master, &"c-worker-1".parse().unwrap(), limit, &|_| ()).await;
        (result, master.asked.into_inner().unwrap())
    };
    let (result, asked) = drain(&[(1, "", UNANSWERED), (0, "", "")]).await;
    result.unwrap();
    assert!(asked[0].ends_with("--timeout=300s"), "{asked:?}");
    // Not the whole time again.
    let (_, again) = asked[1].rsplit_once("--timeout=").unwrap();
    let again: u64 = again.trim_end_matches('s').parse().unwrap();
    assert!((1..300).contains(&again), "{asked:?}");

    // Another error is none of time, and is not said to be.
    let (result, _) = drain(&[(1, "", "error: nodes is forbidden\n"), (0, PODS, "")]).await;
    let text = result.unwrap_err().to_string();
    assert!(
        text.contains("had not gone") && text.contains("after 0 s"),
        "{text}"
    );
}
