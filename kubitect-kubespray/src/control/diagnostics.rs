//! The answers of `kubectl` that go into a report of a fault.

use kubitect_config::{Remote, chain};

use super::nodes::kubectl;

/// The most lines of one answer; of a longer one, the last lines are taken.
const MAX_LINES: usize = 2_000;

/// The name of each answer, and the arguments of kubectl that get it.
const QUERIES: [(&str, &[&str]); 5] = [
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

/// Each answer by its name, or why there is none. No query returns data of a workload: the report may be shown to others.
pub async fn diagnostics(remote: &impl Remote) -> Vec<(&'static str, Result<String, String>)> {
    let mut diagnostics = Vec::new();
    for (name, arguments) in QUERIES {
        let what = format!("ask Kubernetes for its {name}");
        let answer = kubectl(remote, &what, arguments).await;
        let text = answer.map(|output| last_lines(&String::from_utf8_lossy(&output.stdout)));
        diagnostics.push((name, text.map_err(|e| chain(&e))));
    }
    diagnostics
}

/// The last lines of a text, without control characters.
fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let lines = &lines[lines.len().saturating_sub(MAX_LINES)..];
    let lines = lines.iter().map(|line| kubitect_config::text::line(line));
    lines.map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_count_and_none_acts() {
        let text: String = (0..MAX_LINES + 2)
            .map(|n| format!("{n}\u{1b}[2J\n"))
            .collect();
        let lines = last_lines(&text);
        assert_eq!(lines.lines().count(), MAX_LINES);
        assert!(lines.starts_with("2\\u{1b}[2J\n") && !lines.contains('\u{1b}'));
    }
}
