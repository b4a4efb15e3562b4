//! `destroy`, where libvirt has nothing of the cluster any more, or can't be asked.

use std::fs;

use crate::env::TestEnv;

/// The folder of a cluster whose libvirt, being in memory, is empty.
fn with_folder() -> TestEnv {
    let env = TestEnv::new();
    let config = env.kept("clusters/demo/config");
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
    assert!(env.kept("clusters/demo/config/kubitect.yaml").is_file());
}

#[test]
fn the_folder_goes_and_so_do_our_lines_in_known_hosts_and_no_others() {
    let env = with_folder();
    let known_hosts = env.path("home/.ssh/known_hosts");
    fs::create_dir_all(known_hosts.parent().unwrap()).unwrap();
    fs::write(&known_hosts, "git.example.org ssh-ed25519 AAAA\n").unwrap();
    fs::create_dir_all(env.kept("clusters/other/config")).unwrap();
    env.run(&["destroy", "--cluster", "demo", "--auto-approve"])
        .code(0)
        .prints("")
        .tells(&[
            "demo: nothing of it is left on its hosts\nOn this machine:\n  - remove ",
            "demo: removed",
        ])
        .withholds(&["nothing to do", "0 steps"]);
    assert!(!env.kept("clusters/demo").exists());
    assert!(env.kept("clusters/other/config").is_dir());
    assert_eq!(
        fs::read_to_string(known_hosts).unwrap(),
        "git.example.org ssh-ed25519 AAAA\n"
    );
}

#[test]
fn a_configuration_that_can_t_be_read_any_more_is_no_reason_to_guess() {
    let env = with_folder();
    fs::write(env.kept("clusters/demo/config/kubitect.yaml"), "{").unwrap();
    env.run(&["destroy", "--cluster", "demo", "--auto-approve"])
        .code(1)
        .tells(&[
            "[DIR]/kubitect/clusters/demo/config/kubitect.yaml",
            "mend it, or move it away",
        ]);
    assert!(env.kept("clusters/demo").is_dir());
}

#[test]
fn a_name_that_is_none_is_refused_before_anything_is_looked_at() {
    let env = with_folder();
    for name in ["../demo", "", "demo/", "Demo", "-demo"] {
        env.run(&["destroy", &format!("--cluster={name}"), "--auto-approve"])
            .code(2);
    }
    assert_eq!(env.kept_tree().len(), 4);
}

#[test]
fn a_name_that_is_mistyped_is_an_error_and_leaves_nothing() {
    let env = with_folder();
    let before = env.kept_tree();
    for name in [&["--cluster", "dmeo"][..], &["dmeo"]] {
        env.run(&[&["destroy", "--auto-approve"], name].concat())
            .code(1)
            .tells(&[
                "there is none of that name",
                "did you mean `demo`?",
                "there are: demo",
            ]);
        assert_eq!(env.kept_tree(), before);
    }
    // What is removed is named on the command line, even if there is no other.
    let mut command = env.command(&["destroy", "--auto-approve"]);
    command.env("KUBITECT_CLUSTER", "demo");
    env.said(command.output().unwrap())
        .code(2)
        .tells(&["`kubitect destroy CLUSTER`"]);
    assert_eq!(env.kept_tree(), before);
    env.run(&["destroy", "demo", "--auto-approve"]).code(0);
    assert!(!env.kept("clusters/demo").exists());
}

/// Nobody answers on the second host.
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
    fs::write(env.kept("clusters/demo/config/kubitect.yaml"), text).unwrap();
    env
}

#[test]
fn a_host_that_is_gone_for_good_is_left_out_if_it_is_named() {
    let env = with_a_lost_host();
    let before = env.kept_tree();
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
    assert!(!env.kept("clusters/demo").exists());
    assert_ne!(before, env.kept_tree());
}
