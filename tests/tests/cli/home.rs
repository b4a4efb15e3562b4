//! `list` and `export`: the stored files of clusters.

use std::fs;

use crate::env::{KUBITECT, TestEnv};

#[test]
fn clusters_are_those_that_have_a_folder() {
    let env = TestEnv::new();
    env.run(&["list", "clusters"]).code(0).prints("");
    assert_eq!(env.home_tree(), [""; 0]);
    for name in ["b", "a", "Not-A-Name"] {
        fs::create_dir_all(env.in_home(&format!("clusters/{name}/config"))).unwrap();
    }
    fs::write(env.in_home("clusters/a/config/kubitect-applied.yaml"), "").unwrap();
    fs::create_dir(env.in_home("clusters/empty")).unwrap();
    fs::write(env.in_home("clusters/.a.lock"), "").unwrap();
    env.run(&["list", "clusters"])
        .code(0)
        .prints("a\tapplied\nb\tunfinished\n");
    env.run(&["--local", "list", "clusters"]).code(0).prints("");
}

#[test]
fn what_is_kept_is_printed_as_it_is() {
    let env = TestEnv::new();
    let config = env.in_home("clusters/demo/config");
    fs::create_dir_all(&config).unwrap();
    for (what, file, text) in [
        ("config", "kubitect-applied.yaml", "text: é\n"),
        ("kubeconfig", "admin.conf", KUBECONFIG),
    ] {
        env.run(&["export", what, "--cluster", "demo"])
            .code(1)
            .prints("")
            .tells(&[
                "export from cluster `demo`",
                file,
                "`kubitect apply` makes it",
            ]);
        fs::write(config.join(file), text).unwrap();
        env.run(&["export", what, "--cluster", "demo"])
            .code(0)
            .prints(text);
        env.run(&["export", what, "--cluster", "other"])
            .code(1)
            .tells(&["find the cluster `other`", "there are: demo"]);
        for args in [&["export", what, "demo"][..], &["export", what]] {
            env.run(args).code(0).prints(text);
        }
    }
    // A kubeconfig that a merge would refuse is not exported in another way either.
    let program = KUBECONFIG.replace("{token: t}", "{exec: {command: run-me}}");
    fs::write(config.join("admin.conf"), program).unwrap();
    for args in [
        &["export", "kubeconfig"][..],
        &["export", "kubeconfig", "--out", "x"],
    ] {
        env.run(args)
            .code(1)
            .prints("")
            .tells(&["config/admin.conf in its folder; removed, it comes back"]);
    }
    assert!(!env.path("here/x").exists());
}

/// A cluster's own kubeconfig.
const KUBECONFIG: &str = "current-context: demo
clusters: [{name: demo, cluster: {server: 'https://10.7.0.1:6443', certificate-authority-data: Q0E=}}]
contexts: [{name: demo, context: {cluster: demo, user: demo}}]
users: [{name: demo, user: {token: t}}]
";

#[test]
fn presets_are_files_to_begin_with() {
    let env = TestEnv::new();
    let list = env.run(&["list", "presets"]).code(0).stdout;
    assert_eq!(list.lines().count(), 6, "{list}");
    for line in list.lines() {
        let (name, about) = line.split_once('\t').unwrap();
        assert!(about.ends_with('.'), "{line}");
        let preset = env
            .run(&["export", "preset", "--name", name])
            .code(0)
            .stdout;
        fs::write(env.path("here/preset.yaml"), &preset).unwrap();
        let said = env.run(&["validate", "-c", "preset.yaml"]).code(0);
        assert!(!said.stderr.contains("warning"), "{}", said.stderr);
        env.run(&["render", "-c", "preset.yaml", "--out", name])
            .code(0);
    }
    env.run(&["export", "preset", "--name", "nothing"])
        .code(2)
        .prints("")
        .tells(&["minimal", "example-ha-cluster"]);
    env.run(&["export", "preset"])
        .code(2)
        .tells(&["--name <NAME>"]);
}

#[test]
fn schemas_are_those_that_are_checked_in() {
    let env = TestEnv::new();
    env.run(&["export", "schema"])
        .code(0)
        .prints(include_str!("../../../docs/schema.json"));
    let older = env.run(&["export", "schema", "--draft-07"]).code(0).json();
    assert_eq!(older["$schema"], "http://json-schema.org/draft-07/schema#");
    env.run(&["export", "schema", "--site"])
        .code(0)
        .prints(include_str!("../../../docs/site-schema.json"));
}

