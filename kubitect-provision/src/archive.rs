//! An archive of texts, for people who help with a problem: a compressed tar, readable by its owner only. An existing file is
//! never overwritten.

mod support_files;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;

pub use support_files::SupportFiles;

/// Writes texts, by their names, into `folder` of a new archive. An archive that can't be written completely is removed.
pub fn write(path: &Path, folder: &str, texts: &[(String, String)]) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    fill(file, folder, texts).inspect_err(|_| {
        // The first error is the one to report.
        let _ = std::fs::remove_file(path);
    })
}

fn fill(file: std::fs::File, folder: &str, texts: &[(String, String)]) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, text) in texts {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now);
        tar.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
    }
    let mut file = tar.into_inner()?.finish()?;
    file.flush()?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_archive_is_its_owners_holds_what_was_given_and_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        let texts = [
            ("a.txt".to_owned(), "one".to_owned()),
            ("b/c.txt".to_owned(), "two".to_owned()),
        ];
        write(&path, "all", &texts).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let file = std::fs::File::open(&path).unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(file));
        let mut read = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            read.push((name, text));
        }
        assert_eq!(read[0], ("all/a.txt".to_owned(), "one".to_owned()));
        assert_eq!(read[1], ("all/b/c.txt".to_owned(), "two".to_owned()));
        let again = write(&path, "all", &texts).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert!(path.exists());
    }
}
