//! Kubespray's Python environment: made from the release's own requirements, and shared by all clusters with the same ones.

mod requirements;

use std::path::{Path, PathBuf};
use std::time::Duration;

use kubitect_config::check::Check;
use kubitect_config::cluster::Kubespray;
use kubitect_config::digest::sha256;
use kubitect_config::release::Release;
use serde::Deserialize;

use self::requirements::Requirements;
use crate::program;
use crate::{Error, Event, OnEvent, lock};

/// A script by which an interpreter prints its version, its path, and whether it can make environments. It checks `ensurepip`,
/// too, which Debian's Python lacks without the package python3-venv.
const PROBE: &str = "import sys, json, importlib.util as i; \
    print(json.dumps({'version': '%d.%d.%d' % sys.version_info[:3], 'executable': sys.executable, \
    'venv': all(i.find_spec(m) for m in ('venv', 'ensurepip'))}))";

const PROBE_LIMIT: Duration = Duration::from_secs(30);
const UV_LIMIT: Duration = Duration::from_secs(10 * 60);
const VENV_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The environment for the release in `checkout`, made if necessary; it contains `bin/ansible-playbook`.
///
/// An environment can't be moved, so it is made in place. A marker file, which is written last, shows that it is complete.
pub async fn environment(
    kubespray: &Kubespray,
    release: &Release,
    checkout: &Path,
    share: &Path,
    on_event: OnEvent<'_>,
) -> Result<PathBuf, Error> {
    let folder = share.join("venv");
    crate::workdir::make_private(&folder)?;
    // The path has to be absolute: scripts in the environment contain it, and they run in other folders.
    let folder = std::path::absolute(&folder).map_err(Error::file("resolve", &folder))?;
    let python = choose(kubespray.python.as_deref(), release, &folder).await?;
    let requirements = Requirements::read(release, checkout, &python)?;

    let program = python.executable.display();
    let made_of = format!("{}\0{}\0{program}", requirements.text, python.version);
    let key = sha256(made_of.as_bytes())[..16].to_owned();
    let path = folder.join(&key);
    let lock_file = folder.join(format!("{key}.lock"));
    let what = format!("the Python environment of Kubespray {}", release.tag);
    let _lock = lock::lock(&lock_file, &what, on_event).await?;
    let marker = path.join(".complete");
    // An environment that was moved (its scripts contain its path), or whose interpreter was removed, is made again.
    let is_missing = std::fs::read_to_string(&marker).ok().as_deref() != path.to_str()
        || !path.join("bin/python").exists();
    if is_missing {
        on_event(Event::Installing {
            python: python.version.clone(),
        });
        program::end_leftovers(&path);
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
        }
        // Private, because Python creates files in it by the umask.
        crate::workdir::make_private(&path)?;
        create_venv(&python, &path, release).await?;
        requirements
            .install(&path, checkout, &kubespray.pip, release)
            .await?;
        let text = path.to_string_lossy();
        crate::workdir::write(&marker, text.as_bytes(), 0o644)?;
    }
    on_event(Event::PythonReady {
        python: python.version,
        made: is_missing,
    });
    Ok(path)
}

/// A Python interpreter.
#[derive(Debug, Clone, Deserialize)]
struct Python {
    version: String,
    executable: PathBuf,
    /// Whether it can make environments.
    venv: bool,
}

impl Python {
    /// `3.11` of `3.11.7`.
    fn minor(&self) -> &str {
        self.version.rsplit_once('.').map_or("", |(minor, _)| minor)
    }
}

/// Checks whether there is an interpreter for a release. Fetches none.
pub(crate) async fn check(site: Option<&Path>, release: &Release, place: &Path) -> Check {
    const WHAT: &str = "Python";
    match find(site, release, place).await {
        Ok(python) => Check::good(
            WHAT,
            format!(
                "{} ({}) fits Kubespray {}",
                python.version,
                python.executable.display(),
                release.tag
            ),
        ),
        Err(Error::NoPython { wanted, found, .. }) if site.is_none() && uv(place).await => {
            Check::note(
                WHAT,
                format!("{found}; Kubespray {} takes {wanted}", release.tag),
                "nothing has to be done: uv, which is installed, fetches one with the first run",
            )
        }
        Err(Error::NoPython { wanted, found, .. }) => Check::wrong(
            WHAT,
            format!("{found}; Kubespray {} takes {wanted}", release.tag),
            "install one of these with its venv module (on Debian and Ubuntu, for the system's own: sudo apt install \
             python3-venv), or uv, which fetches one; or name one as kubespray.python in site.yaml",
        ),
        Err(error) => Check::wrong(
            WHAT,
            error.to_string(),
            "name another one as kubespray.python in site.yaml",
        ),
    }
}

/// Whether uv is installed.
async fn uv(place: &Path) -> bool {
    let mut uv = program::command("uv");
    uv.arg("--version");
    let ran = program::run(&mut uv, place, "ask uv for its version", PROBE_LIMIT).await;
    ran.is_ok_and(|output| output.status.success())
}

