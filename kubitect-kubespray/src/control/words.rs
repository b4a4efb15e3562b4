//! What Kubernetes says of itself, as a person would ask it: for a report of a fault.

use kubitect_config::{Remote, chain};

use super::nodes::kubectl;

/// The most lines that are taken of one answer: the last ones.
const LINES: usize = 2_000;

/// What is asked, by the name of the answer.
const ASKED: [(&str, &[&str]); 5] = [
    ("version", &["version"]),
    ("nodes", &["get", "nodes", "--output=wide"]),
    (
        "pods",
        &["get", "pods", "--all-namespaces", "--output=wide"],
    ),
    (
        "events",
        &[
            "get",
            "events",
            "--all-namespaces",
            "--sort-by=.metadata.creationTimestamp",
        ],
    ),
    ("health", &["get", "--raw=/readyz?verbose"]),
];

/// Each answer, or why there is none. Nothing is asked that holds data of a workload.
pub async fn words(remote: &impl Remote) -> Vec<(&'static str, Result<String, String>)> {
    let mut words = Vec::new();
    for (name, arguments) in ASKED {
        let what = format!("ask Kubernetes for its {name}");
        let answer = kubectl(remote, &what, arguments).await;
        let text = answer.map(|output| last(&String::from_utf8_lossy(&output.stdout)));
        words.push((name, text.map_err(|e| chain(&e))));
    }
    words
}

/// The last lines of a text, clean.
fn last(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let kept = &lines[lines.len().saturating_sub(LINES)..];
    let kept = kept.iter().map(|line| kubitect_config::text::line(line));
    kept.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_count_and_none_acts() {
        let text: String = (0..LINES + 2).map(|n| format!("{n}\u{1b}[2J\n")).collect();
        let kept = last(&text);
        assert_eq!(kept.lines().count(), LINES);
        assert!(kept.starts_with("2\\u{1b}[2J\n") && !kept.contains('\u{1b}'));
    }
}
