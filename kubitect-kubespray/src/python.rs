//! Kubespray's Python environment: made from the release's own requirements, shared by clusters with the same ones.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kubitect_config::check::Check;
use kubitect_config::cluster::{Kubespray, Pip};
use kubitect_config::release::Release;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::program;
use crate::source::hex;
use crate::{Error, Event, OnEvent, lock};

/// What an interpreter says of itself. `ensurepip` is what Debian leaves out of a Python without python3-venv.
const PROBE: &str = "import sys, json, importlib.util as i; \
    print(json.dumps({'version': '%d.%d.%d' % sys.version_info[:3], 'executable': sys.executable, \
    'venv': all(i.find_spec(m) for m in ('venv', 'ensurepip'))}))";

const PROBE_LIMIT: Duration = Duration::from_secs(30);
const UV_LIMIT: Duration = Duration::from_secs(10 * 60);
const VENV_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Packages without wheels are built: 100 s where nothing else runs, ten minutes on a busy machine.
const PIP_LIMIT: Duration = Duration::from_secs(45 * 60);

/// The environment for the release in `checkout`, made if need be; `bin/ansible-playbook` is in it.
///
/// An environment does not survive being moved, so it is made in place, and counts once its marker is written, last.
pub async fn environment(
    kubespray: &Kubespray,
    release: &Release,
    checkout: &Path,
    share: &Path,
    on_event: OnEvent<'_>,
) -> Result<PathBuf, Error> {
    let folder = share.join("venv");
    crate::workdir::make_private(&folder)?;
    // Interpreters are run from here, and an environment must not depend on where that is.
    let folder = std::path::absolute(&folder).map_err(Error::file("resolve", &folder))?;
    let python = choose(kubespray.python.as_deref(), release, &folder).await?;
    let requirements = Requirements::read(release, checkout, &python)?;

    let mut digest = Sha256::new();
    digest.update(&requirements.text);
    digest.update(format!(
        "\0{}\0{}",
        python.version,
        python.executable.display()
    ));
    let key = hex(&digest.finalize())[..16].to_owned();
    let path = folder.join(&key);
    let lock_file = folder.join(format!("{key}.lock"));
    let what = format!("the Python environment of Kubespray {}", release.tag);
    let _lock = lock::lock(&lock_file, &what, on_event).await?;
    let marker = path.join(".complete");
    // Its scripts name the interpreter by its full path: one that was moved, or lost its Python, is recreated.
    let made = std::fs::read_to_string(&marker).ok().as_deref() != path.to_str()
        || !path.join("bin/python").exists();
    if made {
        on_event(Event::Installing {
            python: python.version.clone(),
        });
        program::end_leftovers(&path);
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
        }
        // What Python makes in it follows the umask.
        crate::workdir::make_private(&path)?;
        make(&python, &path, release).await?;
        requirements
            .install(&path, checkout, &kubespray.pip, release)
            .await?;
        let text = path.to_string_lossy();
        crate::workdir::write(&marker, text.as_bytes(), 0o644)?;
    }
    on_event(Event::PythonReady {
        python: python.version,
        made,
    });
    Ok(path)
}

/// An interpreter.
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

/// Looks whether there is an interpreter for a release. Fetches none.
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

/// The interpreter for a release: one that is there, or else, unless the site names one, one that uv fetches.
async fn choose(site: Option<&Path>, release: &Release, place: &Path) -> Result<Python, Error> {
    let none = match find(site, release, place).await {
        Err(none) if site.is_none() => none,
        other => return other,
    };
    for minor in release.python.iter().rev() {
        if let Some(python) = fetch(minor, place).await {
            return Ok(python);
        }
    }
    Err(none)
}

