//! Operations on volumes in memory.

use std::fmt;

use super::{File, State, persistent};
use crate::resource::{Format, Volume};

impl State {
    /// Makes a volume as a crash leaves it: without header, size and backing.
    pub(super) fn begin_volume(&mut self, volume: &Volume) {
        let Ok(folder) = self.folder(&volume.pool) else {
            return;
        };
        // A raw file has no header that could be missing.
        let capacity = match volume.format {
            Format::Raw => volume.capacity,
            Format::Qcow2 => 0,
        };
        folder.entry(volume.name.clone()).or_insert_with(|| File {
            format: "raw".to_owned(),
            capacity,
            allocation: 0,
            backing: None,
            bytes: Vec::new(),
        });
    }

    /// Makes a volume; its backing image must exist.
    pub(super) fn make_volume(&mut self, volume: &Volume) -> Result<(), String> {
        if let Some(backing) = &volume.backing {
            let parent = backing.path.parent().unwrap_or(&backing.path);
            let name = backing
                .path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            let folder = self.folders.get(parent);
            if !folder.is_some_and(|folder| folder.contains_key(name.as_ref())) {
                return Err(format!("no image {}", backing.path.display()));
            }
        }
        let path = self
            .host
            .pool(&volume.pool)
            .and_then(|pool| pool.path.clone());
        let folder = self.folder(&volume.pool)?;
        if folder.contains_key(&volume.name) {
            return Err(format!("volume {} is there already", volume.name));
        }
        let file = File {
            format: volume.format.as_str().to_owned(),
            capacity: volume.capacity,
            allocation: match volume.format {
                Format::Raw => 0,
                Format::Qcow2 => 200 << 10,
            },
            backing: volume.backing.as_ref().map(|backing| backing.path.clone()),
            bytes: Vec::new(),
        };
        folder.insert(volume.name.clone(), file);
        let path = path.unwrap_or_default().join(&volume.name);
        *self.times.entry(path.display().to_string()).or_default() += 1;
        Ok(())
    }
}

/// Without the empty end of its content: seeds are long, and mostly empty.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = persistent::content(&self.bytes).escape_ascii().to_string();
        let content = content.trim_end_matches("\\x00");
        f.debug_struct("File")
            .field("format", &self.format)
            .field("capacity", &self.capacity)
            .field("allocation", &self.allocation)
            .field("backing", &self.backing)
            .field("length", &self.bytes.len())
            .field("bytes", &content)
            .finish()
    }
}
