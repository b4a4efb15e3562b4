//! Reads the database in a snapshot of etcd, a file of bbolt: what is in each of its buckets, in the order of the keys. Of a file
//! that is none, or broken, it is an error.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// What every database begins with.
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Before what a page holds.
const HEADER: usize = 16;
/// Of one entry of a page.
const ENTRY: usize = 16;
/// How long what is signed of a page's root is.
const META: usize = 56;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
/// Marks an entry that is a bucket.
const BUCKET: u32 = 1;
/// The deepest tree that is followed: one of bbolt has three or four levels.
const DEPTH: usize = 32;
/// The longest value that is read, in bytes; etcd takes 1.5 MiB, unless it is told otherwise.
const LONGEST: usize = 64 << 20;

/// Who is given a key and its value; an error ends the walk.
type Each<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), String>;

/// The same, with the entry's flags.
type EachEntry<'a> = &'a mut dyn FnMut(u32, &[u8], &[u8]) -> Result<(), String>;

/// A database in a file.
pub struct Database {
    file: File,
    page: usize,
    /// How many pages there are.
    pages: u64,
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
            page: size,
            root: number(newest, 16, 8)?,
            file,
        })
    }

    /// Gives every key of the bucket of this name, and its value, in the order of the keys. A bucket that is not there has none.
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
            // A small one lies within the entry that names it.
            0 => entries(value.get(HEADER..).unwrap_or_default(), &mut each),
            root => self.follow(root, 0, &mut left, &mut each),
        }
    }

    /// Gives the entries of all leaves below a page. `left`: how many pages may still be read. Each belongs to one place, so whoever
    /// wants more of them than the file has goes round in a circle.
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
        let pages = (bytes.len() / self.page) as u64;
        *left = left.checked_sub(pages).ok_or_else(circle)?;
        match number(&bytes, 8, 2)? as u16 {
            LEAF => entries(&bytes, each),
            BRANCH => {
                let count = number(&bytes, 10, 2)? as usize;
                let below = (0..count).map(|at| number(&bytes, HEADER + at * ENTRY + 8, 8));
                let below: Vec<_> = below.collect::<Result<_, _>>()?;
                // Not kept while what is below is read.
                drop(bytes);
                let mut below = below.into_iter();
                below.try_for_each(|page| self.follow(page, depth + 1, left, each))
            }
            other => Err(format!("its page {page} is of no known kind ({other})")),
        }
    }

    /// A page, with those after it that belong to it.
    fn read(&self, page: u64) -> Result<Vec<u8>, String> {
        let broken = || format!("its page {page} is missing");
        let start = page.checked_mul(self.page as u64).ok_or_else(broken)?;
        let mut header = [0; HEADER];
        let read = self.file.read_exact_at(&mut header, start);
        read.map_err(|_| broken())?;
        let more = number(&header, 12, 4)?;
        let length = (more + 1).saturating_mul(self.page as u64);
        if page + more >= self.pages || length > LONGEST as u64 {
            return Err(broken());
        }
        let mut bytes = vec![0; length as usize];
        let read = self.file.read_exact_at(&mut bytes, start);
        read.map_err(|_| broken())?;
        Ok(bytes)
    }
}

/// Gives the entries of a leaf, in which no two have a byte in common.
fn entries(page: &[u8], each: EachEntry<'_>) -> Result<(), String> {
    let mut left = page.len();
    for at in 0..number(page, 10, 2)? as usize {
        let entry = HEADER + at * ENTRY;
        let field = |offset: usize| number(page, entry + offset, 4);
        let (flags, place) = (field(0)? as u32, field(4)? as usize);
        let (key, value) = (field(8)? as usize, field(12)? as usize);
        left = left.checked_sub(key + value).ok_or(BROKEN)?;
        let begin = entry + place;
        let part = |from: usize, length: usize| page.get(from..from + length).ok_or(BROKEN);
        each(flags, part(begin, key)?, part(begin + key, value)?)?;
    }
    Ok(())
}

const BROKEN: &str = "one of its pages is broken";

/// A number of so many bytes, the least first.
fn number(bytes: &[u8], at: usize, length: usize) -> Result<u64, &'static str> {
    let bytes = bytes.get(at..at + length).ok_or(BROKEN)?;
    let digits = bytes.iter().rev();
    Ok(digits.fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
}

/// Whether the page that says where all begins is what was written: it bears its own check sum (64-bit FNV-1a).
fn is_whole(meta: &[u8]) -> bool {
    let sum = meta[..META]
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    let is = |at, length, wanted| number(meta, at, length) == Ok(wanted);
    is(0, 4, u64::from(MAGIC)) && is(4, 4, u64::from(VERSION)) && is(META, 8, sum)
}