/// The interpreter that is there for a release: the site's; else, from those on PATH, the newest that fits as the requirements
/// are, or with the harmless ones left out.
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
    let none = |found: String| Error::NoPython {
        release: release.tag.clone(),
        wanted: wanted(),
        found,
    };

    if let Some(path) = site {
        return match probe(path, place).await {
            Some(python) if !fits(&python) => Err(none(format!(
                "{} of site.yaml is {}",
                path.display(),
                python.version
            ))),
            Some(python) if !python.venv => Err(none(format!(
                "{} of site.yaml has no venv module",
                path.display()
            ))),
            Some(python) => Ok(python),
            None => Err(none(format!(
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
    Err(none(if found.is_empty() {
        "no Python is on PATH".to_owned()
    } else {
        format!("on PATH there is {}", found.join(", "))
    }))
}

/// What the interpreter says of itself, if it runs at all.
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

/// An interpreter by uv, where uv is installed: one that it has, or else fetches.
async fn fetch(minor: &str, place: &Path) -> Option<Python> {
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

/// An empty environment.
async fn make(python: &Python, path: &Path, release: &Release) -> Result<(), Error> {
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
    let said = format!("{}\n{}", output.stdout, output.stderr);
    Err(Error::Program {
        what,
        lines: program::last_lines(&said, 8),
    })
}

/// What is installed.
struct Requirements {
    /// The requirements, without what is left out.
    text: String,
    /// Whether something is left out, so that the release's own file does not serve.
    changed: bool,
}

impl Requirements {
    fn read(release: &Release, checkout: &Path, python: &Python) -> Result<Self, Error> {
        let path = checkout.join("requirements.txt");
        let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let changed = release.python_unpinned.iter().any(|m| m == python.minor());
        let text = if changed {
            without(&text, &release.unpin)
        } else {
            text
        };
        Ok(Self { text, changed })
    }

    /// Installs them into the environment. Where there is a folder of wheels and no index, the folder alone is tried
    /// first: without internet, pip would wait for its index at each package.
    async fn install(
        &self,
        path: &Path,
        checkout: &Path,
        pip: &Pip,
        release: &Release,
    ) -> Result<(), Error> {
        let file = if self.changed {
            let file = path.join("requirements.txt");
            crate::workdir::write(&file, self.text.as_bytes(), 0o644)?;
            file
        } else {
            checkout.join("requirements.txt")
        };
        let wheels_alone = pip.find_links.is_some() && pip.index_url.is_none();
        let tries: &[bool] = if wheels_alone {
            &[true, false]
        } else {
            &[false]
        };
        let mut lines = String::new();
        for &no_index in tries {
            let mut install = program::command(path.join("bin/python"));
            install
                .current_dir(checkout)
                .args(["-I", "-m", "pip", "install", "--no-input"])
                .args(["--disable-pip-version-check", "--progress-bar", "off"])
                .env("PIP_USER", "0");
            // Addresses may hold a password: they go through the environment, which other users cannot read.
            if let Some(index) = &pip.index_url {
                install.env("PIP_INDEX_URL", index);
            }
            if no_index {
                install.arg("--no-index");
            }
            match &pip.find_links {
                Some(links) if links.contains("://") => {
                    install.env("PIP_FIND_LINKS", links);
                }
                // In the variable, a blank in a path would separate two.
                Some(links) => {
                    let links = Path::new(links);
                    let links = std::path::absolute(links).map_err(Error::file("find", links))?;
                    install.arg("--find-links").arg(links);
                }
                None => {}
            }
            install.arg("--requirement").arg(&file);
            let what = format!("install the Python packages of Kubespray {}", release.tag);
            let output = program::run(&mut install, path, &what, PIP_LIMIT).await?;
            if output.status.success() {
                return Ok(());
            }
            let said = format!("{}\n{}", output.stdout, output.stderr);
            lines = program::last_lines(&hide(&said, pip), 8);
        }
        Err(Error::Pip {
            release: release.tag.clone(),
            lines,
        })
    }
}

/// The requirements without those of these names, whatever their version.
fn without(text: &str, names: &[String]) -> String {
    text.lines()
        .filter(|line| !names.iter().any(|name| names_package(line, name)))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Whether a line of requirements is about the package `name`; `ruamel.yaml` is not `ruamel.yaml.clib`.
fn names_package(line: &str, name: &str) -> bool {
    let normal = |text: &str| text.trim().to_lowercase().replace(['_', '.'], "-");
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .unwrap_or(line.len());
    normal(&line[..end]) == normal(name)
}

/// What pip said, without the password of an address that it was given.
fn hide(text: &str, pip: &Pip) -> String {
    [&pip.index_url, &pip.find_links]
        .into_iter()
        .flatten()
        .filter_map(|url| url.split_once("://")?.1.split('/').next()?.rsplit_once('@'))
        .filter_map(|(user, _)| user.split_once(':'))
        .filter(|(_, password)| !password.is_empty())
        .fold(text.to_owned(), |text, (_, password)| {
            text.replace(password, "***")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_left_out_by_its_whole_name() {
        let text =
            "ansible==5.7.1\nruamel.yaml==0.16.10\nRuamel_yaml.clib==0.2.6\nruamel.yaml.cmd==1\n";
        let names = ["ruamel.yaml".to_owned(), "ruamel.yaml.clib".to_owned()];
        assert_eq!(
            without(text, &names),
            "ansible==5.7.1\nruamel.yaml.cmd==1\n"
        );
    }

    #[test]
    fn a_password_is_hidden() {
        let pip = Pip {
            index_url: Some("https://me:s3cret@pypi.example/simple".to_owned()),
            find_links: None,
        };
        assert_eq!(
            hide("Looking in https://me:s3cret@pypi.example/simple", &pip),
            "Looking in https://me:***@pypi.example/simple"
        );
    }
}
