//! Ctrl-C, SIGTERM and SIGHUP while the program waits for a server.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::env::TestEnv;

/// A server that accepts connections and never answers.
pub fn silent_server() -> (u16, mpsc::Receiver<TcpStream>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in server.incoming().map_while(Result::ok) {
            if sender.send(stream).is_err() {
                return;
            }
        }
    });
    (port, receiver)
}

/// The processes whose arguments contain this text.
fn running(text: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}

/// Waits at most half a minute.
fn ended(child: &mut Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    false
}

#[test]
fn ctrl_c_ends_all_that_waits_and_the_next_run_goes_on() {
    let env = TestEnv::new();
    let (images, asked_for_image) = silent_server();
    let (git, asked_for_kubespray) = silent_server();
    let repository = format!("http://127.0.0.1:{git}/kubespray.git");
    env.write_cluster(|text| {
        let here = env.path("");
        let here = here.to_str().unwrap().trim_end_matches('/');
        text.replace(
            &format!("{here}/image.qcow2"),
            &format!("http://127.0.0.1:{images}/image.qcow2"),
        )
        .replace(&format!("{here}/kubespray"), &repository)
    });
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut command = env.command(&["apply", "-c", "cluster.yaml", "--auto-approve"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _held = [&asked_for_image, &asked_for_kubespray].map(|asked| {
            let stream = asked.recv_timeout(Duration::from_secs(60));
            stream.unwrap_or_else(|_| {
                child.kill().unwrap();
                let mut said = String::new();
                let _ = child.stderr.take().unwrap().read_to_string(&mut said);
                panic!("a server was not asked: {said}")
            })
        });
        assert!(!running(&repository).is_empty());

        kill_process(Pid::from_child(&child), signal).unwrap();
        let in_time = ended(&mut child);
        let said = env.said(child.wait_with_output().unwrap());
        assert!(in_time, "it did not end: {said:#?}");
        said.code(130).prints("").tells(&[
            "interrupted; what was done is kept, and the same command goes on from there",
        ]);
        assert_eq!(running(&repository), [""; 0]);
        assert!(env.in_home("clusters/demo/config/kubitect.yaml").is_file());
        assert!(
            !env.in_home("clusters/demo/config/kubitect-applied.yaml")
                .exists()
        );
    }
    env.run(&["list", "clusters"])
        .code(0)
        .prints("demo\tunfinished\n");
}
