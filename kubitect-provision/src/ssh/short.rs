//! ECDSA keys whose number begins with zeros, in OpenSSH's form.
//!
//! `ssh-keygen` writes no leading zeros (RFC 4251, section 5: mpint), and the library reads no number of less than 32 bytes: of
//! P-256 keys one in 256 would be none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
/// What a key begins with (OpenSSH, PROTOCOL.key).
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// The bytes of a number of P-256.
const NUMBER: usize = 32;
/// What lies before the strings of the private half: a random number, twice.
const CHECKS: usize = 8;

/// The same key with its number in full; none where this is not what is wrong with it.
pub(super) fn padded(text: &str) -> Option<String> {
    let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let bytes = STANDARD.decode(body.split_whitespace().collect::<String>());
    let bytes = bytes.ok()?;
    let ([cipher, function, options], rest) = strings(bytes.strip_prefix(MAGIC)?)?;
    let one = 1_u32.to_be_bytes();
    let ([public, private], _) = strings(rest.strip_prefix(&one)?)?;
    let (checks, rest) = private.split_at_checked(CHECKS)?;
    let ([kind, curve, point, number, comment], _) = strings(rest)?;
    if cipher != b"none" || kind != b"ecdsa-sha2-nistp256" || number.len() >= NUMBER {
        return None;
    }
    let mut whole = vec![0; NUMBER - number.len()];
    whole.extend(number);
    let mut private = checks.to_vec();
    private.extend(joined(&[kind, curve, point, &whole, comment]));
    // Filled up to blocks of 8 bytes: 1, 2, 3, …
    private.extend((1_u8..8).take(private.len().next_multiple_of(8) - private.len()));
    let parts = [
        MAGIC,
        &joined(&[cipher, function, options]),
        &one,
        &joined(&[public, &private]),
    ];
    Some(format!(
        "{BEGIN}\n{}\n{END}\n",
        STANDARD.encode(parts.concat())
    ))
}

/// So many strings, each with its length before it, and what follows them.
fn strings<const N: usize>(mut bytes: &[u8]) -> Option<([&[u8]; N], &[u8])> {
    let mut strings = [&[][..]; N];
    for string in &mut strings {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        (*string, bytes) = rest.split_at_checked(length)?;
    }
    Some((strings, bytes))
}

/// These strings, each with its length before it.
fn joined(strings: &[&[u8]]) -> Vec<u8> {
    let length = |string: &[u8]| u32::try_from(string.len()).unwrap_or(u32::MAX);
    let of = |string: &&[u8]| [&length(string).to_be_bytes(), *string].concat();
    strings.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// By `ssh-keygen -t ecdsa`, whose number has 31 bytes. It opens nothing.
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
