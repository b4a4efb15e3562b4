//! Keys and connections that a file names: one that can't be used, or is not trusted, is reported before anything is done.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tests::checkers;
use tests::sshd::{keygen, private};

use crate::env::TestEnv;

/// The small cluster with a key of the person's own, `home/key`.
fn with_key() -> TestEnv {
    let env = TestEnv::new();
    env.write_cluster(|text| {
        let template = "nodeTemplate:\n    ssh: {privateKeyPath: ~/key}\n";
        assert!(text.contains("nodeTemplate:\n"), "{text}");
        text.replacen("nodeTemplate:\n", template, 1)
    });
    env
}

fn make(env: &TestEnv, arguments: &[&str]) {
    let key = env.path("home/key");
    let _ = fs::remove_file(&key);
    let _ = fs::remove_file(env.path("home/key.pub"));
    keygen(&[&["-q", "-f", key.to_str().unwrap()], arguments].concat());
}

const OPEN: [&str; 4] = ["-t", "ed25519", "-N", ""];

#[test]
fn a_key_that_opens_nothing_is_an_error_with_the_command_that_mends_it() {
    let env = with_key();
    let refused = |what: &str, help: &str| {
        for command in ["validate", "plan"] {
            env.run(&[command, "-c", "cluster.yaml"]).code(2).tells(&[
                "error[private-key]: cluster.nodeTemplate.ssh.privateKeyPath",
                what,
                help,
            ]);
        }
    };
    let key = env.path("home/key");
    make(&env, &["-t", "ed25519", "-N", "secret"]);
    refused(
        "it has a passphrase",
        "`ssh-keygen -p -N '' -f [DIR]/home/key`",
    );
    for form in ["PEM", "PKCS8"] {
        make(
            &env,
            &["-t", "rsa", "-b", "2048", "-m", form, "-N", "secret"],
        );
        refused(
            "it has a passphrase",
            "`ssh-keygen -p -N '' -f [DIR]/home/key`",
        );
    }
    make(&env, &OPEN);
    let closed = fs::metadata(&key).unwrap().permissions();
    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    refused(
        "others may use it (mode 0644)",
        "`chmod 600 [DIR]/home/key`",
    );
    // A file that is no private key need not be closed to others.
    let secret = fs::read(&key).unwrap();
    let public = fs::read(env.path("home/key.pub")).unwrap();
    for (text, what, help) in [
        (&public[..], "it is a public key", "name the private one"),
        (
            b"root:*:19000:0:99999:7:::\n",
            "it is no private key that can be read",
            "it must be RSA",
        ),
    ] {
        fs::write(&key, text).unwrap();
        refused(what, help);
        let said = env.run(&["validate", "-c", "cluster.yaml"]);
        assert!(!said.stderr.contains("chmod"), "{}", said.stderr);
    }
    fs::write(&key, secret).unwrap();
    fs::set_permissions(&key, closed).unwrap();
    fs::rename(&key, env.path("home/other")).unwrap();
    keygen(&[
        "-q",
        "-t",
        "rsa",
        "-b",
        "2048",
        "-N",
        "",
        "-f",
        key.to_str().unwrap(),
    ]);
    fs::rename(env.path("home/other"), &key).unwrap();
    refused(
        "belongs to another key",
        "`ssh-keygen -y -f [DIR]/home/key >[DIR]/home/key.pub`",
    );
    make(&env, &["-t", "rsa", "-b", "1024", "-N", ""]);
    refused("an RSA key of 1024 bits", "ssh-keygen -t ed25519");
    // In PKCS#8, only an identifier says that it is DSA.
    let parameters = env.path("parameters");
    let parameters = parameters.to_str().unwrap();
    let (bits, q) = ("dsa_paramgen_bits:1024", "dsa_paramgen_q_bits:160");
    for arguments in [
        &[
            "genpkey",
            "-genparam",
            "-algorithm",
            "DSA",
            "-pkeyopt",
            bits,
            "-pkeyopt",
            q,
            "-out",
            parameters,
        ][..],
        &[
            "genpkey",
            "-paramfile",
            parameters,
            "-out",
            key.to_str().unwrap(),
        ],
    ] {
        let output = checkers::run("openssl", arguments);
        assert!(output.status.success(), "{}", checkers::said(&output));
    }
    refused("it is a DSA key", "ssh-keygen -t ed25519");
    for (text, what) in [
        (
            "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n",
            "a DSA key",
        ),
        ("ssh-ed25519 AAAA me@here\n", "it is a public key"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n", "PuTTY's form"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            "no private key that can be read",
        ),
        ("", "no private key that can be read"),
    ] {
        private(&key, text);
        refused(what, "help: ");
    }
    // Nothing is written to the pipe, and it is not waited for.
    fs::remove_file(&key).unwrap();
    let made = checkers::run("mkfifo", &[key.to_str().unwrap()]);
    assert!(made.status.success());
    refused("it is no file", "name the file");
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    refused("it is no file", "name the file");
}

