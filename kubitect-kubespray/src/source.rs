//! Kubespray's checkout: one tag of a git repository, fetched once and shared by all clusters.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kubitect_config::cluster::Kubespray;
use kubitect_config::digest::hex;
use kubitect_config::value::Version;
use kubitect_config::{address, release, text};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::program::{self, Output};
use crate::{Error, Event, OnEvent, lock, workdir};

/// For a fetch: the public repository has about 100 MB at depth 1.
const FETCH_LIMIT: Duration = Duration::from_secs(15 * 60);
/// For a query of the repository.
const ASK_LIMIT: Duration = Duration::from_secs(2 * 60);
/// For a git command that works on the checkout alone.
const LOCAL_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The checkout of a cluster's Kubespray, fetched if necessary. The tag has to stand for the same commit as in the public
/// repository, unless the site file allows any (`kubespray.anyCommit`): the checkout's code runs on this machine, and as root on
/// all machines of the cluster.
pub async fn checkout_for(
    kubespray: &Kubespray,
    share: &Path,
    on_event: OnEvent<'_>,
) -> Result<PathBuf, Error> {
    let Kubespray {
        version,
        url,
        any_commit,
        ..
    } = kubespray;
    let commit = release::commit(version).filter(|_| !any_commit);
    ensure_checkout(url, version, commit, share, on_event).await
}

/// The checkout of `tag` of the repository at `url` (an address that git can fetch from, or an absolute path), fetched if
/// necessary, whatever commit the tag stands for.
///
/// It is made in a temporary folder and then renamed, so an interrupted fetch leaves no incomplete checkout. The tag of a
/// repository on this machine is read again each time: its owner may move it during development.
pub async fn checkout(
    url: &str,
    tag: &Version,
    share: &Path,
    on_event: OnEvent<'_>,
) -> Result<PathBuf, Error> {
    ensure_checkout(url, tag, None, share, on_event).await
}

async fn ensure_checkout(
    url: &str,
    tag: &Version,
    commit: Option<&str>,
    share: &Path,
    on_event: OnEvent<'_>,
) -> Result<PathBuf, Error> {
    if address::holds_secret(url) {
        return Err(Error::SourceSecret);
    }
    let folder = share.join("kubespray");
    workdir::make_private(&folder)?;
    let source = Source::new(url, tag, commit, &folder).await?;
    let path = folder.join(&source.key);
    let file = folder.join(format!("{}.lock", source.key));
    let _lock = lock::lock(&file, &format!("Kubespray {tag}"), on_event).await?;
    let fetched = !path.exists();
    if fetched {
        on_event(Event::Fetching {
            tag: tag.to_string(),
            url: address::shown(url),
        });
        source.fetch(&path).await?;
    } else {
        source.verify(&path).await?;
    }
    on_event(Event::SourceReady {
        tag: tag.to_string(),
        fetched,
    });
    Ok(path)
}

/// A tag of a repository, and the folder of its checkout.
struct Source<'a> {
    /// The argument for git: the address, or an absolute path.
    url: String,
    tag: &'a Version,
    /// The commit that the tag has to stand for, if that is checked.
    commit: Option<&'a str>,
    folder: &'a Path,
    /// The folder's name: the tag, and a digest of the address (and of the commit, for a repository on this machine).
    key: String,
}

impl<'a> Source<'a> {
    async fn new(
        url: &str,
        tag: &'a Version,
        commit: Option<&'a str>,
        folder: &'a Path,
    ) -> Result<Self, Error> {
        let path = Path::new(url);
        // Only an absolute path is taken for a folder: a folder in the current directory, perhaps another user's, could have the
        // name of an address.
        let local = path.is_absolute() && path.exists();
        let mut source = Self {
            url: url.to_owned(),
            tag,
            commit,
            folder,
            key: String::new(),
        };
        let mut digest = Sha256::new();
        digest.update(&source.url);
        if local {
            digest.update(b"\0");
            digest.update(source.remote_commit().await?);
        }
        source.key = format!("{tag}-{}", &hex(&digest.finalize())[..12]);
        Ok(source)
    }

    /// The tag as git names it.
    fn reference(&self) -> String {
        format!("refs/tags/{}", self.tag)
    }

    /// The commit of the tag in the repository at `url`.
    async fn remote_commit(&self) -> Result<String, Error> {
        let mut git = git(self.folder);
        git.args(["ls-remote", "--", &self.url, &self.reference()]);
        let output = self.run(&mut git, self.folder, ASK_LIMIT).await?;
        match output.stdout.split_whitespace().next() {
            Some(commit) => Ok(commit.to_owned()),
            None => Err(self.no_tag().await?),
        }
    }

