//! [`SupportFiles`]: the contents of a support archive: the files and logs of a cluster without keys, tokens and passwords, and a
//! list of what is missing.

use std::fmt::Display;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use kubitect_config::secrets::Secrets;
use kubitect_config::text;

use crate::home::{ClusterDir, Home};

/// The most logs; the newest are taken.
const LOGS: usize = 10;
/// The most bytes of a log; its end is taken.
const LOG_BYTES: u64 = 2 << 20;

/// The contents of the archive.
#[derive(Default)]
pub struct SupportFiles {
    parts: Vec<(String, String)>,
    missing: Vec<String>,
    secrets: Secrets,
}

kubitect_config::debug_fields!(SupportFiles, missing);

/// The text of `README.txt` in every archive.
const ABOUT: &str = "\
What `kubitect support` gathered of a cluster. It holds the cluster's files, logs, plan and status, the ends of consoles, and what
Kubernetes says of its nodes, pods and events; `missing.txt` says what could not be had, and why.

Keys, kubeconfigs, inventories and group variables are not in it. What cluster and site files hold under names of secrets, values
of Kubespray's variables other than truth values, numbers, versions, addresses and known words, and whatever looks like a key, a
token or a password, read `[removed]`. It names machines, addresses and accounts: look through it
before you give it to others.
";

impl SupportFiles {
    /// The files of a cluster on this machine.
    pub fn of(home: &Home, dir: &ClusterDir) -> Self {
        let mut files = Self::default();
        files.text("README.txt", ABOUT.to_owned());
        files.collect_secrets(dir);
        files.files(home, dir);
        files.logs(dir);
        files
    }

    /// Adds a text by its name.
    pub fn text(&mut self, name: &str, text: String) {
        self.parts.push((name.to_owned(), text));
    }

    /// The value of a result; an error is added to the list of what is missing.
    pub fn missing<T, E: Display>(&mut self, what: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(failure) => {
                self.missing.push(format!("{what}: {failure}"));
                None
            }
        }
    }

    /// Collects the secrets from the files that hold them, so that they can be removed elsewhere. Those files are not added.
    fn collect_secrets(&mut self, dir: &ClusterDir) {
        for path in below(&dir.ssh()) {
            let text = read(&path);
            if text.contains("PRIVATE KEY") {
                self.secrets.add(&text);
            }
        }
        let config = dir.config_dir();
        let inventory = below(&config.join("group_vars"));
        for path in [dir.kubeconfig(), config.join("nodes.yaml")]
            .into_iter()
            .chain(inventory)
        {
            self.secrets.yaml(&read(&path));
        }
    }

    /// Adds the files of the cluster, without the values of secret keys.
    fn files(&mut self, home: &Home, dir: &ClusterDir) {
        let mut paths = vec![home.site_file(), dir.wanted(), dir.applied(), dir.facts()];
        let abandoned = dir.abandoned();
        paths.extend(
            self.missing("unfinished configurations", abandoned)
                .unwrap_or_default(),
        );
        for path in paths.into_iter().filter(|path| path.exists()) {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            match self.secrets.yaml(&read(&path)) {
                Some(text) => self.text(&format!("config/{name}"), text),
                None => self
                    .missing
                    .push(format!("{name}: it is not YAML, so it may hold anything")),
            }
        }
    }

    /// Adds the ends of the newest logs.
    fn logs(&mut self, dir: &ClusterDir) {
        let mut logs = below(&dir.logs());
        logs.retain(|path| path.extension().is_some_and(|end| end == "log"));
        let newest = logs.split_off(logs.len().saturating_sub(LOGS));
        for path in newest {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let end = end(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&end).into_owned();
            self.text(&format!("logs/{name}"), text);
        }
    }

    /// All texts, without secrets, and without control characters that would act in a terminal.
    pub fn finish(mut self) -> Vec<(String, String)> {
        let missing: String = self
            .missing
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        self.text("missing.txt", missing);
        let secrets = self.secrets;
        let clean = |(name, text): (String, String)| {
            let text = secrets.without(&text);
            let clean = match name.ends_with(".json") {
                true => text::json(&text),
                false => text::lines(&text),
            };
            (name, clean)
        };
        self.parts.into_iter().map(clean).collect()
    }
}

/// The files of a folder and of all below it, in order; none if it can't be read.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(below(&entry.path())),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files.sort();
    files
}

/// The end of a log; the whole might not fit into memory.
fn end(log: &Path) -> std::io::Result<Vec<u8>> {
    let (mut file, mut bytes) = (File::open(log)?, Vec::new());
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file's text; empty if it can't be read.
fn read(path: &Path) -> String {
    let bytes = kubitect_config::file::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_archive_steers_a_terminal() {
        let mut files = SupportFiles::default();
        files.text("a.txt", "one\u{1b}[2J\ntwo\u{202e}\n".to_owned());
        files.text("b.json", "{\"a\": \"\u{9b}\"}\n".to_owned());
        let texts: Vec<_> = files.finish().into_iter().map(|(_, text)| text).collect();
        assert_eq!(
            texts[..2],
            ["one\\u{1b}[2J\ntwo\\u{202e}\n", "{\"a\": \"\\u009b\"}\n"]
        );
    }

    #[test]
    fn of_a_long_log_the_end_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "x".repeat(LOG_BYTES as usize) + "last").unwrap();
        let end = super::end(&log).unwrap();
        assert!(end.len() as u64 == LOG_BYTES && end.ends_with(b"xlast"));
    }
}