#[test]
fn keys_that_work_are_taken_and_a_missing_one_is_missed_by_plan() {
    let env = with_key();
    for arguments in [
        &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", ""][..],
        &["-t", "ecdsa", "-m", "PKCS8", "-N", ""],
        &OPEN,
    ] {
        make(&env, arguments);
        // The public key is derived from it.
        fs::remove_file(env.path("home/key.pub")).unwrap();
        env.run(&["validate", "-c", "cluster.yaml"]).code(0);
        env.run(&["plan", "-c", "cluster.yaml"]).code(4);
    }
    fs::remove_file(env.path("home/key")).unwrap();
    env.run(&["validate", "-c", "cluster.yaml"]).code(0);
    env.run(&["render", "-c", "cluster.yaml", "--out", "tree"])
        .code(0);
    env.run(&["plan", "-c", "cluster.yaml"]).code(2).tells(&[
        "privateKeyPath",
        "ssh-keygen -t ed25519 -N '' -f [DIR]/home/key",
    ]);
}

/// The small cluster on another connection.
fn on(env: &TestEnv, connection: &str) {
    let memory = format!("uri: test://{}", env.path("node.xml").display());
    env.write_cluster(|text| {
        assert!(text.contains(&memory), "{text}");
        text.replacen(&memory, connection, 1)
    });
}

#[test]
fn a_hosts_key_may_have_a_passphrase_while_an_agent_holds_it() {
    let env = TestEnv::new();
    make(&env, &["-t", "ed25519", "-N", "secret"]);
    let remote =
        "type: remote\n      user: me\n      ip: 127.0.0.1\n      ssh: {port: 1, keyfile: ~/key}";
    on(&env, remote);
    let validate = ["validate", "-c", "cluster.yaml"];
    env.run(&validate)
        .code(2)
        .tells(&["hosts[0].connection.ssh.keyfile", "it has a passphrase"]);
    let mut command = env.command(&validate);
    command.env("SSH_AUTH_SOCK", "/nonexistent");
    env.said(command.output().unwrap())
        .code(0)
        .tells(&["warning[private-key]", "`ssh-add ~/key`"]);
}

#[test]
fn a_host_that_is_not_verified_is_a_warning_of_validate_and_of_plan() {
    let env = TestEnv::new();
    let remote =
        "type: remote\n      user: me\n      ip: 127.0.0.1\n      ssh: {port: 1, verify: VERIFY}";
    on(&env, &remote.replace("VERIFY", "false"));
    let warning = ["warning[host-unverified]: hosts[0].connection.ssh.verify"];
    env.run(&["validate", "-c", "cluster.yaml"])
        .code(0)
        .tells(&warning);
    env.run(&["plan", "-c", "cluster.yaml"])
        .code(1)
        .tells(&warning);
    on(&env, &remote.replace(", verify: VERIFY", ""));
    let said = env.run(&["plan", "-c", "cluster.yaml"]).code(1);
    assert!(!said.stderr.contains("unverified"), "{}", said.stderr);
}

#[test]
fn a_uri_that_runs_a_program_is_refused_unless_the_persons_own_site_lists_it() {
    let env = TestEnv::new();
    let ran = env.path("ran");
    private(
        &env.path("evil"),
        &format!("#!/bin/sh\n: >'{}'\n", ran.display()),
    );
    fs::set_permissions(env.path("evil"), PermissionsExt::from_mode(0o755)).unwrap();
    let evil = format!("qemu+ext:///system?command={}", env.path("evil").display());
    on(&env, &format!("uri: \"{evil}\""));
    let plan = ["plan", "-c", "cluster.yaml"];
    for arguments in [&plan[..], &["validate", "-c", "cluster.yaml"]] {
        env.run(arguments).code(2).tells(&[
            "hosts[0].connection.uri",
            "may run a program",
            "libvirtUris",
        ]);
    }
    // A file in the folder itself allows nothing.
    let foreign = env.path("here/.kubitect");
    fs::create_dir(&foreign).unwrap();
    fs::set_permissions(&foreign, PermissionsExt::from_mode(0o700)).unwrap();
    let allowed = format!("libvirtUris: [\"{evil}\"]\n");
    private(&foreign.join("site.yaml"), &allowed);
    let local = ["--local", "plan", "-c", "cluster.yaml"];
    env.run(&local).code(2).tells(&[
        "`libvirtUris`, `pip`, `kubespray.python` and `kubespray.anyCommit`",
        "[DIR]/home/.kubitect/site.yaml",
    ]);
    private(
        &foreign.join("site.yaml"),
        "kubespray: {python: /bin/evil}\n",
    );
    env.run(&local)
        .code(2)
        .tells(&["`libvirtUris`, `pip`, `kubespray.python` and `kubespray.anyCommit`"]);
    private(&foreign.join("site.yaml"), "virtType: qemu\n");
    env.run(&local).code(2).tells(&["may run a program"]);
    assert!(!ran.exists());
    // The person's own file allows it, also for that folder.
    for home in ["home/.kubitect", "kubitect"] {
        fs::create_dir_all(env.path(home)).unwrap();
        fs::set_permissions(env.path(home), PermissionsExt::from_mode(0o700)).unwrap();
        private(&env.path(home).join("site.yaml"), &allowed);
    }
    for arguments in [&plan[..], &local] {
        env.run(arguments).code(1);
        assert!(ran.exists());
        fs::remove_file(&ran).unwrap();
    }
}
