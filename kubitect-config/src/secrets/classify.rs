//! Which keys name secrets, and which values can't be secrets.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;

use super::REMOVED;
use crate::validate::known_values;

/// What a key says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMeaning {
    /// The value is a secret.
    Secret,
    /// The value may be a secret.
    Doubtful,
    /// The key says nothing about it.
    Other,
}

/// What this key says about its value.
pub fn key_meaning(key: &str) -> KeyMeaning {
    let lower = key.to_ascii_lowercase();
    let joined = lower.replace(['-', '_', '.'], "");
    // The key of a path or name, as `privateKeyPath`: that is no secret itself.
    let is_reference = ["path", "file", "dir", "name", "url"]
        .iter()
        .any(|end| joined.ends_with(end));
    let mut words = lower.split(['-', '_', '.']);
    let doubtful = words.any(|word| DOUBTFUL.iter().any(|end| word.ends_with(end)));
    match SECRET.iter().any(|word| joined.contains(word)) {
        _ if is_reference => KeyMeaning::Other,
        true => KeyMeaning::Secret,
        false if doubtful || lower.ends_with("auth") => KeyMeaning::Doubtful,
        false => KeyMeaning::Other,
    }
}

/// Parts of keys that name secrets.
const SECRET: [&str; 17] = [
    "password",
    "passwd",
    "passphrase",
    "peerpass",
    "secret",
    "token",
    "credential",
    "apikey",
    "authkey",
    "accesskey",
    "activationkey",
    "privatekey",
    "certificatekey",
    "encryptionkey",
    "keydata",
    "certificatedata",
    "registryauth",
];

/// Endings of words in keys that may name secrets, as the key of an encryption or a login.
const DOUBTFUL: [&str; 11] = [
    "key", "keys", "pass", "pwd", "psk", "auth", "cred", "creds", "peer", "peers", "login",
];

/// Whether a text is a common value of settings: it is not remembered as a secret, as it would be removed from every other text.
pub fn is_ordinary(text: &str) -> bool {
    let word = text.to_ascii_lowercase();
    [
        "true", "false", "none", "null", "auto", "default", "secret", "token", "password", REMOVED,
    ]
    .contains(&word.as_str())
}

/// Whether a value can't be a secret, whatever its key is: a truth value, a number, a version, a size, a time, addresses, or a
/// word that Kubespray has for a setting.
pub fn is_harmless(text: &str) -> bool {
    static FORMS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let number = r"[0-9]{1,9}(?:\.[0-9]{1,9})?(?:m|s|h|d|[kKMGT]i?[bB]?|%)?";
        let version = r"v?[0-9]{1,4}(?:\.[0-9]{1,9}){1,3}(?:-[a-z]{1,5}\.?[0-9]{0,3})?";
        Regex::new(&format!(r"^(?:{number}|{version})$")).ok()
    });
    static WORDS: LazyLock<BTreeSet<&str>> =
        LazyLock::new(|| known_values().chain(HARMLESS).collect());
    let text = text.trim();
    let parts = || text.split([',', '-', ' ']).filter(|part| !part.is_empty());
    text.is_empty()
        || WORDS.contains(text)
        || FORMS.as_ref().is_some_and(|forms| forms.is_match(text))
        || (parts().count() > 0 && parts().all(is_address))
}

/// Values that are no secrets, in addition to those that `validate` has for settings.
const HARMLESS: [&str; 30] = [
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "none",
    "null",
    "auto",
    "default",
    "present",
    "absent",
    "Node",
    "RBAC",
    "Webhook",
    "calico",
    "cilium",
    "flannel",
    "kube-router",
    "kube-ovn",
    "weave",
    "macvlan",
    "containerd",
    "crio",
    "docker",
    "systemd",
    "cgroupfs",
    "coredns",
    "nodelocaldns",
    "cluster.local",
];

/// Whether a text is an IP address, with or without a prefix length.
fn is_address(text: &str) -> bool {
    let (address, length) = text.split_once('/').unwrap_or((text, "0"));
    address.parse::<IpAddr>().is_ok() && length.parse::<u8>().is_ok()
}

/// Whether a text is a path or the name of an option, which no secret is.
pub fn is_plain(text: &str) -> bool {
    let path = text.strip_prefix('/');
    let is_path = |path: &str| {
        let mut segments = path.split('/');
        segments.all(|segment| segment.len() <= 40 && !segment.contains(['+', '=']))
    };
    let option = text.strip_prefix('-');
    let is_option = |option: &str| option.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    path.is_some_and(is_path) || option.is_some_and(is_option)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_secrets_are_found_and_those_of_their_files_are_not() {
        for secret in [
            "docker_password",
            "kube_token",
            "registryAuth",
            "clientSecret",
            "client-key-data",
            "API_KEY",
            "external_oracle_auth_key",
            "rh_subscription_activation_key",
            "kube_vip_bgp_peerpass",
        ] {
            assert_eq!(key_meaning(secret), KeyMeaning::Secret, "{secret}");
        }
        for doubtful in [
            "vault_pass",
            "my_auth",
            "psk",
            "registry_creds",
            "cilium_ipsec_key",
            "kube_vip_bgppeers",
        ] {
            assert_eq!(key_meaning(doubtful), KeyMeaning::Doubtful, "{doubtful}");
        }
        for other in [
            "privateKeyPath",
            "token_file",
            "keyfile",
            "name",
            "kube_version",
            "secret_name",
            "authorization_modes",
        ] {
            assert_eq!(key_meaning(other), KeyMeaning::Other, "{other}");
        }
    }

    #[test]
    fn a_value_is_harmless_only_if_it_can_not_be_a_secret() {
        for text in [
            "",
            "true",
            "17",
            "0.5",
            "512Mi",
            "30s",
            "v1.35.4",
            "10.0.0.0/8",
            "fd00::1",
            "10.0.0.1-10.0.0.9",
            "ipvs",
        ] {
            assert!(is_harmless(text), "{text}");
        }
        for text in [
            "hunter2",
            "v1.secret",
            "1234567890123",
            "10.0.0.1:pass",
            "dead-beef",
            "e30=",
        ] {
            assert!(!is_harmless(text), "{text}");
        }
    }
}
