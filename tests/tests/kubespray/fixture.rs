//! Clusters, their facts, and runs of small playbooks in Kubespray's place.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use kubitect_config::{Cluster, Facts, Site, parse};
use kubitect_kubespray::{Event, Tools, Workdir, prepare};
pub use tests::ansible::{RELEASE, REQUIREMENTS, Repository};
pub use tests::example::{EXAMPLE, example, facts, without};

pub fn cluster(text: &str) -> Cluster {
    match parse(text, "cluster.yaml", &Site::default()) {
        Ok(parsed) => parsed.cluster,
        Err(error) => panic!("{error}: {:?}", error.problems()),
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
        Self::of(&[("cluster.yml", playbook)]).await
    }

    /// Prepared by the crate, with these playbooks.
    pub async fn of(playbooks: &[(&str, &str)]) -> Self {
        let mut files = playbooks.to_vec();
        files.extend([
            ("requirements.txt", REQUIREMENTS),
            // As hostile to host keys as the real one.
            (
                "ansible.cfg",
                "[defaults]\nhost_key_checking = False\nstdout_callback = default\n\
                 [ssh_connection]\nssh_args = -o UserKnownHostsFile=/dev/null\n",
            ),
        ]);
        let repository = Repository::with(&files, RELEASE[0]);
        let mut cluster = cluster(&example(RELEASE));
        cluster.kubernetes.kubespray.url = repository.url().to_owned();
        cluster.kubernetes.kubespray.any_commit = true;
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
        tests::ansible::remove_checkout(&self.tools.kubespray);
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
