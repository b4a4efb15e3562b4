//! [`Event`]: what happens in a run, as one stream of values, and [`Events`], through which the parts of a run send them.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use crate::failure::Kind;

/// The version of [`Event`]'s JSON form. It changes when a field is removed or changes its meaning, not when one is added.
pub const VERSION: u32 = 1;

/// One thing that happened in a run. `Display` is one line for people, [`Event::json`] is the form for programs, from which the
/// same event can be deserialized.
///
/// A change that is carried out ends with exactly one of `Done`, `Failed` and `Cancelled`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// A phase of the plan begins.
    Phase {
        /// Which, from 1.
        number: usize,
        /// Of how many.
        #[serde(rename = "of")]
        total: usize,
        /// What it does, as the plan shows it.
        title: String,
        /// What the phase after it does, if there is one.
        next: Option<String>,
    },
    /// Something happens to machines.
    Machines {
        /// What.
        event: kubitect_provision::Event,
    },
    /// Something happens to balancers.
    Balancers {
        /// What.
        event: kubitect_lb::Event,
    },
    /// Something happens to Kubernetes.
    Kubernetes {
        /// What.
        event: kubitect_kubespray::Event,
    },
    /// Something was done that is no step of the plan.
    Note {
        /// What, in a sentence.
        text: String,
    },
    /// The run goes on; a person should know this.
    Warning {
        /// What, in a sentence.
        text: String,
    },
    /// All is done. The last event.
    Done {
        /// The cluster.
        cluster: String,
        /// How the run has ended.
        ending: Ending,
    },
    /// The run failed. The last event.
    Failed {
        /// The kind of failure: whether to try again, or to ask a person.
        kind: Kind,
        /// Why, with all causes.
        why: String,
    },
    /// The run was cancelled; the same change goes on from there. The last event.
    Cancelled,
}

/// How a run of a cluster has ended, if it succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Ending {
    /// There was nothing to do.
    Unchanged,
    /// The cluster is what its file says.
    Applied,
    /// The cluster is removed.
    Removed,
    /// All its machines are off.
    Stopped,
    /// All its machines are on, and its nodes Ready.
    Started,
    /// Its etcd holds what a snapshot held.
    Restored,
}

