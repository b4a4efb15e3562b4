//! Other programs, each in a process group of its own that ends with us, whatever it has started itself.
//!
//! Ansible forks workers (newer ones leave its process group), and SSH leaves connections behind. So each program is
//! marked by a variable in its environment that all its descendants inherit; what carries the mark can be ended
//! also by a later run, when the one that started it was killed.

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

/// The variable that marks a program and all that it starts.
const MARK: &str = "KUBITECT_PROGRAM_OF";

/// How long a program may take to end by itself once it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How much of what a program prints is kept: enough for any error, never all memory.
const KEPT: usize = 256 * 1024;

/// Variables that would change which Python, Ansible or repository a program works with.
const STRAY: [&str; 16] = [
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

/// A program that is about to run: no input, no terminal's colours, no stray settings of the caller's shell.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in STRAY {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
    command
}

/// Tells the programs that work on one place apart.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// A running program. Dropped, it is ended with all that it has started.
pub(crate) struct Running {
    child: Child,
    /// `<place>#<our process>-<count>`: of this program alone, and found by its place.
    mark: OsString,
    ended: bool,
    /// Its command line, as others may see it.
    line: String,
    began: Instant,
}

impl Running {
    /// Starts `command`, which works on `place`: the mark by which a later run finds what is left of it.
    pub(crate) fn start(command: &mut Command, place: &Path) -> Result<Self, Error> {
        let mut mark = place.as_os_str().to_owned();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        mark.push(format!("#{}-{count}", std::process::id()));
        let line = command.as_std();
        let words = std::iter::once(line.get_program()).chain(line.get_args());
        let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
        let line = kubitect_config::address::shown(&words.join(" "));
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

    /// Waits for its end. May be cancelled and called again.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        if !self.ended {
            let took = self.began.elapsed();
            tracing::debug!(?took, %status, command = self.line, "program ended");
        }
        self.ended = true;
        Ok(status)
    }

    /// Asks it to end, waits a little, and ends by force what is left.
    ///
    /// Blocking on purpose: it also runs when a future is dropped, and nothing may be left after that.
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

/// Ends what an earlier, killed run has left working on `place`. The caller holds the lock on `place`.
pub(crate) fn end_leftovers(place: &Path) {
    let prefix = [place.as_os_str().as_bytes(), b"#"].concat();
    end_marked(|mark| mark.starts_with(&prefix));
}

/// Ends, by force, every process with such a mark: again and again, because they may be starting others.
fn end_marked(ours: impl Fn(&[u8]) -> bool) {
    let deadline = Instant::now() + GRACE;
    loop {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let found = processes
            .filter_map(|process| process.file_name().to_str()?.parse().ok())
            .filter(|pid| kill_if_marked(*pid, &ours))
            .count();
        if found == 0 || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether the process had such a mark in its environment, and so was ended. The handle taken first keeps a process
/// that gets the same number meanwhile from being hit.
fn kill_if_marked(pid: i32, ours: impl Fn(&[u8]) -> bool) -> bool {
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
        .any(ours)
        && rustix::process::pidfd_send_signal(&handle, Signal::KILL).is_ok()
}

/// What a program printed, and how it ended.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end within `limit`. `what` says what for, as "fetch Kubespray v2.19.0 from …".
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
            keep_end(stdout, &mut out),
            keep_end(stderr, &mut err)
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

/// How long a program may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// Looks whether a program runs, by the option that has it say its version.
pub(crate) async fn check(what: &str, program: &str, version: &str, place: &Path) -> Check {
    let mut asked = command(program);
    asked.arg(version);
    let asking = format!("ask {program} for its version");
    let said = match run(&mut asked, place, &asking, VERSION_LIMIT).await {
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
    let version = said.lines().next().unwrap_or_default().trim().to_owned();
    Check::good(what, version)
}

/// Reads to the end and keeps the last [`KEPT`] bytes.
async fn keep_end(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut chunk = [0; 8192];
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..length]);
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
}

/// The last lines of a text that say something, clean.
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
