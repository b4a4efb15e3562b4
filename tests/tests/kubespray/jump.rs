//! Ansible reaches machines behind a host through it, and believes neither without its key.

use kubitect_config::cluster::Connection;
use kubitect_kubespray::Error;
use tests::sshd::{Sshd, ed25519, private, user};

use crate::fixture::{Events, Stage};

/// One of the example's machines, at a port of this one.
const PLAY: &str = "
- name: Through the host
  hosts: local-k8s-cluster-master-1
  gather_facts: false
  vars: {ansible_host: 127.0.0.1, ansible_port: PORT, ansible_user: USER, ansible_become: false, ansible_ssh_retries: 0}
  tasks:
    - name: Log in
      raw: echo in
";

/// Runs the play on a machine, pinned with this key, behind a host.
async fn played(
    machine: &Sshd,
    pinned: &str,
    host: &Sshd,
    keys: &tempfile::TempDir,
) -> Result<(), Error> {
    let play = PLAY
        .replace("PORT", &machine.port.to_string())
        .replace("USER", &user());
    let mut stage = Stage::new(&play).await;
    stage.facts.private_key = keys.path().join("the machine s");
    stage.facts.known_hosts = keys.path().join("known_hosts");
    private(
        &stage.facts.known_hosts,
        &format!("[127.0.0.1]:{} {pinned}\n", machine.port),
    );
    for own in &mut stage.cluster.hosts {
        own.connection = Connection::Remote {
            user: user(),
            address: "127.0.0.1".to_owned(),
            port: host.port,
            keyfile: Some(keys.path().join("a host")),
            // The person's own known hosts are no business of a test.
            verify: false,
        };
    }
    stage.create(&Events::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_behind_its_host_is_reached_through_it_and_shows_its_own_key() {
    let keys = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let path = keys.path().join(name);
        ed25519(&path);
        std::fs::read_to_string(path.with_extension("pub")).unwrap()
    };
    let (of_machine, of_host) = (key("the machine s"), key("a host"));
    let machine = Sshd::start(None, &[of_machine]);
    let host = Sshd::start(None, &[of_host]);
    let pinned = machine.host_key.clone();
    if let Err(error) = played(&machine, &pinned, &host, &keys).await {
        panic!("{error:?}\n{}\n{}", host.log(), machine.log());
    }
    assert!(host.log().contains("Accepted publickey"), "{}", host.log());
    let accepted = |sshd: &Sshd| sshd.log().matches("Accepted publickey").count();
    let before = accepted(&machine);
    assert!(before > 0, "{}", machine.log());
    match played(&machine, &host.host_key, &host, &keys).await {
        Err(Error::Playbook { message, .. }) => {
            assert!(
                message.contains("Host key verification failed"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(accepted(&machine), before);
}
