//! `docs/upgrading.md`: its paths are those that the program plans.

use std::fmt::Write;

use kubitect_config::release::{Hop, path};

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
