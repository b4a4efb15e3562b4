//! Snapshots of etcd as files, and the objects of Kubernetes in them, written byte by byte from the descriptions of the formats.

use sha2::{Digest, Sha256};

const PAGE: usize = 4096;

/// A field of a message that holds bytes.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    varint(&mut field, bytes.len() as u64);
    field.extend(bytes);
    field
}

fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// An object as the API server stores it.
fn object(raw: &[u8]) -> Vec<u8> {
    [b"k8s\0".to_vec(), field(1, &[]), field(2, raw)].concat()
}

/// A ConfigMap of one entry.
pub fn config_map(key: &str, text: &str) -> Vec<u8> {
    let entry = [field(1, key.as_bytes()), field(2, text.as_bytes())].concat();
    object(&[field(1, b""), field(2, &entry)].concat())
}

/// A lease that was renewed so many seconds after 1970.
pub fn lease(renewed: u64) -> Vec<u8> {
    let mut time = vec![1 << 3];
    varint(&mut time, renewed);
    object(&field(2, &field(4, &time)))
}

/// A whole snapshot of these keys and values, in the order in which they were put.
pub fn file(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let changes = entries.iter().zip(1u64..).map(|((key, value), revision)| {
        let value = [field(1, key.as_bytes()), field(5, value)].concat();
        let revision = [&revision.to_be_bytes()[..], b"_", &[0; 8]].concat();
        (0, revision, value)
    });
    let changes = leaf(4, &changes.collect::<Vec<_>>());
    saved(changes)
}

/// A snapshot whose changes are in these pages, from page 4 on.
fn saved(changes: Vec<u8>) -> Vec<u8> {
    let bucket = [4u64.to_le_bytes(), [0; 8]].concat();
    let pages = 4 + changes.len() / PAGE;
    let mut bytes = [
        meta(0, pages),
        meta(1, pages),
        page(2, 0x10, 0, &[]),
        leaf(3, &[(1, b"key".to_vec(), bucket)]),
        changes,
    ]
    .concat();
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    bytes
}

/// Small snapshots that are large for a reader that follows every reference: one refers to the same page many times, the other to the
/// same bytes.
pub fn repeated() -> [Vec<u8>; 2] {
    let change = |size: usize| (0, [0; 17].to_vec(), field(1, &vec![b'x'; size]));
    let long = leaf(5, &[change(16 * PAGE)]);
    let places = (0..10).flat_map(|_| [[0; 8], 5u64.to_le_bytes()].concat());
    let branch = page(4, 1, 10, &places.collect::<Vec<_>>());
    let mut once = leaf(4, &[change(PAGE), change(0), change(0)]);
    let first = once[16..32].to_vec();
    for entry in [1, 2] {
        let start = 16 + entry * 16;
        once[start..start + 16].copy_from_slice(&first);
        // Its offset is counted from the entry itself.
        once[start + 4] -= (entry * 16) as u8;
    }
    [saved([branch, long].concat()), saved(once)]
}

/// A page, with as many overflow pages as it needs.
fn page(id: u64, kind: u16, count: usize, content: &[u8]) -> Vec<u8> {
    let length = (16 + content.len()).div_ceil(PAGE) * PAGE;
    let mut page = id.to_le_bytes().to_vec();
    page.extend(kind.to_le_bytes());
    page.extend((count as u16).to_le_bytes());
    page.extend(((length / PAGE - 1) as u32).to_le_bytes());
    page.extend(content);
    page.resize(length, 0);
    page
}

fn meta(id: u64, pages: usize) -> Vec<u8> {
    let mut meta = Vec::new();
    for number in [0xED0C_DAEDu32, 2, PAGE as u32, 0] {
        meta.extend(number.to_le_bytes());
    }
    for number in [3, 0, 2, pages as u64, id] {
        meta.extend(number.to_le_bytes());
    }
    let sum = meta.iter().fold(0xcbf2_9ce4_8422_2325u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    meta.extend(sum.to_le_bytes());
    page(id, 4, 0, &meta)
}

fn leaf(id: u64, entries: &[(u32, Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let (mut heads, mut bodies) = (Vec::new(), Vec::new());
    for (index, (flags, key, value)) in entries.iter().enumerate() {
        let offset = (entries.len() - index) * 16 + bodies.len();
        for number in [*flags, offset as u32, key.len() as u32, value.len() as u32] {
            heads.extend(number.to_le_bytes());
        }
        bodies.extend(key);
        bodies.extend(value);
    }
    page(id, 2, entries.len(), &[heads, bodies].concat())
}
