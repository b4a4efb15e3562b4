//! Waiting for a machine: when it is ready, and the errors when it never is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::server::Server;
use super::{HOST, USER, key, target};
use crate::error::chain;
use crate::ssh::Target;
use crate::ssh::wait::{Machine, Ready, WaitLimits, all_ready, ready};
use crate::{Error, Event};

/// Longer than the busiest machine takes.
const LIMITS: WaitLimits = WaitLimits {
    total: Duration::from_secs(120),
    attempt: Duration::from_secs(60),
    pause: Duration::from_millis(50),
};

const CLEAN: &str = r#"{"v1": {"datasource": "DataSourceNoCloud", "errors": []}}"#;
const NO_MIRROR: &str = r#"{"v1": {"datasource": "DataSourceNoCloud", "errors": ["('package-update-upgrade-install', ...)"]}}"#;

fn console() -> Vec<String> {
    vec!["Kernel panic - not syncing".to_owned()]
}

fn machine(target: Target) -> Machine {
    Machine {
        target,
        programs: vec!["sudo", "python3"],
        within: None,
        console: Arc::new(console),
    }
}

async fn booted(result: &str) -> Server {
    let server = Server::start(key(HOST), &key(USER)).await;
    server.program("python3", "");
    server.file("run/cloud-init/result.json", result);
    server
}

async fn error(target: Target, limits: WaitLimits) -> Error {
    match ready(machine(target), limits).await {
        Ok(_) => panic!("ready"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_machine_whose_cloud_init_is_done_is_ready() {
    let server = booted(CLEAN).await;
    let Ready { session, warnings } = ready(machine(target(server.address)), LIMITS)
        .await
        .unwrap();
    assert!(warnings.is_empty());
    assert!(
        session
            .run(&["true"], LIMITS.attempt)
            .await
            .unwrap()
            .success()
    );
}

#[tokio::test]
async fn errors_are_warnings_where_the_machine_is_usable() {
    let server = booted(NO_MIRROR).await;
    let ready = ready(machine(target(server.address)), LIMITS)
        .await
        .unwrap();
    assert_eq!(ready.warnings, ["('package-update-upgrade-install', ...)"]);
}

#[tokio::test]
async fn errors_are_failures_where_it_is_not() {
    let server = booted(NO_MIRROR).await;
    server.file(
        "var/log/cloud-init-output.log",
        "E: Unable to locate package haproxy\n",
    );
    let mut machine = machine(target(server.address));
    machine.programs.push("haproxy-that-is-nowhere");
    let Err(Error::Unusable { why, evidence, .. }) = ready(machine, LIMITS).await else {
        panic!("usable");
    };
    assert_eq!(why, "haproxy-that-is-nowhere is missing");
    assert_eq!(
        evidence,
        [
            "cloud-init: ('package-update-upgrade-install', ...)",
            "cloud-init's log: E: Unable to locate package haproxy"
        ]
    );
}

#[tokio::test]
async fn sudo_that_asks_for_a_password_is_a_failure() {
    let server = booted(CLEAN).await;
    server.program("sudo", "exit 1");
    let error = error(target(server.address), LIMITS).await;
    assert!(
        error.to_string().contains("k8s may not use sudo"),
        "{error}"
    );
}

#[tokio::test]
async fn it_is_waited_for_cloud_init_to_end() {
    let server = booted("").await;
    let path = server.path("run/cloud-init/result.json");
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        std::fs::write(path, CLEAN).unwrap();
    });
    assert!(ready(machine(target(server.address)), LIMITS).await.is_ok());
}

#[tokio::test]
async fn while_cloud_init_is_at_work_its_own_stage_is_said() {
    let server = booted("").await;
    let status = |stage: &str| format!("{{\n \"v1\": {{\n  \"stage\": {stage}\n }}\n}}\n");
    server.file("run/cloud-init/status.json", &status("null"));
    let messages = Mutex::new(Vec::new());
    // Each stage begins when the message of the previous one has come.
    let listen = |event: Event| {
        let Event::Waiting { why, .. } = event else {
            return;
        };
        match () {
            () if why.ends_with("is at work") => {
                server.file("run/cloud-init/status.json", &status("\"init\""));
            }
            () if why.contains("(init, ") => {
                server.file("run/cloud-init/status.json", &status("\"modules-final\""));
            }
            () if why.contains("(modules-final, ") => {
                server.file("run/cloud-init/result.json", CLEAN);
            }
            () => {}
        }
        messages.lock().unwrap().push(why);
    };
    let machines = vec![machine(target(server.address))];
    for ready in all_ready(machines, LIMITS, &listen).await {
        ready.unwrap();
    }
    assert_eq!(
        messages.into_inner().unwrap()[1..],
        [
            "SSH answers, cloud-init is at work",
            "SSH answers, cloud-init makes disks, users and keys (init, stage 2 of 4)",
            "SSH answers, cloud-init updates and installs packages (modules-final, stage 4 of 4)",
        ]
    );
}

#[tokio::test]
async fn cloud_init_that_never_ends_is_told_with_its_status() {
    let server = booted("").await;
    server.program(
        "cloud-init",
        "echo status: running; echo detail: modules-final",
    );
    let limits = WaitLimits {
        total: Duration::from_secs(1),
        ..LIMITS
    };
    let Error::Timeout { what, evidence, .. } = error(target(server.address), limits).await else {
        panic!("another error");
    };
    assert_eq!(what, "cloud-init end on demo-master-1");
    assert_eq!(
        evidence,
        [
            "cloud-init: status: running",
            "cloud-init: detail: modules-final",
            "console: Kernel panic - not syncing"
        ]
    );
}

#[tokio::test]
async fn a_machine_that_never_answers_is_told_with_its_console() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let limits = WaitLimits {
        total: Duration::from_millis(400),
        ..LIMITS
    };
    let error = error(target(address), limits).await;
    // The error as users see it, with the evidence below it.
    assert!(
        error
            .to_string()
            .ends_with("\n  console: Kernel panic - not syncing"),
        "{error}"
    );
    let Error::Timeout { what, evidence, .. } = error else {
        panic!("another error");
    };
    assert_eq!(
        what,
        format!("an SSH login as k8s on demo-master-1 ({address})")
    );
    assert!(
        evidence[0].starts_with("last attempt: connect to") && evidence[0].contains("refused"),
        "{evidence:?}"
    );
    assert_eq!(evidence[1], "console: Kernel panic - not syncing");
}

