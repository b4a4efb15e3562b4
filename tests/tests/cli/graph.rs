//! `graph` and `export man`: pictures of clusters, and files for packages.

use std::fs;

use crate::env::TestEnv;

#[test]
fn a_picture_of_a_file_in_each_form() {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    let graph = |form: &str| {
        let said = env
            .run(&["graph", "-c", "cluster.yaml", "--format", form])
            .code(0);
        said.stdout
    };
    assert!(graph("text").starts_with(
        "demo · Kubernetes v1.23.7 · calico\nnetwork demo-network: nat · 10.77.0.0/24"
    ));
    assert!(graph("svg").starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    assert!(graph("mermaid").starts_with("flowchart TB\n"));
    assert!(graph("dot").starts_with("digraph \"demo\" {\n"));
    // The default file, where none is named.
    env.run(&["graph"])
        .code(1)
        .tells(&["kubitect.yaml", "kubitect init"]);
    fs::rename(
        env.path("here/cluster.yaml"),
        env.path("here/kubitect.yaml"),
    )
    .unwrap();
    env.run(&["graph"]).code(0).prints(&{
        let said = env.run(&["graph", "-c", "kubitect.yaml", "--format", "text"]);
        said.stdout
    });
}

/// The picture on the first page is that of the example.
#[test]
fn the_picture_of_the_example_is_fresh() {
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = repository.join("examples/multi-master.yaml");
    let args = ["graph", "--format", "svg", "-c", example.to_str().unwrap()];
    let drawn = TestEnv::new().run(&args).code(0).stdout;
    let page = repository.join("docs/multi-master.svg");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&page, &drawn).unwrap();
    }
    let current = fs::read_to_string(&page).unwrap_or_default();
    assert!(current == drawn, "run this test with UPDATE_DOCS=1");
}

#[test]
fn a_picture_of_a_living_cluster_says_how_its_machines_are() {
    let env = TestEnv::new();
    let config = env.in_home("clusters/demo/config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("kubitect-applied.yaml"), env.cluster()).unwrap();
    // libvirt has none of them.
    let said = env.run(&["graph", "demo"]).code(0);
    assert!(
        said.stdout.contains("  ! demo-master-1  10.77.0.11"),
        "{said:?}"
    );
    assert!(said.stdout.contains("missing"), "{said:?}");
    let said = env.run(&["graph", "demo", "--format", "svg"]).code(0);
    assert!(said.stdout.contains("▲ missing"), "{said:?}");
    env.run(&["graph", "other"])
        .code(1)
        .tells(&["find the cluster `other`"]);
    env.run(&["graph", "demo", "-c", "x"]).code(2);
}

#[test]
fn packages_take_man_pages_and_completion_scripts_along() {
    let env = TestEnv::new();
    let said = env.run(&["export", "man", "--out", "files"]).code(0);
    assert!(
        said.stdout.ends_with("files written to files\n"),
        "{said:?}"
    );
    let files = crate::env::tree(&env.path("here/files"));
    for name in [
        "man1/kubitect.1",
        "man1/kubitect-apply.1",
        "man1/kubitect-export-man.1",
        "man1/kubitect-list-nodes.1",
        "completions/kubitect.bash",
        "completions/kubitect.fish",
        "completions/_kubitect",
    ] {
        assert!(
            files.iter().any(|file| file == name),
            "no {name} in {files:?}"
        );
    }
    let page = fs::read_to_string(env.path("here/files/man1/kubitect-apply.1")).unwrap();
    for part in [
        ".TH kubitect-apply 1",
        "auto\\-approve",
        "show the plan, ask, carry it out",
        ".SH EXAMPLES",
        "kubitect apply \\-a scale",
        ".SH \"EXIT STATUS\"",
        ".SH ENVIRONMENT",
        "KUBITECT_CLUSTER",
        ".SH FILES",
        ".SH \"SEE ALSO\"",
        "kubitect\\-plan(1)",
    ] {
        assert!(page.contains(part), "no `{part}` in {page}");
    }
    // The meaning of the cluster's name is explained at each command, and no page begins with that option.
    let page = |name: &str| fs::read_to_string(env.path("here/files/man1").join(name)).unwrap();
    for (name, meaning) in [
        (
            "kubitect-destroy.1",
            "it has to be said here, even if there is no other",
        ),
        (
            "kubitect-versions.1",
            "without one, all releases are listed",
        ),
        ("kubitect-graph.1", "instead of what a file asks for"),
        ("kubitect-status.1", "else KUBITECT_CLUSTER says it"),
    ] {
        let page = page(name);
        assert!(page.contains(meaning), "no `{meaning}` in {page}");
        let options = page.split(".SH OPTIONS").nth(1).unwrap();
        let first = options
            .lines()
            .find(|line| line.starts_with("\\fB"))
            .unwrap();
        assert!(!first.contains("cluster"), "{name}: {first}");
    }
    // Each command is on the first page, and has its own page.
    let first = fs::read_to_string(env.path("here/files/man1/kubitect.1")).unwrap();
    assert!(first.contains("kubitect\\-destroy(1)"), "{first}");
    // The scripts are those that the program prints, and shells accept them.
    let bash = fs::read_to_string(env.path("here/files/completions/kubitect.bash")).unwrap();
    env.run(&["completion", "bash"]).code(0).prints(&bash);
    let path = env.path("here/files/completions/kubitect.bash");
    let checked = tests::checkers::run("bash", &["-n", path.to_str().unwrap()]);
    assert!(
        checked.status.success(),
        "{}",
        tests::checkers::said(&checked)
    );
    // A second time is no error, and writes the same.
    env.run(&["export", "man", "--out", "files"]).code(0);
    assert_eq!(crate::env::tree(&env.path("here/files")), files);
}
