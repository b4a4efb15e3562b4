//! [`BoundedBuffer`]: a limit on what is read from a volume that a guest can write to; the bytes beyond it are dropped.

use std::io::{Result, Write};

/// Stores the first bytes that are written into it.
pub(crate) struct BoundedBuffer {
    pub bytes: Vec<u8>,
    limit: usize,
}

impl BoundedBuffer {
    /// A buffer that stores at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }
}

impl Write for BoundedBuffer {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let room = self.limit - self.bytes.len();
        let stored = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(stored);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_dropped() {
        let mut bounded = BoundedBuffer::new(5);
        for piece in [&b"abc"[..], b"def", b"", b"ghi"] {
            bounded.write_all(piece).unwrap();
        }
        assert_eq!(bounded.bytes, b"abcde");
    }
}
