//! Clusters, their facts, and a small git repository that stands for Kubespray where only its playbooks differ.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use kubitect_config::{Cluster, Facts, NodeFacts, Site, parse};
use kubitect_kubespray::{Event, Tools, Workdir, prepare};

pub const EXAMPLE: &str = include_str!("../../../examples/multi-master.yaml");

/// A release whose Ansible runs on all Pythons that CI meets (3.10 to 3.13).
pub const RELEASE: [&str; 2] = ["v2.29.1", "v1.33.5"];

/// What that release pins, without the collections.
pub const REQUIREMENTS: &str = "ansible-core==2.17.14\n";

pub fn cluster(text: &str) -> Cluster {
    match parse(text, "cluster.yaml", &Site::default()) {
        Ok(parsed) => parsed.cluster,
        Err(error) => panic!("{error}: {:?}", error.problems()),
    }
}

/// The example with other versions.
pub fn example([kubespray, kubernetes]: [&str; 2]) -> String {
    EXAMPLE
        .replace("v2.19.0", kubespray)
        .replace("v1.23.7", kubernetes)
}

/// The example without the part from the line `from` to before the line `to`.
pub fn without(text: &str, from: &str, to: &str) -> String {
    let start = text.find(from).expect(from);
    let length = text[start..].find(to).expect(to);
    format!("{}{}", &text[..start], &text[start + length..])
}

pub fn facts(cluster: &Cluster, folder: &Path) -> Facts {
    let nodes = cluster.nodes.iter().map(|node| NodeFacts {
        name: node.name.clone(),
        role: node.role,
        id: node.id.clone(),
        host: node.host.clone(),
        ip: node.ip.expect("the example's nodes have addresses"),
        mac: node.mac,
        host_key: String::new(),
    });
    Facts {
        user: cluster.guest.user.clone(),
        private_key: folder.join(".ssh/id_ed25519"),
        known_hosts: folder.join(".ssh/known_hosts"),
        nodes: nodes.collect(),
    }
}

/// A git repository in a folder of its own.
pub struct Repository(pub tempfile::TempDir);

impl Repository {
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
            std::fs::write(self.0.path().join(name), text).unwrap();
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

/// Everything that a run of a playbook needs, for the example's machines.
pub struct Stage {
    pub cluster: Cluster,
    pub facts: Facts,
    pub tools: Tools,
    pub workdir: Workdir,
    pub folder: tempfile::TempDir,
    _repository: Repository,
}

impl Stage {
    /// Prepared by the crate, with this `cluster.yml`.
    pub async fn new(playbook: &str) -> Self {
        let files = [
            ("cluster.yml", playbook),
            ("requirements.txt", REQUIREMENTS),
            // As hostile to host keys as the real one.
            (
                "ansible.cfg",
                "[defaults]\nhost_key_checking = False\nstdout_callback = default\n\
                 [ssh_connection]\nssh_args = -o UserKnownHostsFile=/dev/null\n",
            ),
        ];
        let repository = Repository::with(&files, RELEASE[0]);
        let mut cluster = cluster(&example(RELEASE));
        cluster.kubernetes.kubespray.url = repository.url().to_owned();
        let share = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kubespray");
        let mut tools = prepare(&cluster.kubernetes, &share, &|_| ()).await.unwrap();
        if let Some(other) = std::env::var_os("KUBITECT_TEST_ANSIBLE") {
            tools.environment = PathBuf::from(other);
        }
        let folder = tempfile::tempdir().unwrap();
        Self {
            facts: facts(&cluster, folder.path()),
            workdir: Workdir::new(folder.path().join("config"), folder.path().join("logs")),
            cluster,
            tools,
            folder,
            _repository: repository,
        }
    }

    pub async fn create(&self, events: &Events) -> Result<(), kubitect_kubespray::Error> {
        let tell = |event| events.0.lock().unwrap().push(event);
        kubitect_kubespray::create(
            &self.cluster,
            &self.facts,
            &self.tools,
            &self.workdir,
            &tell,
        )
        .await
    }

    /// The one log.
    pub fn log(&self) -> PathBuf {
        let mut logs = std::fs::read_dir(self.folder.path().join("logs")).unwrap();
        let log = logs.next().expect("a log").unwrap().path();
        assert!(logs.next().is_none(), "more than one log");
        log
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The environment is worth keeping, the checkout of a repository that is gone is not.
        let _ = std::fs::remove_dir_all(&self.tools.kubespray);
        let lock = format!("{}.lock", self.tools.kubespray.display());
        let _ = std::fs::remove_file(lock);
    }
}

/// What was told.
#[derive(Default)]
pub struct Events(pub Mutex<Vec<Event>>);

impl Events {
    /// As lines.
    pub fn lines(&self) -> Vec<String> {
        let events = self.0.lock().unwrap();
        events.iter().map(ToString::to_string).collect()
    }
}
