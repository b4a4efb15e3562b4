//! [`PlaybookResults`]: the lines of Kubitect's callback plugin → events, and the failure that is reported in the end.

use std::collections::BTreeMap;

use kubitect_config::text;
use serde::Deserialize;

use crate::event::{Event, Outcome};

/// One line of the callback plugin.
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

/// The sums of a host's results in a playbook.
#[derive(Debug, Deserialize)]
struct HostStats {
    changed: usize,
    failed: usize,
}

/// The most failures that are stored: enough if every host of a large cluster fails.
const MAX_FAILURES: usize = 20_000;

/// A failed result of a task on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) host: String,
    pub(crate) task: String,
    pub(crate) message: String,
}

/// What the plugin has reported of a playbook so far.
#[derive(Debug, Default)]
pub(crate) struct PlaybookResults {
    tasks: usize,
    task: String,
    failures: Vec<Failure>,
    stats: Option<BTreeMap<String, HostStats>>,
}

impl PlaybookResults {
    /// Records a line. Returns its event, if it has one.
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
                // A machine decides what a message contains, and a task's name may quote it.
                let (host, task) = (text::line(&host), text::line(&task));
                let message = message.map(|message| text::line(&message));
                if matches!(outcome, Outcome::Failed | Outcome::Unreachable)
                    && self.failures.len() < MAX_FAILURES
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

    /// Whether the playbook ran to its end, with or without failures.
    pub(crate) fn complete(&self) -> bool {
        self.stats.is_some()
    }

    /// How many results changed a host.
    pub(crate) fn changed(&self) -> usize {
        let changed = self.stats.iter().flatten().map(|(_, s)| s.changed);
        changed.fold(0, usize::saturating_add)
    }

    /// The failure to report, and how many other hosts failed.
    ///
    /// A playbook may rescue a failure, and only the sums at the end say which hosts have failed. Of such a host, the last
    /// failure counts, because the ones before were rescued; of several hosts, the one whose failure came first.
    pub(crate) fn failure(&self) -> Option<(&Failure, usize)> {
        let failed = |host: &str| match &self.stats {
            Some(stats) => stats.get(host).is_some_and(|stats| stats.failed > 0),
            None => true,
        };
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, failure) in self.failures.iter().enumerate() {
            if failed(&failure.host) {
                last.insert(&failure.host, index);
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

    fn results(lines: &[&str]) -> PlaybookResults {
        let mut results = PlaybookResults::default();
        for line in lines {
            results.take(line);
        }
        results
    }

    fn failed(host: &str, task: &str) -> String {
        format!(
            r#"{{"kind":"host","host":"{host}","task":"{task}","outcome":"failed","message":"no"}}"#
        )
    }

    #[test]
    fn lines_become_events() {
        let mut results = PlaybookResults::default();
        assert_eq!(
            results.take(r#"{"kind":"task","name":"Install"}"#),
            Some(Event::TaskStarted {
                number: 1,
                task: "Install".to_owned()
            })
        );
        assert_eq!(results.task(), "Install");
        assert_eq!(results.take("not json"), None);
        let forged = results.take(r#"{"kind":"host","host":"a","task":"T","outcome":"failed","message":"\u001b[2J\nok: b\u202e"}"#);
        let forged = forged.unwrap().to_string();
        assert!(forged.contains("\\u{1b}[2J\\nok: b\\u{202e}"), "{forged}");
        assert!(!results.complete());
        results.take(r#"{"kind":"stats","hosts":{"a":{"changed":2,"failed":0},"b":{"changed":1,"failed":0}}}"#);
        assert!(results.complete());
        assert_eq!(results.changed(), 3);
    }

    #[test]
    fn a_rescued_failure_is_not_the_one_that_is_reported() {
        let rescued = failed("a", "rescued");
        let other_rescued = failed("c", "rescued");
        let real = failed("a", "real");
        let other = failed("b", "real");
        let stats = r#"{"kind":"stats","hosts":{"a":{"changed":0,"failed":1},"b":{"changed":0,"failed":1},"c":{"changed":0,"failed":0}}}"#;
        let results = results(&[&other_rescued, &rescued, &real, &other, stats]);
        let (failure, others) = results.failure().unwrap();
        assert_eq!(
            (failure.host.as_str(), failure.task.as_str()),
            ("a", "real")
        );
        assert_eq!(others, 1);
    }

    #[test]
    fn without_sums_every_failure_counts() {
        let results = results(&[&failed("a", "x"), &failed("b", "x"), &failed("c", "x")]);
        assert_eq!(results.failure().unwrap().1, 2);
        assert!(PlaybookResults::default().failure().is_none());
    }

    /// An event is one line of bounded length without control characters.
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
        fn fuzz_ansibles_lines(text in any::<String>(), message in any::<String>(), cut in 0..200usize) {
            let mut results = PlaybookResults::default();
            let whole = serde_json::json!({
                "kind": "host", "host": message, "task": text, "outcome": "failed", "message": message,
            })
            .to_string();
            let part: String = whole.chars().take(cut).collect();
            for line in [&text, &part, &whole] {
                steers_nothing(results.take(line))?;
            }
            let _ = (results.failure(), results.changed());
        }

        /// Lines of the plugin's kinds whose fields are of any type, lacking, or too large.
        #[test]
        fn fuzz_ansibles_kinds(lines in prop::collection::vec(kinds(), 0..8)) {
            let mut results = PlaybookResults::default();
            for line in &lines {
                steers_nothing(results.take(&line.to_string()))?;
            }
            if let Some((failure, others)) = results.failure() {
                prop_assert!(!failure.host.contains('\n') && others < lines.len());
            }
            prop_assert!(results.tasks() <= lines.len());
            let _ = (results.changed(), results.complete(), results.task());
        }
    }
}