    /// Makes the checkout in a temporary folder and moves it to `path`. Older temporary folders of this key are removed: the
    /// caller holds the lock, so they were left by killed runs.
    async fn fetch(&self, path: &Path) -> Result<(), Error> {
        program::end_leftovers(path);
        let prefix = format!(".{}-", self.key);
        remove_with_prefix(self.folder, &prefix)?;
        let temporary = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(self.folder)
            .map_err(Error::file("create a folder in", self.folder))?;
        let folder = temporary.path();

        let mut init = git(folder);
        init.args(["init", "--quiet", "--template=", "--initial-branch=main"]);
        self.run(&mut init, path, LOCAL_LIMIT).await?;
        let mut fetch = git(folder);
        let reference = self.reference();
        fetch.args(["fetch", "--quiet", "--depth=1", "--no-tags"]);
        fetch.args(["--no-recurse-submodules", "--", &self.url]);
        fetch.arg(format!("+{reference}:{reference}"));
        if let Err(error) = self.run(&mut fetch, path, FETCH_LIMIT).await {
            return Err(self.explain(error).await);
        }
        let mut checkout = git(folder);
        checkout.args(["checkout", "--quiet", "--detach", &reference]);
        self.check_commit(folder, &format!("{reference}^{{commit}}"))
            .await?;
        self.run(&mut checkout, path, LOCAL_LIMIT).await?;
        self.verify(folder).await?;

        let temporary = temporary.keep();
        std::fs::rename(&temporary, path).map_err(Error::file("rename to", path))
    }

    /// An error if `name` in `checkout` stands for another commit than expected.
    async fn check_commit(&self, checkout: &Path, name: &str) -> Result<(), Error> {
        let Some(expected) = self.commit else {
            return Ok(());
        };
        let mut commit = git(checkout);
        commit
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .arg(name);
        let found = self.run(&mut commit, checkout, LOCAL_LIMIT).await?.stdout;
        match found.trim() == expected {
            true => Ok(()),
            false => Err(Error::OtherCommit {
                tag: self.tag.clone(),
                url: address::shown(&self.url),
                found: text::line(&found),
                expected: expected.to_owned(),
            }),
        }
    }

    /// An error if `checkout` differs from its tag in any file, or has additional files: Ansible would run those, too.
    async fn verify(&self, checkout: &Path) -> Result<(), Error> {
        let reference = format!("{}^{{commit}}", self.reference());
        let mut rev_parse_head = git(checkout);
        rev_parse_head
            .args(["rev-parse", "--verify", "--quiet"])
            .arg("HEAD");
        let head = self
            .run(&mut rev_parse_head, checkout, LOCAL_LIMIT)
            .await?
            .stdout;
        let mut tags = git(checkout);
        tags.args(["rev-parse", "--verify", "--quiet"])
            .arg(&reference);
        let tag = self.run(&mut tags, checkout, LOCAL_LIMIT).await?.stdout;
        let changed = |changes: String| Error::SourceChanged {
            path: checkout.to_owned(),
            changes,
        };
        if head != tag {
            return Err(changed(format!("it does not stand at {}", self.tag)));
        }
        self.check_commit(checkout, "HEAD").await?;
        // `git status` skips files with the flags assume-unchanged or skip-worktree, so there may be none.
        let mut index = git(checkout);
        index.args(["ls-files", "-v"]);
        let index = self.run(&mut index, checkout, LOCAL_LIMIT).await?.stdout;
        if let Some(hidden) = index.lines().find(|line| !line.starts_with("H ")) {
            let hidden = text::line(hidden.get(2..).unwrap_or_default());
            return Err(changed(format!("git is told to overlook {hidden}")));
        }
        // And it shall not skip files because of settings: ignored ones, or those with an unchanged size and time.
        let mut status = git(checkout);
        status.args([
            "-c",
            "core.excludesFile=/dev/null",
            "-c",
            "core.checkStat=default",
        ]);
        status.args(["-c", "core.trustctime=true", "-c", "core.fileMode=true"]);
        status.args([
            "status",
            "--porcelain",
            "--untracked-files=all",
            "--ignored=matching",
        ]);
        let status = self.run(&mut status, checkout, LOCAL_LIMIT).await?.stdout;
        let status = text::lines(&status);
        match status.lines().next() {
            None => Ok(()),
            Some(first) => Err(changed(match status.lines().count() {
                1 => first.trim().to_owned(),
                n => format!("{} and {} more", first.trim(), n - 1),
            })),
        }
    }

