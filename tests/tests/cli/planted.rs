//! Files that another user has put where the program writes, or into a folder that comes from elsewhere: the program writes
//! nothing to them, and runs none.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use tests::sshd::private;

use crate::env::TestEnv;
use crate::home::with_kubeconfig;

/// Gives a file or link to another user; false where this user can't.
fn give(path: &Path) -> bool {
    lchown(path, Some(4321), Some(4321)).is_ok()
}

#[test]
fn what_is_written_is_never_handed_to_another_user() {
    let env = with_kubeconfig();
    env.write_cluster(|text| text);
    let out = env.path("here/out");
    let theirs = env.path("theirs");
    for args in [
        &["export", "kubeconfig", "demo", "--out", "out"][..],
        &["plan", "-c", "cluster.yaml", "--out", "out"],
    ] {
        // As an attacker prepares it in /tmp: an empty file of theirs, and a link to one.
        fs::write(&out, "").unwrap();
        if !give(&out) {
            return;
        }
        let refused = || {
            env.run(args)
                .code(1)
                .tells(&["belongs to user 4321", "name another one, or remove it"])
        };
        refused();
        assert_eq!(fs::read(&out).unwrap(), b"");
        fs::remove_file(&out).unwrap();
        fs::write(&theirs, "").unwrap();
        chown(&theirs, Some(4321), None).unwrap();
        symlink(&theirs, &out).unwrap();
        refused();
        assert_eq!(fs::read(&theirs).unwrap(), b"");
        fs::remove_file(&out).unwrap();
    }
}

#[test]
fn files_are_rendered_into_nobody_elses_folder_and_over_no_planted_link() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    let victim = env.path("victim");
    fs::write(&victim, "untouched").unwrap();
    let out = env.path("here/out");
    let render = ["render", "-c", "cluster.yaml", "--out", "out"];
    env.run(&render).code(0);
    let planted = out.join("ansible/nodes.yaml");
    fs::remove_file(&planted).unwrap();
    symlink(&victim, &planted).unwrap();
    if !give(&planted) {
        return;
    }
    env.run(&render)
        .code(1)
        .tells(&["write into out", "ansible/nodes.yaml", "user 4321"]);
    fs::remove_file(&planted).unwrap();
    env.run(&render).code(0);
    fs::set_permissions(&out, PermissionsExt::from_mode(0o777)).unwrap();
    env.run(&render)
        .code(1)
        .tells(&["everybody can write to it"]);
    chown(&out, Some(4321), None).unwrap();
    env.run(&render).code(1).tells(&["belongs to user 4321"]);
    let man = ["export", "man", "--out", "man"];
    env.run(&man).code(0);
    let page = env.path("here/man/man1/kubitect.1");
    fs::remove_file(&page).unwrap();
    symlink(&victim, &page).unwrap();
    give(&page);
    env.run(&man).code(1).tells(&["kubitect.1", "user 4321"]);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
}

#[test]
fn a_plan_of_somebody_else_is_not_carried_out() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    env.run(&["plan", "-c", "cluster.yaml", "--out", "plan"])
        .code(4);
    let apply = ["apply", "plan", "--auto-approve"];
    let plan = env.path("here/plan");
    fs::set_permissions(&plan, PermissionsExt::from_mode(0o666)).unwrap();
    env.run(&apply)
        .code(1)
        .tells(&["everybody can write to it"]);
    fs::set_permissions(&plan, PermissionsExt::from_mode(0o600)).unwrap();
    if give(&plan) {
        env.run(&apply).code(1).tells(&["belongs to user 4321"]);
    }
}

/// A folder with a cluster in its `.kubitect`, as another person passes it on, and a program that must not run.
fn foreign() -> (TestEnv, String) {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    let ran = env.path("ran").display().to_string();
    private(&env.path("evil"), &format!("#!/bin/sh\n: >'{ran}'\n"));
    fs::set_permissions(env.path("evil"), PermissionsExt::from_mode(0o755)).unwrap();
    let config = env.path("here/.kubitect/clusters/demo/config");
    fs::create_dir_all(config.join("group_vars/all")).unwrap();
    for path in ["", "clusters", "clusters/demo", "clusters/demo/config"] {
        let path = env.path("here/.kubitect").join(path);
        fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
    }
    for name in ["kubitect.yaml", "kubitect-applied.yaml"] {
        private(&config.join(name), &env.cluster());
    }
    (env, ran)
}

#[test]
fn nothing_of_a_folder_from_elsewhere_runs() {
    let (env, ran) = foreign();
    let evil = env.path("evil").display().to_string();
    let here = |name: &str| env.path("here/.kubitect").join(name);
    // The files for ssh.
    let facts = format!(
        "user: \"x\\n  ProxyCommand {evil}\"\nprivateKey: /k/id\nknownHosts: /k/known\nnodes: [{{name: demo-master-1, role: master, \
         id: '1', host: box, ip: 127.0.0.1, mac: '52:54:00:00:00:01', hostKey: 'ssh-ed25519 AAAA'}}]\n"
    );
    private(&here("clusters/demo/config/infrastructure.yaml"), &facts);
    env.run(&["--local", "ssh", "demo-master-1", "--", "true"]);
    let written = fs::read_to_string(here("clusters/demo/config/ssh_config")).unwrap();
    assert!(!written.contains("ProxyCommand"), "{written}");
    // The source of Python's packages.
    let plan = ["--local", "plan", "-c", "cluster.yaml"];
    private(
        &here("site.yaml"),
        "pip: {indexUrl: 'https://evil.example/simple'}\n",
    );
    env.run(&plan)
        .code(2)
        .tells(&["`pip`", "[DIR]/home/.kubitect/site.yaml"]);
    fs::remove_file(here("site.yaml")).unwrap();
    // Ansible's variables, which may contain a lookup by a program.
    for (name, code) in [
        ("group_vars/all/cluster.yaml", 4),
        ("group_vars/all/more.yaml", 1),
        ("host_vars/demo-master-1.yaml", 1),
    ] {
        let file = here("clusters/demo/config").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        private(&file, "x: \"{{ lookup('pipe', 'evil') }}\"\n");
        let said = env.run(&plan).code(code);
        if code == 1 {
            said.tells(&[name, "can run programs on this machine"]);
        }
        fs::remove_file(&file).unwrap();
    }
    assert!(!Path::new(&ran).exists());
}
