//! The packages of a release's Python environment, and their installation.

use std::path::Path;
use std::time::Duration;

use kubitect_config::cluster::Pip;
use kubitect_config::release::Release;

use super::Python;
use crate::{Error, program};

/// Long, because packages without wheels are compiled: 100 s on an idle machine, ten minutes on a busy one.
const PIP_LIMIT: Duration = Duration::from_secs(45 * 60);

/// The requirements to install.
pub(super) struct Requirements {
    /// The requirements, without the omitted packages.
    pub(super) text: String,
    /// Whether packages are omitted, so that the release's own file can't be used.
    changed: bool,
}

impl Requirements {
    /// The release's requirements, without the packages that can't be installed on this interpreter and are not needed.
    pub(super) fn read(release: &Release, checkout: &Path, python: &Python) -> Result<Self, Error> {
        let path = checkout.join("requirements.txt");
        let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let changed = release.python_unpinned.iter().any(|m| m == python.minor());
        let text = if changed {
            without_packages(&text, &release.unpin)
        } else {
            text
        };
        Ok(Self { text, changed })
    }

    /// Installs them into the environment. If the site file names a folder of wheels but no index, pip first uses the folder
    /// alone: without internet, it would wait for the public index at each package.
    pub(super) async fn install(
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
        let attempts: &[bool] = if wheels_alone {
            &[true, false]
        } else {
            &[false]
        };
        let mut lines = String::new();
        for &no_index in attempts {
            let mut install = program::command(path.join("bin/python"));
            install
                .current_dir(checkout)
                .args(["-I", "-m", "pip", "install", "--no-input"])
                .args(["--disable-pip-version-check", "--progress-bar", "off"])
                .env("PIP_USER", "0");
            // Addresses may contain a password. They are passed in the environment, because other users can read arguments.
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
                // As an argument: in the variable, a blank in the path would separate two values.
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
            let output_text = format!("{}\n{}", output.stdout, output.stderr);
            lines = program::last_lines(&hide_password(&output_text, pip), 8);
        }
        Err(Error::Pip {
            release: release.tag.clone(),
            lines,
        })
    }
}

/// The requirements without these packages.
fn without_packages(text: &str, names: &[String]) -> String {
    text.lines()
        .filter(|line| !names.iter().any(|name| names_package(line, name)))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Whether a line of requirements names the package `name` exactly: `ruamel.yaml` is not `ruamel.yaml.clib`.
fn names_package(line: &str, name: &str) -> bool {
    let normal = |text: &str| text.trim().to_lowercase().replace(['_', '.'], "-");
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .unwrap_or(line.len());
    normal(&line[..end]) == normal(name)
}

/// pip's output without the passwords of the addresses that it was given.
fn hide_password(text: &str, pip: &Pip) -> String {
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
            without_packages(text, &names),
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
            hide_password("Looking in https://me:s3cret@pypi.example/simple", &pip),
            "Looking in https://me:***@pypi.example/simple"
        );
    }
}
