//! The join of a master with each Kubespray release: which releases fail at it, and what it interrupts.

use std::net::Ipv4Addr;

use kubitect_config::value::Version;
use kubitect_config::{Refusal, RefusalKind};

fn tag(minor: u64, patch: u64) -> Version {
    Version::new((2, minor), patch)
}

/// The refusal if no master can join with this release.
///
/// v2.28.0 adds the new member to etcd, and then writes its `ETCD_INITIAL_CLUSTER` with quotation marks, with which etcd does not
/// start (Kubespray's issue 12249). A cluster of one master loses the majority by this, and without a majority the member can't
/// be removed.
pub fn release_refusal(release: &Version) -> Option<Refusal> {
    (*release == tag(28, 0)).then(|| {
        let why = format!(
            "Kubespray {release} can't add a member to etcd (its issue 12249), and a cluster of one master would lose its etcd \
             with the try"
        );
        let instead = "set kubernetes.kubespray.version to v2.28.1, apply that alone, and then let masters join";
        Refusal::new(RefusalKind::Joining, why, instead)
    })
}

/// The refusal if this release would not add the machine with the address `joins` to the etcd members at `members`.
///
/// Up to v2.22.2 Kubespray searches the list of members for the address as text: it finds `192.168.113.10` in `192.168.113.101`,
/// takes it for a member, and never adds it.
pub fn address_refusal(
    release: &Version,
    joins: Ipv4Addr,
    members: &[Ipv4Addr],
) -> Option<Refusal> {
    if *release > tag(22, 2) {
        return None;
    }
    let begin = joins.to_string();
    let is_mistaken =
        |member: &&Ipv4Addr| **member != joins && member.to_string().starts_with(&begin);
    members.iter().find(is_mistaken).map(|member| {
        let why = format!(
            "Kubespray {release} takes the address {joins} for that of the etcd member {member}, which begins with it, and would \
             never add it"
        );
        let instead = "give the joining master another address, or upgrade to v2.23.0 or later first";
        Refusal::new(RefusalKind::Joining, why, instead)
    })
}

/// What the join of the second master interrupts, as text: of two members both are needed for a majority. Seen with v2.31.0 on
/// emulated machines: twice, 46 s and 59 s.
pub const SECOND_MEMBER: &str = "etcd and the API don't answer from the announcement of etcd's second member until it serves, and while \
     the two restart";

/// What the join of a further master interrupts, and for how long, as text. Each run on the masters gives etcd's members new
/// certificates and a new list of members, for which they restart; the release decides how many at once. The seconds follow from Kubespray's
/// election timeout of 5 s and from the time in which a static pod restarts.
pub fn interruption(release: &Version) -> &'static str {
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
            .filter_map(|release| release_refusal(&release.tag))
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
        let why = address_refusal(&old, ip("192.168.113.10"), &members).unwrap();
        assert!(why.why.contains("192.168.113.101"), "{why}");
        assert_eq!(address_refusal(&old, ip("192.168.113.101"), &members), None);
        assert_eq!(address_refusal(&old, ip("192.168.113.13"), &members), None);
        // A longer address is not found in a shorter one.
        assert_eq!(address_refusal(&old, ip("192.168.113.120"), &members), None);
        let new = "v2.23.0".parse().unwrap();
        assert_eq!(address_refusal(&new, ip("192.168.113.10"), &members), None);
    }

    #[test]
    fn what_pauses_is_said_as_the_releases_do_it() {
        let all_at_once = |tag: &str| !interruption(&tag.parse().unwrap()).contains("half of them");
        let api_servers = |tag: &str| interruption(&tag.parse().unwrap()).contains("API servers");
        assert!(all_at_once("v2.19.0") && api_servers("v2.23.3"));
        assert!(all_at_once("v2.26.1") && !api_servers("v2.24.0"));
        assert!(!all_at_once("v2.27.0") && !all_at_once("v2.31.0"));
    }
}
