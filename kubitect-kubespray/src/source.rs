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

/// The real repository is some 100 MB at depth 1.
const FETCH_LIMIT: Duration = Duration::from_secs(15 * 60);
const ASK_LIMIT: Duration = Duration::from_secs(2 * 60);
const LOCAL_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The checkout of a cluster's Kubespray, made if need be. The tag of a known release has to stand for the commit that is known
/// for it, unless the site file says otherwise: what is checked out runs on this machine, and as root on all others.
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
    make(url, version, commit, share, on_event).await
}

/// The checkout of `tag` of the repository at `url` (anything that git can fetch from, or an absolute path), made if need be,
/// whatever commit the tag stands for.
///
/// It appears whole or not at all: it is made aside and renamed. A repository that is a folder of this machine is asked
/// each time where its tag stands, because such tags move while somebody works on them.
pub async fn checkout(
    url: &str,
    tag: &Version,
    share: &Path,
    on_event: OnEvent<'_>,
) -> Result<PathBuf, Error> {
    make(url, tag, None, share, on_event).await
}

async fn make(
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

/// A tag of a repository, and where its checkouts lie.
struct Source<'a> {
    /// What git is given: the address, or an absolute path.
    url: String,
    tag: &'a Version,
    /// The commit that the tag has to stand for, if that is known.
    commit: Option<&'a str>,
    folder: &'a Path,
    /// The checkout's name: the tag, and a digest of where it comes from.
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
        // Another user's folder where we are could be called as an address is.
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
            digest.update(source.commit_there().await?);
        }
        source.key = format!("{tag}-{}", &hex(&digest.finalize())[..12]);
        Ok(source)
    }

    /// The tag as git names it.
    fn reference(&self) -> String {
        format!("refs/tags/{}", self.tag)
    }

    /// What the tag stands for in the repository that is fetched from.
    async fn commit_there(&self) -> Result<String, Error> {
        let mut git = git(self.folder);
        git.args(["ls-remote", "--", &self.url, &self.reference()]);
        let output = self.run(&mut git, self.folder, ASK_LIMIT).await?;
        match output.stdout.split_whitespace().next() {
            Some(commit) => Ok(commit.to_owned()),
            None => Err(self.no_tag().await?),
        }
    }

    /// Makes the checkout aside and moves it to `path`. The lock is held: what lies aside under our key is a killed run's.
    async fn fetch(&self, path: &Path) -> Result<(), Error> {
        program::end_leftovers(path);
        let prefix = format!(".{}-", self.key);
        remove_with_prefix(self.folder, &prefix)?;
        let aside = tempfile::Builder::new()
            .prefix(&prefix)
            .tempdir_in(self.folder)
            .map_err(Error::file("create a folder in", self.folder))?;
        let here = aside.path();

        let mut init = git(here);
        init.args(["init", "--quiet", "--template=", "--initial-branch=main"]);
        self.run(&mut init, path, LOCAL_LIMIT).await?;
        let mut fetch = git(here);
        let reference = self.reference();
        fetch.args(["fetch", "--quiet", "--depth=1", "--no-tags"]);
        fetch.args(["--no-recurse-submodules", "--", &self.url]);
        fetch.arg(format!("+{reference}:{reference}"));
        if let Err(error) = self.run(&mut fetch, path, FETCH_LIMIT).await {
            return Err(self.explain(error).await);
        }
        let mut checkout = git(here);
        checkout.args(["checkout", "--quiet", "--detach", &reference]);
        self.check_commit(here, &format!("{reference}^{{commit}}"))
            .await?;
        self.run(&mut checkout, path, LOCAL_LIMIT).await?;
        self.verify(here).await?;

        let aside = aside.keep();
        std::fs::rename(&aside, path).map_err(Error::file("rename to", path))
    }

    /// An error if what stands in `checkout` under this name is another commit than the one that is known for the tag.
    async fn check_commit(&self, checkout: &Path, name: &str) -> Result<(), Error> {
        let Some(known) = self.commit else {
            return Ok(());
        };
        let mut commit = git(checkout);
        commit
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
            .arg(name);
        let found = self.run(&mut commit, checkout, LOCAL_LIMIT).await?.stdout;
        match found.trim() == known {
            true => Ok(()),
            false => Err(Error::OtherCommit {
                tag: self.tag.clone(),
                url: address::shown(&self.url),
                found: text::line(&found),
                known: known.to_owned(),
            }),
        }
    }

    /// Checks that `checkout` is what its tag says, and nothing but it: what lies there beside it would run, too.
    async fn verify(&self, checkout: &Path) -> Result<(), Error> {
        let reference = format!("{}^{{commit}}", self.reference());
        let mut heads = git(checkout);
        heads.args(["rev-parse", "--verify", "--quiet"]).arg("HEAD");
        let head = self.run(&mut heads, checkout, LOCAL_LIMIT).await?.stdout;
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
        // Neither what somebody told git to overlook nor what it would find unchanged by its times.
        let mut index = git(checkout);
        index.args(["ls-files", "-v"]);
        let index = self.run(&mut index, checkout, LOCAL_LIMIT).await?.stdout;
        if let Some(hidden) = index.lines().find(|line| !line.starts_with("H ")) {
            let hidden = text::line(hidden.get(2..).unwrap_or_default());
            return Err(changed(format!("git is told to overlook {hidden}")));
        }
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

    /// Tells a missing tag from a repository that cannot be fetched from.
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

    /// The error for a tag that is not there, with those that are near it.
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
            // Wherever a server sends us on to: what was asked for by https does not come in the open.
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

/// git in `folder`: it never prompts, runs no hook, converts no line and speaks no protocol that runs commands. The
/// user's own configuration (proxies, credential helpers, mirrors) holds otherwise.
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
        // A share may belong to another user than the one who runs us (sudo): it is ours by place.
        .args(["-c", "safe.directory=*"])
        // A repository in a folder above could be anybody's, and its settings name programs.
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

/// At most five tags: those of the same minor, else the newest.
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
