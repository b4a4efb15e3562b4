//! The output of a compromised master: its length is limited, and no control characters are passed on.

use std::time::Duration;

use kubitect_config::chain;
use kubitect_config::remote::{BoxFuture, Output, Remote};

use super::{api_version, certificates, leftover_processes, nodes, pods, save_snapshot, uptime};

/// A master that prints this, whatever the command.
struct Says(fn(&[&str]) -> String);

impl Remote for Says {
    fn run<'a>(&'a self, argv: &'a [&'a str], _: Duration) -> BoxFuture<'a, Output> {
        let stdout = self.0(argv).into_bytes();
        Box::pin(async move {
            Ok(Output {
                stdout,
                ..Output::default()
            })
        })
    }

    fn put<'a>(&'a self, _: &'a str, _: &'a [u8], _: u32, _: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

const ENVIRONMENT: &str = "ETCDCTL_ENDPOINTS=a\nETCDCTL_CACERT=b\nETCDCTL_CERT=c\nETCDCTL_KEY=d\n";

const NODE: &str = r#"{"metadata": {"name": "a"}}"#;

fn list(entries: usize) -> String {
    format!("{{\"items\": [{}]}}", vec![NODE; entries].join(","))
}

#[tokio::test]
async fn lists_have_an_end() {
    assert_eq!(nodes(&Says(|_| list(12_000))).await.unwrap().len(), 12_000);
    let error = chain(&nodes(&Says(|_| list(12_001))).await.unwrap_err());
    assert!(error.contains("a list of at most 12000"), "{error}");
    let deep = Says(|_| {
        format!(
            "{{\"items\": [{{\"spec\": {{\"volumes\": {}",
            "[".repeat(1 << 20)
        )
    });
    assert!(nodes(&deep).await.is_err());
}

/// A master on which each command fails with this message.
struct Complains(&'static str);

impl Remote for Complains {
    fn run<'a>(&'a self, _: &'a [&'a str], _: Duration) -> BoxFuture<'a, Output> {
        let stderr = self.0.as_bytes().to_vec();
        let status = 1;
        Box::pin(async move {
            Ok(Output {
                status,
                stderr,
                ..Output::default()
            })
        })
    }

    fn put<'a>(&'a self, _: &'a str, _: &'a [u8], _: u32, _: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

#[tokio::test]
async fn a_master_without_a_folder_of_certificates_has_none_in_it() {
    let lacks = "find: '/etc/ssl/etcd/ssl': No such file or directory\n";
    assert_eq!(certificates(&Complains(lacks)).await.unwrap(), []);
    for other in ["", "find: '/etc/ssl/etcd/ssl': Permission denied\n"] {
        let error = chain(&certificates(&Complains(other)).await.unwrap_err());
        assert!(error.starts_with("look for the certificates"), "{error}");
    }
}

/// Each of these texts becomes part of a line of a status, a plan or a log.
#[tokio::test]
async fn no_word_of_a_master_becomes_a_line_of_its_own() {
    let says = Says(|_| {
        let word = "v1\nnode b is Ready";
        let item = serde_json::json!({
            "metadata": {"name": word, "namespace": word},
            "status": {"nodeInfo": {"bootID": word}},
            "spec": {"taints": [{"key": word, "value": word, "effect": word}]},
        });
        serde_json::json!({"gitVersion": word, "items": [item]}).to_string()
    });
    let version = api_version(&says).await.unwrap();
    assert_eq!(version, "v1\\nnode b is Ready");
    let node = nodes(&says).await.unwrap().remove(0);
    let pod = pods(&says, &"a".parse().unwrap()).await.unwrap().remove(0);
    for text in [&node.name, &node.boot, &node.taints[0], &pod.name] {
        assert!(!text.contains('\n') && text.contains("\\n"), "{text}");
    }
    let processes = Says(|_| "1\u{9b}2J kubeadm init\n7 kubeadm init\n".to_owned());
    let running = leftover_processes(&processes).await.unwrap();
    assert_eq!(running, ["kubeadm (process 7)"]);
    let why = chain(&uptime(&Says(|_| "a\nb".to_owned())).await.unwrap_err());
    assert!(why.contains("`a\\nb` is no time"), "{why}");
}

#[tokio::test]
async fn certificates_are_not_looked_at_without_end() {
    let says = |argv: &[&str]| match argv.contains(&"find") {
        true => "/etc/kubernetes/ssl/x.crt\n".repeat(101),
        false => panic!("none is asked for its date"),
    };
    let error = chain(&certificates(&Says(says)).await.unwrap_err());
    assert!(error.contains("there are more than 100"), "{error}");
}

#[tokio::test]
async fn a_snapshot_has_a_size_and_a_digest() {
    let soon = Duration::from_secs(5);
    let large = |argv: &[&str]| match argv[2] {
        "stat" => "17179869185".to_owned(),
        "cat" => ENVIRONMENT.to_owned(),
        _ => "0a".repeat(32),
    };
    let error = save_snapshot(&Says(large), "/x/y", soon).await.unwrap_err();
    let error = chain(&error);
    assert!(
        error.contains("more than 16 GiB are not fetched"),
        "{error}"
    );
    let none = |argv: &[&str]| match argv[2] {
        "stat" => "4096".to_owned(),
        "cat" => ENVIRONMENT.to_owned(),
        _ => "../../etc".to_owned(),
    };
    let error = chain(&save_snapshot(&Says(none), "/x/y", soon).await.unwrap_err());
    assert!(error.contains("cannot be measured"), "{error}");
}
