//! ECDSA keys in OpenSSH's format whose private scalar begins with zeros.
//!
//! `ssh-keygen` writes no leading zeros (RFC 4251, section 5: mpint), and the library reads no scalar of less than 32 bytes.
//! Without [`padded`], one in 256 keys of the curve P-256 could not be read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
/// The first bytes of a key (OpenSSH, PROTOCOL.key).
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// The length of a scalar of P-256, in bytes.
const SCALAR: usize = 32;
/// The length of what precedes the strings of the private half: a random number, twice.
const CHECKS: usize = 8;

/// The same key with its scalar at full length; none if its scalar is not too short.
pub(super) fn padded(text: &str) -> Option<String> {
    let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let bytes = STANDARD.decode(body.split_whitespace().collect::<String>());
    let bytes = bytes.ok()?;
    let ([cipher, function, options], rest) = strings(bytes.strip_prefix(MAGIC)?)?;
    let one_key = 1_u32.to_be_bytes();
    let ([public, private], _) = strings(rest.strip_prefix(&one_key)?)?;
    let (checks, rest) = private.split_at_checked(CHECKS)?;
    let ([kind, curve, point, scalar, comment], _) = strings(rest)?;
    if cipher != b"none" || kind != b"ecdsa-sha2-nistp256" || scalar.len() >= SCALAR {
        return None;
    }
    let mut full = vec![0; SCALAR - scalar.len()];
    full.extend(scalar);
    let mut private = checks.to_vec();
    private.extend(joined(&[kind, curve, point, &full, comment]));
    // Padded to blocks of 8 bytes with 1, 2, 3, …
    private.extend((1_u8..8).take(private.len().next_multiple_of(8) - private.len()));
    let parts = [
        MAGIC,
        &joined(&[cipher, function, options]),
        &one_key,
        &joined(&[public, &private]),
    ];
    Some(format!(
        "{BEGIN}\n{}\n{END}\n",
        STANDARD.encode(parts.concat())
    ))
}

/// The first `N` strings, each preceded by its length, and the bytes that follow them.
fn strings<const N: usize>(mut bytes: &[u8]) -> Option<([&[u8]; N], &[u8])> {
    let mut strings = [&[][..]; N];
    for string in &mut strings {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        (*string, bytes) = rest.split_at_checked(length)?;
    }
    Some((strings, bytes))
}

/// These strings, each preceded by its length.
fn joined(strings: &[&[u8]]) -> Vec<u8> {
    let length = |string: &[u8]| u32::try_from(string.len()).unwrap_or(u32::MAX);
    let with_length = |string: &&[u8]| [&length(string).to_be_bytes(), *string].concat();
    strings.iter().flat_map(with_length).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Made by `ssh-keygen -t ecdsa`, with a scalar of 31 bytes. It is used nowhere else.
    const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNlY2RzYS
1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQRbcZXPggctBQnodBWtvxQRalHygJkR
ZqsTba1J96JKFZkSJ8DuY9yWuohjm6HDQPdDc7zLIqQlFlOhngkWUY04AAAAoPaZyiz2mc
osAAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFtxlc+CBy0FCeh0
Fa2/FBFqUfKAmRFmqxNtrUn3okoVmRInwO5j3Ja6iGObocNA90NzvMsipCUWU6GeCRZRjT
gAAAAfIDK3pC9yqjT8BlpqVJbt4PbJSRZZpGSfNBTUSlROXQAAAAR0ZXN0AQIDBAU=
-----END OPENSSH PRIVATE KEY-----
";
    const PUBLIC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFtxlc+CBy0FCeh0Fa2/FBFqUfKAmRFmqxNtrUn3okoVmRInwO5j3Ja6iGObocNA90NzvMsipCUWU6GeCRZRjTg= test";

    #[test]
    fn a_number_that_begins_with_zeros_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, KEY).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let key = super::super::private_key::read(&path).unwrap().key;
        let public = russh::keys::PublicKey::from_openssh(PUBLIC).unwrap();
        assert_eq!(key.public_key().key_data(), public.key_data());
    }

    #[test]
    fn what_is_wrong_otherwise_stays_so() {
        assert_eq!(padded(""), None);
        assert_eq!(padded(&KEY.replace("AAAA", "AAA")), None);
        let cut = KEY.replace("AAAAR0ZXN0AQIDBAU=", "");
        assert_eq!(padded(&cut), None);
    }
}
