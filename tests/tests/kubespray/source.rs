//! Checkouts from real git repositories on this machine.

use std::path::Path;

use kubitect_config::value::Version;
use kubitect_kubespray::{Error, Event, checkout, checkout_for};

use crate::fixture::{Events, Repository};

fn tag() -> Version {
    "v2.19.0".parse().unwrap()
}

async fn fetch(url: &str, share: &Path, events: &Events) -> Result<std::path::PathBuf, Error> {
    checkout(url, &tag(), share, &|e| events.0.lock().unwrap().push(e)).await
}

fn fetched(events: &Events) -> usize {
    let events = events.0.lock().unwrap();
    let fetched = |e: &&Event| matches!(e, Event::SourceReady { fetched: true, .. });
    events.iter().filter(fetched).count()
}

#[tokio::test]
async fn a_tag_is_fetched_once() {
    let repository = Repository::with(&[("cluster.yml", "[]")], "v2.19.0");
    repository.commit(&[("cluster.yml", "[later]")], "v2.20.0");
    let share = tempfile::tempdir().unwrap();
    let events = Events::default();
    let url = format!("file://{}", repository.url());
    let first = fetch(&url, share.path(), &events).await.unwrap();
    assert_eq!(
        std::fs::read_to_string(first.join("cluster.yml")).unwrap(),
        "[]"
    );
    let second = fetch(&url, share.path(), &events).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(fetched(&events), 1);
    // The repository is no longer needed.
    drop(repository);
    assert_eq!(fetch(&url, share.path(), &events).await.unwrap(), first);
}

#[tokio::test]
async fn a_folders_tag_that_has_moved_is_fetched_anew() {
    let repository = Repository::with(&[("cluster.yml", "[]")], "v2.19.0");
    let share = tempfile::tempdir().unwrap();
    let events = Events::default();
    let first = fetch(repository.url(), share.path(), &events)
        .await
        .unwrap();
    repository.commit(&[("cluster.yml", "[later]")], "v2.19.0");
    let second = fetch(repository.url(), share.path(), &events)
        .await
        .unwrap();
    assert_ne!(first, second);
    assert_eq!(
        std::fs::read_to_string(second.join("cluster.yml")).unwrap(),
        "[later]"
    );
    assert_eq!(
        std::fs::read_to_string(first.join("cluster.yml")).unwrap(),
        "[]"
    );
}

