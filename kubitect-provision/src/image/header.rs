//! The first bytes of an image: its format, and the size of the disk that a guest sees.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::resource::Format;

/// What the first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub format: Format,
    pub virtual_size: u64,
}

/// The largest virtual size that is accepted. No image is larger: a header that says more is broken or malicious.
const SIZE_MAX: u64 = 1 << 44;

/// Offsets of fields in the qcow2 header, which are big-endian numbers.
const VERSION: usize = 4;
const BACKING_OFFSET: usize = 8;
const SIZE: usize = 24;
const ENCRYPTION: usize = 32;
const INCOMPATIBLE: usize = 72;

/// Bits of qcow2's incompatible features.
const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;

/// Files that are often given instead of an image: first bytes, and error.
const NOT_IMAGES: [(&[u8], &str); 8] = [
    (
        b"\x1f\x8b",
        "it is compressed by gzip; unpack it and name the unpacked image",
    ),
    (
        b"\xfd7zXZ\0",
        "it is compressed by xz; unpack it and name the unpacked image",
    ),
    (
        b"BZh",
        "it is compressed by bzip2; unpack it and name the unpacked image",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "it is compressed by zstd; unpack it and name the unpacked image",
    ),
    (
        b"PK\x03\x04",
        "it is a zip archive; unpack it and name the unpacked image",
    ),
    (
        b"KDMV",
        "it is a VMDK image; convert it with `qemu-img convert -O qcow2`",
    ),
    (
        b"vhdxfile",
        "it is a VHDX image; convert it with `qemu-img convert -O qcow2`",
    ),
    (
        b"<",
        "it is a web page, not a disk image; check the address",
    ),
];

/// Reads the header; the inner error says why this can't be the disk of a machine.
pub(super) fn read(file: &mut File) -> io::Result<Result<Header, String>> {
    let length = file.metadata()?.len();
    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(1024).read_to_end(&mut start)?;
    Ok(header(&start, length))
}

fn header(start: &[u8], length: u64) -> Result<Header, String> {
    if start.starts_with(b"QFI\xfb") {
        return qcow2(start).map(|virtual_size| Header {
            format: Format::Qcow2,
            virtual_size,
        });
    }
    if let Some((_, why)) = NOT_IMAGES
        .iter()
        .find(|(magic, _)| start.starts_with(magic))
    {
        return Err((*why).to_owned());
    }
    let boot_sector = start.get(510..512) == Some(b"\x55\xaa");
    let gpt = start.get(512..520) == Some(b"EFI PART");
    if !(boot_sector || gpt) {
        return Err("it is neither a qcow2 image nor a raw disk with a partition table".to_owned());
    }
    if !length.is_multiple_of(512) {
        return Err(format!(
            "it is a raw disk of {length} bytes, which is not a whole number of sectors"
        ));
    }
    Ok(Header {
        format: Format::Raw,
        virtual_size: length,
    })
}

