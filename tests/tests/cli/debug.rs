//! `--debug`: each call to libvirt and each program, with time and duration, and without secrets.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc;

use tests::ansible::{RELEASE, Repository};

use crate::env::TestEnv;

/// The word that all secrets contain.
const PLANTED: &str = "pl4nted";

/// A server of an image, which waits with it until something is sent to it.
fn image_server() -> (String, mpsc::Sender<()>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = receiver.recv();
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    });
    (
        format!("http://{address}/image.qcow2?sig={PLANTED}-sig"),
        sender,
    )
}

#[test]
fn each_call_and_program_is_shown_with_its_duration_and_no_secret() {
    let env = TestEnv::new();
    let files = [
        ("requirements.txt", "kubitect-no-such-package==1.0\n"),
        ("cluster.yml", "[]\n"),
    ];
    let repository = Repository::with(&files, RELEASE[0]);
    fs::rename(repository.0.path(), env.path("kubespray")).unwrap();
    // No server listens at these addresses.
    env.write_site(&format!(
        "kubespray: {{anyCommit: true}}\npip: {{indexUrl: \"http://me:{PLANTED}-pip@127.0.0.1:9/simple\"}}\nproxy: {{http: \
         \"http://me:{PLANTED}-proxy@127.0.0.1:9\"}}\n"
    ));
    let (image, answer) = image_server();
    env.write_cluster(|text| {
        let file = format!("{}/image.qcow2", env.path("").display()).replace("//", "/");
        text.replace(&file, &format!("\"{image}\""))
            .replace("v1.23.7", RELEASE[1])
            .replace("v2.19.0", RELEASE[0])
            .replace("cpu: 1", "cpu: 2")
            // The line with the key is shown as a part of a problem.
            + &format!("addons:\n  kubespray:\n    registry_password:\n      {PLANTED}-addon\n")
    });
    let mut command = env.command(&["--debug", "apply", "-c", "cluster.yaml", "--auto-approve"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("program ended ") && line.contains(" pip install ") {
            let _ = answer.send(());
        }
        said += &format!("{line}\n");
    }
    // If pip was never started, the image is not waited for.
    drop(answer);
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    let shown: Vec<_> = said
        .lines()
        .filter(|line| line.contains(" DEBUG "))
        .collect();
    let line = |parts: &[&str]| {
        let found = shown
            .iter()
            .find(|line| parts.iter().all(|part| line.contains(part)));
        let found = found.unwrap_or_else(|| panic!("no line with {parts:?} in {said}"));
        // 2026-01-02T03:04:05.678901Z
        let time = found.split(' ').next().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{found}");
    };
    line(&["libvirt: connect to test://", "host=\"box\"", "took="]);
    line(&["libvirt: domains ", "host=\"box\"", "took="]);
    line(&["program started ", "command=\"git "]);
    line(&[
        "program ended ",
        "took=",
        "status=exit status: 0",
        "command=\"git ",
    ]);
    line(&["program started ", " pip install "]);
    line(&[
        "program ended ",
        "took=",
        "status=exit status: 1",
        " pip install ",
    ]);
    let key = fs::read_to_string(env.in_home("clusters/demo/config/.ssh/id_ed25519")).unwrap();
    let secrets = key.lines().filter(|line| !line.starts_with("-----"));
    for secret in secrets.chain([PLANTED]) {
        assert!(!said.contains(secret), "`{secret}` in {said}");
    }
    // Without the option none of it is shown; in a pipe and in a file it has no colours.
    assert!(!said.contains('\x1b'), "{said}");
}

/// On a terminal, too, the lines of `--debug` are between the others, and nothing is redrawn.
#[test]
fn a_terminal_has_no_block_beside_it() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    let args = "--debug apply -c cluster.yaml --auto-approve";
    let said = crate::terminal::at_terminal(&env, args, &[("NO_COLOR", "1")], "").code(1);
    assert!(
        said.stdout.contains(" phase 1 of 3: make machines"),
        "{said:?}"
    );
    assert!(said.stdout.contains("libvirt: domains "), "{said:?}");
    assert!(!said.stdout.contains("\x1b["), "{said:?}");
}
