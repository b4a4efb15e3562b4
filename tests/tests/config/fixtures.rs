//! Every fixture: what is valid becomes a cluster, what is not gets all its problems, as a person reads them.

use kubitect_config::{Error, Problem, Site, parse};

use crate::{repository, stem, yaml_files};

/// A problem and the line that it marks.
fn shown(text: &str, problem: &Problem) -> String {
    let line = text.lines().nth(problem.line - 1).unwrap_or("");
    let before: String = line.chars().take(problem.column - 1).map(|_| ' ').collect();
    let marked = text
        .get(problem.span.clone())
        .unwrap_or("")
        .chars()
        .count()
        .max(1);
    // The marked bytes stand where line and column say.
    if !problem.span.is_empty() {
        let start = text[..problem.span.start]
            .rfind('\n')
            .map_or(0, |index| index + 1);
        assert_eq!(text[..start].matches('\n').count() + 1, problem.line);
        assert_eq!(
            text[start..problem.span.start].chars().count() + 1,
            problem.column
        );
    }
    format!(
        "{problem}\n    {line:?}\n     {before}{}\n",
        "^".repeat(marked)
    )
}

/// What is said of a whole file, and of sections that it does not have.
const OF_THE_FILE: [&str; 7] = [
    "empty",
    "hosts-missing",
    "masters-missing",
    "missing",
    "other-file",
    "version-missing",
    "wrong-type",
];

/// Whether a problem stands where its cause does: at the beginning stands only what is caused there, or by the whole file.
fn has_place(text: &str, problem: &Problem) -> bool {
    let first = text.split([':', ' ', '\n']).next().unwrap_or("");
    let root = problem.path.split(['.', '[']).next().unwrap_or("");
    (problem.line, problem.column) != (1, 1)
        || first == root
        || problem.code.starts_with("yaml")
        || OF_THE_FILE.contains(&problem.code)
}

