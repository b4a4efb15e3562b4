//! `docs/upgrading.md`: its paths are those that the program plans.

use std::fmt::Write;

use kubitect_config::release::{Hop, path};
use kubitect_config::{Site, parse, problems_at_hop};

use crate::{assert_fresh, repository};

/// A pair as the page names it: `v1.23.7/v2.19.0`.
fn hop(text: &str) -> Hop {
    let (kubernetes, kubespray) = text.split_once('/').expect(text);
    Hop {
        kubernetes: kubernetes.parse().expect(text),
        kubespray: kubespray.parse().expect(text),
    }
}

/// The page with its paths planned anew: what stands between `<!-- path FROM TO -->` and `<!-- end -->`.
fn page(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(index) = rest.find("<!-- path ") {
        let (before, after) = rest.split_at(index);
        let (mark, _) = after.split_once('\n').expect("a line");
        let words: Vec<&str> = mark.split(' ').collect();
        let [_, _, from, to, _] = words[..] else {
            panic!("{mark}");
        };
        let planned = match path(&hop(from), &hop(to)) {
            Ok(hops) => hops.iter().map(|hop| format!("{hop}\n")).collect(),
            Err(error) => format!("{error}\n"),
        };
        write!(result, "{before}{mark}\n```text\n{planned}```\n").expect("a String takes all");
        rest = &after[after.find("<!-- end -->").expect("an end")..];
    }
    result + rest
}

#[test]
fn the_paths_are_those_that_are_planned() {
    let text = std::fs::read_to_string(repository().join("docs/upgrading.md")).expect("the page");
    assert!(text.matches("<!-- path ").count() >= 7, "{text}");
    assert_fresh("docs/upgrading.md", &page(&text));
}

/// The end has a checksum for the version, and a release on the way has none.
#[test]
fn a_pinned_version_that_a_release_on_the_way_stops_at_is_found() {
    let stops = |pin: &str, [kubernetes, kubespray]: [&str; 2]| -> Vec<String> {
        let text = format!(
            "hosts: [{{name: h, connection: {{type: local}}}}]\ncluster:\n  name: c\n  network: {{cidr: 192.168.113.0/24}}\n  \
             nodes: {{master: {{instances: [{{id: 1}}]}}}}\nkubernetes: {{version: v1.35.4, kubespray: {{version: v2.31.0}}}}\n\
             addons: {{kubespray: {{{pin}}}}}\n"
        );
        let hop = Hop {
            kubernetes: kubernetes.parse().unwrap(),
            kubespray: kubespray.parse().unwrap(),
        };
        parse(&text, "c.yaml", &Site::default()).unwrap();
        let problems = problems_at_hop(&text, &Site::default(), &hop).into_iter();
        problems
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect()
    };
    let between = ["v1.34.3", "v2.30.0"];
    assert_eq!(stops("helm_version: 3.18.4", between), [""; 0], "it has it");
    let found = stops("containerd_version: 2.2.3", between);
    let wanted = "addons.kubespray.containerd_version: Kubespray v2.30.0 has no checksum for version `2.2.3` of this component, and stops at it";
    assert_eq!(found, [wanted]);
    let own = "containerd_version: 2.2.3, containerd_archive_checksum: sha256:00";
    assert_eq!(stops(own, between), [""; 0]);
}
