//! The commands on the pages: those of each page are run in order, by a shell, in a world of their own.
//!
//! The files that a page shows are written where it says. A page that shows none begins with a small cluster that was applied.
//! The questions of `apply`, `destroy` and `stop` are answered with yes. The output of a command contains the lines that the page
//! shows after it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kubitect_config::value::Mac;
use tests::pages::{self, Block, File, Page, SMALL, laid_over};

use crate::program::WORLD;
use crate::stage::{Stage, scratch};

/// A person who follows a page.
struct Session {
    stage: Stage,
    work: PathBuf,
    page: String,
}

/// In the place of the installed program: it answers yes for the person.
const PROGRAM: &str = "#!/bin/sh
case \" $* \" in
*' --auto-approve '*) ;;
' apply '*|' destroy '*|' stop '*) set -- \"$@\" --auto-approve ;;
esac
exec 'SELF' \"$@\"
";

/// Images of the distros that pages name.
const DISTROS: [&str; 2] = ["ubuntu22", "debian12"];

pub fn all() {
    let scratch = scratch();
    let mut run = 0;
    for page in pages::all() {
        let commands = page.blocks().iter().filter(|block| is_run(block)).count();
        if commands > 0 {
            let session = Session::new(scratch.path(), &page);
            session.read(&page);
            session.stage.end();
            run += 1;
        }
    }
    assert!(run > 8, "the commands of {run} pages were run");
}

fn is_run(block: &Block) -> bool {
    block.language == "console" && block.not_run.is_none()
}

/// The name of this machine on a page, and the world's host for it.
pub fn of_the_world(text: &str) -> String {
    text.replace(
        "{type: local}",
        "{type: remote, user: me, ip: 10.255.255.1}",
    )
    .replace(
        "      type: local\n",
        "      type: remote\n      user: me\n      ip: 10.255.255.1\n",
    )
}

/// How a command may end: a plan has changes or none, a machine has what is needed or not.
fn codes(line: &str) -> &'static [i32] {
    match line.split(' ').nth(1) {
        Some("plan") => &[0, 4],
        Some("doctor") => &[0, 5],
        _ => &[0],
    }
}

/// Several spaces count as one: pages may show fewer.
fn plain(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Session {
    fn new(scratch: &std::path::Path, page: &Page) -> Self {
        let stage = Stage::new(scratch);
        let (work, bin) = (stage.folder.join("work"), stage.folder.join("bin"));
        let home = stage.folder.join("person/.kubitect");
        for folder in [&work.join("examples"), &bin, &home] {
            fs::create_dir_all(folder).unwrap();
        }
        let own = std::env::current_exe().unwrap();
        let program = bin.join("kubitect");
        fs::write(&program, PROGRAM.replace("SELF", own.to_str().unwrap())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let image = scratch.join("image.qcow2");
        let images = DISTROS.map(|distro| format!("  {distro}: {{source: {}}}\n", image.display()));
        fs::write(
            home.join("site.yaml"),
            format!("images:\n{}", images.concat()),
        )
        .unwrap();
        for example in ["multi-master", "single-node"] {
            let path = format!("examples/{example}.yaml");
            let text = fs::read_to_string(pages::repository().join(&path)).unwrap();
            fs::write(work.join(&path), of_the_world(&text)).unwrap();
        }
        Self {
            stage,
            work,
            page: page.path.clone(),
        }
    }

    /// Follows the page from its first line to its last.
    fn read(&self, page: &Page) {
        let blocks = page.blocks();
        let shows = |block: &Block| {
            let own = ["kubitect init", "examples/"];
            block.file() == Some(File::Whole)
                || is_run(block) && own.iter().any(|own| block.text.contains(own))
        };
        if !blocks.iter().any(shows) {
            self.write(SMALL);
            self.run("kubitect apply", &[], 0);
        }
        for block in &blocks {
            match block.file() {
                Some(File::Whole) => self.write(&block.text),
                Some(File::Part) => {
                    let file = fs::read_to_string(self.work.join("kubitect.yaml")).unwrap();
                    self.write(&laid_over(&file, &block.text));
                }
                Some(File::Site) | None => {}
            }
            for (line, shown) in is_run(block)
                .then(|| block.commands())
                .into_iter()
                .flatten()
            {
                self.run(&line, &shown, block.line);
            }
        }
    }

    fn write(&self, text: &str) {
        fs::write(self.work.join("kubitect.yaml"), text).unwrap();
    }

    /// Adapts the cluster's file, if there is one, to the world: its hosts, and leases for machines without a fixed address.
    fn settle(&self) {
        let Ok(text) = fs::read_to_string(self.work.join("kubitect.yaml")) else {
            return;
        };
        let text = of_the_world(&text);
        self.write(&text);
        let Ok(parsed) = kubitect_config::parse(&text, &self.page, &Default::default()) else {
            return;
        };
        let leased = parsed.cluster.nodes.iter().filter(|node| node.ip.is_none());
        for (node, last) in leased.zip(50..) {
            let [a, b, c, _] = parsed.cluster.network.cidr.network().octets();
            let (host, name) = (&self.stage.place().host, node.name.as_str());
            host.lease(name, Mac::derived(name), [a, b, c, last].into());
        }
    }

    /// Runs a command of a page, and looks for the lines of the page in its output.
    fn run(&self, line: &str, shown: &[String], number: usize) {
        let place = format!("{}:{number}: {line}", self.page);
        self.settle();
        let path = std::env::var("PATH").unwrap();
        let folder = &self.stage.folder;
        let output = Command::new("bash")
            .args(["--norc", "-euo", "pipefail", "-c", line])
            .current_dir(&self.work)
            .env_clear()
            .env("PATH", format!("{}:{path}", folder.join("bin").display()))
            .env("HOME", folder.join("person"))
            .env("TMPDIR", folder.join("tmp"))
            .env("LC_ALL", "C.UTF-8")
            .env(WORLD, folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let code = output.status.code().unwrap();
        assert!(codes(line).contains(&code), "{place}: exit {code}\n{said}");
        if line.starts_with("kubitect destroy ") {
            // The next cluster of the page has an etcd of its own.
            let place = self.stage.place();
            place.with(|state, _| state.kube = Default::default());
        }
        let lines: Vec<_> = said.lines().map(plain).collect();
        for wanted in shown.iter().map(|line| plain(line)) {
            let found = lines.iter().any(|line| line.contains(&wanted));
            assert!(found, "{place}: no `{wanted}` in\n{said}");
        }
    }
}