/// The interpreter for a release: an installed one, else one that uv fetches. uv is not used if the site file names an
/// interpreter (`site`).
async fn choose(site: Option<&Path>, release: &Release, place: &Path) -> Result<Python, Error> {
    let not_found = match find(site, release, place).await {
        Err(error) if site.is_none() => error,
        other => return other,
    };
    for minor in release.python.iter().rev() {
        if let Some(python) = fetch_with_uv(minor, place).await {
            return Ok(python);
        }
    }
    Err(not_found)
}

/// The installed interpreter for a release. If the site file names one, only that. Else the newest on PATH on which the release's
/// requirements can be installed; or, if there is none, the newest on which they can without the packages of `release.unpin`.
async fn find(site: Option<&Path>, release: &Release, place: &Path) -> Result<Python, Error> {
    let fitting: Vec<&String> = release.python.iter().rev().collect();
    let unpinned: Vec<&String> = release.python_unpinned.iter().rev().collect();
    let fits = |python: &Python| {
        let minor = python.minor();
        fitting.iter().chain(&unpinned).any(|m| *m == minor)
    };
    let wanted = || {
        let mut all: Vec<_> = release
            .python
            .iter()
            .chain(&release.python_unpinned)
            .cloned()
            .collect();
        all.sort_by_key(|minor| minor.rsplit('.').next().and_then(|m| m.parse::<u32>().ok()));
        all.join(", ")
    };
    let no_python = |found: String| Error::NoPython {
        release: release.tag.clone(),
        wanted: wanted(),
        found,
    };

    if let Some(path) = site {
        return match probe(path, place).await {
            Some(python) if !fits(&python) => Err(no_python(format!(
                "{} of site.yaml is {}",
                path.display(),
                python.version
            ))),
            Some(python) if !python.venv => Err(no_python(format!(
                "{} of site.yaml has no venv module",
                path.display()
            ))),
            Some(python) => Ok(python),
            None => Err(no_python(format!(
                "{} of site.yaml does not run",
                path.display()
            ))),
        };
    }

    let mut found = Vec::new();
    for minor in fitting.iter().chain(&unpinned) {
        let named = format!("python{minor}");
        for name in [named.as_str(), "python3", "python"] {
            match probe(Path::new(name), place).await {
                Some(python) if python.minor() == minor.as_str() && python.venv => {
                    return Ok(python);
                }
                Some(python) => found.push(python),
                None => {}
            }
        }
    }
    found.sort_by(|a, b| a.executable.cmp(&b.executable));
    found.dedup_by(|a, b| a.executable == b.executable);
    let found: Vec<_> = found
        .iter()
        .map(|python| {
            let venv = if python.venv {
                ""
            } else {
                " without its venv module"
            };
            format!("{} ({}{venv})", python.version, python.executable.display())
        })
        .collect();
    Err(no_python(if found.is_empty() {
        "no Python is on PATH".to_owned()
    } else {
        format!("on PATH there is {}", found.join(", "))
    }))
}

/// The output of [`PROBE`], if the interpreter runs.
async fn probe(python: &Path, place: &Path) -> Option<Python> {
    let mut command = program::command(python);
    command.args(["-I", "-c", PROBE]);
    let what = format!("ask {} for its version", python.display());
    let output = program::run(&mut command, place, &what, PROBE_LIMIT)
        .await
        .ok()?;
    if !output.status.success() {
        return None;
    }
    serde_json::from_str(output.stdout.trim()).ok()
}

/// An interpreter that uv has or fetches; `None` without uv.
async fn fetch_with_uv(minor: &str, place: &Path) -> Option<Python> {
    for arguments in [
        &["python", "install", "--quiet", minor][..],
        &["python", "find", minor],
    ] {
        let mut uv = program::command("uv");
        uv.args(arguments);
        let what = format!("let uv provide Python {minor}");
        let output = program::run(&mut uv, place, &what, UV_LIMIT).await.ok()?;
        if output.status.success() && arguments[1] == "find" {
            let python = probe(Path::new(output.stdout.trim()), place).await?;
            return (python.minor() == minor && python.venv).then_some(python);
        }
    }
    None
}

/// Makes an empty environment.
async fn create_venv(python: &Python, path: &Path, release: &Release) -> Result<(), Error> {
    let mut venv = program::command(&python.executable);
    venv.args(["-I", "-m", "venv"]).arg(path);
    let what = format!(
        "make the Python environment {} for Kubespray {}",
        path.display(),
        release.tag
    );
    let output = program::run(&mut venv, path, &what, VENV_LIMIT).await?;
    if output.status.success() {
        return Ok(());
    }
    let output_text = format!("{}\n{}", output.stdout, output.stderr);
    Err(Error::Program {
        what,
        lines: program::last_lines(&output_text, 8),
    })
}
