//! Runs other programs, each in its own process group, and kills them with all their descendants when the run ends.
//!
//! Killing the process group is not enough: Ansible forks workers, which leave it in newer versions, and SSH leaves connections
//! running. So each program gets a variable in its environment that all descendants inherit, the mark. All processes with the
//! mark are killed; a later run can do that, too, if the run that started them was killed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kubitect_config::check::Check;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::Error;

/// The environment variable with the mark.
const MARK: &str = "KUBITECT_PROGRAM_OF";

/// How long a program may take to end after SIGINT.
const GRACE: Duration = Duration::from_secs(5);

/// How much of a program's output is stored, in bytes: enough for an error message, and a bound on memory.
const OUTPUT_MAX: usize = 256 * 1024;

/// Variables of the caller that would change which Python, packages or repository a program uses; they are removed.
const REMOVED_VARIABLES: [&str; 16] = [
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIREMENT",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_TEMPLATE_DIR",
];

/// A command without input, with a fixed locale, and without [`REMOVED_VARIABLES`].
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in REMOVED_VARIABLES {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
    command
}

/// Numbers the programs of this process, so that each mark is unique.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// A running program. When it is dropped, the program and all its descendants are killed.
pub(crate) struct Running {
    child: Child,
    /// `<place>#<process id of this run>-<count>`: unique to this program, and found by `place`.
    mark: OsString,
    ended: bool,
    /// Its command line without secrets, for the log.
    line: String,
    began: Instant,
}

impl Running {
    /// Starts `command`, which works on the folder or file `place`. A later run finds its processes by this path: see
    /// [`end_leftovers`].
    pub(crate) fn start(command: &mut Command, place: &Path) -> Result<Self, Error> {
        let mut mark = place.as_os_str().to_owned();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        mark.push(format!("#{}-{count}", std::process::id()));
        let line = command.as_std();
        let arguments = std::iter::once(line.get_program()).chain(line.get_args());
        let arguments: Vec<_> = arguments.map(OsStr::to_string_lossy).collect();
        let line = kubitect_config::address::shown(&arguments.join(" "));
        tracing::debug!(command = line, "program started");
        let child = command
            .env(MARK, &mark)
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Start {
                program: command
                    .as_std()
                    .get_program()
                    .to_string_lossy()
                    .into_owned(),
                source,
            })?;
        Ok(Self {
            child,
            mark,
            ended: false,
            line,
            began: Instant::now(),
        })
    }

    /// Waits for its end. Cancel safe.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        if !self.ended {
            let took = self.began.elapsed();
            tracing::debug!(?took, %status, command = self.line, "program ended");
        }
        self.ended = true;
        Ok(status)
    }

    /// Sends SIGINT, waits up to [`GRACE`], then kills all that is left.
    ///
    /// It blocks on purpose: it also runs when a future is dropped, and no process may be left after that.
    fn end(&mut self) {
        if !self.ended {
            let took = self.began.elapsed();
            tracing::debug!(
                ?took,
                command = self.line,
                "program is ended before its time"
            );
            let group = self.child.id().and_then(|id| Pid::from_raw(id as i32));
            let signal = |signal| {
                if let Some(group) = group
                    && let Err(error) = rustix::process::kill_process_group(group, signal)
                {
                    tracing::debug!(%error, "signal to a process group");
                }
            };
            signal(Signal::INT);
            let deadline = Instant::now() + GRACE;
            while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
            signal(Signal::KILL);
            self.ended = true;
        }
        end_marked(|mark| mark == self.mark.as_bytes());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Kills the processes that an earlier, killed run left working on `place`. The caller holds the lock on `place`, so no live run
/// has any.
pub(crate) fn end_leftovers(place: &Path) {
    let prefix = [place.as_os_str().as_bytes(), b"#"].concat();
    end_marked(|mark| mark.starts_with(&prefix));
}

/// Kills every process with such a mark; repeats until none is found, because they may be starting others.
fn end_marked(matches: impl Fn(&[u8]) -> bool) {
    let deadline = Instant::now() + GRACE;
    loop {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let found = processes
            .filter_map(|process| process.file_name().to_str()?.parse().ok())
            .filter(|pid| kill_if_marked(*pid, &matches))
            .count();
        if found == 0 || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills a process if it has such a mark in its environment. Returns whether it did. The handle is opened before the check, so
/// that a new process that gets the same id meanwhile is not killed.
fn kill_if_marked(pid: i32, matches: impl Fn(&[u8]) -> bool) -> bool {
    let Some(handle) = Pid::from_raw(pid)
        .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok())
    else {
        return false;
    };
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    environment
        .split(|&byte| byte == 0)
        .filter_map(|entry| entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))
        .any(matches)
        && rustix::process::pidfd_send_signal(&handle, Signal::KILL).is_ok()
}

/// A program's output and exit status.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end within `limit`. `what` is its purpose for error messages, as "fetch Kubespray v2.19.0 from …".
pub(crate) async fn run(
    command: &mut Command,
    place: &Path,
    what: &str,
    limit: Duration,
) -> Result<Output, Error> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command, place)?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
    let work = async {
        let (status, ..) = tokio::join!(
            running.wait(),
            read_tail(stdout, &mut out),
            read_tail(stderr, &mut err)
        );
        status
    };
    let ended = tokio::time::timeout(limit, work).await;
    drop(running);
    let [stdout, stderr] = [out, err].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    match ended {
        Ok(Ok(status)) => Ok(Output {
            status,
            stdout,
            stderr,
        }),
        Ok(Err(source)) => Err(Error::Start {
            program: what.to_owned(),
            source,
        }),
        Err(_) => Err(Error::Slow {
            what: what.to_owned(),
            limit,
            lines: last_lines(&stderr, 5),
        }),
    }
}

