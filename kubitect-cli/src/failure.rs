//! [`Failure`]: the error of all commands, with its text, its kind and its exit code.

use std::error::Error;
use std::fmt;
use std::path::Path;

pub use kubitect_config::error::Kind;
use kubitect_config::{Problem, Refusal};
use kubitect_provision::preflight::Finding;

/// Why a command could not do its work. Its text contains the whole chain of causes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// Something went wrong (exit 1). Reads after "failed to".
    Failed {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The configuration, or its use, is not valid (exit 2).
    Invalid(kubitect_config::Error),
    /// The file asks for what can't be done (exit 2).
    Refused(Vec<Refusal>),
    /// A saved plan differs from the plan of now (exit 2): the differences, a line each.
    Stale(Vec<String>),
    /// The command line is not complete or not clear (exit 2).
    Usage(String),
    /// The hosts lack something for the plan (exit 1).
    Unfit(Vec<Finding>),
    /// Another run is at work on the cluster (exit 1).
    Busy {
        /// The cluster.
        cluster: String,
        /// The number of the run's process.
        holder: String,
    },
    /// Another folder's run is at work on the cluster, or may be (exit 1).
    Held(kubitect_provision::Error),
    /// The person said no (exit 3).
    Declined(String),
    /// The run was asked to stop: in the program by Ctrl-C, SIGTERM or SIGHUP (exit 130).
    Interrupted,
}

/// The kind of one error of a chain of causes, if it has one by itself.
fn kind_of(error: &(dyn Error + 'static)) -> Option<Kind> {
    let machines = error.downcast_ref::<kubitect_provision::Error>();
    let kubernetes = error.downcast_ref::<kubitect_kubespray::Error>();
    let balancers = error.downcast_ref::<kubitect_lb::Error>();
    let of_machines = machines.and_then(kubitect_provision::Error::kind);
    let of_kubernetes = kubernetes.and_then(kubitect_kubespray::Error::kind);
    of_machines
        .or(of_kubernetes)
        .or(balancers.and_then(kubitect_lb::Error::kind))
}

impl Failure {
    /// The exit code of an interrupted run.
    pub const INTERRUPTED: u8 = 130;

    /// A failure without a cause below it; `what` reads after "failed to".
    pub fn failed(what: impl Into<String>) -> Self {
        Self::Failed {
            what: what.into(),
            source: None,
        }
    }

    /// A failure of `what`, for the reason `source`.
    pub fn because(
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Failed {
            what: what.into(),
            source: Some(source.into()),
        }
    }

    /// The same, with another failure as its cause.
    pub fn below(self, cause: Self) -> Self {
        match self {
            Self::Failed { what, .. } => Self::because(what, cause.to_string()),
            other => other,
        }
    }

    /// A configuration or site file that can't be used.
    pub fn config(error: kubitect_config::Error) -> Self {
        match error {
            kubitect_config::Error::Invalid { .. } => Self::Invalid(error),
            // A file that can't be read is not an invalid file.
            _ => Self::Failed {
                what: error.to_string(),
                source: error.source().map(|e| e.to_string().into()),
            },
        }
    }

    /// A failure to `verb` the file or folder at `path`.
    pub fn io(verb: &str, path: &Path, source: std::io::Error) -> Self {
        Self::because(format!("{verb} {}", path.display()), source)
    }

    /// Its causes, each below the one before.
    fn causes(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let first = match self {
            Self::Failed { source, .. } => source.as_deref().map(|e| e as &(dyn Error + 'static)),
            Self::Held(error) => Some(error as _),
            _ => None,
        };
        std::iter::successors(first, |error| (**error).source())
    }

    /// The first cause of this type, as `kubitect_kubespray::Error`: the error of the crate that failed, whose variant and fields
    /// say what was tried on what.
    pub fn cause<E: Error + 'static>(&self) -> Option<&E> {
        self.causes().find_map(|error| error.downcast_ref())
    }

    /// Its kind, for programs that decide whether to try again.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Failed { .. } | Self::Held(_) => {
                self.causes().find_map(kind_of).unwrap_or(Kind::Other)
            }
            Self::Invalid(_) => Kind::Invalid,
            Self::Refused(_) => Kind::Refused,
            Self::Stale(_) => Kind::Stale,
            Self::Usage(_) => Kind::Usage,
            Self::Unfit(_) => Kind::Unfit,
            Self::Busy { .. } => Kind::Busy,
            Self::Declined(_) => Kind::Declined,
            Self::Interrupted => Kind::Interrupted,
        }
    }

    /// The refusals: of the plan, or of a crate that refused a step.
    pub fn refused(&self) -> &[Refusal] {
        match (self, self.cause(), self.cause()) {
            (Self::Refused(reasons), ..)
            | (_, Some(kubitect_kubespray::Error::Refused { reasons, .. }), _)
            | (_, _, Some(kubitect_provision::Error::Refused(reasons))) => reasons,
            _ => &[],
        }
    }

    /// What the hosts lack.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Unfit(findings) => findings,
            _ => &[],
        }
    }

    /// The problems of the file.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid(kubitect_config::Error::Invalid { problems, .. }) => problems,
            _ => &[],
        }
    }

    /// For programs: the fields that an `end` of `docs/output/events.json` has for a command that failed.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": self.kind(),
            "error": self.to_string(),
            "exitCode": self.code(),
            "refused": Refusal::sentences(self.refused()),
            "refusals": self.refused(),
            "findings": self.findings(),
            "problems": self.problems(),
        })
    }

    /// The exit code of a command that ends with this failure. Scripts rely on it.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed { .. } | Self::Unfit(_) | Self::Busy { .. } | Self::Held(_) => 1,
            Self::Invalid(_) | Self::Refused(_) | Self::Stale(_) | Self::Usage(_) => 2,
            Self::Declined(_) => 3,
            Self::Interrupted => Self::INTERRUPTED,
        }
    }
}

