//! [`Bounded`]: takes so many bytes of what a guest can write to, and drops the rest.

use std::io::{Result, Write};

/// The first bytes of what is written into it.
pub(crate) struct Bounded {
    pub bytes: Vec<u8>,
    most: usize,
}

impl Bounded {
    /// Takes at most this many bytes.
    pub fn new(most: usize) -> Self {
        Self {
            bytes: Vec::new(),
            most,
        }
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let room = self.most - self.bytes.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.bytes.extend_from_slice(taken);
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
        let mut bounded = Bounded::new(5);
        for piece in [&b"abc"[..], b"def", b"", b"ghi"] {
            bounded.write_all(piece).unwrap();
        }
        assert_eq!(bounded.bytes, b"abcde");
    }
}
