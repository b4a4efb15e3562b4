//! [`Holder`]: the run that holds a cluster's lock in libvirt, and whether it still runs.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::home::ClusterDir;

/// The end of the year 9999, the latest time that can be written.
const LATEST: u64 = 253_402_300_799;

/// The version of the text's format.
const VERSION: u32 = 1;

/// A run with its process, machine and folder. This is the text of its lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    version: u32,
    /// A text that no other run has.
    run: String,
    /// The number of its process, and the start of that process, in clock ticks since boot: numbers are used again.
    process: u32,
    started: u64,
    /// The PID namespace in which the process has this number.
    namespace: String,
    /// The boot ID of its machine, which is new after each reboot.
    boot: String,
    /// The machine ID and the host name of its machine.
    machine: String,
    host: String,
    /// The number of its user.
    user: u32,
    /// The folder of its clusters, with its device and inode: a folder that was recreated has another one.
    folder: String,
    inode: String,
    /// When it took the lock, in seconds of Unix time.
    since: u64,
}

/// Whether another run still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunState {
    /// It has ended, for sure.
    Ended,
    /// Its process exists.
    Running,
    /// It is on another machine, or its process can't be seen from here.
    Unknown,
}

/// The processes of this machine, by `/proc`.
pub(super) struct ProcFs;

impl ProcFs {
    /// The start of the process of this number: `Some(None)` if there is no such process, `None` if that can't be known.
    fn started(number: u32) -> Option<Option<u64>> {
        match fs::read(format!("/proc/{number}/stat")) {
            Ok(text) => Some(ticks(&String::from_utf8_lossy(&text))),
            // /proc may hide other users' processes (`hidepid`): then it hides process 1, too.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Path::new("/proc/1/stat").exists().then_some(None)
            }
            Err(_) => None,
        }
    }
}

/// Where the processes of this machine are looked up; in tests, a list.
pub(super) trait ProcessTable {
    /// As [`ProcFs::started`].
    fn started(&self, number: u32) -> Option<Option<u64>>;
}

impl ProcessTable for ProcFs {
    fn started(&self, number: u32) -> Option<Option<u64>> {
        Self::started(number)
    }
}

/// The start of a process in its line of `/proc/PID/stat`. The process's name before it may contain spaces and brackets.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

/// A file's first line; empty if it can't be read.
fn line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