impl From<kubitect_kubespray::Error> for Failure {
    fn from(error: kubitect_kubespray::Error) -> Self {
        match error {
            kubitect_kubespray::Error::Step { what, source } => Self::Failed { what, source },
            kubitect_kubespray::Error::File {
                action,
                path,
                source,
            } => Self::io(action, &path, source),
            other => Self::because("work on Kubernetes", other),
        }
    }
}

impl From<kubitect_provision::Error> for Failure {
    fn from(error: kubitect_provision::Error) -> Self {
        use kubitect_provision::Error;
        match error {
            Error::Step { what, source } => Self::Failed { what, source },
            Error::File {
                action,
                path,
                source,
            } => Self::io(action, &path, source),
            Error::Busy { cluster, holder } => Self::Busy { cluster, holder },
            held @ (Error::Locked { .. } | Error::TakenOver { .. }) => Self::Held(held),
            Error::Config(error) => Self::config(error),
            Error::Site(refusal) => Self::Refused(vec![*refusal]),
            other => Self::because("work on machines", other),
        }
    }
}

impl From<kubitect_lb::Error> for Failure {
    fn from(error: kubitect_lb::Error) -> Self {
        match error {
            kubitect_lb::Error::Step { what, source } => Self::because(what, source),
            other => Self::because("work on the balancers", other),
        }
    }
}

impl Error for Failure {}

