//! The volume that carries the documents: a FAT file system labelled `cidata`, made in memory.

use std::io::{self, Cursor, Write};

use fatfs::{Date, DateTime, Dir, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};

use crate::cloud_init::Documents;

/// Its size in bytes. FAT12 can be smaller, but every reader takes this.
pub const SIZE: usize = 1 << 20;

/// The first sector says how the rest is laid out.
const SECTOR: usize = 512;

/// What the root folder takes for a file, a label, or a part of a long name.
const ENTRY: usize = 32;

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
    let text = |number| {
        // The name as FAT keeps it: that of the file which our own volume has at this place.
        let short = files(&empty).nth(number).map(|file| &file[..11]);
        let file = files(bytes).find(|file| Some(&file[..11]) == short);
        let text = file.and_then(|file| content(bytes, file));
        String::from_utf8(text.ok_or_else(damaged)?.to_vec()).map_err(|_| damaged())
    };
    Ok(Documents {
        meta_data: text(0)?,
        user_data: text(1)?,
        network_config: text(2)?,
    })
}

fn damaged() -> io::Error {
    io::Error::other("it was changed: it holds not what Kubitect has written")
}

/// The number of two bytes, for places in the first sector, which is ours, and in entries of the root folder.
fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8
}

/// Where the root folder begins and where it ends, which is where what the files hold begins.
fn root(volume: &[u8]) -> (usize, usize) {
    let tables = usize::from(volume[16]) * word(volume, 22);
    let start = (word(volume, 14) + tables) * SECTOR;
    (start, start + word(volume, 17) * ENTRY)
}

/// The root folder's entries of files, 32 bytes each: neither parts of long names nor the volume's label.
fn files(volume: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (start, end) = root(volume);
    let entries = volume[start..end].chunks_exact(ENTRY);
    entries.filter(|entry| entry[0] != 0 && entry[11] & 0x08 == 0)
}

/// What a file holds. [`image`] writes each in one piece. Not read by the library: it panics on places that a machine made up.
fn content<'a>(volume: &'a [u8], file: &[u8]) -> Option<&'a [u8]> {
    let size = word(file, 28) | word(file, 30) << 16;
    if size == 0 {
        return Some(&[]);
    }
    let cluster = usize::from(volume[13]) * SECTOR;
    let start = root(volume).1 + word(file, 26).checked_sub(2)? * cluster;
    volume.get(start..start.checked_add(size)?)
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
