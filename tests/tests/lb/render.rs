//! The rendered files, as text to review.

use std::net::Ipv4Addr;

use kubitect_config::Site;
use kubitect_config::cluster::{API_FRONTEND, OWN_FRONTEND};
use kubitect_config::value::Name;
use kubitect_lb::{Error, render};

use crate::cluster::{cluster, forward_ports, label};

/// The example of the documentation is the cluster that these tests build by hand.
#[test]
fn the_example_gives_what_is_reviewed_here() {
    let text = include_str!("../../../examples/multi-master.yaml");
    let parsed = kubitect_config::parse(text, "multi-master.yaml", &Site::default()).unwrap();
    let (by_hand, facts) = cluster(1, 3, 3);
    let rendered = render(&parsed.cluster, &facts).unwrap();
    assert_eq!(rendered, render(&by_hand, &facts).unwrap());
}

#[test]
fn one_balancer_is_haproxy_alone() {
    let (cluster, facts) = cluster(1, 3, 3);
    let rendered = render(&cluster, &facts).unwrap();
    assert_eq!(rendered.len(), 1);
    assert_eq!(rendered[0].node, label("local-k8s-cluster-lb-1"));
    assert_eq!(rendered[0].keepalived, None);
    insta::assert_snapshot!(rendered[0].haproxy);
}

/// The names that the file has for itself are those that validation refuses for forwarded ports.
#[test]
fn no_forwarded_port_can_have_a_name_of_the_file_itself() {
    let (mut cluster, facts) = cluster(1, 3, 3);
    cluster.balancing.forward_ports = forward_ports();
    let file = &render(&cluster, &facts).unwrap()[0].haproxy;
    let kinds = ["frontend ", "backend ", "listen ", "resolvers ", "peers "];
    let names = file.lines().flat_map(|line| {
        let names = kinds.iter().filter_map(|kind| line.strip_prefix(kind));
        names.map(str::trim).collect::<Vec<_>>()
    });
    let ports = forward_ports();
    let mut own: Vec<_> = names
        .filter(|name| !ports.iter().any(|port| port.name.as_str() == *name))
        .filter(|name| name.parse::<Name>().is_ok())
        .collect();
    own.sort_unstable();
    own.dedup();
    assert_eq!(own, [API_FRONTEND, OWN_FRONTEND]);
}

#[test]
fn three_balancers_share_an_address() {
    let (mut cluster, facts) = cluster(3, 3, 3);
    cluster.balancing.forward_ports = forward_ports();
    let rendered = render(&cluster, &facts).unwrap();
    assert_eq!(rendered.len(), 3);
    insta::assert_snapshot!("three_balancers_haproxy", rendered[0].haproxy);
    for (i, balancer) in rendered.iter().enumerate() {
        let name = format!("three_balancers_keepalived_{}", i + 1);
        insta::assert_snapshot!(name, balancer.keepalived.as_ref().unwrap());
    }
}

#[test]
fn without_workers_their_ports_lead_to_the_masters() {
    let (mut cluster, facts) = cluster(1, 3, 0);
    cluster.balancing.forward_ports = forward_ports();
    insta::assert_snapshot!(render(&cluster, &facts).unwrap()[0].haproxy);
}

/// A second balancer may be added later; clients use the virtual address from the start.
#[test]
fn a_lone_balancer_holds_a_configured_address() {
    let (mut cluster, facts) = cluster(1, 1, 0);
    cluster.balancing.vip = Some(Ipv4Addr::new(192, 168, 113, 99));
    insta::assert_snapshot!(
        render(&cluster, &facts).unwrap()[0]
            .keepalived
            .as_ref()
            .unwrap()
    );
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (mut cluster, facts) = cluster(3, 5, 7);
    cluster.balancing.forward_ports = forward_ports();
    let first = render(&cluster, &facts).unwrap();
    assert_eq!(first, render(&cluster, &facts).unwrap());
    // The digest changes with the text.
    cluster.balancing.forward_ports[0].target_port += 1;
    let digest = |text: &str| {
        let line = text.lines().find(|line| line.contains("show-desc"));
        line.unwrap().to_owned()
    };
    let second = render(&cluster, &facts).unwrap();
    assert_ne!(digest(&first[0].haproxy), digest(&second[0].haproxy));
}

#[test]
fn a_node_without_facts_is_named() {
    let (cluster, mut facts) = cluster(1, 3, 0);
    facts.nodes.retain(|node| node.id != label("2"));
    let error = render(&cluster, &facts).unwrap_err();
    assert!(
        matches!(&error, Error::NoFacts { node } if *node == label("local-k8s-cluster-master-2"))
    );
}

#[test]
fn an_interface_that_would_inject_is_refused() {
    for name in [
        "",
        "eth0 {",
        "eth0\nglobal_defs",
        "averylonginterface",
        "!x",
        "ünder",
    ] {
        let (mut cluster, facts) = cluster(3, 3, 0);
        cluster.guest.interface = name.into();
        let error = render(&cluster, &facts).unwrap_err();
        assert!(
            matches!(error, Error::Interface { .. }),
            "{name:?}: {error}"
        );
    }
}