/// The text for people, with the whole chain of causes. Problems of a file are shown by `report::problems`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Further lines of foreign text are indented, so that none of them looks like a line of this program.
        let set_in = |text: &dyn fmt::Display| text.to_string().replace('\n', "\n    ");
        match self {
            Self::Failed { what, .. } => {
                write!(f, "failed to {}", set_in(what))?;
                self.causes()
                    .try_for_each(|cause| write!(f, "\n  because: {}", set_in(&cause)))
            }
            Self::Unfit(findings) => {
                f.write_str("failed to use the hosts as they are:")?;
                findings
                    .iter()
                    .try_for_each(|e| write!(f, "\n  {}; {}", set_in(&e.message), e.help))
            }
            Self::Busy { cluster, holder } => write!(
                f,
                "failed to take the cluster `{cluster}`: another run is at work on it (process {holder}); wait for it to end"
            ),
            Self::Invalid(error) => write!(f, "failed to {error}"),
            Self::Held(error) => write!(f, "failed to {error}"),
            Self::Refused(reasons) => {
                f.write_str("the file asks for changes that can't be made")?;
                reasons
                    .iter()
                    .try_for_each(|reason| write!(f, "\n  {}", set_in(reason)))
            }
            Self::Stale(reasons) => {
                f.write_str("the saved plan is not what would be done now, so nothing is:")?;
                for reason in reasons {
                    write!(f, "\n  {}", set_in(reason))?;
                }
                f.write_str("\nplan again, and look at it before you apply it")
            }
            Self::Usage(why) => f.write_str(why),
            Self::Declined(why) => f.write_str(why),
            Self::Interrupted => f.write_str(
                "interrupted; what was done is kept, and the same command goes on from there",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kubitect_provision::Error as Machines;

    #[test]
    fn foreign_text_of_several_lines_never_looks_like_our_own() {
        let foreign = "m1: no\nkubitect: all is well";
        let kind = kubitect_config::RefusalKind::Site;
        let failures = [
            Failure::failed(foreign),
            Failure::because("go on", foreign),
            Failure::Refused(vec![Refusal::new(kind, foreign, foreign)]),
            Failure::Stale(vec![foreign.to_owned()]),
        ];
        for failure in failures {
            let text = failure.to_string();
            assert!(!text.contains("\nkubitect:"), "{text}");
        }
    }

    #[test]
    fn a_failure_is_of_the_kind_of_its_cause_wherever_that_stands_in_the_chain() {
        let host_unreached = || Machines::Connect {
            host: "a".to_owned(),
            uri: "qemu+ssh://a/system".to_owned(),
            help: "is it on?".to_owned(),
            source: "no route".into(),
        };
        let other_key = || Machines::HostKey {
            machine: "m1".to_owned(),
            address: "10.0.0.1".to_owned(),
            wanted: String::new(),
            found: String::new(),
        };
        let drain = kubitect_kubespray::Error::Drain {
            node: "w1".to_owned(),
            after: std::time::Duration::from_secs(1),
            pods: Vec::new(),
            lines: String::new(),
        };
        let held = |at_work| Machines::Locked {
            cluster: "demo".to_owned(),
            host: "a".to_owned(),
            by: "another".to_owned(),
            at_work,
        };
        let kinds = [
            (Failure::from(host_unreached()), Kind::HostAway),
            (
                Failure::because("apply", Machines::Hosts(vec![host_unreached()])),
                Kind::HostAway,
            ),
            (
                Failure::because(
                    "go on",
                    Machines::Machines(vec![Machines::Cancelled, other_key()]),
                ),
                Kind::Untrusted,
            ),
            (Failure::from(drain), Kind::TimedOut),
            (Failure::from(held(true)), Kind::Busy),
            // Only a person can find out whether that run has ended.
            (Failure::from(held(false)), Kind::Other),
            (Failure::failed("go on"), Kind::Other),
            (Failure::Interrupted, Kind::Interrupted),
        ];
        for (failure, kind) in kinds {
            assert_eq!(failure.kind(), kind, "{failure}");
        }
        // Programs can match on the error that is the cause.
        let failure = Failure::because("go on", Failure::failed("x")).below(Failure::failed("y"));
        assert!(failure.cause::<Machines>().is_none());
        let failure = Failure::because(
            "apply",
            Machines::Step {
                what: "make machines".to_owned(),
                source: Some(host_unreached().into()),
            },
        );
        let Some(Machines::Step { what, .. }) = failure.cause() else {
            panic!("{failure}");
        };
        assert_eq!(what, "make machines");
        assert!(Failure::from(held(true)).cause::<Machines>().is_some());
    }
}