/// How long a program may take to print its version.
const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// Checks that a program runs, by its option `version` that prints the version.
pub(crate) async fn check(what: &str, program: &str, version: &str, place: &Path) -> Check {
    let mut command = command(program);
    command.arg(version);
    let purpose = format!("ask {program} for its version");
    let output = match run(&mut command, place, &purpose, VERSION_LIMIT).await {
        Ok(output) if output.status.success() => output.stdout + &output.stderr,
        Ok(output) => {
            let why = last_lines(&output.stderr, 1);
            return Check::wrong(
                what,
                format!("{program} does not run: {why}"),
                "install it anew",
            );
        }
        Err(_) => {
            let package = if program == "ssh" {
                "openssh-client"
            } else {
                program
            };
            let cure = format!("sudo apt install {package}");
            return Check::wrong(what, format!("there is no {program} in PATH"), cure);
        }
    };
    let version = output.lines().next().unwrap_or_default().trim().to_owned();
    Check::good(what, version)
}

/// Reads a stream to its end, and stores at least its last [`OUTPUT_MAX`] bytes in `tail`.
async fn read_tail(stream: Option<impl AsyncRead + Unpin>, tail: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut chunk = [0; 8192];
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        tail.extend_from_slice(&chunk[..length]);
        if tail.len() > 2 * OUTPUT_MAX {
            tail.drain(..tail.len() - OUTPUT_MAX);
        }
    }
}

/// The last lines of a text that are not empty, without control characters.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    kubitect_config::text::lines(&lines[lines.len().saturating_sub(count)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|s| s.starts_with(" Z")))
    }

    async fn read_pid(file: &Path) -> String {
        for _ in 0..500 {
            match std::fs::read_to_string(file) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("{} was not written", file.display());
    }

    /// A grandchild in a session of its own that ignores SIGINT.
    fn stubborn(folder: &Path) -> Command {
        let mut command = command("sh");
        command.current_dir(folder).args([
            "-c",
            "setsid sh -c 'trap \"\" INT; echo $$ > pid; while :; do sleep 1; done' & wait",
        ]);
        command
    }

    #[tokio::test]
    async fn grandchildren_end_with_a_program_that_is_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = stubborn(folder.path());
        let run = run(&mut command, folder.path(), "wait", Duration::from_secs(60));
        let file = folder.path().join("pid");
        let pid = tokio::select! {
            _ = run => panic!("ended by itself"),
            pid = read_pid(&file) => pid,
        };
        assert!(!alive(&pid), "{pid} outlived its run");
    }

    #[tokio::test]
    async fn what_a_killed_run_left_is_found_by_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(&mut stubborn(folder.path()), folder.path()).unwrap();
        let pid = read_pid(&folder.path().join("pid")).await;
        std::mem::forget(running);
        end_leftovers(&folder.path().join("elsewhere"));
        assert!(alive(&pid));
        end_leftovers(folder.path());
        assert!(!alive(&pid));
    }

    #[tokio::test]
    async fn a_program_that_takes_too_long_is_ended_and_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = command("sh");
        command.args(["-c", "echo so far >&2; exec sleep 60"]);
        let started = Instant::now();
        let limit = Duration::from_secs(2);
        match run(&mut command, folder.path(), "wait", limit).await {
            Err(Error::Slow { lines, .. }) => assert_eq!(lines, "so far"),
            other => panic!("{:?}", other.map(|output| output.stdout)),
        }
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn last_lines_skips_empty_ones() {
        assert_eq!(last_lines("a\n\nb\r\n\n c\n\n", 2), "b\n c");
        assert_eq!(last_lines("", 2), "");
    }
}