impl Holder {
    /// This process as a holder, with the folder that contains the cluster's folder.
    pub fn this(dir: &ClusterDir) -> Self {
        let folder = dir.root().parent().unwrap_or(dir.root());
        let inode = folder
            .metadata()
            .map(|it| format!("{}:{}", it.dev(), it.ino()));
        let process = std::process::id();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            version: VERSION,
            run: String::new(),
            process,
            started: ProcFs::started(process).flatten().unwrap_or(0),
            namespace: fs::read_link("/proc/self/ns/pid")
                .map(|link| link.display().to_string())
                .unwrap_or_default(),
            boot: line("/proc/sys/kernel/random/boot_id"),
            machine: line("/etc/machine-id"),
            host: line("/proc/sys/kernel/hostname"),
            user: rustix::process::getuid().as_raw(),
            folder: folder.display().to_string(),
            inode: inode.unwrap_or_default(),
            since: now.as_ref().map_or(0, Duration::as_secs),
        }
    }

    /// The text of its lock, with this run's own text in it.
    pub(super) fn text(&self, run: &str) -> Result<String, Error> {
        let own = Self {
            run: run.to_owned(),
            ..self.clone()
        };
        serde_json::to_string(&own).map_err(|e| Error::because("write what a lock says", e))
    }

    /// Reads the text of a lock; the error says why it can't be read.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let none = || "a lock that is none of Kubitect's".to_owned();
        let Versioned { version } = serde_json::from_str(text).map_err(|_| none())?;
        if version != VERSION {
            return Err(format!(
                "a run of a newer Kubitect, whose lock has version {version}"
            ));
        }
        serde_json::from_str(text).map_err(|_| none())
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// When it took the lock.
    pub fn since(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.since.min(LATEST))
    }

    /// Its user, machine and folder.
    pub fn place(&self) -> String {
        format!(
            "of user {} on {}, with the clusters in {}",
            self.user, self.host, self.folder
        )
    }

    /// Whether it still runs, as far as the run `me` can know, which holds the lock of its own folder.
    pub(super) fn run_state(&self, me: &Self, processes: &dyn ProcessTable) -> RunState {
        let same_machine =
            !self.machine.is_empty() && (&self.machine, &self.host) == (&me.machine, &me.host);
        if self.boot != me.boot || self.boot.is_empty() {
            // A machine that was rebooted has ended all its runs. Another boot ID alone does not say so: it may be another machine.
            return match same_machine && !self.boot.is_empty() && !me.boot.is_empty() {
                true => RunState::Ended,
                false => RunState::Unknown,
            };
        }
        if !self.inode.is_empty() && (&self.folder, &self.inode) == (&me.folder, &me.inode) {
            // `me` could lock the same folder, so the other run has released it: it has ended.
            return RunState::Ended;
        }
        if self.namespace != me.namespace || self.namespace.is_empty() {
            return RunState::Unknown;
        }
        match processes.started(self.process) {
            Some(Some(started)) if started == self.started => RunState::Running,
            Some(_) => RunState::Ended,
            None => RunState::Unknown,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} {}", self.process, self.place())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The processes with their starts; none if they are hidden.
    struct FakeProcesses(Option<&'static [(u32, u64)]>);

    impl ProcessTable for FakeProcesses {
        fn started(&self, number: u32) -> Option<Option<u64>> {
            let there = self.0?.iter().find(|(own, _)| *own == number);
            Some(there.map(|(_, started)| *started))
        }
    }

    fn run(process: u32, folder: &str) -> Holder {
        Holder {
            version: VERSION,
            run: "1".to_owned(),
            process,
            started: 70,
            namespace: "pid:[1]".to_owned(),
            boot: "b1".to_owned(),
            machine: "m1".to_owned(),
            host: "box".to_owned(),
            user: 1000,
            folder: folder.to_owned(),
            inode: format!("1:{}", folder.len()),
            since: 1_700_000_000,
        }
    }

    /// Whoever changes this leaves locks that other releases can't read.
    #[test]
    fn golden_lock_of_a_run() {
        let text = "{\"version\":1,\"run\":\"2a\",\"process\":7,\"started\":70,\"namespace\":\"pid:[1]\",\"boot\":\"b1\",\
                    \"machine\":\"m1\",\"host\":\"box\",\"user\":1000,\"folder\":\"/home/ann/.kubitect/clusters\",\
                    \"inode\":\"1:28\",\"since\":1700000000}";
        let own = run(7, "/home/ann/.kubitect/clusters");
        assert_eq!(own.text("2a").unwrap(), text);
        let read = Holder::read(text).unwrap();
        assert_eq!(
            read.to_string(),
            "process 7 of user 1000 on box, with the clusters in /home/ann/.kubitect/clusters"
        );
        let newer = Holder::read(&text.replace("\"version\":1", "\"version\":2"));
        assert!(newer.unwrap_err().contains("newer Kubitect"));
        for other in [
            "",
            "{}",
            "{\"version\":1}",
            "{\"version\":1,\"process\":\"x\"}",
        ] {
            assert!(
                Holder::read(other)
                    .unwrap_err()
                    .contains("none of Kubitect's")
            );
        }
    }

    #[test]
    fn a_run_is_over_only_where_that_is_sure() {
        let (me, other) = (run(9, "/mine"), run(7, "/others"));
        let lives = FakeProcesses(Some(&[(7, 70), (9, 70)]));
        let gone = FakeProcesses(Some(&[(9, 70)]));
        let another = FakeProcesses(Some(&[(7, 71), (9, 70)]));
        let hidden = FakeProcesses(None);
        assert_eq!(other.run_state(&me, &lives), RunState::Running);
        assert_eq!(other.run_state(&me, &gone), RunState::Ended);
        assert_eq!(other.run_state(&me, &another), RunState::Ended);
        assert_eq!(other.run_state(&me, &hidden), RunState::Unknown);
        // Its folder is locked by this run.
        let same = Holder {
            process: 7,
            ..me.clone()
        };
        assert_eq!(same.run_state(&me, &lives), RunState::Ended);
        // For a folder that was recreated, the lock says nothing, so the process is looked up.
        let recreated = Holder {
            inode: "1:99".to_owned(),
            ..same
        };
        assert_eq!(recreated.run_state(&me, &lives), RunState::Running);
        assert_eq!(recreated.run_state(&me, &gone), RunState::Ended);
        let in_container = Holder {
            namespace: "pid:[2]".to_owned(),
            ..other.clone()
        };
        assert_eq!(in_container.run_state(&me, &gone), RunState::Unknown);
        let restarted = Holder {
            boot: "b0".to_owned(),
            ..other.clone()
        };
        assert_eq!(restarted.run_state(&me, &lives), RunState::Ended);
        // A copy of a system has the same machine ID; a system in a container has none.
        for (machine, host) in [("m1", "copy"), ("m2", "box"), ("", "box")] {
            let elsewhere = Holder {
                machine: machine.to_owned(),
                host: host.to_owned(),
                ..restarted.clone()
            };
            assert_eq!(elsewhere.run_state(&me, &gone), RunState::Unknown);
        }
        let unknown = Holder {
            boot: String::new(),
            ..other
        };
        assert_eq!(unknown.run_state(&me, &gone), RunState::Unknown);
    }

    #[test]
    fn this_process_is_found_and_an_impossible_one_is_not() {
        let own = std::process::id();
        assert!(matches!(ProcFs::started(own), Some(Some(ticks)) if ticks > 0));
        assert_eq!(ProcFs::started(u32::MAX), Some(None));
        assert_eq!(
            ticks("7 (a) b) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 123 9"),
            Some(123)
        );
        assert_eq!(ticks("nonsense"), None);
    }
}
