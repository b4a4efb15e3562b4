//! What Kubespray's releases do to etcd and to the API when a master joins: which cannot do it, and what pauses meanwhile.

use std::net::Ipv4Addr;

use kubitect_config::value::Version;
use kubitect_config::{Refusal, RefusalKind};

fn tag(minor: u64, patch: u64) -> Version {
    Version::new((2, minor), patch)
}

/// Why no master can join with this release, if that is so, whoever it is.
///
/// v2.28.0 puts quotation marks into the new member's `ETCD_INITIAL_CLUSTER`, which etcd refuses, after it has announced the
/// member: a cluster of one loses its majority for good (Kubespray's issue 12249).
pub fn refused(release: &Version) -> Option<Refusal> {
    (*release == tag(28, 0)).then(|| {
        let why = format!(
            "Kubespray {release} can't add a member to etcd (its issue 12249), and a cluster of one master would lose its etcd \
             with the try"
        );
        let instead = "set kubernetes.kubespray.version to v2.28.1, apply that alone, and then let masters join";
        Refusal::new(RefusalKind::Joining, why, instead)
    })
}

/// Why the machine with this address can't join the members at these with this release, if that is so.
///
/// Up to v2.22.2 Kubespray looks for an address in the list of members without its end: `192.168.113.10` is found in
/// `192.168.113.101`, counts as a member, and is never added.
pub fn hidden(release: &Version, joins: Ipv4Addr, members: &[Ipv4Addr]) -> Option<Refusal> {
    if *release > tag(22, 2) {
        return None;
    }
    let begin = joins.to_string();
    let is_hidden =
        |member: &&Ipv4Addr| **member != joins && member.to_string().starts_with(&begin);
    members.iter().find(is_hidden).map(|member| {
        let why = format!(
            "Kubespray {release} takes the address {joins} for that of the etcd member {member}, which begins with it, and would \
             never add it"
        );
        let instead = "give the joining master another address, or upgrade to v2.23.0 or later first";
        Refusal::new(RefusalKind::Joining, why, instead)
    })
}

/// What pauses while a master joins, by what the release restarts at once: etcd's members get new certificates and a new list
/// of members with each run on the masters. The seconds follow from Kubespray's election timeout of 5 s and from the restart
/// of a static pod.
pub fn pauses(release: &Version) -> &'static str {
    if *release < tag(24, 0) {
        "etcd and all API servers restart at once meanwhile, and don't answer for up to 60 s"
    } else if *release < tag(27, 0) {
        "etcd's members restart at once meanwhile, and take no changes for 5 to 15 s"
    } else {
        "etcd's members restart meanwhile, half of them at a time, and may take no changes for 5 to 15 s"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_config::release;

    #[test]
    fn one_release_of_all_can_not_add_a_member() {
        let refusing: Vec<_> = release::all()
            .iter()
            .filter_map(|release| refused(&release.tag))
            .collect();
        assert_eq!(refusing.len(), 1, "{refusing:?}");
        for part in ["v2.28.0", "12249", "v2.28.1"] {
            assert!(refusing[0].to_string().contains(part), "{refusing:?}");
        }
    }

    #[test]
    fn an_address_that_begins_another_is_refused_where_it_would_be_mistaken() {
        let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let members = [ip("192.168.113.101"), ip("192.168.113.12")];
        let old = "v2.22.2".parse().unwrap();
        let why = hidden(&old, ip("192.168.113.10"), &members).unwrap();
        assert!(why.why.contains("192.168.113.101"), "{why}");
        assert_eq!(hidden(&old, ip("192.168.113.101"), &members), None);
        assert_eq!(hidden(&old, ip("192.168.113.13"), &members), None);
        // The longer one is found nowhere in the shorter.
        assert_eq!(hidden(&old, ip("192.168.113.120"), &members), None);
        let new = "v2.23.0".parse().unwrap();
        assert_eq!(hidden(&new, ip("192.168.113.10"), &members), None);
    }

    #[test]
    fn what_pauses_is_said_as_the_releases_do_it() {
        let all_at_once = |tag: &str| !pauses(&tag.parse().unwrap()).contains("half of them");
        let api_servers = |tag: &str| pauses(&tag.parse().unwrap()).contains("API servers");
        assert!(all_at_once("v2.19.0") && api_servers("v2.23.3"));
        assert!(all_at_once("v2.26.1") && !api_servers("v2.24.0"));
        assert!(!all_at_once("v2.27.0") && !all_at_once("v2.31.0"));
    }
}
