//! `destroy` where libvirt has nothing of the cluster any more, or can't be asked.

use std::fs;

use crate::env::TestEnv;
use crate::trust::finished;

/// The folder of a cluster whose libvirt, being in memory, is empty.
fn with_folder() -> TestEnv {
    let env = TestEnv::new();
    let config = env.in_home("clusters/demo/config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("kubitect.yaml"), env.cluster()).unwrap();
    env
}

#[test]
fn without_a_terminal_the_answer_is_no() {
    let env = with_folder();
    env.run(&["destroy", "--cluster", "demo"])
        .code(3)
        .prints("")
        .tells(&["there is no terminal to ask on, so the answer is no"]);
    assert!(env.in_home("clusters/demo/config/kubitect.yaml").is_file());
}

#[test]
fn the_folder_goes_and_so_do_our_lines_in_known_hosts_and_no_others() {
    let env = with_folder();
    let known_hosts = env.path("home/.ssh/known_hosts");
    fs::create_dir_all(known_hosts.parent().unwrap()).unwrap();
    fs::write(&known_hosts, "git.example.org ssh-ed25519 AAAA\n").unwrap();
    fs::create_dir_all(env.in_home("clusters/other/config")).unwrap();
    env.run(&["destroy", "--cluster", "demo", "--auto-approve"])
        .code(0)
        .prints("")
        .tells(&[
            "demo: nothing of it is left on its hosts\nOn this machine:\n  - remove ",
            "demo: removed",
        ])
        .withholds(&["nothing to do", "0 steps"]);
    assert!(!env.in_home("clusters/demo").exists());
    assert!(env.in_home("clusters/other/config").is_dir());
    assert_eq!(
        fs::read_to_string(known_hosts).unwrap(),
        "git.example.org ssh-ed25519 AAAA\n"
    );
}

#[test]
fn a_configuration_that_can_t_be_read_any_more_is_no_reason_to_guess() {
    let env = with_folder();
    fs::write(env.in_home("clusters/demo/config/kubitect.yaml"), "{").unwrap();
    env.run(&["destroy", "--cluster", "demo", "--auto-approve"])
        .code(1)
        .tells(&[
            "[DIR]/kubitect/clusters/demo/config/kubitect.yaml",
            "mend it, or move it away",
        ]);
    assert!(env.in_home("clusters/demo").is_dir());
}

#[test]
fn a_name_that_is_none_is_refused_before_anything_is_looked_at() {
    let env = with_folder();
    for name in ["../demo", "", "demo/", "Demo", "-demo"] {
        env.run(&["destroy", &format!("--cluster={name}"), "--auto-approve"])
            .code(2);
    }
    assert_eq!(env.home_tree().len(), 4);
}

#[test]
fn a_name_that_is_mistyped_is_an_error_and_leaves_nothing() {
    let env = with_folder();
    let before = env.home_tree();
    for name in [&["--cluster", "dmeo"][..], &["dmeo"]] {
        env.run(&[&["destroy", "--auto-approve"], name].concat())
            .code(1)
            .tells(&[
                "there is none of that name",
                "did you mean `demo`?",
                "there are: demo",
            ]);
        assert_eq!(env.home_tree(), before);
    }
    // The cluster to remove has to be named on the command line, even if it is the only one.
    let mut command = env.command(&["destroy", "--auto-approve"]);
    command.env("KUBITECT_CLUSTER", "demo");
    env.said(command.output().unwrap())
        .code(2)
        .tells(&["`kubitect destroy CLUSTER`"]);
    assert_eq!(env.home_tree(), before);
    env.run(&["destroy", "demo", "--auto-approve"]).code(0);
    assert!(!env.in_home("clusters/demo").exists());
}

/// The second host does not answer.
fn with_a_lost_host() -> TestEnv {
    let env = with_folder();
    let text = env
        .cluster()
        .replace(
            "cluster:\n  name",
            "  - name: gone\n    connection: {uri: \"qemu+tcp://127.0.0.1:1/system\"}\n    mainResourcePoolPath: /x\ncluster:\n  \
             name",
        )
        .replace("mode: nat", "mode: bridge\n    bridge: br0")
        .replace("- {id: 1}", "- {id: 1}\n        - {id: 2, host: gone}");
    fs::write(env.in_home("clusters/demo/config/kubitect.yaml"), text).unwrap();
    env
}

#[test]
fn a_host_that_is_gone_for_good_is_left_out_if_it_is_named() {
    let env = with_a_lost_host();
    let before = env.home_tree();
    env.run(&["destroy", "demo", "--auto-approve"])
        .code(1)
        .tells(&["--without-host gone removes the rest", "127.0.0.1:1"]);
    for (name, why) in [
        ("gnoe", "those that do are: box, gone"),
        ("Gone!", "invalid value"),
    ] {
        let said = env.run(&["destroy", "demo", "--without-host", name, "--auto-approve"]);
        assert_ne!(said.code, Some(0));
        said.tells(&[why]);
    }
    let stays = "host gone is left out: demo-worker-2 and their disks stay on it";
    let without = ["destroy", "demo", "--without-host", "gone"];
    env.run(&without).code(3).tells(&[stays]);
    env.run(&[&without[..], &["--auto-approve"]].concat())
        .code(0)
        .tells(&[&format!("warning: {stays}"), "demo: removed"]);
    assert!(!env.in_home("clusters/demo/config").exists());
    assert_ne!(before, env.home_tree());
}

/// A cluster that was removed except for what a lost host carries; returns the file that says so.
fn left_on_a_host() -> (TestEnv, std::path::PathBuf) {
    let env = with_a_lost_host();
    let without = [
        "destroy",
        "demo",
        "--without-host",
        "gone",
        "--auto-approve",
    ];
    env.run(&without)
        .code(0)
        .tells(&["--forget-host gone forgets them"]);
    let files = fs::read_dir(env.in_home("clusters/demo/left-out")).unwrap();
    let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    (env, files[0].clone())
}

#[test]
fn what_was_left_out_is_known_until_it_is_removed_or_forgotten() {
    let (env, file) = left_on_a_host();
    env.run(&["list", "clusters"])
        .code(0)
        .prints("demo\tleft-out\n");
    env.run(&["status", "demo"]).code(1).tells(&[
        "what it has on host gone",
        "`kubitect destroy demo` removes that",
    ]);
    env.run(&["destroy", "demo", "--auto-approve"])
        .code(1)
        .tells(&["--without-host gone removes the rest", "127.0.0.1:1"]);
    let stays = "host gone is left out: demo-worker-2 and their disks stay on it";
    env.run(&[
        "destroy",
        "demo",
        "--without-host",
        "gone",
        "--auto-approve",
    ])
    .code(0)
    .tells(&[stays])
    .withholds(&["nothing of it is left\n"]);
    assert!(file.is_file());
    env.run(&["destroy", "demo", "--forget-host", "gone"])
        .code(3)
        .tells(&["clusters/demo/left-out (what hosts had that were left out: 1 file)"]);
    env.run(&["destroy", "demo", "--forget-host", "gone", "--auto-approve"])
        .code(0)
        .tells(&["nothing here remembers them"]);
    assert!(!env.in_home("clusters/demo").exists());
}

#[test]
fn a_host_that_is_back_is_cleared_by_the_next_destroy() {
    let (env, file) = left_on_a_host();
    let text = fs::read_to_string(&file).unwrap();
    let node = format!("test://{}", env.path("node.xml").display());
    fs::write(&file, text.replace("qemu+tcp://127.0.0.1:1/system", &node)).unwrap();
    env.run(&["destroy", "demo", "--auto-approve"])
        .code(0)
        .tells(&["demo: removed"]);
    assert!(!env.in_home("clusters/demo").exists());
}

#[test]
fn destroy_lists_what_it_removes_here_and_keeps_snapshots() {
    let env = finished();
    fs::create_dir_all(env.in_home("clusters/demo/logs")).unwrap();
    fs::write(env.in_home("clusters/demo/logs/1-apply.log"), "").unwrap();
    fs::create_dir_all(env.in_home("clusters/demo/backups")).unwrap();
    let snapshot = env.in_home("clusters/demo/backups/etcd-1.db");
    fs::write(&snapshot, "all secrets").unwrap();
    let known_hosts = env.path("home/.ssh/known_hosts");
    fs::create_dir_all(known_hosts.parent().unwrap()).unwrap();
    fs::write(&known_hosts, "10.77.0.11 ssh-ed25519 AAAA kubitect:demo\n").unwrap();
    let ours = "current-context: demo\nclusters: [{name: demo, cluster: {server: 'https://h:6443', \
                certificate-authority-data: Q0E=}}]\ncontexts: [{name: demo, context: {cluster: demo, user: \
                demo}}]\nusers: [{name: demo, user: {token: t}}]\n";
    fs::write(env.in_home("clusters/demo/config/admin.conf"), ours).unwrap();
    fs::create_dir_all(env.path("home/.kube")).unwrap();
    fs::write(env.path("home/.kube/config"), ours).unwrap();
    let listed = [
        "remove [DIR]/kubitect/clusters/demo/config (configuration, keys, kubeconfig: 3 files)",
        "remove [DIR]/kubitect/clusters/demo/logs (logs: 1 file)",
        "remove the machines' lines from [DIR]/home/.ssh/known_hosts",
        "remove the cluster, its context and its user from [DIR]/home/.kube/config",
        "keep [DIR]/kubitect/clusters/demo/backups (snapshots of etcd: 1 file; --with-snapshots",
    ];
    env.run(&["destroy", "--cluster", "demo"])
        .code(3)
        .tells(&listed);
    env.run(&["destroy", "--cluster", "demo", "--auto-approve"])
        .code(0)
        .tells(&listed);
    assert_eq!(fs::read_to_string(&snapshot).unwrap(), "all secrets");
    assert_eq!(
        but_its_log(&env),
        [
            "clusters/",
            "clusters/demo/",
            "clusters/demo/backups/",
            "clusters/demo/backups/etcd-1.db",
            "share/",
            "share/images/"
        ]
    );
    assert_eq!(fs::read_to_string(known_hosts).unwrap(), "");
    assert!(
        !fs::read_to_string(env.path("home/.kube/config"))
            .unwrap()
            .contains("demo")
    );
    // The rest is no cluster any more, and is removed when that is asked for.
    env.run(&["list", "clusters"]).code(0).prints("");
    let config = env.in_home("clusters/demo/config");
    fs::create_dir(&config).unwrap();
    fs::write(config.join("kubitect.yaml"), env.cluster()).unwrap();
    env.run(&[
        "destroy",
        "--cluster",
        "demo",
        "--auto-approve",
        "--with-snapshots",
    ])
    .code(0)
    .tells(&["remove [DIR]/kubitect/clusters/demo/backups (snapshots of etcd: 1 file)"]);
    assert_eq!(but_its_log(&env), ["clusters/", "share/", "share/images/"]);
}

/// All files after a removal, without its log.
fn but_its_log(env: &TestEnv) -> Vec<String> {
    let (logs, others): (Vec<_>, Vec<_>) = env
        .home_tree()
        .into_iter()
        .partition(|name| name.starts_with("logs/"));
    assert_eq!(logs[..2], ["logs/", "logs/demo/"]);
    assert!(
        logs.len() > 2 && logs[2..].iter().all(|log| log.ends_with("-destroy.log")),
        "{logs:?}"
    );
    others
}

#[test]
fn destroy_needs_no_byte_on_the_disk() {
    let env = finished();
    let known_hosts = env.path("home/.ssh/known_hosts");
    fs::create_dir_all(known_hosts.parent().unwrap()).unwrap();
    let lines = "10.77.0.11 ssh-ed25519 AAAA kubitect:demo\n10.77.0.12 ssh-ed25519 AAAA mine\n";
    fs::write(&known_hosts, lines).unwrap();
    // No byte can be written to a file, as on a full disk.
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]);
    shell.arg(crate::env::KUBITECT);
    shell.args(["destroy", "--cluster", "demo", "--auto-approve"]);
    env.dress(&mut shell);
    let said = env.said(shell.output().unwrap());
    // The file with fewer lines could not be written: that is a warning.
    let said = said
        .code(0)
        .tells(&["warning: ", "known_hosts", "demo: removed"]);
    assert!(!env.in_home("clusters/demo").exists(), "{said:#?}");
}

#[test]
fn destroy_does_not_wait_for_its_log() {
    let env = finished();
    fs::write(env.in_home("logs"), "no folder").unwrap();
    env.run(&["destroy", "--cluster", "demo", "--auto-approve"])
        .code(0)
        .tells(&["warning: this run leaves no log: ", "demo: removed"]);
    assert!(!env.in_home("clusters/demo").exists());
}

#[test]
fn nothing_stays_after_destroy() {
    let env = finished();
    env.run(&["destroy", "--cluster", "demo", "--auto-approve"])
        .code(0);
    assert_eq!(but_its_log(&env), ["clusters/", "share/", "share/images/"]);
}
