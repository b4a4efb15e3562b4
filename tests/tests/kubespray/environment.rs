//! Python environments: made once, recreated when half made, and errors that say what would fit.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kubitect_config::Cluster;
use kubitect_kubespray::{Error, Event, Tools, prepare};

use crate::fixture::{Events, RELEASE, Repository, cluster, example, facts};

/// Nothing to install: no network is needed.
const NOTHING: &str = "# nothing\n";

fn with_requirements(requirements: &str) -> (Repository, Cluster) {
    let files = [("requirements.txt", requirements), ("cluster.yml", "[]\n")];
    let repository = Repository::with(&files, RELEASE[0]);
    let mut cluster = cluster(&example(RELEASE));
    cluster.kubernetes.kubespray.url = repository.url().to_owned();
    cluster.kubernetes.kubespray.any_commit = true;
    (repository, cluster)
}

async fn prepared(cluster: &Cluster, share: &Path, events: &Events) -> Result<Tools, Error> {
    prepare(&cluster.kubernetes, share, &|e| {
        events.0.lock().unwrap().push(e);
    })
    .await
}

fn made(events: &Events) -> usize {
    let events = events.0.lock().unwrap();
    let made = |e: &&Event| matches!(e, Event::PythonReady { made: true, .. });
    events.iter().filter(made).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_make_one_environment() {
    let (_repository, cluster) = with_requirements(NOTHING);
    let share = tempfile::tempdir().unwrap();
    let events = Events::default();
    let (a, b) = tokio::join!(
        prepared(&cluster, share.path(), &events),
        prepared(&cluster, share.path(), &events)
    );
    let tools = a.unwrap();
    assert_eq!(tools, b.unwrap());
    assert_eq!(made(&events), 1);
    // Whatever the umask: what others can write to is not trusted by the next run.
    let mode = tools.environment.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_interrupted_is_made_anew() {
    let (_repository, cluster) = with_requirements(NOTHING);
    let share = tempfile::tempdir().unwrap();
    let events = Events::default();
    {
        let installing = async {
            while !events
                .lines()
                .iter()
                .any(|line| line.contains("installing"))
            {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            result = prepared(&cluster, share.path(), &events) => panic!("{result:?}"),
            () = installing => {}
        }
    }
    assert_eq!(made(&events), 0);
    let tools = prepared(&cluster, share.path(), &events).await.unwrap();
    assert!(tools.environment.join("bin/python").exists());
    assert_eq!(made(&events), 1);
}

#[tokio::test]
async fn one_that_was_moved_is_made_anew() {
    let (_repository, cluster) = with_requirements(NOTHING);
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let events = Events::default();
    prepared(&cluster, &old, &events).await.unwrap();
    std::fs::rename(&old, &new).unwrap();
    let tools = prepared(&cluster, &new, &events).await.unwrap();
    assert_eq!(made(&events), 2);
    assert!(tools.environment.starts_with(&new));
}

#[tokio::test]
async fn pip_without_a_source_is_quoted_and_says_what_helps() {
    let (_repository, mut cluster) = with_requirements("kubitect-no-such-package==1.0\n");
    let share = tempfile::tempdir().unwrap();
    let wheels = share.path().join("my wheels");
    std::fs::create_dir(&wheels).unwrap();
    let pip = &mut cluster.kubernetes.kubespray.pip;
    pip.find_links = wheels.to_str().map(str::to_owned);
    // Nobody listens there.
    pip.index_url = Some("http://me:s3cret@127.0.0.1:9/simple".to_owned());
    let error = prepared(&cluster, share.path(), &Events::default())
        .await
        .unwrap_err();
    let text = error.to_string();
    for part in ["kubitect-no-such-package", "pip.findLinks", "site.yaml"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("s3cret"), "{text}");
    let made_of = share.path().join("venv");
    let complete = std::fs::read_dir(made_of).unwrap().flatten();
    assert!(
        complete
            .filter(|e| e.path().join(".complete").exists())
            .count()
            == 0
    );
}

#[tokio::test]
async fn packages_come_from_a_folder_of_wheels_alone() {
    let (_repository, mut cluster) = with_requirements("kubitect-wheel==1.0\n");
    let share = tempfile::tempdir().unwrap();
    let wheels = share.path().join("my wheels");
    std::fs::create_dir(&wheels).unwrap();
    wheel(&wheels);
    cluster.kubernetes.kubespray.pip.find_links = wheels.to_str().map(str::to_owned);
    let tools = prepared(&cluster, share.path(), &Events::default())
        .await
        .unwrap();
    let status = std::process::Command::new(tools.environment.join("bin/python"))
        .args(["-c", "import kubitect_wheel"])
        .status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn a_newer_release_is_treated_as_the_newest_known() {
    let files = [("requirements.txt", NOTHING), ("cluster.yml", "[]\n")];
    let newer = ["v2.99.0", "v1.35.1"];
    let repository = Repository::with(&files, newer[0]);
    let mut cluster = cluster(&example(newer));
    cluster.kubernetes.kubespray.url = repository.url().to_owned();
    cluster.kubernetes.kubespray.any_commit = true;
    let share = tempfile::tempdir().unwrap();
    let tools = prepared(&cluster, share.path(), &Events::default())
        .await
        .unwrap();
    assert!(tools.kubespray.join("cluster.yml").exists());
    let facts = facts(&cluster, share.path());
    let files = kubitect_kubespray::files(&cluster, &facts).unwrap();
    assert!(
        files
            .values()
            .any(|text| text.contains("kube_version: \"1.35.1\""))
    );
    // One that is not known and not newer has no facts.
    cluster.kubernetes.kubespray.version = "v2.19.9".parse().unwrap();
    let error = kubitect_kubespray::files(&cluster, &facts).unwrap_err();
    assert!(matches!(error, Error::UnknownRelease { .. }), "{error}");
}

/// A wheel with one empty module, by Python's own zip writer.
fn wheel(folder: &Path) {
    let script = r#"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as z:
    z.writestr("kubitect_wheel.py", "")
    d = "kubitect_wheel-1.0.dist-info/"
    z.writestr(d + "METADATA", "Metadata-Version: 2.1\nName: kubitect-wheel\nVersion: 1.0\n")
    z.writestr(d + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    z.writestr(d + "RECORD", "kubitect_wheel.py,,\n" + d + "METADATA,,\n" + d + "WHEEL,,\n" + d + "RECORD,,\n")
"#;
    let status = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(folder.join("kubitect_wheel-1.0-py3-none-any.whl"))
        .status();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn a_python_that_does_not_fit_is_told_with_those_that_do() {
    let (_repository, mut cluster) = with_requirements(NOTHING);
    let share = tempfile::tempdir().unwrap();
    let old = share.path().join("python-of-old");
    std::fs::write(
        &old,
        "#!/bin/sh\necho '{\"version\": \"3.7.1\", \"executable\": \"/old\", \"venv\": true}'\n",
    )
    .unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    for (python, says) in [
        (old, "3.7.1"),
        (PathBuf::from("/no/python"), "does not run"),
    ] {
        cluster.kubernetes.kubespray.python = Some(python);
        let error = prepared(&cluster, share.path(), &Events::default())
            .await
            .unwrap_err();
        let text = error.to_string();
        for part in [says, "3.10, 3.11, 3.12, 3.13", "python3-venv", "uv"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
