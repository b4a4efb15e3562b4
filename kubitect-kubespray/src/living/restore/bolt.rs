//! Reads the bbolt database in a snapshot of etcd: the keys and values of a bucket, in the order of the keys. A file that is no
//! such database, or a broken one, is an error, never a panic: it may come from anywhere.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// The number with which every database begins.
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// The length of a page's header, in bytes.
const HEADER: usize = 16;
/// The length of an entry of a page, in bytes.
const ENTRY: usize = 16;
/// The length of a meta page before its check sum, in bytes.
const META: usize = 56;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
/// The flag of an entry that is a bucket.
const BUCKET: u32 = 1;
/// How deep a tree is followed: real ones have three or four levels.
const DEPTH: usize = 32;
/// The longest run of pages that is read at once, in bytes; etcd by default accepts values up to 1.5 MiB.
const LONGEST: usize = 64 << 20;

/// Gets a key and its value; an error ends the walk.
type Each<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), String>;

/// As [`Each`], with the entry's flags first.
type EachEntry<'a> = &'a mut dyn FnMut(u32, &[u8], &[u8]) -> Result<(), String>;

/// A database in a file.
pub struct Database {
    file: File,
    /// The size of a page, in bytes.
    page_size: usize,
    /// How many pages there are.
    pages: u64,
    /// The number of the root page.
    root: u64,
}

impl Database {
    /// The database in the first `length` bytes of a file.
    pub fn open(file: File, length: u64) -> Result<Self, String> {
        let mut first = [0; 4096];
        let short = "it is too short for a snapshot of etcd";
        file.read_exact_at(&mut first, 0).map_err(|_| short)?;
        let size = number(&first, HEADER + 8, 4)? as usize;
        let is_size = size.is_power_of_two() && (1024..=65536).contains(&size);
        if number(&first, HEADER, 4)? != u64::from(MAGIC) || !is_size {
            return Err("it is no snapshot of etcd: it does not begin like one".to_owned());
        }
        let mut second = vec![0; HEADER + META + 8];
        let read = file.read_exact_at(&mut second, size as u64);
        read.map_err(|_| short)?;
        let metas = [&first[HEADER..HEADER + META + 8], &second[HEADER..]];
        let newest = metas.iter().filter(|meta| is_whole(meta));
        let newest = newest.max_by_key(|meta| number(meta, 48, 8).unwrap_or_default());
        let newest = newest.ok_or("its first pages are broken")?;
        Ok(Self {
            pages: length / size as u64,
            page_size: size,
            root: number(newest, 16, 8)?,
            file,
        })
    }

    /// Calls `each` with every key of this bucket and its value, in the order of the keys. A missing bucket counts as empty.
    pub fn walk(&self, bucket: &[u8], each: Each<'_>) -> Result<(), String> {
        let mut found = None;
        let mut left = self.pages;
        self.follow(self.root, 0, &mut left, &mut |flags, key, value| {
            if flags & BUCKET != 0 && key == bucket {
                found = Some(value.to_vec());
            }
            Ok(())
        })?;
        let Some(value) = found else {
            return Ok(());
        };
        let mut left = self.pages;
        let mut each = |_: u32, key: &[u8], value: &[u8]| each(key, value);
        match number(&value, 0, 8)? {
            // A small bucket is stored within its own entry.
            0 => entries(value.get(HEADER..).unwrap_or_default(), &mut each),
            root => self.follow(root, 0, &mut left, &mut each),
        }
    }

    /// Calls `each` with the entries of all leaves below a page. `left` is how many pages may still be read: each page belongs to
    /// one place of the tree, so a walk that wants more pages than the file has runs in a circle.
    fn follow(
        &self,
        page: u64,
        depth: usize,
        left: &mut u64,
        each: EachEntry<'_>,
    ) -> Result<(), String> {
        let circle = || "its pages lead in a circle".to_owned();
        if depth > DEPTH {
            return Err(circle());
        }
        let bytes = self.read(page)?;
        let pages = (bytes.len() / self.page_size) as u64;
        *left = left.checked_sub(pages).ok_or_else(circle)?;
        match number(&bytes, 8, 2)? as u16 {
            LEAF => entries(&bytes, each),
            BRANCH => {
                let count = number(&bytes, 10, 2)? as usize;
                let children =
                    (0..count).map(|index| number(&bytes, HEADER + index * ENTRY + 8, 8));
                let children: Vec<_> = children.collect::<Result<_, _>>()?;
                // Freed before the children are read, so that memory does not grow with the depth.
                drop(bytes);
                let mut children = children.into_iter();
                children.try_for_each(|page| self.follow(page, depth + 1, left, each))
            }
            other => Err(format!("its page {page} is of no known kind ({other})")),
        }
    }

    /// A page, with its overflow pages.
    fn read(&self, page: u64) -> Result<Vec<u8>, String> {
        let broken = || format!("its page {page} is missing");
        let start = page.checked_mul(self.page_size as u64).ok_or_else(broken)?;
        let mut header = [0; HEADER];
        let read = self.file.read_exact_at(&mut header, start);
        read.map_err(|_| broken())?;
        let overflow = number(&header, 12, 4)?;
        let length = (overflow + 1).saturating_mul(self.page_size as u64);
        if page + overflow >= self.pages || length > LONGEST as u64 {
            return Err(broken());
        }
        let mut bytes = vec![0; length as usize];
        let read = self.file.read_exact_at(&mut bytes, start);
        read.map_err(|_| broken())?;
        Ok(bytes)
    }
}

/// Calls `each` with the entries of a leaf. No two entries share a byte, so together they are at most as long as the page: a
/// crafted page can't have the same bytes read again and again.
fn entries(page: &[u8], each: EachEntry<'_>) -> Result<(), String> {
    let mut left = page.len();
    for index in 0..number(page, 10, 2)? as usize {
        let entry = HEADER + index * ENTRY;
        let field = |offset: usize| number(page, entry + offset, 4);
        let (flags, offset) = (field(0)? as u32, field(4)? as usize);
        let (key, value) = (field(8)? as usize, field(12)? as usize);
        left = left.checked_sub(key + value).ok_or(BROKEN)?;
        let begin = entry + offset;
        let part = |from: usize, length: usize| page.get(from..from + length).ok_or(BROKEN);
        each(flags, part(begin, key)?, part(begin + key, value)?)?;
    }
    Ok(())
}

const BROKEN: &str = "one of its pages is broken";

/// The little-endian number of `length` bytes at this offset.
fn number(bytes: &[u8], offset: usize, length: usize) -> Result<u64, &'static str> {
    let bytes = bytes.get(offset..offset + length).ok_or(BROKEN)?;
    let digits = bytes.iter().rev();
    Ok(digits.fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
}

/// Whether a meta page, which names the root, is undamaged: it holds a check sum of itself (64-bit FNV-1a).
fn is_whole(meta: &[u8]) -> bool {
    let sum = meta[..META]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    let is = |offset, length, wanted| number(meta, offset, length) == Ok(wanted);
    is(0, 4, u64::from(MAGIC)) && is(4, 4, u64::from(VERSION)) && is(META, 8, sum)
}