fn snapshot(folder: &str, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(repository().join("tests/fixtures").join(folder));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn every_invalid_fixture_shows_all_its_problems() {
    for path in yaml_files("tests/fixtures/invalid") {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = format!("{}.yaml", stem(&path));
        let error = parse(&text, &file, &Site::default()).expect_err(&file);
        let problems = error.problems();
        assert!(problems.iter().any(Problem::is_error), "{file}: no error");
        assert!(
            problems.is_sorted_by_key(|problem| (problem.line, problem.column)),
            "{file}: not in the order of the file"
        );
        for problem in problems {
            assert!(!problem.help.is_empty(), "{file}: {problem}");
            assert!(
                !problem.path.contains(char::is_control),
                "{file}: {problem}"
            );
            assert!(
                !problem.message.contains(char::is_control),
                "{file}: {problem}"
            );
            assert!(
                has_place(&text, problem),
                "{file}: a line of the file is the cause of {problem}"
            );
            assert_ne!(
                problem.code, "structure",
                "the schema let through what the types refuse: {problem}"
            );
        }
        let shown: String = problems
            .iter()
            .map(|problem| shown(&text, problem))
            .collect();
        snapshot("invalid", stem(&path), &shown);
    }
}

#[test]
fn every_valid_fixture_becomes_a_cluster() {
    become_clusters("valid");
}

/// Their keys are not in the schema: an editor marks them, `validate` warns, and what they say is what is made.
#[test]
fn every_file_of_an_older_series_becomes_a_cluster() {
    become_clusters("older");
}

fn become_clusters(folder: &str) {
    for path in yaml_files(&format!("tests/fixtures/{folder}")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = format!("{}.yaml", stem(&path));
        let parsed = parse(&text, &file, &Site::default())
            .unwrap_or_else(|error| panic!("{file}: {:?}", error.problems()));
        let warnings: String = parsed
            .warnings
            .iter()
            .map(|problem| shown(&text, problem))
            .collect();
        let cluster = serde_yaml::to_string(&parsed.cluster).unwrap();
        snapshot(folder, stem(&path), &format!("{cluster}---\n{warnings}"));
    }
}

#[test]
fn every_example_is_valid() {
    for path in yaml_files("examples") {
        let text = std::fs::read_to_string(&path).unwrap();
        let parsed = parse(&text, stem(&path), &Site::default());
        let parsed =
            parsed.unwrap_or_else(|error| panic!("{}: {:?}", path.display(), error.problems()));
        assert_eq!(parsed.warnings, [], "{}", path.display());
    }
}

#[test]
fn the_site_settles_what_the_file_leaves_open() {
    let site = "
virtType: qemu
images:
  ubuntu:
    source: /images/ubuntu.qcow2
    checksum: sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855
kubespray: { url: file:///srv/kubespray.git, python: /usr/bin/python3.11, forks: 7 }
pip: { indexUrl: https://pypi.example.org/simple, findLinks: /srv/wheels }
";
    let site = Site::parse(site, "site.yaml").unwrap();
    let text = std::fs::read_to_string(repository().join("examples/multi-master.yaml")).unwrap();
    let cluster = parse(&text, "multi-master.yaml", &site).unwrap().cluster;
    assert_eq!(cluster.guest.image.source, "/images/ubuntu.qcow2");
    assert_eq!(cluster.guest.image.distro, "ubuntu22");
    assert_eq!(
        cluster.hosts[0].virt_type,
        kubitect_config::cluster::VirtType::Qemu
    );
    assert_eq!(
        cluster.kubernetes.kubespray.url,
        "file:///srv/kubespray.git"
    );
    assert_eq!(cluster.kubernetes.kubespray.pip, site.pip);
    assert_eq!(cluster.kubernetes.kubespray.python, site.kubespray.python);
    assert_eq!(cluster.kubernetes.kubespray.forks, 7);

    // What the cluster file says wins.
    let own = text.replace(
        "    version: v2.19.0",
        "    version: v2.19.0\n    url: /own/kubespray",
    );
    let cluster = parse(&own, "own.yaml", &site).unwrap().cluster;
    assert_eq!(cluster.kubernetes.kubespray.url, "/own/kubespray");
}

#[test]
fn a_site_file_has_the_same_kind_of_problems() {
    let text = "
virtTyp: kvm
images:
  ubuntu: { source: image.qcow2, checksum: sha1:0 }
  debian: {}
kubespray: { url: '-x', python: python3, forks: 0 }
pip: { indexUrl: 'ftp://x', findLinks: wheels }
";
    let Err(error) = Site::parse(text, "site.yaml") else {
        panic!("it is invalid")
    };
    let shown: String = error
        .problems()
        .iter()
        .map(|problem| shown(text, problem))
        .collect();
    snapshot("invalid", "site", &shown);
    assert!(matches!(error, Error::Invalid { .. }));
    assert_eq!(Site::parse("", "site.yaml").unwrap(), Site::default());
    assert_eq!(
        Site::parse("# nothing\n", "site.yaml").unwrap(),
        Site::default()
    );
    assert_eq!(Site::parse("{}", "site.yaml").unwrap(), Site::default());
}

#[test]
fn the_site_says_how_long_is_waited() {
    let site = Site::parse("timeouts: {boot: 90s, ready: 2h}", "site.yaml").unwrap();
    let timeouts = site.timeouts;
    let shown = [timeouts.boot, timeouts.drain, timeouts.ready].map(|one| one.to_string());
    assert_eq!(shown, ["90s", "5m", "2h"]);
    for wrong in ["'5'", "0s", "25h", "'-1m'", "5min"] {
        let text = format!("timeouts: {{drain: {wrong}}}");
        let Err(error) = Site::parse(&text, "site.yaml") else {
            panic!("{wrong} is taken")
        };
        let problem = &error.problems()[0];
        assert_eq!(problem.path, "timeouts.drain", "{wrong}");
        assert!(problem.help.contains("with its unit"), "{}", problem.help);
    }
}

#[test]
fn empty_sections_are_as_good_as_none() {
    let text = std::fs::read_to_string(repository().join("examples/multi-master.yaml")).unwrap();
    let more = text.replace(
        "  nodeTemplate:",
        "  nodeTemplate:\n    dns:\n    cpuMode: ~",
    ) + "addons:\n";
    assert_eq!(
        parse(&more, "more", &Site::default()).unwrap().cluster,
        parse(&text, "text", &Site::default()).unwrap().cluster
    );
}

#[test]
fn yaml_1_1_truth_values_mean_what_they_meant() {
    let text = std::fs::read_to_string(repository().join("examples/multi-master.yaml")).unwrap();
    let text = text.replace("updateOnBoot: true", "updateOnBoot: no");
    assert!(
        !parse(&text, "text", &Site::default())
            .unwrap()
            .cluster
            .guest
            .update_on_boot
    );
    let quoted = text.replace("updateOnBoot: no", "updateOnBoot: 'no'");
    assert_eq!(
        parse(&quoted, "text", &Site::default())
            .unwrap_err()
            .problems()[0]
            .code,
        "wrong-type"
    );
}

/// What people brought, each with what is right for it in its first lines: all that `validate` says.
#[test]
fn every_case_gives_what_its_first_lines_say() {
    for path in yaml_files("tests/fixtures/cases") {
        let text = std::fs::read_to_string(&path).unwrap();
        let file = format!("{}.yaml", stem(&path));
        let said: String = match parse(&text, &file, &Site::default()) {
            Ok(parsed) => format!("valid\n{}", said(&text, &parsed.warnings)),
            Err(error) => format!("invalid\n{}", said(&text, error.problems())),
        };
        snapshot("cases", stem(&path), &said);
    }
}

fn said(text: &str, problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| shown(text, problem))
        .collect()
}

/// The examples that name a Kubernetes of today, and the page's first one: the table's newest. `multi-master.yaml` is a
/// file of the 2.x series and keeps what it has.
#[test]
fn examples_name_the_newest_kubernetes_of_the_table() {
    let newest = kubitect_config::release::default_kubernetes();
    let release = kubitect_config::release::newest();
    let mut texts =
        vec![std::fs::read_to_string(repository().join("docs/configuration.md")).unwrap()];
    for path in yaml_files("examples") {
        if stem(&path) != "multi-master" {
            let text = std::fs::read_to_string(&path).unwrap();
            let parsed = parse(&text, stem(&path), &Site::default()).unwrap();
            assert_eq!(
                parsed.cluster.kubernetes.version,
                newest,
                "{}",
                path.display()
            );
            assert_eq!(parsed.cluster.kubernetes.kubespray.version, release.tag);
            texts.push(text);
        }
    }
    for text in texts {
        assert!(text.contains(&format!("version: {newest}")), "{text}");
    }
}
