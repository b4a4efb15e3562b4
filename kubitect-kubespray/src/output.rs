//! What our callback plugin tells, line by line → events, and in the end which failure to report.

use std::collections::BTreeMap;

use kubitect_config::text;
use serde::Deserialize;

use crate::event::{Event, Outcome};

/// One line of the plugin.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Line {
    Play {
        name: String,
    },
    Task {
        name: String,
    },
    Host {
        host: String,
        task: String,
        outcome: Outcome,
        message: Option<String>,
    },
    Stats {
        hosts: BTreeMap<String, HostStats>,
    },
}

/// How a host came through a playbook.
#[derive(Debug, Deserialize)]
struct HostStats {
    changed: usize,
    failed: usize,
}

/// How many failures are remembered: enough for every host of a large cluster to fail.
const FAILURES: usize = 20_000;

/// A result that a host did not get over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) host: String,
    pub(crate) task: String,
    pub(crate) message: String,
}

/// How far a playbook is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    tasks: usize,
    task: String,
    failures: Vec<Failure>,
    stats: Option<BTreeMap<String, HostStats>>,
}

impl Progress {
    /// Takes in a line; what is worth telling of it.
    pub(crate) fn take(&mut self, line: &str) -> Option<Event> {
        let line = match serde_json::from_str(line) {
            Ok(line) => line,
            Err(error) => {
                let line = text::line(line);
                tracing::warn!(%error, line, "not a line of the callback plugin");
                return None;
            }
        };
        match line {
            Line::Play { name } => Some(Event::PlayStarted {
                play: text::line(&name),
            }),
            Line::Task { name } => {
                let name = text::line(&name);
                self.tasks += 1;
                self.task.clone_from(&name);
                Some(Event::TaskStarted {
                    number: self.tasks,
                    task: name,
                })
            }
            Line::Host {
                host,
                task,
                outcome,
                message,
            } => {
                // What a task says is a guest's, and its name may hold what a guest said.
                let (host, task) = (text::line(&host), text::line(&task));
                let message = message.map(|message| text::line(&message));
                if matches!(outcome, Outcome::Failed | Outcome::Unreachable)
                    && self.failures.len() < FAILURES
                {
                    self.failures.push(Failure {
                        host: host.clone(),
                        task: task.clone(),
                        message: message.clone().unwrap_or_default(),
                    });
                }
                Some(Event::HostDone {
                    host,
                    task,
                    outcome,
                    message,
                })
            }
            Line::Stats { hosts } => {
                self.stats = Some(hosts);
                None
            }
        }
    }

