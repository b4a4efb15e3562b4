//! A host in memory that outlives the process: its state in one file, and the content of each volume in a file of its own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{FakeHost, State};
use crate::observe::{DomainState, HostState};

impl FakeHost {
    /// The host whose state is in this folder; if there is none, a new one, as [`FakeHost::new`] makes it. One process at a time may
    /// change it.
    ///
    /// # Panics
    ///
    /// If the folder can't be read or written.
    pub fn persisted_in(folder: &Path, existing: HostState) -> Self {
        let path = folder.join("host.json");
        if !path.exists() {
            let mut new = Self::new(existing);
            std::fs::create_dir_all(folder).expect("the folder can be made");
            new.folder = Some(folder.to_owned());
            new.persist(&new.lock());
            return new;
        }
        let text = std::fs::read(&path).expect("the state can be read");
        let mut state: State = serde_json::from_slice(&text).expect("it is a state");
        for (parent, files) in &mut state.folders {
            for (name, file) in files {
                let path = parent.join(name).display().to_string();
                let times = state.times.get(&path).copied().unwrap_or(0);
                if let Ok(bytes) = std::fs::read(bytes_of(folder, &path, times)) {
                    file.bytes = vec![0; (file.allocation as usize).max(bytes.len())];
                    file.bytes[..bytes.len()].copy_from_slice(&bytes);
                }
            }
        }
        Self {
            state: Arc::new(Mutex::new(state)),
            part: None,
            folder: Some(folder.to_owned()),
            calls: super::Calls::default(),
            meeting: std::sync::Mutex::default(),
            shared: super::shared::Shared::default(),
        }
    }

    /// How often the volume of this path was made, or the domain of this name started.
    pub fn times(&self, what: &str) -> u64 {
        self.lock().times.get(what).copied().unwrap_or(0)
    }

    /// The size of the disk of this path in a guest, in bytes.
    pub fn capacity(&self, disk: &Path) -> Option<u64> {
        let name = disk.file_name()?.to_str()?;
        let state = self.lock();
        Some(state.folders.get(disk.parent()?)?.get(name)?.capacity)
    }

    /// The content of the volume of this path.
    pub fn content(&self, disk: &Path) -> Option<Vec<u8>> {
        let name = disk.file_name()?.to_str()?;
        let state = self.lock();
        Some(state.folders.get(disk.parent()?)?.get(name)?.bytes.clone())
    }

    /// Puts an overlay over this file into a folder, behind libvirt's back.
    pub fn put_overlay(&self, folder: impl Into<PathBuf>, name: &str, backing: &Path) {
        let file = super::File {
            format: "qcow2".to_owned(),
            capacity: self.capacity(backing).unwrap_or_default(),
            allocation: 0,
            backing: Some(backing.to_owned()),
            bytes: Vec::new(),
        };
        self.change(|state| {
            let folder = state.folders.entry(folder.into()).or_default();
            folder.insert(name.to_owned(), file);
        });
    }

    /// The addresses leased to a machine, whether it runs or not.
    pub fn leases(&self, domain: &str) -> Vec<std::net::Ipv4Addr> {
        let state = self.lock();
        let leases = state.addresses.get(domain).into_iter().flatten();
        leases.map(|(_, ip)| *ip).collect()
    }

    /// The domain of this name.
    pub fn domain_of(&self, name: &str) -> Option<DomainState> {
        self.lock().host.domain(name).cloned()
    }

    /// Changes the state as another program would, without counting or failing.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        state.complete_late();
        let result = change(&mut state);
        self.persist(&state);
        result
    }

    /// Writes the state to its folder, if it has one.
    pub(super) fn persist(&self, state: &State) {
        if let Some(folder) = &self.folder {
            let text = serde_json::to_vec(state).expect("it is plain data");
            let aside = folder.join("host.json.new");
            std::fs::write(&aside, &text).expect("it can be written");
            std::fs::rename(&aside, folder.join("host.json")).expect("it can be renamed");
        }
    }

    /// Writes the content of a volume to its folder, if it has one.
    pub(super) fn persist_bytes(&self, pool: &str, volume: &str) {
        let state = self.lock();
        let path = state.host.pool(pool).and_then(|pool| pool.path.as_ref());
        if let (Some(folder), Some(parent)) = (&self.folder, path)
            && let Some(file) = state.folders.get(parent).and_then(|f| f.get(volume))
        {
            let path = parent.join(volume).display().to_string();
            let times = state.times.get(&path).copied().unwrap_or(0);
            std::fs::write(bytes_of(folder, &path, times), content(&file.bytes))
                .expect("it can be written");
        }
    }
}

/// A volume's content without the empty pages at its end: most end in some.
pub(super) fn content(bytes: &[u8]) -> &[u8] {
    let mut pages = bytes.chunks(PAGE.len());
    let pages = pages.rposition(|page| *page != PAGE[..page.len()]);
    let end = pages.map_or(0, |page| (page + 1) * PAGE.len());
    &bytes[..end.min(bytes.len())]
}

/// An empty page.
const PAGE: [u8; 4096] = [0; 4096];

/// The file with the content of the volume of this path, which was made so many times.
fn bytes_of(folder: &Path, path: &str, times: u64) -> PathBuf {
    folder.join(format!("{}.{times}", path.replace('/', "%")))
}