impl Event {
    /// For programs: one object.
    pub fn json(&self) -> serde_json::Value {
        let mut object = serde_json::json!({ "formatVersion": VERSION });
        if let (Some(object), Ok(serde_json::Value::Object(own))) =
            (object.as_object_mut(), serde_json::to_value(self))
        {
            object.extend(own);
        }
        object
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phase {
                number,
                total,
                title,
                ..
            } => write!(f, "phase {number} of {total}: {title}"),
            Self::Machines { event } => event.fmt(f),
            Self::Balancers { event } => event.fmt(f),
            Self::Kubernetes { event } => event.fmt(f),
            Self::Note { text } => f.write_str(text),
            Self::Warning { text } => write!(f, "warning: {text}"),
            Self::Done { cluster, ending } => {
                let result = match ending {
                    Ending::Unchanged => "nothing to do",
                    Ending::Applied => "done",
                    Ending::Removed => "removed",
                    Ending::Stopped => "stopped",
                    Ending::Started => "runs",
                    Ending::Restored => "restored",
                };
                write!(f, "{cluster}: {result}")
            }
            Self::Failed { why, .. } => f.write_str(why),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// Where the events of a run go. Called from several threads.
///
/// Events after the last one of a change are dropped: a download beside a change that failed may still send some for a moment.
#[derive(Clone)]
pub struct Events {
    listener: Arc<dyn Fn(Event) + Send + Sync>,
    /// Whether a change has sent its last event, and no other one has begun.
    ended: Arc<RwLock<bool>>,
}

kubitect_config::debug_fields!(Events);

impl Events {
    /// Calls `listener` with each event. It should return soon: the run waits for it.
    pub fn new(listener: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self {
            listener: Arc::new(listener),
            ended: Arc::default(),
        }
    }

    /// Drops all events.
    pub fn ignored() -> Self {
        Self::new(drop)
    }

    /// The same listener for one run, which the last event of another run does not silence.
    pub(crate) fn for_run(&self) -> Self {
        Self {
            listener: Arc::clone(&self.listener),
            ended: Arc::default(),
        }
    }

    pub(crate) fn send(&self, event: Event) {
        (self.listener)(event);
    }

    /// A change begins.
    pub(crate) fn begin(&self) {
        *self.ended.write().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// A change has ended: sends its last event, and drops all that follow.
    pub(crate) fn end(&self, last: Event) {
        let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        *ended = true;
        self.send(last);
    }

    /// Sends an event of a change, unless the change has ended.
    fn part(&self, event: Event) {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        if !*ended {
            self.send(event);
        }
    }

    pub(crate) fn machines(&self, event: kubitect_provision::Event) {
        self.part(Event::Machines { event });
    }

    pub(crate) fn balancers(&self, event: kubitect_lb::Event) {
        self.part(Event::Balancers { event });
    }

    pub(crate) fn kubernetes(&self, event: kubitect_kubespray::Event) {
        self.part(Event::Kubernetes { event });
    }

    pub(crate) fn note(&self, text: impl Into<String>) {
        self.send(Event::Note { text: text.into() });
    }

    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.send(Event::Warning { text: text.into() });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn nothing_follows_the_last_event_of_a_change() {
        let received = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&received);
        let events = Events::new(move |event| listener.lock().unwrap().push(event.to_string()));
        let planned = || kubitect_provision::Event::Planned { total: 3 };
        events.begin();
        events.clone().end(Event::Cancelled);
        events.machines(planned());
        assert_eq!(*received.lock().unwrap(), ["cancelled"]);
        // Another run's events are sent all the same.
        events.for_run().machines(planned());
        assert_eq!(received.lock().unwrap().len(), 2);
        // The next change's events are sent again.
        events.begin();
        events.machines(planned());
        assert_eq!(received.lock().unwrap().len(), 3);
    }

    #[test]
    fn golden_events_as_programs_read_them() {
        let phase = Event::Phase {
            number: 1,
            total: 2,
            title: "make machines".to_owned(),
            next: None,
        };
        let of_machines = kubitect_provision::Event::Planned { total: 3 };
        let json = |event: &Event| event.json().to_string();
        assert_eq!(
            json(&phase),
            r#"{"formatVersion":1,"type":"phase","number":1,"of":2,"title":"make machines","next":null}"#
        );
        assert_eq!(
            json(&Event::Machines { event: of_machines }),
            r#"{"formatVersion":1,"type":"machines","event":{"event":"planned","total":3}}"#
        );
        assert_eq!(
            json(&Event::Cancelled),
            r#"{"formatVersion":1,"type":"cancelled"}"#
        );
        assert_eq!(phase.to_string(), "phase 1 of 2: make machines");
        let events = [
            phase,
            Event::Machines {
                event: kubitect_provision::Event::Finished {
                    what: "wait for demo-lb-1".to_owned(),
                    outcome: kubitect_provision::Outcome::Warned("slow".to_owned()),
                },
            },
            Event::Balancers {
                event: kubitect_lb::Event::Reloaded {
                    node: "demo-lb-1".parse().unwrap(),
                    service: kubitect_lb::Service::Haproxy,
                },
            },
            Event::Kubernetes {
                event: kubitect_kubespray::Event::HostDone {
                    host: "demo-lb-1".to_owned(),
                    task: "t".to_owned(),
                    outcome: kubitect_kubespray::Outcome::Changed,
                    message: None,
                },
            },
            Event::Failed {
                kind: Kind::TimedOut,
                why: "failed to wait".to_owned(),
            },
            Event::Done {
                cluster: "demo".to_owned(),
                ending: Ending::Applied,
            },
        ];
        for event in events {
            let read: Event = serde_json::from_value(event.json()).unwrap();
            assert_eq!(read, event);
        }
    }
}
