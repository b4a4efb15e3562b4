//! Balancers in memory: files, services and the virtual address, as far as a roll-out sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubitect_config::remote::{BoxError, BoxFuture, Output, Remote};
use kubitect_config::value::Label;
use kubitect_lb::{HAPROXY_FILE, KEEPALIVED, KEEPALIVED_FILE, Rendered, Service};

/// The state that all machines of a group share.
#[derive(Debug, Default)]
pub struct World {
    pub machines: BTreeMap<Label, State>,
    /// The balancer that has the virtual address.
    pub holder: Option<Label>,
    /// The balancers' own addresses.
    pub addresses: BTreeMap<Label, Ipv4Addr>,
    /// The balancers whose keepalived can't have the virtual address.
    pub faults: BTreeSet<Label>,
    /// Whether no balancer hears another: each takes the virtual address.
    pub split: bool,
    /// Reloads and starts, in order.
    pub reloads: Vec<(Label, Service)>,
    /// Commands and uploads so far.
    pub calls: usize,
    /// The process of the roll-out dies within this call: every later one has no effect.
    pub dies_at: Option<Death>,
}

/// When the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// In the course of this call, from 0.
    pub call: usize,
    /// Whether the call still has its effect. If it does not, an upload still leaves a part of the file.
    pub effective: bool,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// The files that running services have read.
    pub running: BTreeMap<Service, Vec<u8>>,
    pub enabled: BTreeSet<Service>,
    pub installed: BTreeSet<Service>,
    /// Whether sudo works.
    pub root: bool,
    /// Whether putting the previous file back fails.
    pub cannot_go_back: bool,
}

/// A file with this word is refused by the program's own check.
pub const CHECK_FAILS: &str = "check-fails";
/// A file with this word cannot be loaded.
pub const RELOAD_FAILS: &str = "reload-fails";
/// A service with this word in its file does not serve.
pub const PROBE_FAILS: &str = "probe-fails";
/// A service with this word in its file keeps its previous file, and the reload reports no error.
pub const RELOAD_IGNORED: &str = "reload-ignored";

impl State {
    /// A machine as its cloud-init leaves it: HAProxy runs with its package's file, keepalived has none.
    pub fn fresh() -> Self {
        let stock = b"# stock\n".to_vec();
        Self {
            files: [(HAPROXY_FILE.to_owned(), stock.clone())].into(),
            running: [(Service::Haproxy, stock)].into(),
            enabled: BTreeSet::new(),
            installed: [Service::Haproxy, Service::Keepalived].into(),
            root: true,
            cannot_go_back: false,
        }
    }

    /// The files beside those that services read.
    pub fn leftovers(&self) -> Vec<&String> {
        let services = [HAPROXY_FILE, KEEPALIVED_FILE];
        self.files
            .keys()
            .filter(|path| !services.contains(&path.as_str()))
            .collect()
    }
}

/// A connection to one machine of a world.
#[derive(Debug, Clone)]
pub struct Fake {
    node: Label,
    world: Arc<Mutex<World>>,
}

/// A world of fresh machines, and connections to them.
pub fn world(rendered: &[Rendered]) -> (Arc<Mutex<World>>, BTreeMap<Label, Fake>) {
    let world = Arc::new(Mutex::new(World::default()));
    let connect = |node: &Label| Fake {
        node: node.clone(),
        world: world.clone(),
    };
    let mut remotes = BTreeMap::new();
    for Rendered { node, vrrp, .. } in rendered {
        let mut world = world.lock().unwrap();
        world.machines.insert(node.clone(), State::fresh());
        let address = vrrp.as_ref().map(|own| (node.clone(), own.address));
        world.addresses.extend(address);
        remotes.insert(node.clone(), connect(node));
    }
    (world, remotes)
}

/// Whether a call has its effect.
#[derive(PartialEq, Eq)]
enum Life {
    Alive,
    DyingAfter,
    DyingBefore,
    Dead,
}

