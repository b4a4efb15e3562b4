//! Private keys that users name: which of them work, and the command that repairs one that does not.
//!
//! RSA, ECDSA and ed25519 keys work, in OpenSSH's format, in PEM (PKCS#1, SEC1) and in PKCS#8. A format that the `ssh` of this
//! machine may not read is converted to OpenSSH's for it: [`for_ssh`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{PrivateKey, PublicKey};

use crate::error::Error;
use crate::file;
use crate::ssh::{quote, short_ecdsa};

/// The largest file that is read for a key, in bytes; an RSA key of 16,384 bits has a fifth of it.
const MAX_BYTES: u64 = 64 << 10;
/// The shortest RSA key, in bits: current servers accept no shorter one.
const RSA_MIN: usize = 2048;

/// The object identifier of a DSA key in PKCS#8 (RFC 3279, section 2.3.2).
const DSA_IN_PKCS8: &str = "1.2.840.10040.4.1";
const DSA: &str = "a DSA key, which no current server lets in";

/// Why a key can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, as "it has a passphrase".
    pub what: String,
    /// What to do about it, with the command.
    pub help: String,
    /// Whether the reason is a passphrase: then an agent may hold the key.
    pub passphrase: bool,
}

impl Fault {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: help.into(),
            passphrase: false,
        }
    }
}

/// A key that works.
pub(super) struct UsableKey {
    /// The key.
    pub key: PrivateKey,
    /// Whether every release of OpenSSH reads its file as it is.
    pub ssh_reads: bool,
}

/// Why the key in a file can't be used; none: it works.
pub fn fault(path: &Path) -> Option<Fault> {
    check(path).err()
}

/// The key in a file.
pub(super) fn read(path: &Path) -> Result<UsableKey, Error> {
    check(path).map_err(|Fault { what, help, .. }| Error::Key {
        path: path.to_owned(),
        help: format!("{what}; {help}"),
        source: None,
    })
}

/// The file from which `ssh` reads the key that is in `path`: the same file, or a converted copy in memory that ends with this
/// process. For a key that does not work it is `path`. A key that was replaced since the last call is converted again.
pub fn for_ssh(path: &Path) -> Result<PathBuf, Error> {
    static CONVERTED: Mutex<BTreeMap<PathBuf, (PublicKey, File)>> = Mutex::new(BTreeMap::new());
    let Ok(UsableKey {
        key,
        ssh_reads: false,
    }) = check(path)
    else {
        return Ok(path.to_owned());
    };
    let mut converted = CONVERTED.lock().unwrap_or_else(PoisonError::into_inner);
    let is_same_key = |(public, _): &(PublicKey, File)| public == key.public_key();
    if !converted.get(path).is_some_and(is_same_key) {
        let in_memory = || -> std::io::Result<File> {
            let flags = rustix::fs::MemfdFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::memfd_create("kubitect-key", flags)?);
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            let text = key
                .to_openssh(LineEnding::LF)
                .map_err(std::io::Error::other)?;
            file.write_all(text.as_bytes())?;
            Ok(file)
        };
        let file = in_memory().map_err(file::error("convert the key", path))?;
        converted.insert(path.to_owned(), (key.public_key().clone(), file));
    }
    let descriptor = converted.get(path).map(|(_, file)| file.as_raw_fd());
    let descriptor = descriptor.unwrap_or_default();
    Ok(format!("/proc/{}/fd/{descriptor}", std::process::id()).into())
}

fn check(path: &Path) -> Result<UsableKey, Fault> {
    let (text, mode) = text(path)?;
    let result = decoded(path, &text);
    // The mode matters only for a private key: any other file may be open to others.
    let is_key = result.as_ref().err().is_none_or(|fault| fault.passphrase);
    if is_key && mode & 0o077 != 0 {
        return Err(Fault::new(
            format!("others may use it (mode {mode:04o}), so ssh ignores it"),
            format!("`chmod 600 {}` closes it", shell_word(path)),
        ));
    }
    let usable = result?;
    let public = public_path(path);
    let fits = |public: &PublicKey| public.key_data() == usable.key.public_key().key_data();
    match kubitect_config::file::read_text(&public).map(|text| PublicKey::from_openssh(text.trim()))
    {
        Ok(Ok(other)) if !fits(&other) => Err(Fault::new(
            format!(
                "its public half, {}, belongs to another key, which ssh would offer in its place",
                public.display()
            ),
            format!(
                "`ssh-keygen -y -f {} >{}` writes the right one",
                shell_word(path),
                shell_word(&public)
            ),
        )),
        // A missing or unreadable one does no harm: ssh derives it from the private half.
        _ => Ok(usable),
    }
}

/// The content of a file, and its mode.
fn text(path: &Path) -> Result<(String, u32), Fault> {
    let unread = |e: std::io::Error| {
        let help = format!(
            "name another, or `ssh-keygen -t ed25519 -N '' -f {}` makes one",
            shell_word(path)
        );
        Fault::new(format!("it can't be read ({e})"), help)
    };
    // Checked before it is opened: opening a pipe would wait for its other end.
    let metadata = path.metadata().map_err(unread)?;
    if !metadata.is_file() {
        return Err(Fault::new(
            "it is no file",
            "name the file of a private key",
        ));
    }
    let file = File::open(path).map_err(unread)?;
    let mode = metadata.permissions().mode() & 0o7777;
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(unread)?;
    match String::from_utf8(bytes) {
        Ok(text) if text.len() as u64 <= MAX_BYTES => Ok((text, mode)),
        _ => Err(unreadable(path)),
    }
}

