//! SHA-256 digests, as lower-case hexadecimal digits.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// The digest of a value's JSON.
pub fn of(value: &impl Serialize) -> Result<String, serde_json::Error> {
    serde_json::to_vec(value).map(|text| sha256(&text))
}

/// The digest of bytes.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_t_be_written_has_no_digest() {
        use std::os::unix::ffi::OsStrExt;
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(b"\xff"));
        assert!(of(&path).is_err());
        assert_ne!(of(&"").unwrap(), sha256(b""));
    }
}
