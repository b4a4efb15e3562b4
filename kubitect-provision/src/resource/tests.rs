//! What lies in the marks of living networks and machines.

use super::*;

/// These digests lie in the marks of living networks and machines. Whoever changes one asks people to make theirs anew.
#[test]
fn golden_digests_of_marks() {
    let network = Network {
        name: "c-network".to_owned(),
        cluster: "c".parse().unwrap(),
        forward: Forward::Nat,
        bridge: None,
        cidr: "10.9.0.0/24".parse().unwrap(),
        gateway: Ipv4Addr::new(10, 9, 0, 1),
        dynamic: vec![(Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(10, 9, 0, 9))],
        service_ranges: vec![(Ipv4Addr::new(10, 9, 0, 3), Ipv4Addr::new(10, 9, 0, 4))],
        reservations: Vec::new(),
    };
    let text = r#"{"name":"c-network","cluster":"c","forward":"nat","bridge":null,"cidr":"10.9.0.0/24","gateway":"10.9.0.1","dynamic":[["10.9.0.2","10.9.0.9"]]}"#;
    assert_eq!(network.mark().digest, sha256(text.as_bytes()));

    let domain = machine();
    let text = format!(
        r#"[{{"virt":"auto","cpu":"custom"}},"{}",{{"network":"c-network"}},"/pools/c-main-resource-pool/c-master-1-console.log"]"#,
        domain.mac
    );
    assert_eq!(domain.mark().digest, sha256(text.as_bytes()));
}

fn machine() -> Domain {
    Domain {
        name: "c-master-1".parse().unwrap(),
        cluster: "c".parse().unwrap(),
        asked: Asked {
            virt: VirtType::Auto,
            cpu: CpuMode::Custom,
        },
        virt: "kvm".to_owned(),
        arch: "x86_64".to_owned(),
        cpu: Cpu {
            mode: CpuMode::Custom,
            model: None,
        },
        equivalent_modes: vec![CpuMode::Custom],
        vcpus: 2,
        max_vcpus: 8,
        memory_mib: 2048,
        disks: Vec::new(),
        mac: Mac::derived("c-master-1"),
        link: Link::Network("c-network".to_owned()),
        address: None,
        console: "/pools/c-main-resource-pool/c-master-1-console.log".into(),
        note: None,
        detached: Vec::new(),
    }
}

/// Paths that are no UTF-8 are not to be had as JSON.
#[test]
fn what_can_t_be_written_for_a_digest_is_like_nothing_else() {
    use std::os::unix::ffi::OsStrExt;
    let digests: std::collections::BTreeSet<_> = [b"/a/\xff", b"/b/\xff"]
        .map(|path| {
            let console = PathBuf::from(std::ffi::OsStr::from_bytes(path));
            Domain {
                console,
                ..machine()
            }
            .mark()
            .digest
        })
        .into();
    assert_eq!(digests.len(), 2);
    assert!(!digests.contains(&sha256(b"")));
}
