//! A world in a folder: its host, and the state of its machines, changed by one process at a time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubitect_provision::fake::FakeHost;
use kubitect_provision::observe::{
    DomainState, HostState, Live, NetworkState, PoolState, PowerState, VolumeState,
};

use crate::state::State;

/// A world in a folder.
pub struct Place {
    pub folder: PathBuf,
    pub host: Arc<FakeHost>,
}

impl Place {
    /// Opens the world in this folder. A new one has what belongs to others.
    pub fn open(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            host: Arc::new(FakeHost::persisted_in(&folder.join("host"), others())),
        }
    }

    /// Reads the state, has it changed, and writes it only if it has changed (most calls only read); one process at a time.
    pub fn with<T>(&self, change: impl FnOnce(&mut State, &FakeHost) -> T) -> T {
        let lock = File::create(self.folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let path = self.folder.join("state.json");
        let mut state: State = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap(),
            Err(_) => State::default(),
        };
        let before = state.clone();
        state.settle(&self.host);
        let result = change(&mut state, &self.host);
        if state == before && path.exists() {
            return result;
        }
        let aside = self.folder.join("state.json.new");
        std::fs::write(&aside, serde_json::to_vec(&state).unwrap()).unwrap();
        std::fs::rename(&aside, &path).unwrap();
        result
    }
}

/// What others have on the host: a network, a pool with a disk, and a machine that runs.
fn others() -> HostState {
    let disk = PathBuf::from("/others/demo-worker-1-main-disk");
    let volume = VolumeState {
        name: "demo-worker-1-main-disk".into(),
        path: disk.clone(),
        format: "qcow2".into(),
        capacity: 1 << 20,
        allocation: 300,
        physical: None,
        backing: None,
    };
    HostState {
        networks: vec![NetworkState {
            name: "default".into(),
            active: true,
            mark: None,
            bridge: Some("virbr0".into()),
            cidr: Some("192.168.122.0/24".parse().unwrap()),
            reservations: Vec::new(),
        }],
        pools: vec![PoolState {
            name: "default".into(),
            is_folder: true,
            path: Some("/others".into()),
            active: true,
            available: 1 << 30,
            volumes: vec![volume],
        }],
        domains: vec![DomainState {
            name: "others".into(),
            power: PowerState::Running,
            note: Some("another's".into()),
            vcpus: 2,
            max_vcpus: 2,
            memory_mib: 1024,
            disks: vec![disk.clone()],
            live: Some(Live {
                balloon_mib: None,
                vcpus: 2,
                memory_mib: 1024,
                disks: vec![disk],
                ..Live::default()
            }),
            ..DomainState::default()
        }],
        ..HostState::default()
    }
}