#[test]
fn a_home_that_nobody_named() {
    let env = TestEnv::new();
    fs::create_dir_all(env.path("home/.kubitect/clusters/mine/config")).unwrap();
    let mut command = env.command(&["list", "clusters"]);
    command.env_remove("KUBITECT_HOME");
    env.said(command.output().unwrap())
        .code(0)
        .prints("mine\tunfinished\n");
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let env = TestEnv::new();
    fs::create_dir_all(env.path("home/.kubitect/clusters/mine/config")).unwrap();
    let mut command = env.command(&["list", "clusters"]);
    command.env("KUBITECT_HOME", "");
    env.said(command.output().unwrap())
        .code(0)
        .prints("mine\tunfinished\n");
}

#[test]
fn which_cluster_is_meant() {
    let env = TestEnv::new();
    let export = |variable: &str| {
        let mut command = env.command(&["export", "config"]);
        command.env("KUBITECT_CLUSTER", variable);
        env.said(command.output().unwrap())
    };
    export("")
        .code(1)
        .tells(&["there is none yet in [DIR]/kubitect"]);
    for name in ["a", "b"] {
        let config = env.in_home(&format!("clusters/{name}/config"));
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("kubitect-applied.yaml"), name).unwrap();
        export("").code(if name == "a" { 0 } else { 1 });
    }
    export("").tells(&["there are a, b", "KUBITECT_CLUSTER"]);
    export("b").code(0).prints("b");
    export("c").code(1).tells(&["find the cluster `c`"]);
    export("C!")
        .code(1)
        .tells(&["use KUBITECT_CLUSTER as a cluster's name"]);
}

