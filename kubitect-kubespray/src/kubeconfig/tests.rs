//! Kubeconfigs that are merged, and those that are refused.

use super::*;

pub(super) const ADMIN: &str = "\
apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://127.0.0.1:6443
  name: cluster.local
contexts:
- context:
    cluster: cluster.local
    user: kubernetes-admin
  name: kubernetes-admin@cluster.local
current-context: kubernetes-admin@cluster.local
kind: Config
preferences: {}
users:
- name: kubernetes-admin
  user:
    client-certificate-data: Q0VSVA==
    client-key-data: S0VZ
";

const OWN: &str = "\
apiVersion: v1
kind: Config
extensions: [kept]
current-context: work
contexts:
- {name: work, context: {cluster: work, user: me, extensions: [kept]}}
clusters:
- {name: work, cluster: {server: https://work.example}}
users:
- {name: me, user: {exec: {command: login, env: null}}}
";

fn name() -> Label {
    "local-k8s-cluster".parse().unwrap()
}

fn conf() -> String {
    retarget(ADMIN, &name(), "https://192.168.113.100:6443").unwrap()
}

fn read(text: &str) -> Value {
    yaml::read(text, Limits::OWN).unwrap()
}

#[test]
fn the_clusters_own_is_renamed_and_pointed_at_the_balancer() {
    insta::assert_snapshot!(conf(), @r#"
        apiVersion: v1
        kind: Config
        clusters:
        - name: local-k8s-cluster
          cluster:
            certificate-authority-data: "Q0E="
            server: "https://192.168.113.100:6443"
        contexts:
        - name: local-k8s-cluster
          context:
            cluster: local-k8s-cluster
            user: local-k8s-cluster
        current-context: local-k8s-cluster
        users:
        - name: local-k8s-cluster
          user:
            client-certificate-data: "Q0VSVA=="
            client-key-data: S0VZ
        "#);
}

#[test]
fn merging_keeps_what_is_there_and_is_undone_by_removing() {
    let merged = merge(Some(OWN), &name(), &conf()).unwrap();
    let value: Value = read(&merged);
    let own: Value = read(OWN);
    assert_eq!(value["current-context"], "work");
    assert_eq!(value["extensions"], own["extensions"]);
    for (list, _) in LISTS {
        assert_eq!(value[list][0], own[list][0]);
        assert_eq!(value[list][1]["name"], "local-k8s-cluster");
    }
    assert_eq!(
        merge(Some(&merged), &name(), &conf()).unwrap(),
        merged,
        "twice is once"
    );
    let removed = remove(&merged, &name(), &conf()).unwrap().unwrap();
    let removed: Value = read(&removed);
    assert_eq!(removed, own);
    assert_eq!(remove(OWN, &name(), &conf()).unwrap(), None);
}

#[test]
fn a_first_kubeconfig_gets_a_current_context() {
    for none in [
        None,
        Some(""),
        Some("clusters: null\nusers: null\ncontexts: null\n"),
    ] {
        let merged: Value = read(&merge(none, &name(), &conf()).unwrap());
        assert_eq!(merged["current-context"], "local-k8s-cluster");
        assert_eq!(merged["clusters"][0]["name"], "local-k8s-cluster");
    }
}

#[test]
fn another_cluster_of_the_same_name_is_not_touched() {
    let foreign = "clusters: [{name: local-k8s-cluster, cluster: {server: 'https://else', certificate-authority-data: b3RoZXI=}}]";
    let error = merge(Some(foreign), &name(), &conf())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("delete-cluster local-k8s-cluster"),
        "{error}"
    );
    assert_eq!(remove(foreign, &name(), &conf()).unwrap(), None);
    let made_anew = "clusters: [{name: local-k8s-cluster, cluster: {server: 'https://192.168.113.100:6443', certificate-authority-data: b2xk}}]";
    assert!(merge(Some(made_anew), &name(), &conf()).is_ok());
}

#[test]
fn another_clusters_context_and_user_are_not_touched() {
    let prod = "clusters: [{name: prod, cluster: {server: 'https://prod'}}]\n";
    let context = "contexts: [{name: local-k8s-cluster, context: {cluster: prod, user: local-k8s-cluster}}]\n";
    let user = "users: [{name: local-k8s-cluster, user: {token: SECRET}}]\n";
    for (lists, found, commands) in [
        (
            vec![context],
            "a context `",
            "(`delete-context local-k8s-cluster`)",
        ),
        (vec![user], "a user `", "(`delete-user local-k8s-cluster`)"),
        (
            vec![context, user],
            "a context and a user `",
            "`delete-context local-k8s-cluster` and `delete-user",
        ),
    ] {
        let theirs = format!("{prod}{}", lists.concat());
        let error = merge(Some(&theirs), &name(), &conf())
            .unwrap_err()
            .to_string();
        for part in [found, commands, "your kubeconfig"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("SECRET"), "{error}");
        assert_eq!(remove(&theirs, &name(), &conf()).unwrap(), None);
    }
}

#[test]
fn what_is_no_kubeconfig_is_an_error_without_its_content() {
    for text in ["[1]", "kind: Secret", "a: [", "clusters: SECRET"] {
        let error = merge(Some(text), &name(), &conf()).unwrap_err().to_string();
        assert!(error.contains("your kubeconfig"), "{error}");
        assert!(!error.contains("SECRET"), "{error}");
    }
    let name = "c".parse().unwrap();
    for text in [
        "",
        "{}",
        "current-context: x",
        "current-context: x\ncontexts: [{name: x}]",
    ] {
        assert!(retarget(text, &name, "https://a").is_err(), "{text}");
    }
}