#[tokio::test]
async fn a_machine_may_have_a_time_of_its_own() {
    let server = booted("").await;
    let short = Machine {
        within: Some(Duration::from_secs(1)),
        ..machine(target(server.address))
    };
    match ready(short, LIMITS).await {
        Err(Error::Timeout { after, .. }) => assert_eq!(after, Duration::from_secs(1)),
        _ => panic!("its own time does not count"),
    }
}

#[tokio::test]
async fn a_wrong_host_key_is_not_waited_for() {
    let server = Server::start(key(9), &key(USER)).await;
    let forever = WaitLimits {
        total: Duration::from_secs(3600),
        ..LIMITS
    };
    assert!(matches!(
        error(target(server.address), forever).await,
        Error::HostKey { .. }
    ));
}

#[tokio::test]
async fn a_login_that_is_refused_at_first_is_tried_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let server = booted(CLEAN).await;
    let upstream = server.address;
    // The port opens late, as a booting machine's does.
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = tokio::net::TcpStream::connect(upstream).await.unwrap();
            tokio::spawn(
                async move { tokio::io::copy_bidirectional(&mut client, &mut server).await },
            );
        }
    });
    assert!(ready(machine(target(address)), LIMITS).await.is_ok());
}

#[tokio::test]
async fn all_are_waited_for_and_every_failure_is_told() {
    let (good, bad, worse) = (
        booted(CLEAN).await,
        Server::start(key(9), &key(USER)).await,
        Server::start(key(HOST), &key(8)).await,
    );
    // Long enough for the good one to be ready, also on a busy machine.
    let limits = WaitLimits {
        total: Duration::from_secs(8),
        ..LIMITS
    };
    let events = std::sync::Mutex::new(Vec::new());
    let machines = [&good, &bad, &worse]
        .map(|server| machine(target(server.address)))
        .into();
    let record = |event: Event| events.lock().unwrap().push(event);
    let ready = all_ready(machines, limits, &record).await;
    let failures = ready.iter().map(|ready| ready.as_ref().err().map(chain));
    let [None, Some(other_key), Some(no_login)] = &failures.collect::<Vec<_>>()[..] else {
        panic!("not as they were asked for");
    };
    assert!(other_key.starts_with("trust demo-master-1"), "{other_key}");
    assert!(
        no_login.starts_with("see an SSH login as k8s on demo-master-1"),
        "{no_login}"
    );
    let events = events.into_inner().unwrap();
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
    assert_eq!(count(|e| matches!(e, Event::Started { .. })), 3);
    assert_eq!(count(|e| matches!(e, Event::Finished { .. })), 1);
    assert_eq!(count(|e| matches!(e, Event::Failed { .. })), 2);
}

#[tokio::test]
async fn a_machine_that_hangs_makes_no_wait_longer() {
    let server = booted("").await;
    for program in ["sleep", "cloud-init"] {
        server.program(program, "exec /bin/sleep 60");
    }
    let limits = WaitLimits {
        total: Duration::from_secs(3),
        attempt: Duration::from_secs(8),
        ..LIMITS
    };
    let began = std::time::Instant::now();
    let error = error(target(server.address), limits).await;
    // The limit of the wait, and those of the commands that collect evidence.
    assert!(began.elapsed() < Duration::from_secs(15), "{error}");
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}
