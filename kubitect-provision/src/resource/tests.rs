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
        given_out: vec![(Ipv4Addr::new(10, 9, 0, 3), Ipv4Addr::new(10, 9, 0, 4))],
        reservations: Vec::new(),
    };
    let text = r#"{"name":"c-network","cluster":"c","forward":"nat","bridge":null,"cidr":"10.9.0.0/24","gateway":"10.9.0.1","dynamic":[["10.9.0.2","10.9.0.9"]]}"#;
    assert_eq!(network.mark().digest, sha256(text.as_bytes()));

    let domain = Domain {
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
        same_cpu: vec![CpuMode::Custom],
        vcpus: 2,
        max_vcpus: 8,
        memory_mib: 2048,
        disks: Vec::new(),
        mac: Mac::derived("c-master-1"),
        link: Link::Network("c-network".to_owned()),
        address: None,
        console: "/pools/c-main-resource-pool/c-master-1-console.log".into(),
        note: None,
        gone: Vec::new(),
    };
    let text = format!(
        r#"[{{"virt":"auto","cpu":"custom"}},"{}",{{"network":"c-network"}},"/pools/c-main-resource-pool/c-master-1-console.log"]"#,
        domain.mac
    );
    assert_eq!(domain.mark().digest, sha256(text.as_bytes()));
}