    /// How many tasks were started.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks
    }

    /// The task that was started last.
    pub(crate) fn task(&self) -> &str {
        if self.task.is_empty() {
            "reading the inventory and the playbook"
        } else {
            &self.task
        }
    }

    /// Whether the playbook was gone through to its end, well or not.
    pub(crate) fn complete(&self) -> bool {
        self.stats.is_some()
    }

    /// How many results changed a host.
    pub(crate) fn changed(&self) -> usize {
        let changed = self.stats.iter().flatten().map(|(_, s)| s.changed);
        changed.fold(0, usize::saturating_add)
    }

    /// The failure to report, and on how many other hosts there was one.
    ///
    /// A failure may have been rescued by the playbook, which only the sums at the end tell: of a host that failed in
    /// the end, the last one counts, and among hosts the one that came first.
    pub(crate) fn failure(&self) -> Option<(&Failure, usize)> {
        let failed = |host: &str| match &self.stats {
            Some(stats) => stats.get(host).is_some_and(|stats| stats.failed > 0),
            None => true,
        };
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, failure) in self.failures.iter().enumerate() {
            if failed(&failure.host) {
                last.insert(&failure.host, at);
            }
        }
        let first = last.values().min()?;
        Some((&self.failures[*first], last.len() - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn progress(lines: &[&str]) -> Progress {
        let mut progress = Progress::default();
        for line in lines {
            progress.take(line);
        }
        progress
    }

    fn failed(host: &str, task: &str) -> String {
        format!(
            r#"{{"kind":"host","host":"{host}","task":"{task}","outcome":"failed","message":"no"}}"#
        )
    }

    #[test]
    fn lines_become_events() {
        let mut progress = Progress::default();
        assert_eq!(
            progress.take(r#"{"kind":"task","name":"Install"}"#),
            Some(Event::TaskStarted {
                number: 1,
                task: "Install".to_owned()
            })
        );
        assert_eq!(progress.task(), "Install");
        assert_eq!(progress.take("not json"), None);
        let forged = progress.take(r#"{"kind":"host","host":"a","task":"T","outcome":"failed","message":"\u001b[2J\nok: b\u202e"}"#);
        let forged = forged.unwrap().to_string();
        assert!(forged.contains("\\u{1b}[2J\\nok: b\\u{202e}"), "{forged}");
        assert!(!progress.complete());
        progress.take(r#"{"kind":"stats","hosts":{"a":{"changed":2,"failed":0},"b":{"changed":1,"failed":0}}}"#);
        assert!(progress.complete());
        assert_eq!(progress.changed(), 3);
    }

    #[test]
    fn a_rescued_failure_is_not_the_one_that_is_reported() {
        let rescued = failed("a", "rescued");
        let other_rescued = failed("c", "rescued");
        let real = failed("a", "real");
        let other = failed("b", "real");
        let stats = r#"{"kind":"stats","hosts":{"a":{"changed":0,"failed":1},"b":{"changed":0,"failed":1},"c":{"changed":0,"failed":0}}}"#;
        let progress = progress(&[&other_rescued, &rescued, &real, &other, stats]);
        let (failure, others) = progress.failure().unwrap();
        assert_eq!(
            (failure.host.as_str(), failure.task.as_str()),
            ("a", "real")
        );
        assert_eq!(others, 1);
    }

    #[test]
    fn without_sums_every_failure_counts() {
        let progress = progress(&[&failed("a", "x"), &failed("b", "x"), &failed("c", "x")]);
        assert_eq!(progress.failure().unwrap().1, 2);
        assert!(Progress::default().failure().is_none());
    }

    fn steers_nothing(event: Option<Event>) -> Result<(), TestCaseError> {
        let line = event.map(|event| event.to_string()).unwrap_or_default();
        prop_assert!(!line.contains(|c: char| c.is_control()), "{:?}", line);
        prop_assert!(line.chars().count() < 13_000);
        Ok(())
    }

    /// Any JSON: odd numbers, what steers a terminal, and lists and maps of all of it.
    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            prop_oneof![any::<u64>(), 0..3u64, Just(u64::MAX)].prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            prop_oneof![
                "[ab]",
                "\\PC{0,9}",
                "(\u{1b}\\[|[\n\r\u{9b}\u{202e}m;0]){0,9}"
            ]
            .prop_map(Into::into),
            Just("x".repeat(9000).into()),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("changed|failed|[ab]", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// A line of one of the plugin's kinds: each field as the plugin writes it, mostly, or any JSON, or none.
    fn kinds() -> impl Strategy<Value = serde_json::Value> {
        let field = |good: BoxedStrategy<serde_json::Value>| {
            prop::option::weighted(0.95, prop_oneof![8 => good, 1 => json()])
        };
        let text = || {
            prop_oneof!["[ab]", "\\PC{0,9}"]
                .prop_map(Into::into)
                .boxed()
        };
        let outcome = "ok|changed|skipped|failed|ignored|retried|unreachable|Failed";
        let number = || prop_oneof![0..3u64, Just(u64::MAX)].prop_map(serde_json::Value::from);
        let host = (number(), number()).prop_map(
            |(changed, failed)| serde_json::json!({"changed": changed, "failed": failed}),
        );
        let hosts = prop::collection::btree_map("[ab]", host, 0..3)
            .prop_map(|hosts| serde_json::Value::Object(hosts.into_iter().collect()));
        let fields = (
            field(
                "play|task|host|host|stats|Stats"
                    .prop_map(Into::into)
                    .boxed(),
            ),
            field(text()),
            field(text()),
            field(text()),
            field(outcome.prop_map(Into::into).boxed()),
            field(text()),
            field(hosts.boxed()),
        );
        fields.prop_map(|(kind, name, host, task, outcome, message, hosts)| {
            let fields = [
                ("kind", kind),
                ("name", name),
                ("host", host),
                ("task", task),
                ("outcome", outcome),
                ("message", message),
                ("hosts", hosts),
            ];
            let fields = fields.map(|(name, value)| Some((name.to_owned(), value?)));
            serde_json::Value::Object(fields.into_iter().flatten().collect())
        })
    }

    proptest! {
        /// Whatever comes as a line: no panic, and every event is one line that steers nothing.
        #[test]
        fn fuzz_ansibles_lines(text in any::<String>(), said in any::<String>(), cut in 0..200usize) {
            let mut progress = Progress::default();
            let whole = serde_json::json!({
                "kind": "host", "host": said, "task": text, "outcome": "failed", "message": said,
            })
            .to_string();
            let part: String = whole.chars().take(cut).collect();
            for line in [&text, &part, &whole] {
                steers_nothing(progress.take(line))?;
            }
            let _ = (progress.failure(), progress.changed());
        }

        /// Lines of the plugin's kinds whose fields are of any type, lacking, or too large.
        #[test]
        fn fuzz_ansibles_kinds(lines in prop::collection::vec(kinds(), 0..8)) {
            let mut progress = Progress::default();
            for line in &lines {
                steers_nothing(progress.take(&line.to_string()))?;
            }
            if let Some((failure, others)) = progress.failure() {
                prop_assert!(!failure.host.contains('\n') && others < lines.len());
            }
            prop_assert!(progress.tasks() <= lines.len());
            let _ = (progress.changed(), progress.complete(), progress.task());
        }
    }
}
