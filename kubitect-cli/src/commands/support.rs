//! `support`: one archive with what somebody needs who is to find a fault, without keys, tokens and passwords.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kubitect_config::secrets::Secrets;
use kubitect_config::value::Label;
use kubitect_provision::archive;
use serde_json::json;

use super::doctor::checks;
use super::versions::version_json;
use super::{options, print};
use crate::args::Support;
use crate::environment::Place;
use crate::failure::Failure;
use crate::home::{ClusterDir, Home};
use crate::names;
use crate::report::{Reporter, time};
use crate::run::{View, Wanted};
use crate::signals::on_runtime_alone;
use crate::world::World;

/// The most logs, the newest, and the most bytes of each, the last.
const LOGS: usize = 10;
const LOG: usize = 2 << 20;
/// Lines of each machine's console.
const CONSOLE: usize = 300;

/// What every archive begins with.
const ABOUT: &str = "\
What `kubitect support` gathered of a cluster. It holds the cluster's files, logs, plan and status, the ends of consoles, and what
Kubernetes says of its nodes, pods and events; `missing.txt` says what could not be had, and why.

Keys, kubeconfigs, inventories and group variables are not in it. What cluster and site files hold under names of secrets, values
of Kubespray's variables other than truth values, numbers, versions, addresses and known words, and whatever looks like a key, a
token or a password, read `[removed]`. It names machines, addresses and accounts: look through it
before you give it to others.
";

/// Carries the command out.
pub fn support(world: &Arc<dyn World>, place: &Place, args: &Support) -> Result<(), Failure> {
    let home = &place.home()?;
    let cluster = names::meant(home, &args.cluster)?;
    let name = format!("kubitect-support-{cluster}-{}", time("%Y%m%dT%H%M%SZ"));
    let out = match &args.out {
        Some(out) => out.clone(),
        None => PathBuf::from(format!("{name}.tar.gz")),
    };
    let dir = home.cluster(&cluster);
    let mut gathered = Gathered::default();
    gathered.text("README.txt", ABOUT.to_owned());
    gathered.learn(&dir);
    gathered.files(home, &dir);
    gathered.logs(&dir);
    gathered.text("versions.json", format!("{:#}\n", version_json()));
    if let Some(checks) = gathered.missing("what `doctor` finds", checks(place)) {
        gathered.text("doctor.json", format!("{:#}\n", json!(checks)));
    }
    let living = gathered.living(world, home, &cluster);
    gathered.missing("plan, status, consoles and Kubernetes", living);
    let parts = gathered.finish();
    let count = parts.len();
    archive::write(&out, &name, &parts).map_err(|e| Failure::io("write", &out, e))?;
    print(format!(
        "{}: {count} files, without keys, tokens and passwords; look through it before you give it to others\n",
        out.display()
    ))
}

/// What goes into the archive.
#[derive(Default)]
struct Gathered {
    parts: Vec<(String, String)>,
    missing: Vec<String>,
    secrets: Secrets,
}

impl Gathered {
    fn text(&mut self, name: &str, text: String) {
        self.parts.push((name.to_owned(), text));
    }

    fn missing<T>(&mut self, what: &str, result: Result<T, Failure>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(failure) => {
                self.missing.push(format!("{what}: {failure}"));
                None
            }
        }
    }

    /// Learns the secrets from the files that hold them, none of which is taken.
    fn learn(&mut self, dir: &ClusterDir) {
        for path in below(&dir.ssh()) {
            let text = read(&path);
            if text.contains("PRIVATE KEY") {
                self.secrets.know(&text);
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

    /// Files of the cluster, with what stands under names of secrets removed.
    fn files(&mut self, home: &Home, dir: &ClusterDir) {
        let site = home.share().with_file_name("site.yaml");
        let mut paths = vec![site, dir.wanted(), dir.applied(), dir.facts()];
        let unfinished = dir.unfinished().map_err(Failure::from);
        paths.extend(
            self.missing("unfinished configurations", unfinished)
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

    /// The last logs, each from its end.
    fn logs(&mut self, dir: &ClusterDir) {
        let mut logs = below(&dir.logs());
        logs.retain(|path| path.extension().is_some_and(|end| end == "log"));
        let kept = logs.split_off(logs.len().saturating_sub(LOGS));
        for path in kept {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let text = read(&path);
            let mut start = text.len().saturating_sub(LOG);
            while !text.is_char_boundary(start) {
                start += 1;
            }
            self.text(&format!("logs/{name}"), text[start..].to_owned());
        }
    }

    /// What hosts and machines say.
    fn living(
        &mut self,
        world: &Arc<dyn World>,
        home: &Home,
        cluster: &Label,
    ) -> Result<(), Failure> {
        let options = options(world, home, &Arc::new(Reporter::new()))?;
        let view = View::connect(Wanted::kept(cluster, &options)?, options)?;
        let plan = view.plan();
        if let Some(plan) = self.missing("plan", plan) {
            self.text("plan.txt", plan.to_string());
            self.text("plan.json", format!("{:#}\n", plan.json()));
        }
        let status = on_runtime_alone(view.status()).and_then(|status| status);
        if let Some(status) = self.missing("status", status) {
            self.text("status.txt", status.to_string());
            self.text("status.json", format!("{:#}\n", json!(status)));
        }
        for (machine, lines) in view.consoles(CONSOLE) {
            match lines {
                Ok(lines) => self.text(&format!("consoles/{machine}.txt"), lines.join("\n") + "\n"),
                Err(why) => self.missing.push(format!("console of {machine}: {why}")),
            }
        }
        let words = on_runtime_alone(view.words()).and_then(|words| words);
        for (name, answer) in self.missing("Kubernetes", words).unwrap_or_default() {
            match answer {
                Ok(text) => self.text(&format!("kubernetes/{name}.txt"), text),
                Err(why) => self.missing.push(format!("Kubernetes' {name}: {why}")),
            }
        }
        Ok(())
    }

    /// All of it, without secrets.
    fn finish(mut self) -> Vec<(String, String)> {
        let missing: String = self
            .missing
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        self.text("missing.txt", missing);
        let secrets = self.secrets;
        let clean = |(name, text): (String, String)| (name, secrets.without(&text));
        self.parts.into_iter().map(clean).collect()
    }
}

/// The files of a folder and of those in it, in order; nothing where it can't be read.
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

/// A file's text; nothing where it can't be read.
fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