    /// The error for a failed fetch: a missing tag, or `error`, with which the repository could not be fetched.
    async fn explain(&self, error: Error) -> Error {
        let mut git = git(self.folder);
        git.args(["ls-remote", "--tags", "--", &self.url, &self.reference()]);
        match self.run(&mut git, self.folder, ASK_LIMIT).await {
            Ok(output) if output.stdout.trim().is_empty() => {
                self.no_tag().await.unwrap_or_else(|error| error)
            }
            _ => error,
        }
    }

    /// The error for a missing tag, with similar tags.
    async fn no_tag(&self) -> Result<Error, Error> {
        let mut git = git(self.folder);
        git.args(["ls-remote", "--tags", "--refs", "--", &self.url]);
        let output = self.run(&mut git, self.folder, ASK_LIMIT).await?;
        let tags = output
            .stdout
            .lines()
            .filter_map(|line| line.rsplit_once("refs/tags/")?.1.parse::<Version>().ok());
        Ok(Error::NoTag {
            tag: self.tag.clone(),
            url: address::shown(&self.url),
            similar: nearest(self.tag, tags),
        })
    }

    async fn run(
        &self,
        command: &mut Command,
        place: &Path,
        limit: Duration,
    ) -> Result<Output, Error> {
        if self.url.starts_with("https://") {
            // The server may redirect. A repository asked for by https must not be fetched unencrypted.
            command.env("GIT_ALLOW_PROTOCOL", "file:https:ssh");
        }
        let url = address::shown(&self.url);
        let what = format!("fetch Kubespray {} from `{url}`", self.tag);
        let output = program::run(command, place, &what, limit).await?;
        if output.status.success() {
            Ok(output)
        } else {
            Err(Error::Program {
                what,
                lines: program::last_lines(&output.stderr, 5),
            })
        }
    }
}

/// git in `folder`. It never prompts, runs no hooks, converts no line ends and uses no protocol that runs commands. Otherwise the
/// user's configuration (proxies, credential helpers, mirrors) applies.
fn git(folder: &Path) -> Command {
    let mut command = program::command("git");
    command
        .current_dir(folder)
        .args(["-c", "core.hooksPath=/dev/null"])
        .args(["-c", "core.autocrlf=false"])
        .args(["-c", "core.fsmonitor=false"])
        .args(["-c", "gc.auto=0"])
        .args(["-c", "maintenance.auto=false"])
        .args(["-c", "advice.detachedHead=false"])
        // The shared folder may belong to another user than the one who runs this program (sudo); git would refuse it.
        .args(["-c", "safe.directory=*"])
        // git would otherwise use a repository in a parent folder, perhaps another user's, whose settings can name programs to run.
        .env("GIT_DIR", ".git")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "false")
        .env("SSH_ASKPASS_REQUIRE", "never")
        .env("GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh");
    if std::env::var_os("GIT_SSH_COMMAND").is_none() && std::env::var_os("GIT_SSH").is_none() {
        command.env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
    }
    command
}

/// The tags of the same minor version, else the newest ones; at most five.
fn nearest(wanted: &Version, tags: impl Iterator<Item = Version>) -> Vec<String> {
    let mut tags: Vec<_> = tags.collect();
    tags.sort();
    tags.dedup();
    let same: Vec<_> = tags
        .iter()
        .filter(|tag| tag.minor() == wanted.minor())
        .collect();
    let tags = if same.is_empty() {
        tags.iter().collect()
    } else {
        same
    };
    tags.iter().rev().take(5).map(ToString::to_string).collect()
}

/// Removes the folders in `folder` whose names begin with `prefix`.
fn remove_with_prefix(folder: &Path, prefix: &str) -> Result<(), Error> {
    let entries = std::fs::read_dir(folder).map_err(Error::file("read", folder))?;
    for entry in entries {
        let entry = entry.map_err(Error::file("read", folder))?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let path = entry.path();
            std::fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_the_same_minor_come_first_and_newest_first() {
        let tags = || {
            ["v2.19.0", "v2.20.0", "v2.19.1", "v2.21.0"]
                .iter()
                .map(|t| t.parse().unwrap())
        };
        assert_eq!(
            nearest(&"v2.19.7".parse().unwrap(), tags()),
            ["v2.19.1", "v2.19.0"]
        );
        assert_eq!(
            nearest(&"v2.99.0".parse().unwrap(), tags()),
            ["v2.21.0", "v2.20.0", "v2.19.1", "v2.19.0"]
        );
    }
}
