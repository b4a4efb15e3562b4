//! The volume that carries the documents: a FAT file system labelled `cidata`, made in memory.

use std::io::{self, Cursor, Read, Write};

use fatfs::{Date, DateTime, Dir, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};

use crate::cloud_init::Documents;

/// Its size in bytes. FAT12 can be smaller, but every reader takes this.
pub const SIZE: usize = 1 << 20;

/// The first sector says how the rest is laid out.
const SECTOR: usize = 512;

/// What cloud-init looks for; FAT pads labels with blanks.
const LABEL: [u8; 11] = *b"cidata     ";

/// The volume id that stands where others put the time, so that the same documents give the same bytes.
const VOLUME_ID: u32 = 0x6b75_6265;

/// The volume's bytes; the same documents always give the same.
pub fn image(documents: &Documents) -> io::Result<Vec<u8>> {
    let Documents {
        user_data,
        network_config,
        meta_data,
    } = documents;
    let mut bytes = vec![0; SIZE];
    fatfs::format_volume(
        Cursor::new(&mut bytes[..]),
        FormatVolumeOptions::new()
            .volume_label(LABEL)
            .volume_id(VOLUME_ID),
    )?;
    {
        let options = FsOptions::new()
            .time_provider(&Epoch)
            .update_accessed_date(false);
        let volume = FileSystem::new(Cursor::new(&mut bytes[..]), options)?;
        {
            let root = volume.root_dir();
            write(&root, "meta-data", meta_data)?;
            write(&root, "user-data", user_data)?;
            write(&root, "network-config", network_config)?;
        }
        volume.unmount()?;
    }
    Ok(bytes)
}

/// The documents in a volume that [`image`] made. The machine could write to it since: its geometry has to be ours.
pub fn read(bytes: &[u8]) -> io::Result<Documents> {
    let empty = image(&Documents {
        user_data: String::new(),
        network_config: String::new(),
        meta_data: String::new(),
    })?;
    if bytes.len() != SIZE || bytes.get(..SECTOR) != empty.get(..SECTOR) {
        return Err(io::Error::other("it is not a seed as Kubitect writes it"));
    }
    let mut copy = bytes.to_vec();
    let volume = FileSystem::new(
        Cursor::new(&mut copy[..]),
        FsOptions::new().time_provider(&Epoch),
    )?;
    let root = volume.root_dir();
    let text = |name| {
        let mut text = String::new();
        // A chain of clusters that goes round in circles has no end.
        root.open_file(name)?
            .take(SIZE as u64)
            .read_to_string(&mut text)?;
        io::Result::Ok(text)
    };
    Ok(Documents {
        user_data: text("user-data")?,
        network_config: text("network-config")?,
        meta_data: text("meta-data")?,
    })
}

fn write(root: &Dir<'_, Cursor<&mut [u8]>>, name: &str, text: &str) -> io::Result<()> {
    let mut file = root.create_file(name)?;
    file.truncate()?;
    file.write_all(text.as_bytes())?;
    file.flush()
}

/// The clock of a volume whose bytes must not depend on one: always FAT's first moment.
#[derive(Debug)]
struct Epoch;

impl TimeProvider for Epoch {
    fn get_current_date(&self) -> Date {
        Date {
            year: 1980,
            month: 1,
            day: 1,
        }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime {
            date: self.get_current_date(),
            time: Time {
                hour: 0,
                min: 0,
                sec: 0,
                millis: 0,
            },
        }
    }
}
