//! Connecting, running commands, putting files.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::server::Server;
use super::{HOST, SOON, USER, key, target};
use crate::Error;
use crate::error::chain;
use crate::ssh::{Session, Sessions, Target};

async fn connected() -> (Server, Session) {
    let server = Server::start(key(HOST), &key(USER)).await;
    let session = Session::connect(target(server.address), SOON)
        .await
        .unwrap();
    (server, session)
}

async fn refusal(target: Target) -> Error {
    match Session::connect(target, SOON).await {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn status_output_and_errors_of_a_command_come_back() {
    let (_server, session) = connected().await;
    let output = session
        .run(&["sh", "-c", "echo out; echo err >&2; exit 7"], SOON)
        .await
        .unwrap();
    assert_eq!((output.status, output.text().as_str()), (7, "out"));
    assert_eq!(output.stderr, b"err\n");
    let error = session
        .run_ok(&["sh", "-c", "echo why >&2; exit 7"], SOON)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("on demo-master-1: exit status 7: why"),
        "{error}"
    );
}

#[tokio::test]
async fn arguments_arrive_as_they_are_and_input_too() {
    let (_server, session) = connected().await;
    let nasty = "a'b; touch pwned $(id) `id` \"\\ \n *";
    let output = session.run(&["printf", "%s", nasty], SOON).await.unwrap();
    assert_eq!(output.stdout, nasty.as_bytes());
    let output = session
        .run_with_input(&["cat"], b"in\0put", SOON)
        .await
        .unwrap();
    assert_eq!(output.stdout, b"in\0put");
    assert!(session.run(&["echo", "a\0b"], SOON).await.is_err());
}

#[tokio::test]
async fn a_host_key_that_is_not_the_pinned_one_is_refused() {
    let server = Server::start(key(9), &key(USER)).await;
    let error = refusal(target(server.address)).await;
    let Error::HostKey {
        machine,
        wanted,
        found,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    let fingerprint = |seed| {
        key(seed)
            .fingerprint(russh::keys::HashAlg::Sha256)
            .to_string()
    };
    assert_eq!(machine, "demo-master-1");
    assert_eq!((wanted, found), (&fingerprint(HOST), &fingerprint(9)));
    assert!(
        error.to_string().contains(".ssh/hosts/demo-master-1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_user_key_that_is_not_authorised_is_refused() {
    let server = Server::start(key(HOST), &key(8)).await;
    let error = chain(&refusal(target(server.address)).await);
    assert!(error.contains("log in as k8s on 127.0.0.1"), "{error}");
    assert!(error.contains("does not accept the key SHA256:"), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_at_the_deadline() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let started = Instant::now();
    let error = Session::connect(
        target(silent.local_addr().unwrap()),
        Duration::from_millis(300),
    )
    .await
    .err()
    .unwrap();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert!(started.elapsed() < SOON);
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = chain(&refusal(target(address)).await);
    assert!(
        error.contains("connect to 127.0.0.1") && error.contains("refused"),
        "{error}"
    );
}

#[tokio::test]
async fn a_command_that_hangs_is_given_up_and_the_next_one_runs() {
    let (_server, session) = connected().await;
    let error = session
        .run(&["sleep", "30"], Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`sleep 30` end on demo-master-1"),
        "{error}"
    );
    assert!(session.run(&["true"], SOON).await.unwrap().success());
}

#[tokio::test]
async fn a_command_that_prints_too_much_is_given_up() {
    let (_server, session) = connected().await;
    for (mib, fits) in [("4M", true), ("5M", false)] {
        let argv = ["head", "-c", mib, "/dev/zero"];
        let result = session.run(&argv, Duration::from_secs(120)).await;
        let message = match &result {
            Ok(_) => String::new(),
            Err(error) => kubitect_config::chain(error),
        };
        assert_eq!(result.is_ok(), fits, "{message}");
        assert!(
            fits || message.contains("it printed more than 4 MiB"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_lost_connection_is_an_error_once_and_then_made_anew() {
    let (_server, session) = connected().await;
    assert!(session.run(&["die"], SOON).await.is_err());
    // The client may take a moment to notice.
    let started = Instant::now();
    while session.run(&["true"], SOON).await.is_err() {
        assert!(started.elapsed() < SOON);
    }
}

#[tokio::test]
async fn a_large_file_is_put_whole_with_its_mode() {
    let (server, session) = connected().await;
    let bytes: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    server.file("etc/haproxy/haproxy.cfg", "old");
    for sudo in [false, true] {
        session
            .put("/etc/haproxy/haproxy.cfg", &bytes, 0o640, sudo, SOON)
            .await
            .unwrap();
        let path = server.path("/etc/haproxy/haproxy.cfg");
        assert!(std::fs::read(&path).unwrap() == bytes);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
    }
}

#[tokio::test]
async fn a_file_that_arrives_cut_short_is_not_published() {
    let (server, session) = connected().await;
    server.file("etc/motd", "old");
    // The same command as that of `put`, with a larger count than the input has.
    let argv = [
        "sh",
        "-c",
        super::super::session::PUT,
        "sh",
        "/etc/motd",
        "0644",
        "10",
    ];
    let output = session.run_with_input(&argv, b"short", SOON).await.unwrap();
    assert!(!output.success());
    assert_eq!(std::fs::read(server.path("/etc/motd")).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(server.path("/etc")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_file_in_a_missing_folder_is_an_error_that_says_so() {
    let (_server, session) = connected().await;
    let error = session
        .put("/etc/none/x", b"", 0o644, true, SOON)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("write /etc/none/x on demo-master-1") && error.contains("No such file"),
        "{error}"
    );
    assert!(
        session
            .put("relative", b"", 0o644, true, SOON)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn commands_run_side_by_side() {
    let (server, session) = connected().await;
    let pipe = server.path("pipe").display().to_string();
    let mkfifo = session.run(&["mkfifo", &pipe], SOON).await.unwrap();
    assert!(mkfifo.success());
    // Opening one end of the pipe blocks until the other end is opened.
    let (read, write) = (
        ["cat", &pipe],
        ["sh", "-c", "echo met >\"$1\"", "sh", &pipe],
    );
    let (reader, writer) = tokio::join!(session.run(&read, SOON), session.run(&write, SOON));
    assert!(writer.unwrap().success());
    assert_eq!(reader.unwrap().stdout, b"met\n");
}

#[tokio::test]
async fn one_connection_is_shared_and_leads_to_no_other_machine() {
    let server = Server::start(key(HOST), &key(USER)).await;
    let sessions = Sessions::default();
    let first = sessions.get(target(server.address), SOON).await.unwrap();
    let second = sessions.get(target(server.address), SOON).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    // A lost connection is opened again.
    assert!(first.run(&["die"], SOON).await.is_err());
    let third = sessions.get(target(server.address), SOON).await.unwrap();
    assert!(third.run(&["true"], SOON).await.unwrap().success());
    // A machine of the same name with another key is another one.
    let other = Target {
        host_key: key(9).public_key().clone(),
        ..target(server.address)
    };
    let error = sessions.get(other, SOON).await.err();
    assert!(matches!(error, Some(Error::HostKey { .. })), "{error:?}");
}