#[tokio::test]
async fn a_missing_tag_is_named_with_those_near_it() {
    let repository = Repository::with(&[("a", "a")], "v2.19.1");
    repository.commit(&[("a", "b")], "v2.20.0");
    let share = tempfile::tempdir().unwrap();
    for url in [
        repository.url().to_owned(),
        format!("file://{}", repository.url()),
    ] {
        match fetch(&url, share.path(), &Events::default()).await {
            Err(error @ Error::NoTag { .. }) => {
                let text = error.to_string();
                for part in ["v2.19.0", repository.url(), "v2.19.1"] {
                    assert!(text.contains(part), "{text}");
                }
                assert!(!text.contains("v2.20.0"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_named() {
    let share = tempfile::tempdir().unwrap();
    let url = "/no/such/repository";
    let error = fetch(url, share.path(), &Events::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains(url), "{error}");
    let left: Vec<_> = std::fs::read_dir(share.path().join("kubespray"))
        .unwrap()
        .flatten()
        .collect();
    assert!(
        left.iter()
            .all(|e| e.path().extension().is_some_and(|x| x == "lock")),
        "{left:?}"
    );
}

/// In `/tmp`, another user can make a repository above ours, whose settings name other repositories, and programs.
#[tokio::test]
async fn a_repository_above_the_folder_says_nothing() {
    let repository = Repository::with(&[("cluster.yml", "[]")], "v2.19.0");
    let above = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let mut git = std::process::Command::new("git");
        let ended = git.current_dir(above.path()).args(arguments).status();
        assert!(ended.unwrap().success());
    };
    git(&["init", "--quiet"]);
    git(&["config", "url.file:///nowhere/.insteadOf", repository.url()]);
    let share = above.path().join("home/share");
    fetch(repository.url(), &share, &Events::default())
        .await
        .unwrap();
}

/// Where the program is started, another user's folder could be called as the address is.
#[tokio::test]
async fn a_folder_that_is_called_as_an_address_is_none() {
    let repository = Repository::with(&[("cluster.yml", "[]")], "v2.19.0");
    let here = tempfile::tempdir_in(".").unwrap();
    let called = here.path().file_name().unwrap().to_str().unwrap();
    std::os::unix::fs::symlink(repository.url(), here.path().join("k")).unwrap();
    let share = tempfile::tempdir().unwrap();
    let url = format!("{called}/k");
    assert!(fetch(&url, share.path(), &Events::default()).await.is_err());
}

#[tokio::test]
async fn addresses_are_never_options_or_commands() {
    let share = tempfile::tempdir().unwrap();
    let flag = share.path().join("flag");
    for url in [
        format!("--upload-pack=touch {}", flag.display()),
        format!("ext::sh -c touch% {}", flag.display()),
    ] {
        assert!(fetch(&url, share.path(), &Events::default()).await.is_err());
        assert!(!flag.exists(), "{url}");
    }
    for secret in [
        "https://me:s3cret@git.invalid/kubespray",
        "https://s3cret@git.invalid/kubespray",
    ] {
        let events = Events::default();
        let error = fetch(secret, share.path(), &events).await.unwrap_err();
        assert!(matches!(error, Error::SourceSecret));
        assert!(!format!("{error} {error:?} {:?}", events.lines()).contains("s3cret"));
    }
}

#[tokio::test]
async fn a_checkout_changed_by_hand_is_not_used_and_not_destroyed() {
    let repository = Repository::with(&[("cluster.yml", "[]")], "v2.19.0");
    let share = tempfile::tempdir().unwrap();
    let events = Events::default();
    let path = fetch(repository.url(), share.path(), &events)
        .await
        .unwrap();
    std::fs::write(path.join("cluster.yml"), "mine").unwrap();
    match fetch(repository.url(), share.path(), &events).await {
        Err(Error::SourceChanged { changes, .. }) => {
            assert!(changes.contains("cluster.yml"), "{changes}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        std::fs::read_to_string(path.join("cluster.yml")).unwrap(),
        "mine"
    );
}

#[tokio::test]
async fn hooks_of_the_repositorys_users_do_not_run() {
    let repository = Repository::with(&[("cluster.yml", "a\r\nb\n")], "v2.19.0");
    let share = tempfile::tempdir().unwrap();
    let path = fetch(repository.url(), share.path(), &Events::default())
        .await
        .unwrap();
    assert_eq!(
        std::fs::read_to_string(path.join("cluster.yml")).unwrap(),
        "a\r\nb\n"
    );
    assert!(!path.join(".git/hooks").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_fetch_once() {
    let repository = Repository::with(&[("cluster.yml", "[]")], "v2.19.0");
    let share = tempfile::tempdir().unwrap();
    let events = Events::default();
    let one = || fetch(repository.url(), share.path(), &events);
    let (a, b, c) = tokio::join!(one(), one(), one());
    let a = a.unwrap();
    assert_eq!(a, b.unwrap());
    assert_eq!(a, c.unwrap());
    assert_eq!(fetched(&events), 1);
}

#[tokio::test]
async fn what_a_killed_fetch_left_is_cleared_away() {
    let repository = Repository::with(&[("cluster.yml", "[]")], "v2.19.0");
    let share = tempfile::tempdir().unwrap();
    let path = fetch(repository.url(), share.path(), &Events::default())
        .await
        .unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::remove_dir_all(&path).unwrap();
    let half = path.with_file_name(format!(".{name}-abc"));
    std::fs::create_dir_all(half.join(".git")).unwrap();
    let other = path.with_file_name(".v2.20.0-000000000000-abc");
    std::fs::create_dir_all(&other).unwrap();
    assert_eq!(
        fetch(repository.url(), share.path(), &Events::default())
            .await
            .unwrap(),
        path
    );
    assert!(!half.exists(), "ours was left");
    assert!(other.exists(), "another tag's may be at work");
}

#[tokio::test]
async fn what_lies_beside_a_release_would_run_and_is_not_overlooked() {
    let files = [("cluster.yml", "[]"), (".gitignore", "*.retry\n")];
    let repository = Repository::with(&files, "v2.19.0");
    let share = tempfile::tempdir().unwrap();
    let events = Events::default();
    let path = fetch(repository.url(), share.path(), &events)
        .await
        .unwrap();
    let refused = async || match fetch(repository.url(), share.path(), &events).await {
        Err(Error::SourceChanged { changes, .. }) => changes,
        other => panic!("{other:?}"),
    };
    for name in ["plugins/action/evil.py", "ignored.retry", "by-exclude"] {
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "x").unwrap();
        if name == "by-exclude" {
            std::fs::create_dir_all(path.join(".git/info")).unwrap();
            std::fs::write(path.join(".git/info/exclude"), "by-exclude\n").unwrap();
        }
        let changes = refused().await;
        assert!(changes.contains(name), "{changes}");
        std::fs::remove_file(&file).unwrap();
    }
    std::fs::remove_dir_all(path.join("plugins")).unwrap();
    fetch(repository.url(), share.path(), &events)
        .await
        .unwrap();
    // Neither is what git is told to take for unchanged.
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        let git = |flag: &str| {
            let git = std::process::Command::new("git")
                .current_dir(&path)
                .args(["update-index", flag, "cluster.yml"])
                .status();
            assert!(git.unwrap().success());
        };
        git(flag);
        assert!(refused().await.contains("cluster.yml"), "{flag}");
        git(&flag.replace("--", "--no-"));
    }
}

#[tokio::test]
async fn a_known_tag_stands_for_its_commit_unless_the_site_says_otherwise() {
    let repository = Repository::with(&[("cluster.yml", "[]")], "v2.19.0");
    repository.commit(&[("cluster.yml", "[]\n")], "v2.99.0");
    let share = tempfile::tempdir().unwrap();
    let kubespray = |site: &str, url: Option<&str>, tag: &str| {
        let site = kubitect_config::Site::parse(site, "site.yaml").unwrap();
        let kubernetes = match tag {
            "v2.19.0" => "v1.23.7",
            _ => "v1.35.1",
        };
        let mut text = crate::fixture::example([tag, kubernetes]);
        if let Some(url) = url {
            text = text.replace(
                &format!("version: {tag}"),
                &format!("version: {tag}\n    url: {url}"),
            );
        }
        let parsed = kubitect_config::parse(&text, "c.yaml", &site).unwrap();
        parsed.cluster.kubernetes.kubespray
    };
    let (folder, file) = (repository.url(), format!("file://{}", repository.url()));
    let made = async |kubespray| checkout_for(&kubespray, share.path(), &|_| ()).await;
    for url in [folder, &file] {
        match made(kubespray("", Some(url), "v2.19.0")).await {
            Err(error @ Error::OtherCommit { .. }) => {
                let text = error.to_string();
                let known = "1f65e6d3b5752f9a64d3038e45d705f272acae58";
                for part in ["v2.19.0", url, known, "anyCommit"] {
                    assert!(text.contains(part), "{text}");
                }
            }
            other => panic!("{other:?}"),
        }
    }
    // Nothing of it is left to be used the next time.
    let left = std::fs::read_dir(share.path().join("kubespray")).unwrap();
    let left: Vec<_> = left.map(|e| e.unwrap().file_name()).collect();
    assert!(
        left.iter().all(|n| n.to_str().unwrap().ends_with(".lock")),
        "{left:?}"
    );

    let of_site = |more: &str| format!("kubespray: {{url: '{folder}'{more}}}\n");
    made(kubespray(&of_site(""), None, "v2.19.0"))
        .await
        .unwrap();
    made(kubespray(
        "kubespray: {anyCommit: true}\n",
        Some(folder),
        "v2.19.0",
    ))
    .await
    .unwrap();
    // Of a release that is not known yet, no commit is.
    made(kubespray("", Some(folder), "v2.99.0")).await.unwrap();
    for site in [
        &of_site(", anyCommit: false"),
        "kubespray: {url: 'https://mirror.example/k.git'}\n",
    ] {
        let kubespray = kubespray(site, None, "v2.19.0");
        assert!(!kubespray.any_commit, "{site}");
    }
    assert!(matches!(
        made(kubespray(&of_site(", anyCommit: false"), None, "v2.19.0")).await,
        Err(Error::OtherCommit { .. })
    ));
}