impl World {
    fn life(&mut self) -> Life {
        let call = self.calls;
        self.calls += 1;
        match self.dies_at {
            Some(death) if death.call < call => Life::Dead,
            Some(death) if death.call == call && death.effective => Life::DyingAfter,
            Some(death) if death.call == call => Life::DyingBefore,
            _ => Life::Alive,
        }
    }

    fn state(&mut self, node: &Label) -> &mut State {
        self.machines.get_mut(node).unwrap()
    }

    fn run(&mut self, node: &Label, argv: &[&str]) -> Output {
        let ["sudo", "-n", argv @ ..] = argv else {
            panic!("not as root: {argv:?}");
        };
        if !self.state(node).root {
            return failed("sudo: a password is required");
        }
        match argv {
            ["true"] => ok(""),
            ["ip", "-o", "-4", "addr", "show"] => ok(if self.holds(node) {
                "2: eth0    inet 192.168.113.99/32 scope global eth0\\       valid_lft forever"
            } else {
                // Not the virtual address, although it begins like it.
                "2: eth0    inet 192.168.113.9/24 scope global eth0\\       valid_lft forever"
            }),
            ["cat", "--", path] => match self.state(node).files.get(*path) {
                Some(bytes) => Output {
                    stdout: bytes.clone(),
                    ..Output::default()
                },
                None => failed("cat: no such file"),
            },
            ["test", "-e", path] => status(self.state(node).files.contains_key(*path)),
            ["rm", "-f", "--", path] => {
                self.state(node).files.remove(*path);
                ok("")
            }
            ["ln", "-T", "--", from, to] => {
                let files = &mut self.state(node).files;
                if files.contains_key(*to) {
                    return failed("ln: file exists");
                }
                let bytes = files
                    .get(*from)
                    .expect("ln of a file that is there")
                    .clone();
                files.insert((*to).to_owned(), bytes);
                ok("")
            }
            ["cp", "-T", "--", from, to] => {
                let state = self.state(node);
                if state.cannot_go_back {
                    return failed("cp: read-only file system");
                }
                let bytes = state.files[*from].clone();
                state.files.insert((*to).to_owned(), bytes);
                ok("")
            }
            ["mv", "-f", "-T", "--", from, to] => {
                let state = self.state(node);
                if from.ends_with("-old") && state.cannot_go_back {
                    return failed("mv: read-only file system");
                }
                let bytes = state
                    .files
                    .remove(*from)
                    .expect("mv of a file that is there");
                state.files.insert((*to).to_owned(), bytes);
                ok("")
            }
            ["haproxy", "-c", "-f", path] | ["keepalived", "--config-test", "--use-file", path] => {
                match has(&self.state(node).files[*path], CHECK_FAILS) {
                    true => failed("[ALERT] config : parsing [haproxy.cfg:7] : unknown keyword"),
                    false => ok(""),
                }
            }
            [program, "-v"] => status(self.state(node).installed.contains(&service(program))),
            ["systemctl", "--quiet", "is-active", unit] => {
                status(self.state(node).running.contains_key(&service(unit)))
            }
            ["systemctl", "--quiet", "enable", unit] => {
                self.state(node).enabled.insert(service(unit));
                ok("")
            }
            ["systemctl", "stop", unit] => {
                self.stop(node, service(unit));
                ok("")
            }
            ["systemctl", "reload-or-restart", unit] => self.reload(node, service(unit)),
            [
                "python3",
                "-I",
                "-c",
                program,
                _patience,
                _watched,
                "192.168.113.99",
                "/run/keepalived.pid",
            ] if *program == KEEPALIVED => self.keepalived(node),
            ["python3", "-I", "-c", program, _]
                if program.starts_with("# Prints what the HAProxy") =>
            {
                ok("# pxname,svname,status\nkube_api,m-1,UP\n")
            }
            [
                "python3",
                "-I",
                "-c",
                _,
                _patience,
                digest,
                "8404",
                "6443",
                ..,
            ] => {
                let served = &self.state(node).running[&Service::Haproxy];
                match has(served, digest) && !has(served, PROBE_FAILS) {
                    true => ok(""),
                    false => failed("HAProxy runs another configuration"),
                }
            }
            _ => panic!("unexpected command: {argv:?}"),
        }
    }

