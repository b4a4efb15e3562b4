//! Which names stand for secrets, and which values can't be any.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::LazyLock;

use regex::Regex;

use super::REMOVED;
use crate::validate::known_values;

/// What a name says of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// It is a secret.
    Secret,
    /// It may be one.
    Doubtful,
    /// Nothing.
    Other,
}

/// What this name says.
pub fn name(name: &str) -> Name {
    let lower = name.to_ascii_lowercase();
    let joined = lower.replace(['-', '_', '.'], "");
    let is_place = ["path", "file", "dir", "name", "url"]
        .iter()
        .any(|end| joined.ends_with(end));
    let mut words = lower.split(['-', '_', '.']);
    let doubtful = words.any(|word| DOUBTFUL.iter().any(|end| word.ends_with(end)));
    match SECRET.iter().any(|word| joined.contains(word)) {
        _ if is_place => Name::Other,
        true => Name::Secret,
        false if doubtful || lower.ends_with("auth") => Name::Doubtful,
        false => Name::Other,
    }
}

/// Parts of names that stand for secrets.
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

/// How words end that may stand for secrets: as a key of encryption, or the name of a login.
const DOUBTFUL: [&str; 11] = [
    "key", "keys", "pass", "pwd", "psk", "auth", "cred", "creds", "peer", "peers", "login",
];

/// Words that are values of settings, too.
pub fn is_ordinary(text: &str) -> bool {
    let word = text.to_ascii_lowercase();
    [
        "true", "false", "none", "null", "auto", "default", "secret", "token", "password", REMOVED,
    ]
    .contains(&word.as_str())
}

/// Whether a value can't be a secret, whatever it stands under: a truth value, a number, a version, a size or a time, addresses, or a
/// word that Kubespray knows.
pub fn is_harmless(text: &str) -> bool {
    static FORMS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let number = r"[0-9]{1,9}(?:\.[0-9]{1,9})?(?:m|s|h|d|[kKMGT]i?[bB]?|%)?";
        let version = r"v?[0-9]{1,4}(?:\.[0-9]{1,9}){1,3}(?:-[a-z]{1,5}\.?[0-9]{0,3})?";
        Regex::new(&format!(r"^(?:{number}|{version})$")).ok()
    });
    static WORDS: LazyLock<BTreeSet<&str>> =
        LazyLock::new(|| known_values().chain(WORDS_OF_OURS).collect());
    let text = text.trim();
    let parts = || text.split([',', '-', ' ']).filter(|part| !part.is_empty());
    text.is_empty()
        || WORDS.contains(text)
        || FORMS.as_ref().is_some_and(|forms| forms.is_match(text))
        || (parts().count() > 0 && parts().all(is_address))
}

/// Values that are no secret, besides those that `validate` knows.
const WORDS_OF_OURS: [&str; 30] = [
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

/// An address, with or without the length of a prefix.
fn is_address(text: &str) -> bool {
    let (address, length) = text.split_once('/').unwrap_or((text, "0"));
    address.parse::<IpAddr>().is_ok() && length.parse::<u8>().is_ok()
}

/// Whether this is a path or the name of an option, as no secret is.
pub fn is_plain(text: &str) -> bool {
    let path = text.strip_prefix('/');
    let steps = |path: &str| {
        let mut steps = path.split('/');
        steps.all(|step| step.len() <= 40 && !step.contains(['+', '=']))
    };
    let option = text.strip_prefix('-');
    let words = |option: &str| option.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    path.is_some_and(steps) || option.is_some_and(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_and_places_of_them_are_none() {
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
            assert_eq!(name(secret), Name::Secret, "{secret}");
        }
        for doubtful in [
            "vault_pass",
            "my_auth",
            "psk",
            "registry_creds",
            "cilium_ipsec_key",
            "kube_vip_bgppeers",
        ] {
            assert_eq!(name(doubtful), Name::Doubtful, "{doubtful}");
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
            assert_eq!(name(other), Name::Other, "{other}");
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
