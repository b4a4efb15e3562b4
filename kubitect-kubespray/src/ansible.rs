//! Runs an unchanged playbook of the release, with Kubitect's callback plugin, log and fact cache, and with pinned host keys.

use std::fs::File;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;
use tokio::time::Instant;

use crate::goal::Run;
use crate::lines::{self, Lines};
use crate::playbook_results::PlaybookResults;
use crate::program::{self, Running};
use crate::workdir::{self, Workdir};
use crate::{Error, Event, OnEvent, Tools};

/// How long a playbook may go without a result of any host before it counts as stalled. It is longer than any task of Kubespray
/// needs to fail.
const STALLED: Duration = Duration::from_secs(60 * 60);

/// How long to read remaining output after Ansible has ended.
const OUTPUT_LIMIT: Duration = Duration::from_secs(5);

const PLUGIN: &str = include_str!("../callback/kubitect_events.py");
const PLUGIN_FILE: &str = "kubitect_events.py";
/// The plugin's folder, within the private folder of each run.
const CALLBACKS: &str = "callback";

/// Runs one playbook on the inventory of `workdir` to its end. When the future is dropped, Ansible and all its processes are
/// killed.
pub(crate) async fn play(
    run: &Run,
    tools: &Tools,
    workdir: &Workdir,
    on_event: OnEvent<'_>,
) -> Result<(), Error> {
    // The playbook of a killed run may still be running, on the same machines.
    program::end_leftovers(workdir.config());
    let (log, log_file) = new_log(workdir.logs(), &run.playbook)?;
    let folder = private_folder(workdir)?;
    // In a folder of its own: Ansible runs every plugin that it finds there.
    let plugin = folder.path().join(CALLBACKS).join(PLUGIN_FILE);
    workdir::write(&plugin, PLUGIN.as_bytes(), 0o600)?;
    let socket = folder.path().join("events");
    let listener = UnixListener::bind(&socket).map_err(Error::file("listen on", &socket))?;

    on_event(Event::PlaybookStarted {
        playbook: run.playbook.clone(),
        tags: run.tags.clone(),
        log: log.clone(),
    });
    let mut command = command(run, tools, workdir, folder.path());
    let output = into_log(&mut command, log_file).map_err(Error::file("write", &log))?;
    let mut running = Running::start(&mut command, workdir.config())?;
    // It holds a copy of the pipe's writing end; the reader would never see the end of the output.
    drop(command);
    let output = tokio::spawn(output);
    let mut results = PlaybookResults::default();
    let status = follow(&mut running, &listener, &mut results, on_event).await;
    drop(running);
    let log_task = output.abort_handle();
    if tokio::time::timeout(OUTPUT_LIMIT, output).await.is_err() {
        log_task.abort();
    }

    let playbook = run.playbook.clone();
    match status.map_err(Error::file("follow Ansible by", &socket))? {
        None => Err(Error::Stalled {
            playbook,
            task: results.task().to_owned(),
            limit: STALLED,
            log,
        }),
        Some(status) if status.success() && results.complete() => {
            on_event(Event::PlaybookFinished {
                playbook,
                tasks: results.tasks(),
                changed: results.changed(),
            });
            Ok(())
        }
        Some(status) => Err(failure_of(playbook, status, &results, log)),
    }
}

/// Connects a program's output to its log; the returned future copies it, without control characters. To be awaited after the
/// start.
fn into_log(
    command: &mut Command,
    log: File,
) -> std::io::Result<impl Future<Output = std::io::Result<()>> + Send + 'static> {
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reader.into())?;
    Ok(lines::into_log(reader, log))
}

