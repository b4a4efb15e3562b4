//! Commands for a running cluster where there is none, or where its libvirt has nothing of it: `stop`, `start`, `console`,
//! `etcd`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::env::TestEnv;
use crate::terminal::at_terminal;

/// A cluster that was to be created, of which libvirt has nothing.
fn unmade() -> TestEnv {
    let env = TestEnv::new();
    let config = env.in_home("clusters/demo/config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("kubitect.yaml"), env.cluster()).unwrap();
    env
}

#[test]
fn what_is_not_there_is_neither_stopped_nor_saved() {
    let env = unmade();
    for command in [&["stop"][..], &["start"], &["etcd", "snapshot"]] {
        let args = [command, &["dmo"]].concat();
        env.run(&args).code(1).tells(&["did you mean `demo`?"]);
    }
    env.run(&["stop"])
        .code(0)
        .tells(&["demo: no machine of it is on"]);
    env.run(&["start"])
        .code(1)
        .tells(&["none of its machines is there", "`kubitect apply`"]);
    let logs = env.in_home("clusters/demo/logs");
    assert!(!logs.exists(), "nothing was done");
    env.run(&["etcd", "snapshot"]).code(1).tells(&[
        "save a snapshot",
        "`kubitect apply`",
        "-etcd-snapshot.log:",
    ]);
    for wrong in ["5", "0s", "25h", "soon"] {
        env.run(&["stop", "--timeout", wrong])
            .code(2)
            .tells(&["must be a whole number with its unit"]);
    }
    let said = env.run(&["status", "--wait=1s"]).code(1);
    said.tells(&["the time is over"]);
}

#[test]
fn a_console_is_opened_by_virsh_on_the_machines_host() {
    let env = unmade();
    let bin = env.path("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(
        bin.join("virsh"),
        "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 7\n",
    )
    .unwrap();
    fs::set_permissions(bin.join("virsh"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), tests::checkers::PATH);
    let none = at_terminal(&env, "console master-1", &[("PATH", &path)], "").code(1);
    for part in ["has no such machine", "console demo-master-1 --log"] {
        assert!(none.stdout.contains(part), "{none:?}");
    }
    let runs = "<node><domain type='test'><name>demo-master-1</name><memory>8192</memory><os><type>hvm</type></os></domain></node>";
    fs::write(env.path("node.xml"), runs).unwrap();
    for node in ["demo-master-1", "master-1"] {
        let said = at_terminal(&env, &format!("console {node}"), &[("PATH", &path)], "").code(7);
        let text = said.stdout.replace("\r\n", "\n");
        let argv = "--connect\ntest://[DIR]/node.xml\nconsole\ndemo-master-1\n";
        assert!(text.contains(argv), "{text}");
    }
    let lean = env.path("lean");
    fs::create_dir(&lean).unwrap();
    std::os::unix::fs::symlink("/usr/bin/script", lean.join("script")).unwrap();
    let lean = lean.to_str().unwrap();
    let none = at_terminal(&env, "console master-1", &[("PATH", lean)], "").code(1);
    for part in ["libvirt-clients", "console --log demo-master-1"] {
        assert!(none.stdout.contains(part), "{none:?}");
    }
    // Without a terminal, or with `--log`, the log is read: here no pool has one.
    env.run(&["console", "master-1"])
        .code(1)
        .tells(&["read the console of demo-master-1"]);
    at_terminal(&env, "console master-1 --log", &[("PATH", &path)], "").code(1);
    env.run(&["console", "mastr-1"])
        .code(1)
        .tells(&["did you mean `demo-master-1`?", "there are: demo-lb-1"]);
}