/// The virtual size of a qcow2 image that is complete in one file. An image that refers to other files is refused: QEMU would
/// open any file of the host that its author names.
fn qcow2(start: &[u8]) -> Result<u64, String> {
    let cut = || "its qcow2 header is cut short".to_owned();
    let u32_at = |at: usize| {
        start
            .get(at..at + 4)?
            .try_into()
            .ok()
            .map(u32::from_be_bytes)
    };
    let u64_at = |at: usize| {
        start
            .get(at..at + 8)?
            .try_into()
            .ok()
            .map(u64::from_be_bytes)
    };
    let version = u32_at(VERSION).ok_or_else(cut)?;
    if !(2..=3).contains(&version) {
        return Err(format!(
            "it is qcow version {version}; versions 2 and 3 are known"
        ));
    }
    if u64_at(BACKING_OFFSET).ok_or_else(cut)? != 0 {
        return Err(
            "it is an overlay of another file; flatten it with `qemu-img convert -O qcow2`"
                .to_owned(),
        );
    }
    if u32_at(ENCRYPTION).ok_or_else(cut)? != 0 {
        return Err("it is encrypted".to_owned());
    }
    if version == 3 {
        let features = u64_at(INCOMPATIBLE).ok_or_else(cut)?;
        if features & EXTERNAL_DATA != 0 {
            return Err(
                "its data lie in another file; join them with `qemu-img convert -O qcow2`"
                    .to_owned(),
            );
        }
        if features & (DIRTY | CORRUPT) != 0 {
            return Err("it was not closed cleanly; look at it with `qemu-img check`".to_owned());
        }
    }
    match u64_at(SIZE).ok_or_else(cut)? {
        size @ 1..=SIZE_MAX => Ok(size),
        size => Err(format!("its header says that it has {size} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qcow2_image(change: impl FnOnce(&mut Vec<u8>)) -> Result<Header, String> {
        let mut bytes = super::super::tests::qcow2(2 << 30);
        change(&mut bytes);
        header(&bytes, bytes.len() as u64)
    }

    fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> String {
        qcow2_image(change).unwrap_err()
    }

    #[test]
    fn formats_are_told_by_their_bytes() {
        let qcow2 = qcow2_image(|_| ()).unwrap();
        assert_eq!((qcow2.format, qcow2.virtual_size), (Format::Qcow2, 2 << 30));
        let mut disk = vec![0; 1024];
        disk[510..512].copy_from_slice(b"\x55\xaa");
        let raw = header(&disk, 4096).unwrap();
        assert_eq!((raw.format, raw.virtual_size), (Format::Raw, 4096));
        assert!(header(&disk, 4097).unwrap_err().contains("sectors"));
    }

    #[test]
    fn images_that_lean_on_other_files_are_refused() {
        assert!(refusal(|b| b[15] = 104).contains("overlay"));
        assert!(refusal(|b| b[79] = 4).contains("another file"));
        assert!(refusal(|b| b[35] = 1).contains("encrypted"));
        assert!(refusal(|b| b[79] = 1).contains("qemu-img check"));
    }

    #[test]
    fn broken_headers_are_refused() {
        assert!(refusal(|b| b.truncate(30)).contains("cut short"));
        assert!(refusal(|b| b[7] = 9).contains("version 9"));
        assert!(refusal(|b| b[24..32].fill(0)).contains("0 bytes"));
        assert!(refusal(|b| b[24..32].fill(0xff)).contains("header says"));
    }

    #[test]
    fn what_is_no_image_is_named() {
        for (start, part) in [
            (&b"<html>"[..], "web page"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"\xfd7zXZ\0", "xz"),
            (b"", "neither"),
            (b"plain text", "neither"),
        ] {
            assert!(
                header(start, start.len() as u64)
                    .unwrap_err()
                    .contains(part)
            );
        }
    }

    proptest::proptest! {
        /// For any first bytes: no panic, and no size above the limit.
        #[test]
        fn fuzz_headers(
            mut start in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..1024),
            is_qcow2 in proptest::prelude::any::<bool>(),
            length in proptest::prelude::any::<u64>(),
        ) {
            if is_qcow2 && start.len() > 8 {
                start[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
            }
            if let Ok(found) = header(&start, length) {
                let most = if found.format == Format::Qcow2 { SIZE_MAX } else { length };
                proptest::prop_assert!(found.virtual_size <= most);
            }
        }

        /// For plausible headers: an accepted image is complete in one file, closed cleanly, not encrypted, and has a size.
        #[test]
        fn fuzz_plausible_headers(
            version in proptest::sample::select(vec![0u32, 1, 2, 2, 3, 3, 3, 4, 1 << 24]),
            backing in proptest::sample::select(vec![0u64, 0, 0, 1, 104, 1 << 32, u64::MAX]),
            size in proptest::sample::select(vec![0, 1, 512, 1 << 33, SIZE_MAX, SIZE_MAX + 1, 1 << 63, u64::MAX]),
            encryption in proptest::sample::select(vec![0u32, 0, 0, 1, 2, 1 << 24]),
            features in proptest::sample::select(vec![0u64, 0, 1, 2, 4, 8, 16, 5, 1 << 63, 1 << 56]),
            length in 0..120usize,
        ) {
            let mut start = vec![0; 104];
            for (at, bytes) in [
                (0, &b"QFI\xfb"[..]),
                (4, &version.to_be_bytes()),
                (8, &backing.to_be_bytes()),
                (24, &size.to_be_bytes()),
                (32, &encryption.to_be_bytes()),
                (72, &features.to_be_bytes()),
            ] {
                start[at..at + bytes.len()].copy_from_slice(bytes);
            }
            start.resize(length, 0);
            if let Ok(found) = header(&start, 4096) {
                proptest::prop_assert!(found.format == Format::Qcow2 && found.virtual_size == size);
                proptest::prop_assert!((1..=SIZE_MAX).contains(&size));
                proptest::prop_assert!([2, 3].contains(&version) && backing == 0 && encryption == 0);
                proptest::prop_assert!(version == 2 || features & 7 == 0);
            }
        }
    }
}