/// Passes the plugin's events on until Ansible ends. `None` if no event came within [`STALLED`].
async fn follow(
    running: &mut Running,
    listener: &UnixListener,
    results: &mut PlaybookResults,
    on_event: OnEvent<'_>,
) -> std::io::Result<Option<ExitStatus>> {
    let mut take = |line: &str| results.take(line).into_iter().for_each(on_event);
    let mut lines: Option<Lines<BufReader<UnixStream>>> = None;
    let mut last_message = Instant::now();
    let status = loop {
        tokio::select! {
            accepted = listener.accept(), if lines.is_none() => {
                lines = Some(Lines::new(accepted?.0));
            }
            line = next_line(&mut lines), if lines.is_some() => match line? {
                Some(line) => {
                    last_message = Instant::now();
                    take(&line);
                }
                // The plugin has disconnected: Ansible has ended, or is about to.
                None => break tokio::time::timeout_at(last_message + STALLED, running.wait()).await,
            },
            status = running.wait() => break Ok(status),
            () = tokio::time::sleep_until(last_message + STALLED) => return Ok(None),
        }
    };
    let Ok(status) = status else { return Ok(None) };
    let status = status?;
    let rest = async {
        if lines.is_none() {
            lines = Some(Lines::new(listener.accept().await?.0));
        }
        while let Some(line) = next_line(&mut lines).await? {
            take(&line);
        }
        std::io::Result::Ok(())
    };
    // If Ansible ended before it loaded the plugin, nothing ever connects.
    let limit = if status.success() {
        OUTPUT_LIMIT
    } else {
        Duration::from_millis(500)
    };
    match tokio::time::timeout(limit, rest).await {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) | Err(_) => Ok(Some(status)),
    }
}

async fn next_line(
    lines: &mut Option<Lines<BufReader<UnixStream>>>,
) -> std::io::Result<Option<String>> {
    match lines {
        Some(lines) => lines.next().await,
        None => Ok(None),
    }
}

/// The error for a playbook that ended, but not well: the failure of a host, or else the end of Ansible's log.
fn failure_of(
    playbook: String,
    status: ExitStatus,
    results: &PlaybookResults,
    log: PathBuf,
) -> Error {
    if let Some((failure, others)) = results.failure() {
        return Error::Playbook {
            playbook,
            host: failure.host.clone(),
            task: failure.task.clone(),
            message: failure.message.clone(),
            others,
            log: log.into(),
        };
    }
    Error::Ansible {
        playbook,
        status: if status.success() {
            "Ansible did not tell how it went".to_owned()
        } else {
            format!("Ansible ended with {status}")
        },
        lines: program::last_lines(&lines::tail(&log), 8),
        log,
    }
}

/// `ansible-playbook` without the caller's own Ansible settings; `folder` is the run's private folder.
fn command(run: &Run, tools: &Tools, workdir: &Workdir, folder: &Path) -> Command {
    let bin = tools.environment.join("bin");
    let mut command = program::command(bin.join("ansible-playbook"));
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"ANSIBLE_") {
            command.env_remove(name);
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(bin).chain(std::env::split_paths(&path));
    if let Ok(path) = std::env::join_paths(paths) {
        command.env("PATH", path);
    }
    command
        .current_dir(&tools.kubespray)
        .arg("--inventory")
        .arg(workdir.inventory())
        .args(run.arguments())
        // Several clusters share the checkout, and it may not differ from its tag.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("KUBITECT_EVENTS", folder.join("events"))
        .env("ANSIBLE_CONFIG", tools.kubespray.join("ansible.cfg"))
        .env("ANSIBLE_CALLBACK_PLUGINS", folder.join(CALLBACKS))
        .env("ANSIBLE_CALLBACKS_ENABLED", "kubitect_events")
        .env("ANSIBLE_STDOUT_CALLBACK", "default")
        .env("ANSIBLE_NOCOLOR", "1")
        .env("ANSIBLE_LOCALHOST_WARNING", "False")
        .env("ANSIBLE_RETRY_FILES_ENABLED", "False")
        // By default Ansible searches collections and plugins in the user's and the system's folders before those of the release.
        .env("ANSIBLE_HOME", folder.join("home"))
        .env("ANSIBLE_COLLECTIONS_PATH", folder.join("collections"))
        .env("ANSIBLE_LOCAL_TEMP", folder.join("tmp"))
        // Kubespray's own cache would be shared by all clusters, although its keys are host names.
        .env("ANSIBLE_CACHE_PLUGIN", "jsonfile")
        .env("ANSIBLE_CACHE_PLUGIN_CONNECTION", workdir.facts())
        // Cached facts stay valid for a whole upgrade, however long it takes; the releases' own timeout is 2 to 24 hours.
        .env("ANSIBLE_CACHE_PLUGIN_TIMEOUT", "0")
        .env("ANSIBLE_HOST_KEY_CHECKING", "True")
        .env("ANSIBLE_SSH_CONTROL_PATH_DIR", folder.join("ssh"))
        .env("ANSIBLE_SSH_RETRIES", "3")
        .env("ANSIBLE_TIMEOUT", "60")
        .env("ANSIBLE_FORKS", tools.forks.to_string());
    command
}

