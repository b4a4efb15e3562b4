//! A machine's system in a world in memory: blank, and reset by kubeadm or by Kubespray.

use std::path::PathBuf;

use kubitect_lb::HAPROXY_FILE;
use kubitect_provision::cloud_init::seed;
use kubitect_provision::fake::FakeHost;
use kubitect_provision::observe::DomainState;

use crate::state::{CONFIG, Guest, KUBELET_CONF, MANIFEST, file};

impl Guest {
    /// A machine as cloud-init leaves it: it has the keys of its seed, and HAProxy runs with its package's file.
    pub fn blank(host: &FakeHost, domain: &DomainState) -> Self {
        let is_seed = |disk: &&PathBuf| disk.to_string_lossy().ends_with("-seed");
        let seed = domain.disks.iter().find(is_seed).unwrap();
        let documents = seed::read(&host.content(seed).unwrap()).unwrap();
        let words: Vec<_> = documents.user_data.split_whitespace().collect();
        let keys = words
            .windows(2)
            .filter(|pair| pair[0].trim_start_matches(['"', '\'']) == "ssh-ed25519")
            .map(|pair| format!("ssh-ed25519 {}", pair[1].trim_end_matches(['"', '\''])));
        let mut guest = Self {
            keys: keys.collect(),
            ..Self::default()
        };
        if domain.name.contains("-lb-") {
            let stock = "# stock\n".to_owned();
            guest.files.insert(HAPROXY_FILE.to_owned(), stock);
            guest.enabled.insert("haproxy".to_owned());
        }
        guest
    }

    /// `kubeadm reset`. Unless its options leave etcd alone, it removes the member's data.
    pub fn reset_kubeadm(&mut self, spares_etcd: bool) {
        self.kubelet = None;
        self.api = None;
        for path in [
            CONFIG,
            KUBELET_CONF,
            MANIFEST,
            kubitect_kubespray::ADMIN_CONF,
        ] {
            self.files.remove(path);
        }
        if !spares_etcd {
            self.member = None;
        }
    }

    /// Removes Kubernetes from the machine.
    pub fn reset(&mut self) {
        self.kubelet = None;
        self.api = None;
        self.member = None;
        self.files
            .retain(|path, _| file("haproxy") == path || file("keepalived") == path);
    }
}