/// A cluster `demo` with its kubeconfig.
pub fn with_kubeconfig() -> TestEnv {
    let env = TestEnv::new();
    let config = env.in_home("clusters/demo/config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("admin.conf"), KUBECONFIG).unwrap();
    env
}

#[test]
fn a_kubeconfig_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let env = with_kubeconfig();
    // An earlier file that all may read.
    env.write("kubeconfig", KUBECONFIG.replace("token: t", "token: older"));
    env.run(&["export", "kubeconfig", "demo", "--out", "kubeconfig"])
        .code(0)
        .prints("kubeconfig: written, for you alone to read\nnext: kubectl --kubeconfig kubeconfig get nodes\n");
    let out = env.path("here/kubeconfig");
    assert_eq!(fs::read_to_string(&out).unwrap(), KUBECONFIG);
    assert_eq!(out.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    env.run(&["export", "kubeconfig", "--merge"])
        .code(0)
        .prints("[DIR]/home/.kube/config: has the context demo\nnext: kubectl --context demo get nodes\n");
    let merged = env.path("home/.kube/config");
    assert!(fs::read_to_string(&merged).unwrap().contains("10.7.0.1"));
    assert_eq!(
        merged.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_kubeconfig_is_merged_where_kubectl_would_put_it() {
    let env = with_kubeconfig();
    let merge = |list: &str| {
        let mut command = env.command(&["export", "kubeconfig", "--merge"]);
        let output = command.env("KUBECONFIG", list).output().unwrap();
        env.said(output)
    };
    merge("").code(0).prints(
        "[DIR]/home/.kube/config: has the context demo\nnext: kubectl --context demo get nodes\n",
    );
    fs::remove_file(env.path("home/.kube/config")).unwrap();
    env.write("work", "kind: Config\n");
    let message = |name: &str| {
        format!("{name}: has the context demo\nnext: kubectl --context demo get nodes\n")
    };
    merge("new:work:other").code(0).prints(&message("work"));
    assert!(!env.path("here/new").exists() && !env.path("home/.kube/config").exists());
    // The context stays in that file, wherever the file is in the list.
    env.write("first", "kind: Config\n");
    merge("first:work").code(0).prints(&message("work"));
    merge("new:other").code(0).prints(&message("other"));
    let foreign = KUBECONFIG
        .replace("10.7.0.1", "10.9.9.9")
        .replace("Q0E=", "eA==");
    env.write("foreign", foreign);
    merge("first:foreign")
        .code(1)
        .tells(&["merge the kubeconfig into foreign", "another one"]);
}

/// A kubeconfig of another user is refused: it would keep its owner, who could read what is merged. A file in the place of
/// kubectl's lock may be another user's: it is not waited for.
#[test]
fn a_kubeconfig_is_merged_into_nobody_elses_and_waits_for_no_pipe() {
    let env = with_kubeconfig();
    let merge = || {
        let mut command = env.command(&["export", "kubeconfig", "--merge"]);
        env.said(command.env("KUBECONFIG", "theirs").output().unwrap())
    };
    env.write("theirs", "kind: Config\n");
    let (file, pipe) = (env.path("here/theirs"), env.path("here/theirs.lock"));
    let made = tests::checkers::run("mkfifo", &[pipe.to_str().unwrap()]);
    assert!(made.status.success());
    merge().code(1).tells(&["kubectl holds theirs.lock"]);
    fs::remove_file(&pipe).unwrap();
    // Only root can give files away.
    if std::os::unix::fs::chown(&file, Some(4321), None).is_ok() {
        merge().code(1).tells(&["belongs to user 4321"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "kind: Config\n");
    }
}

#[test]
fn others_can_not_write_to_what_is_made_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let env = TestEnv::new();
    let script = "umask 002; exec \"$@\"";
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", script, "sh", KUBITECT, "init", "cluster.yaml"]);
    env.dress(&mut shell);
    assert!(shell.output().unwrap().status.success());
    let made = env.path("here").join("cluster.yaml");
    let mode = made.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}");
}

#[test]
fn an_exported_kubeconfig_takes_the_place_of_nothing_else() {
    use std::os::unix::fs::FileTypeExt;
    let env = with_kubeconfig();
    let own = env.path("home/.kube/config");
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    let contexts = KUBECONFIG.replace(
        "contexts: [",
        "contexts: [{name: work, context: {cluster: work, user: me}}, ",
    );
    fs::write(&own, &contexts).unwrap();
    env.write("notes.txt", "mine");
    std::os::unix::fs::symlink("nowhere", env.path("here/link")).unwrap();
    let pipe = env.path("here/pipe");
    assert!(
        tests::checkers::run("mkfifo", &[pipe.to_str().unwrap()])
            .status
            .success()
    );
    for (out, why) in [
        (own.to_str().unwrap(), "holds something else already"),
        ("notes.txt", "holds something else already"),
        ("link", "no regular file"),
        ("pipe", "no regular file"),
        ("/dev/null", "no regular file"),
        (".", "no regular file"),
    ] {
        let before = env.tree();
        env.run(&["export", "kubeconfig", "--out", out])
            .code(1)
            .prints("")
            .tells(&[why, "--merge"]);
        assert_eq!(env.tree(), before, "{out}");
    }
    assert_eq!(fs::read_to_string(&own).unwrap(), contexts);
    assert_eq!(
        fs::read_to_string(env.path("here/notes.txt")).unwrap(),
        "mine"
    );
    assert!(pipe.symlink_metadata().unwrap().file_type().is_fifo());
    let null = fs::metadata("/dev/null").unwrap();
    assert!(null.file_type().is_char_device());
    // `-` is stdout, and no file of that name.
    env.run(&["export", "kubeconfig", "--out", "-"])
        .code(0)
        .prints(KUBECONFIG);
    for args in [
        &["render", "--out", "-"][..],
        &["support", "-o", "-"],
        &["etcd", "snapshot", "--out", "-"],
        &["export", "man", "--out", "-"],
        &["init", "-"],
    ] {
        env.run(args)
            .code(2)
            .tells(&["can't be written to stdout", "`./-`"]);
    }
    assert!(!env.path("here/-").exists());
}

/// The shell resolves `~` only at the beginning of a word; a folder of that name is easily removed together with the person's
/// home.
#[test]
fn what_the_shell_left_of_a_home_folder_is_resolved() {
    let env = TestEnv::new();
    fs::write(env.path("home/demo.yaml"), env.cluster()).unwrap();
    let config = "--config=~/demo.yaml";
    env.run(&["validate", config]).code(0);
    env.run(&["render", config, "--out=~/out"]).code(0);
    assert!(env.path("home/out/haproxy").is_dir());
    assert!(!env.path("here/~").exists());
}