fn decoded(path: &Path, text: &str) -> Result<UsableKey, Fault> {
    let has = |part: &str| text.contains(part);
    let begins = |prefixes: &[&str]| {
        prefixes
            .iter()
            .any(|prefix| text.trim_start().starts_with(prefix))
    };
    if begins(&["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"])
        || has("BEGIN PUBLIC KEY")
        || has("BEGIN SSH2 PUBLIC KEY")
    {
        return Err(Fault::new(
            "it is a public key",
            "name the private one, whose file is called the same without `.pub`",
        ));
    }
    if begins(&["PuTTY-User-Key-File-"]) {
        let made = path.with_extension("openssh");
        let help = format!(
            "`puttygen {} -O private-openssh -o {}` writes it in OpenSSH's; name that file",
            shell_word(path),
            shell_word(&made)
        );
        return Err(Fault::new("it is in PuTTY's form", help));
    }
    if has("BEGIN DSA PRIVATE KEY") {
        return Err(unsupported(DSA));
    }
    if has("BEGIN ENCRYPTED PRIVATE KEY") || has("Proc-Type: 4,ENCRYPTED") {
        return Err(encrypted(path));
    }
    let key =
        russh::keys::decode_secret_key(text, None).or_else(|error| {
            match short_ecdsa::padded(text) {
                Some(padded) => russh::keys::decode_secret_key(&padded, None),
                None => Err(error),
            }
        });
    let key = key.map_err(|error| match error {
        russh::keys::Error::KeyIsEncrypted => encrypted(path),
        russh::keys::Error::UnknownAlgorithm(kind) if kind.to_string() == DSA_IN_PKCS8 => {
            unsupported(DSA)
        }
        russh::keys::Error::UnknownAlgorithm(_) | russh::keys::Error::UnsupportedKeyType { .. } => {
            unsupported("of a kind that SSH does not have")
        }
        _ => unreadable(path),
    })?;
    let pkcs8_of_ed25519 = match key.key_data() {
        KeypairData::Ed25519(_) => has("BEGIN PRIVATE KEY"),
        KeypairData::Ecdsa(_) => false,
        KeypairData::Rsa(pair) => {
            let bits = bits(pair.public().n().as_positive_bytes().unwrap_or_default());
            if bits < RSA_MIN {
                return Err(unsupported(&format!(
                    "an RSA key of {bits} bits, and servers want {RSA_MIN} at least"
                )));
            }
            false
        }
        KeypairData::Encrypted(_) => return Err(encrypted(path)),
        KeypairData::Dsa(_) => return Err(unsupported(DSA)),
        KeypairData::SkEcdsaSha2NistP256(_) | KeypairData::SkEd25519(_) => {
            return Err(unsupported(
                "on a security key, which wants to be touched at each login",
            ));
        }
        _ => return Err(unsupported("of a kind that is not known here")),
    };
    // OpenSSH reads ed25519 in PKCS#8 from 9.6 on, and no file with CR line ends or with text before the key.
    let plain = text.starts_with("-----BEGIN ") && text.ends_with('\n') && !has("\r");
    Ok(UsableKey {
        key,
        ssh_reads: plain && !pkcs8_of_ed25519,
    })
}

fn bits(number: &[u8]) -> usize {
    let first = number
        .first()
        .map_or(0, |byte| byte.leading_zeros() as usize);
    number.len() * 8 - first
}

fn encrypted(path: &Path) -> Fault {
    Fault {
        passphrase: true,
        ..Fault::new(
            "it has a passphrase, which nobody can type here",
            format!(
                "name a key without one; `ssh-keygen -p -N '' -f {}` takes it off",
                shell_word(path)
            ),
        )
    }
}

fn unsupported(what: &str) -> Fault {
    Fault::new(
        format!("it is {what}"),
        "name another; `ssh-keygen -t ed25519 -N '' -f ~/.ssh/id_ed25519` makes one",
    )
}

fn unreadable(path: &Path) -> Fault {
    Fault::new(
        "it is no private key that can be read",
        format!(
            "it must be RSA, ECDSA or ed25519, in OpenSSH's form, PEM or PKCS#8; `ssh-keygen -y -f {}` says what ssh makes of it",
            shell_word(path)
        ),
    )
}

/// The file of a key's public half.
pub(super) fn public_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".pub");
    path.with_file_name(name)
}

/// A path as one word of a shell command, quoted if need be.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+~".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => quote::line(&[&text]).unwrap_or(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn runs(program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn what_ssh_does_not_read_it_gets_in_its_own_form() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let text = path.to_str().unwrap();
        runs(
            "openssl",
            &["genpkey", "-algorithm", "ed25519", "-out", text],
        );
        let other = for_ssh(&path).unwrap();
        assert!(other.starts_with("/proc"), "{}", other.display());
        assert_eq!(for_ssh(&path).unwrap(), other);
        let public = runs("ssh-keygen", &["-y", "-f", other.to_str().unwrap()]);
        let key = read(&path).unwrap().key;
        assert_eq!(
            PublicKey::from_openssh(public.trim()).unwrap().key_data(),
            key.public_key().key_data()
        );
        // After the key was replaced, ssh gets the new one.
        runs(
            "openssl",
            &["genpkey", "-algorithm", "ed25519", "-out", text],
        );
        let exchanged = for_ssh(&path).unwrap();
        let newer = runs("ssh-keygen", &["-y", "-f", exchanged.to_str().unwrap()]);
        assert_ne!(newer, public);
        // A key that ssh reads, and a file that is no key, are not converted.
        let plain = folder.path().join("plain");
        runs(
            "ssh-keygen",
            &[
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                plain.to_str().unwrap(),
            ],
        );
        std::fs::write(folder.path().join("broken"), "").unwrap();
        for path in [
            plain,
            folder.path().join("broken"),
            folder.path().join("none"),
        ] {
            assert_eq!(for_ssh(&path).unwrap(), path);
        }
    }
}
