//! Diagrams of very different clusters: nothing overlaps, no text is cut, and all formats have the same content.

use kubitect_config::{Site, parse};

use super::{MachineStatus, Picture, dot, mermaid, svg, text};

/// A rectangle, or a text, which is as wide as it is stretched to.
#[derive(Debug, Clone)]
struct Area {
    /// Its style or its text.
    #[expect(dead_code, reason = "it is shown where something is wrong")]
    kind: String,
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

impl Area {
    fn holds(&self, other: &Self) -> bool {
        let near = 0.6;
        self.left <= other.left + near
            && self.top <= other.top + near
            && other.right <= self.right + near
            && other.bottom <= self.bottom + near
    }

    fn overlaps(&self, other: &Self) -> bool {
        let near = 0.6;
        self.left + near < other.right
            && other.left + near < self.right
            && self.top + near < other.bottom
            && other.top + near < self.bottom
    }
}

/// The rectangles and texts of a drawing, and its whole page.
fn areas(svg: &str) -> (Vec<Area>, Vec<Area>, Area) {
    let document = roxmltree::Document::parse(svg).unwrap_or_else(|e| panic!("{e}: {svg}"));
    let number = |node: roxmltree::Node, name| -> f32 {
        node.attribute(name)
            .map_or(0.0, |value| value.parse().unwrap())
    };
    let (mut boxes, mut texts) = (Vec::new(), Vec::new());
    let mut page = None;
    for node in document.descendants() {
        let kind = node.attribute("class").unwrap_or_default().to_owned();
        let (left, top) = (number(node, "x"), number(node, "y"));
        match node.tag_name().name() {
            "rect" => {
                let (right, bottom) = (left + number(node, "width"), top + number(node, "height"));
                let area = Area {
                    kind: kind.clone(),
                    left,
                    top,
                    right,
                    bottom,
                };
                match kind == "page" {
                    true => page = Some(area),
                    false => boxes.push(area),
                }
            }
            "text" => {
                let words = node.text().unwrap_or_default();
                let right = left + number(node, "textLength");
                // A letter of 12 px rises 11 px and falls 4 px at most.
                let area = Area {
                    kind: words.to_owned(),
                    left,
                    top: top - 11.0,
                    right,
                    bottom: top + 4.0,
                };
                assert!(
                    number(node, "textLength") >= words.chars().count() as f32 * 7.0,
                    "{words}"
                );
                texts.push(area);
            }
            _ => {}
        }
    }
    (boxes, texts, page.expect("a page"))
}

/// What a browser would show, measured on the drawing itself: every text has its width by `textLength`.
fn well_drawn(svg: &str) {
    let (boxes, texts, page) = areas(svg);
    assert!(boxes.len() > 2 && texts.len() > 4);
    for (index, area) in boxes.iter().enumerate() {
        assert!(
            area.right <= page.right && area.bottom <= page.bottom,
            "{area:?} leaves the page"
        );
        for other in &boxes[index + 1..] {
            let nested = area.holds(other) || other.holds(area);
            assert!(
                nested || !area.overlaps(other),
                "{area:?} overlaps {other:?}"
            );
        }
    }
    for (index, text) in texts.iter().enumerate() {
        assert!(
            text.right <= page.right && text.bottom <= page.bottom,
            "{text:?} leaves the page"
        );
        for other in &texts[index + 1..] {
            assert!(!text.overlaps(other), "{text:?} overlaps {other:?}");
        }
        for area in &boxes {
            assert!(
                area.holds(text) || !area.overlaps(text),
                "{text:?} is cut by {area:?}"
            );
        }
    }
}

fn picture(text: &str) -> Picture {
    let parsed = parse(text, "cluster.yaml", &Site::default());
    Picture::of(
        &parsed
            .unwrap_or_else(|e| panic!("{:?}", e.problems()))
            .cluster,
    )
}

/// A large cluster on six hosts, with long names, data disks and ports.
fn large() -> String {
    let hosts: String = (1..=6)
        .map(|n| format!("  - {{name: host-{n}-with-a-name, connection: {{type: remote, user: admin, ip: host{n}.example.org}}, dataResourcePools: [{{name: fast}}]}}\n"))
        .collect();
    let workers: String = (1..=23)
        .map(|n| format!("        - {{id: worker-of-some-department-{n}, host: host-{}-with-a-name, dataDisks: [{{name: scratch, pool: fast, size: 500}}]}}\n", n % 6 + 1))
        .collect();
    format!(
        "hosts:\n{hosts}cluster:\n  name: large\n  network: {{mode: bridge, bridge: br0, cidr: 10.10.0.0/16}}\n  nodes:\n    \
         loadBalancer:\n      vip: 10.10.0.5\n      forwardPorts: [{{name: http, port: 80, targetPort: 30080}}, {{name: https, port: 443, targetPort: 30443}}, {{name: both, port: 9000, target: all}}]\n      \
         instances: [{{id: 1, host: host-1-with-a-name}}, {{id: 2, host: host-2-with-a-name}}]\n    \
         master:\n      instances: [{{id: 1, host: host-1-with-a-name}}, {{id: 2, host: host-2-with-a-name}}, {{id: 3, host: host-3-with-a-name}}]\n    \
         worker:\n      instances:\n{workers}kubernetes: {{version: v1.35.4}}\n"
    )
}

/// Five very different files.
fn five() -> [(&'static str, Picture); 5] {
    let example = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../examples")
            .join(name);
        picture(&std::fs::read_to_string(path).unwrap())
    };
    [
        ("single-node", example("single-node.yaml")),
        ("multi-master", example("multi-master.yaml")),
        ("high-availability", example("high-availability.yaml")),
        ("several-hosts", example("several-hosts.yaml")),
        ("large", picture(&large())),
    ]
}

#[test]
fn nothing_overlaps_and_no_text_is_cut() {
    for (name, mut picture) in five() {
        println!("{name}");
        well_drawn(&svg(&picture));
        let machines: Vec<_> = picture
            .hosts
            .iter()
            .flat_map(|host| &host.machines)
            .map(|m| m.name.clone())
            .collect();
        for (index, machine) in machines.iter().enumerate() {
            let good = index % 2 == 0;
            let words = if good {
                "running, Ready"
            } else {
                "running, not Ready, cordoned"
            };
            picture.add_status(
                machine,
                Some("10.10.255.255"),
                MachineStatus {
                    good,
                    words: words.to_owned(),
                },
            );
        }
        well_drawn(&svg(&picture));
    }
}

#[test]
fn the_measure_finds_what_overlaps_and_what_is_cut() {
    let page = "<svg><rect class=\"page\" width=\"100\" height=\"100\"/>";
    let caught = |inside: &str| {
        let more = "<rect x=\"60\" y=\"60\" width=\"9\" height=\"9\"/><rect x=\"70\" y=\"60\" width=\"9\" height=\"9\"/>\
                    <text x=\"1\" y=\"90\" textLength=\"8\">a</text><text x=\"11\" y=\"90\" textLength=\"8\">a</text>\
                    <text x=\"21\" y=\"90\" textLength=\"8\">a</text><text x=\"31\" y=\"90\" textLength=\"8\">a</text>";
        let svg = format!("{page}{more}{inside}</svg>");
        std::panic::catch_unwind(|| well_drawn(&svg)).is_err()
    };
    let rect = |x| format!("<rect x=\"{x}\" y=\"10\" width=\"20\" height=\"20\"/>");
    let text = |x| format!("<text x=\"{x}\" y=\"25\" textLength=\"14\">ab</text>");
    assert!(!caught(&(rect(10) + &text(12))));
    assert!(caught(&(rect(10) + &rect(20))));
    assert!(caught(&(rect(10) + &text(22))));
    assert!(caught(&rect(95)));
    assert!(caught(
        "<text x=\"50\" y=\"25\" textLength=\"5\">much too long</text>"
    ));
}

#[test]
fn every_form_has_every_machine_address_and_port() {
    for (name, picture) in five() {
        for (form, text) in [
            ("text", super::text(&picture)),
            ("svg", svg(&picture)),
            ("mermaid", mermaid(&picture)),
            ("dot", dot(&picture)),
        ] {
            let machines = picture.hosts.iter().flat_map(|host| &host.machines);
            let addresses = machines.clone().map(|machine| &machine.address);
            let names = machines.map(|machine| &machine.short);
            for part in names.chain(addresses).chain([&picture.entry]) {
                assert!(text.contains(part.as_str()), "{name}, {form}: no {part}");
            }
            for route in &picture.ways {
                assert!(
                    text.contains(&route.port.to_string()),
                    "{name}, {form}: no {}",
                    route.port
                );
            }
            assert!(text.contains("gateway"), "{name}, {form}");
        }
    }
}

#[test]
fn what_others_write_ends_no_quotation() {
    let mut picture = picture(
        &std::fs::read_to_string(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/single-node.yaml"),
        )
        .unwrap(),
    );
    let bad = "a\"b\\<c>&`d`#\u{1b}[2J";
    picture.hosts[0].place = bad.to_owned();
    let machine = picture.hosts[0].machines[0].name.clone();
    picture.add_status(
        &machine,
        None,
        MachineStatus {
            good: false,
            words: bad.to_owned(),
        },
    );
    let drawn = svg(&picture).replace('\u{1b}', "");
    assert!(roxmltree::Document::parse(&drawn).is_ok(), "{drawn}");
    assert!(!mermaid(&picture).contains("a\"b"));
    assert!(dot(&picture).contains("a\\\"b\\\\<c>"));
    assert!(!text(&picture).contains("c>&`d`#\u{1b}") || !dot(&picture).contains('\u{1b}'));
}

#[test]
fn a_cluster_as_text() {
    let (_, mut picture) = five().into_iter().nth(1).unwrap();
    picture.add_status(
        "local-k8s-cluster-master-2",
        None,
        MachineStatus {
            good: false,
            words: "off".to_owned(),
        },
    );
    insta::assert_snapshot!(text(&picture));
}
