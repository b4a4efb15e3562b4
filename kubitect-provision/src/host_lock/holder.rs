//! [`Holder`]: a run that holds a cluster, as its lock in libvirt says, and whether it is still at work.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::home::ClusterDir;

/// The end of the year 9999: no calendar goes on for ever.
const LATEST: u64 = 253_402_300_799;

/// The form of the text.
const VERSION: u32 = 1;

/// A run, the process that it is of, and where that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    version: u32,
    /// Tells it from all other runs.
    run: String,
    /// The number of its process, and since when that runs, in ticks of its machine's clock.
    process: u32,
    started: u64,
    /// The namespace in which the process has this number.
    namespace: String,
    /// The start of its machine's kernel.
    boot: String,
    /// Its machine, by the number of its system and by its name.
    machine: String,
    host: String,
    /// The number of its user.
    user: u32,
    /// The folder of its clusters, and which one that is.
    folder: String,
    inode: String,
    /// Since when it holds the cluster, in seconds of Unix time.
    since: u64,
}

/// What is known of another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has ended.
    Over,
    /// Its process is there.
    AtWork,
    /// It is on another machine, or can't be seen from here.
    Unknown,
}

/// The processes of this machine.
pub(super) struct Processes;

impl Processes {
    /// Since when the process of this number runs, none if there is no such process; nothing where others' processes are hidden.
    fn started(number: u32) -> Option<Option<u64>> {
        match fs::read(format!("/proc/{number}/stat")) {
            Ok(text) => Some(ticks(&String::from_utf8_lossy(&text))),
            // Where /proc hides what is others', it hides the first process, too.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Path::new("/proc/1/stat").exists().then_some(None)
            }
            Err(_) => None,
        }
    }
}

/// What tells of processes.
pub(super) trait Look {
    /// As [`Processes::started`].
    fn started(&self, number: u32) -> Option<Option<u64>>;
}

impl Look for Processes {
    fn started(&self, number: u32) -> Option<Option<u64>> {
        Self::started(number)
    }
}

/// The start of a process in its line of `/proc`; its name in it may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

/// A file's first line, or nothing.
fn line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

impl Holder {
    /// This process, with the folder that the cluster's is in.
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
            started: Processes::started(process).flatten().unwrap_or(0),
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

    /// The text of its lock, for this run of it.
    pub(super) fn text(&self, run: &str) -> Result<String, Error> {
        let own = Self {
            run: run.to_owned(),
            ..self.clone()
        };
        serde_json::to_string(&own).map_err(|e| Error::because("write what a lock says", e))
    }

    /// Reads the text of a lock; else why it can't be read.
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

    /// Since when it holds the cluster.
    pub fn since(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.since.min(LATEST))
    }

    /// Where it is.
    pub fn place(&self) -> String {
        format!(
            "of user {} on {}, with the clusters in {}",
            self.user, self.host, self.folder
        )
    }

    /// Whether it is over, seen by `me`, who has the lock of its own folder.
    pub(super) fn standing(&self, me: &Self, processes: &dyn Look) -> Standing {
        let same_machine =
            !self.machine.is_empty() && (&self.machine, &self.host) == (&me.machine, &me.host);
        if self.boot != me.boot || self.boot.is_empty() {
            // The machine was started anew since.
            return match same_machine && !self.boot.is_empty() && !me.boot.is_empty() {
                true => Standing::Over,
                false => Standing::Unknown,
            };
        }
        if !self.inode.is_empty() && (&self.folder, &self.inode) == (&me.folder, &me.inode) {
            // The lock of the folder was freed when it ended.
            return Standing::Over;
        }
        if self.namespace != me.namespace || self.namespace.is_empty() {
            return Standing::Unknown;
        }
        match processes.started(self.process) {
            Some(Some(started)) if started == self.started => Standing::AtWork,
            Some(_) => Standing::Over,
            None => Standing::Unknown,
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

    /// Which processes are there, and since when; nothing: they are hidden.
    struct There(Option<&'static [(u32, u64)]>);

    impl Look for There {
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
        let lives = There(Some(&[(7, 70), (9, 70)]));
        let gone = There(Some(&[(9, 70)]));
        let another = There(Some(&[(7, 71), (9, 70)]));
        let hidden = There(None);
        assert_eq!(other.standing(&me, &lives), Standing::AtWork);
        assert_eq!(other.standing(&me, &gone), Standing::Over);
        assert_eq!(other.standing(&me, &another), Standing::Over);
        assert_eq!(other.standing(&me, &hidden), Standing::Unknown);
        // Its folder is locked by this run.
        let same = Holder {
            process: 7,
            ..me.clone()
        };
        assert_eq!(same.standing(&me, &lives), Standing::Over);
        // Of a folder that was made anew the process is asked.
        let remade = Holder {
            inode: "1:99".to_owned(),
            ..same
        };
        assert_eq!(remade.standing(&me, &lives), Standing::AtWork);
        assert_eq!(remade.standing(&me, &gone), Standing::Over);
        let contained = Holder {
            namespace: "pid:[2]".to_owned(),
            ..other.clone()
        };
        assert_eq!(contained.standing(&me, &gone), Standing::Unknown);
        let restarted = Holder {
            boot: "b0".to_owned(),
            ..other.clone()
        };
        assert_eq!(restarted.standing(&me, &lives), Standing::Over);
        // Copies of a system have the same number; systems in containers have none.
        for (machine, host) in [("m1", "copy"), ("m2", "box"), ("", "box")] {
            let away = Holder {
                machine: machine.to_owned(),
                host: host.to_owned(),
                ..restarted.clone()
            };
            assert_eq!(away.standing(&me, &gone), Standing::Unknown);
        }
        let unknown = Holder {
            boot: String::new(),
            ..other
        };
        assert_eq!(unknown.standing(&me, &gone), Standing::Unknown);
    }

    #[test]
    fn this_process_is_found_and_an_impossible_one_is_not() {
        let own = std::process::id();
        assert!(matches!(Processes::started(own), Some(Some(ticks)) if ticks > 0));
        assert_eq!(Processes::started(u32::MAX), Some(None));
        assert_eq!(
            ticks("7 (a) b) S 1 7 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 123 9"),
            Some(123)
        );
        assert_eq!(ticks("nonsense"), None);
    }
}
