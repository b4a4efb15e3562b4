//! The volume with the documents: a FAT file system labelled `cidata`, made in memory.

use std::io::{self, Cursor, Write};

use fatfs::{Date, DateTime, Dir, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};

use crate::cloud_init::Documents;

/// The size of the volume in bytes. FAT12 can be smaller, but this size is accepted everywhere.
pub const SIZE: usize = 1 << 20;

/// The size of a sector. The first sector describes the layout of the rest.
const SECTOR: usize = 512;

/// The size of an entry of the root folder: a file, a label, or a part of a long name.
const ENTRY: usize = 32;

/// The label by which cloud-init finds the volume; FAT pads labels with blanks.
const LABEL: [u8; 11] = *b"cidata     ";

/// The volume id, which is often made from the time. A constant, so that the same documents give the same bytes.
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

/// The documents in a volume that [`image`] made. The machine can write to the volume, so that only one with an unchanged first
/// sector is read.
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
        // The name as FAT stores it: that of the file at this place in a volume made just now.
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

/// The number in two bytes, at an offset in the first sector or in an entry of the root folder.
fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) | usize::from(bytes[at + 1]) << 8
}

/// The offsets of the root folder's beginning and end. The contents of files follow it.
fn root(volume: &[u8]) -> (usize, usize) {
    let tables = usize::from(volume[16]) * u16_at(volume, 22);
    let start = (u16_at(volume, 14) + tables) * SECTOR;
    (start, start + u16_at(volume, 17) * ENTRY)
}

/// The entries of files in the root folder, 32 bytes each, without those of long names and of the label.
fn files(volume: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (start, end) = root(volume);
    let entries = volume[start..end].chunks_exact(ENTRY);
    entries.filter(|entry| entry[0] != 0 && entry[11] & 0x08 == 0)
}

/// The content of a file, which [`image`] writes in one piece. The library is not used here: it panics on invalid offsets, which
/// a machine may have written.
fn content<'a>(volume: &'a [u8], file: &[u8]) -> Option<&'a [u8]> {
    let size = u16_at(file, 28) | u16_at(file, 30) << 16;
    if size == 0 {
        return Some(&[]);
    }
    let cluster = usize::from(volume[13]) * SECTOR;
    let start = root(volume).1 + u16_at(file, 26).checked_sub(2)? * cluster;
    volume.get(start..start.checked_add(size)?)
}

fn write(root: &Dir<'_, Cursor<&mut [u8]>>, name: &str, text: &str) -> io::Result<()> {
    let mut file = root.create_file(name)?;
    file.truncate()?;
    file.write_all(text.as_bytes())?;
    file.flush()
}

/// The clock of the volume: always FAT's first moment, so that its bytes do not depend on the time.
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
