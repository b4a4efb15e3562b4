//! The recording in the README: `apply` on the example, made of the screens of real terminals in the ring `killed`.
//! `UPDATE_DOCS=1` writes it again.

use std::fs;

use crate::repository;

/// The screen of this name, as the test of terminals has stored it.
fn stored(name: &str) -> String {
    let file = format!("tests/tests/killed/snapshots/killed__frames__80_{name}.snap");
    let text = fs::read_to_string(repository().join(file)).unwrap();
    // The header that insta writes.
    let (_, text) = text.split_once("\n---\n").unwrap();
    without_times(text)
}

/// In a world in memory nothing takes time: the times are left out.
fn without_times(text: &str) -> String {
    let words = [" · 0:00", " in 0:00", ", 0:00", "0:00  ", "0:00 "];
    let text = words
        .iter()
        .fold(text.to_owned(), |text, word| text.replace(word, ""));
    let text = text.replace("/world/k/", "~/.kubitect/");
    let times = ["00000000T000000.000000Z", "00000000T000000Z"];
    times
        .iter()
        .fold(text, |text, time| text.replace(time, "<time>"))
}

#[test]
fn the_recording_is_what_terminals_show() {
    let asks = stored("asks");
    // The warnings are of that world.
    let plan = &asks[asks.find("  + network").unwrap()..];
    let asked = format!(
        "$ kubitect apply -c examples/multi-master.yaml\n{}",
        plan.trim_end()
    );
    let answered = |screen: &str| format!("{asked} yes\n\n{}", stored(screen));
    let ends = answered("ends");
    let ends = ends.strip_suffix("exit 0\n").unwrap();
    let screens = [
        asked.clone(),
        answered("boots"),
        answered("plays"),
        ends.to_owned(),
    ];
    let svg = tests::recording::svg("kubitect apply on the multi-master example", &screens);
    let path = repository().join("docs/apply.svg");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &svg).unwrap();
    }
    let current = fs::read_to_string(&path).unwrap_or_default();
    let how = "UPDATE_DOCS=1 cargo test -p tests --test structure recording";
    assert!(
        current == svg,
        "docs/apply.svg is not up to date: `{how}` writes it"
    );
}