    fn holds(&self, node: &Label) -> bool {
        let runs = self.machines[node]
            .running
            .contains_key(&Service::Keepalived);
        self.holder.as_ref() == Some(node) || (self.split && runs)
    }

    fn keepalived(&self, node: &Label) -> Output {
        if !self.machines[node]
            .running
            .contains_key(&Service::Keepalived)
        {
            return failed("keepalived does not run");
        }
        let of = |node| self.addresses.get(node).map(ToString::to_string);
        let holder = self.holder.as_ref().and_then(of);
        match (self.faults.contains(node), self.holds(node)) {
            (true, _) => ok("FAULT 0 -"),
            (false, true) => ok("MASTER 1 -"),
            (false, false) => ok(&format!("BACKUP 0 {}", holder.as_deref().unwrap_or("-"))),
        }
    }

    fn stop(&mut self, node: &Label, service: Service) {
        self.state(node).running.remove(&service);
        if service == Service::Keepalived && self.holder.as_ref() == Some(node) {
            self.holder = None;
        }
    }

    fn reload(&mut self, node: &Label, service: Service) -> Output {
        self.reloads.push((node.clone(), service));
        let state = self.state(node);
        let text = state.files[service.file()].clone();
        if has(&text, RELOAD_FAILS) {
            return failed("Job for haproxy.service failed.");
        }
        if !has(&text, RELOAD_IGNORED) {
            state.running.insert(service, text);
        }
        if service == Service::Keepalived && !self.faults.contains(node) {
            self.holder.get_or_insert(node.clone());
        }
        ok("")
    }
}

impl Remote for Fake {
    fn put<'a>(
        &'a self,
        path: &'a str,
        bytes: &'a [u8],
        mode: u32,
        _: Duration,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.put(path, bytes, mode) })
    }

    fn run<'a>(&'a self, argv: &'a [&'a str], _: Duration) -> BoxFuture<'a, Output> {
        Box::pin(async move { self.run(argv) })
    }
}

impl Fake {
    fn put(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), BoxError> {
        assert_eq!(mode, 0o644);
        let mut world = self.world.lock().unwrap();
        let life = world.life();
        let part = match life {
            Life::Alive | Life::DyingAfter => bytes,
            Life::DyingBefore => &bytes[..bytes.len() / 2],
            Life::Dead => return Err("dead".into()),
        };
        let files = &mut world.state(&self.node).files;
        files.insert(path.to_owned(), part.to_vec());
        match life {
            Life::Alive => Ok(()),
            _ => Err("dead".into()),
        }
    }

    fn run(&self, argv: &[&str]) -> Result<Output, BoxError> {
        let mut world = self.world.lock().unwrap();
        match world.life() {
            Life::Alive => Ok(world.run(&self.node, argv)),
            Life::DyingAfter => {
                world.run(&self.node, argv);
                Err("dead".into())
            }
            Life::DyingBefore | Life::Dead => Err("dead".into()),
        }
    }
}

fn service(name: &str) -> Service {
    match name {
        "haproxy" => Service::Haproxy,
        "keepalived" => Service::Keepalived,
        _ => panic!("unknown service: {name}"),
    }
}

fn has(text: &[u8], word: &str) -> bool {
    String::from_utf8_lossy(text).contains(word)
}

fn ok(stdout: &str) -> Output {
    Output {
        stdout: stdout.into(),
        ..Output::default()
    }
}

fn failed(stderr: &str) -> Output {
    Output {
        status: 1,
        stderr: stderr.into(),
        ..Output::default()
    }
}

fn status(yes: bool) -> Output {
    match yes {
        true => ok(""),
        false => failed(""),
    }
}
