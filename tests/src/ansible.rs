//! An Ansible that kubitect-kubespray installs, as it does for a cluster, and git repositories to install it from.

use std::path::{Path, PathBuf};
use std::process::Command;

use kubitect_config::{Site, parse};

use crate::example::example;

/// A release whose Ansible runs on all Pythons that CI meets (3.10 to 3.13), and a Kubernetes for it.
pub const RELEASE: [&str; 2] = ["v2.29.1", "v1.33.5"];

/// What that release pins, without the collections.
pub const REQUIREMENTS: &str = "ansible-core==2.17.14\n";

/// A git repository in a folder of its own.
pub struct Repository(pub tempfile::TempDir);

impl Repository {
    #[expect(clippy::new_without_default, reason = "it is created on disk")]
    pub fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Files, committed and tagged.
    pub fn with(files: &[(&str, &str)], tag: &str) -> Self {
        let repository = Self::new();
        repository.commit(files, tag);
        repository
    }

    pub fn commit(&self, files: &[(&str, &str)], tag: &str) {
        for (name, text) in files {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", tag]);
        self.git(&["tag", "--force", tag]);
    }

    pub fn url(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn git(&self, arguments: &[&str]) {
        let status = Command::new("git")
            .current_dir(self.0.path())
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.org"])
            .args(["-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false"])
            .args(arguments)
            .status();
        assert!(status.unwrap().success(), "git {arguments:?}");
    }
}

/// The Python environment with Ansible in it. It stays in `share` from one run of the tests to the next.
pub fn environment(share: &Path) -> PathBuf {
    let files = [("cluster.yml", "[]\n"), ("requirements.txt", REQUIREMENTS)];
    let repository = Repository::with(&files, RELEASE[0]);
    let parsed = parse(&example(RELEASE), "cluster.yaml", &Site::default());
    let mut kubernetes = parsed.unwrap().cluster.kubernetes;
    kubernetes.kubespray.url = repository.url().to_owned();
    kubernetes.kubespray.any_commit = true;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tools = runtime
        .block_on(kubitect_kubespray::prepare(&kubernetes, share, &|_| ()))
        .unwrap();
    remove_checkout(&tools.kubespray);
    tools.environment
}

/// Removes a checkout: its repository is in a temporary folder, which will be removed.
pub fn remove_checkout(checkout: &Path) {
    let _ = std::fs::remove_dir_all(checkout);
    let _ = std::fs::remove_file(format!("{}.lock", checkout.display()));
}
