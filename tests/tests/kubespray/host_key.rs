//! Ansible refuses a machine whose host key is not the pinned one, although Kubespray's own settings would not.

use std::path::Path;
use std::sync::Arc;

use kubitect_kubespray::Error;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::server::{Config, Handler, run_stream};
use tokio::net::TcpListener;

use crate::fixture::{Events, Stage};

/// One of the example's machines, at a port of this one and with `ansible_port` set to it in the play.
const PLAY: &str = "
- name: Over SSH
  hosts: local-k8s-cluster-master-1
  gather_facts: false
  vars: {ansible_host: 127.0.0.1, ansible_port: PORT, ansible_ssh_retries: 0}
  tasks:
    - name: Log in
      ping:
";

/// A machine that shows its key and then lets nobody in.
struct Machine;

impl Handler for Machine {
    type Error = russh::Error;
}

fn key(seed: u8) -> PrivateKey {
    let pair = Ed25519Keypair::from_seed(&[seed; 32]);
    PrivateKey::new(KeypairData::Ed25519(pair), "").unwrap()
}

/// Serves for ever with the first key; what Ansible says when `pinned` is expected there.
async fn log_in(pinned: &PrivateKey) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(Config {
        keys: vec![key(1)],
        ..Config::default()
    });
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let config = Arc::clone(&config);
            tokio::spawn(async move {
                if let Ok(session) = run_stream(config, stream, Machine).await {
                    let _ = session.await;
                }
            });
        }
    });
    let stage = Stage::new(&PLAY.replace("PORT", &port.to_string())).await;
    let public = pinned.public_key().to_openssh().unwrap();
    put(
        &stage.facts.known_hosts,
        &format!("[127.0.0.1]:{port} {public}\n"),
    );
    let own = key(3).to_openssh(Default::default()).unwrap();
    put(&stage.facts.private_key, &own);
    let result = stage.create(&Events::default()).await;
    server.abort();
    match result {
        Err(Error::Playbook { task, message, .. }) => {
            assert_eq!(task, "Log in");
            message
        }
        other => panic!("{other:?}"),
    }
}

fn put(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_the_pinned_one_is_refused() {
    let message = log_in(&key(2)).await;
    assert!(
        message.contains("Host key verification failed"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pinned_key_is_accepted_and_only_then_does_it_log_in() {
    let message = log_in(&key(1)).await;
    assert!(message.contains("Permission denied"), "{message}");
}