/// A private folder for one run. Its path is short, because the path of a socket in it has a limit. Folders that killed runs on
/// this workdir left are removed.
fn private_folder(workdir: &Workdir) -> Result<tempfile::TempDir, Error> {
    let mut folder = std::env::temp_dir();
    if folder.as_os_str().len() > 40 {
        folder = PathBuf::from("/tmp");
    }
    let digest = Sha256::digest(workdir.config().as_os_str().as_encoded_bytes());
    let digest: String = digest[..6].iter().map(|b| format!("{b:02x}")).collect();
    let prefix = format!("kubitect-{digest}-");
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // Another user's folder can't be removed, which is right: this user's runs did not make it.
            if let Err(error) = std::fs::remove_dir_all(entry.path()) {
                tracing::debug!(%error, path = %entry.path().display(), "not removed");
            }
        }
    }
    tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(&folder)
        .map_err(Error::file("create a folder in", &folder))
}

/// Creates a log that only its owner can read, as `20260501T120000Z-cluster.log`; with a number if there is one of this name.
fn new_log(folder: &Path, playbook: &str) -> Result<(PathBuf, File), Error> {
    let name = Path::new(playbook)
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let time = utc(now.unwrap_or_default().as_secs());
    let mut count = 0;
    loop {
        let more = if count == 0 {
            String::new()
        } else {
            format!("-{count}")
        };
        let path = folder.join(format!("{time}-{name}{more}.log"));
        let file = File::options()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        match file {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => count += 1,
            Err(error) => return Err(Error::file("create", &path)(error)),
        }
    }
}

/// Seconds since 1970 as `20260501T120000Z`: the civil date by Howard Hinnant's days_from_civil, inverted.
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!(
        "{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_callers_own_ansible_is_in_the_way() {
        let folder = Path::new("/folder");
        let tools = Tools {
            kubespray: folder.join("kubespray"),
            environment: folder.join("venv"),
            forks: 1,
        };
        let workdir = Workdir::new(folder.join("config"), folder.join("logs"));
        let run = crate::goal::Run {
            playbook: "cluster.yml".to_owned(),
            limit: Vec::new(),
            tags: Vec::new(),
            variables: serde_json::Map::new(),
        };
        let command = command(&run, &tools, &workdir, &folder.join("private"));
        let of = |name: &str| {
            let mut all = command.as_std().get_envs();
            all.find_map(|(key, value)| (key == name).then(|| value.unwrap().to_owned()))
        };
        for name in [
            "ANSIBLE_HOME",
            "ANSIBLE_COLLECTIONS_PATH",
            "ANSIBLE_CALLBACK_PLUGINS",
        ] {
            let path = PathBuf::from(of(name).unwrap());
            assert!(path.starts_with(folder.join("private")), "{name}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(utc(0), "19700101T000000Z");
        assert_eq!(utc(951_782_400), "20000229T000000Z");
        assert_eq!(utc(1_767_225_599), "20251231T235959Z");
    }

    #[test]
    fn two_logs_of_one_second_are_two_files_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..3)
            .map(|_| new_log(folder.path(), "playbooks/facts.yml").unwrap().0)
            .collect();
        assert!(names.iter().all(|path| path.exists()));
        let mode = std::fs::metadata(&names[0]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(names[0].to_string_lossy().ends_with("-facts.log"));
    }
}
