//! The program itself, as a process in a world in memory. It counts the points that it passes, and is killed at one of them as by
//! SIGKILL.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kubitect_cli::world::{BoxFuture, Checking, Preparing, Reach, Waiting, World};
use kubitect_cli::{Events, Home, Options};
use kubitect_config::cluster::{Host, Kubernetes};
use kubitect_config::remote::{self, Output, Remote};
use kubitect_kubespray::{OnEvent, Tools};
use kubitect_provision::hypervisor::{Hosts, Hypervisor};
use kubitect_provision::ssh::{Target, wait};
use kubitect_provision::{Error, Event, Outcome};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};
use tests::points::POINTS;

use crate::machine::run;
use crate::place::Place;

/// The variable that names the world's folder.
pub const WORLD: &str = "KUBITECT_TEST_WORLD";
/// The variable with the point at which the program is killed, and how often it passes it before.
pub const KILL: &str = "KUBITECT_TEST_KILL";
/// The variable with the milliseconds that machines take for each answer.
pub const ANSWER: &str = "KUBITECT_TEST_ANSWER";
/// The variable with the points at which the program hangs, separated by commas; those below are among them.
pub const HANG: &str = "KUBITECT_TEST_HANG";
/// While machines boot.
pub const BOOT: &str = "boot";
/// While Ansible runs a task.
pub const PLAY: &str = "ansible";
/// While libvirt of a host is asked.
pub const HOST: &str = "host";
/// The variable that says that this is the program of `examples/embed`.
pub const EMBEDDED: &str = "KUBITECT_TEST_EMBEDDED";
/// The variable that says that this is Ansible.
pub const ANSIBLE: &str = "KUBITECT_TEST_ANSIBLE";

/// The points that a run passes, in order.
pub fn passed(folder: &Path) -> PathBuf {
    folder.join("points.json")
}

/// The questions of a run to machines: [`Asked`].
pub fn asked(folder: &Path) -> PathBuf {
    folder.join("asked.json")
}

/// The file that exists once the program hangs; it goes on when the file is removed.
pub fn hangs(folder: &Path) -> PathBuf {
    folder.join("hangs")
}

fn is_to_hang(point: &str) -> bool {
    let asked = std::env::var(HANG).unwrap_or_default();
    asked.split(',').any(|asked| asked == point)
}

/// Hangs at this point, if a test asks for it.
pub fn hang_at(point: &str, folder: &Path) {
    if !is_to_hang(point) {
        return;
    }
    let (mark, end) = (hangs(folder), Instant::now() + Duration::from_secs(600));
    std::fs::write(&mark, "").unwrap();
    while mark.exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs this process as its part in the world of this folder.
pub fn main(folder: &Path) -> ExitCode {
    let place = Place::open(folder);
    if std::env::var_os(ANSIBLE).is_some() {
        return crate::ansible::main(&place);
    }
    let kill = std::env::var(KILL).ok();
    let kill = kill.as_deref().and_then(|text| text.split_once(' '));
    let kill = kill.map(|(name, times)| (name.to_owned(), times.parse::<usize>().unwrap()));
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    for (name, _) in POINTS {
        let (kill, counts) = (kill.clone(), Arc::clone(&counts));
        let folder = folder.to_owned();
        let count = AtomicUsize::new(0);
        fail::cfg_callback(name, move || {
            let before = count.fetch_add(1, Ordering::SeqCst);
            counts.lock().unwrap().insert(name, before + 1);
            hang_at(name, &folder);
            if kill
                .as_ref()
                .is_some_and(|(at, times)| at == name && *times == before)
            {
                kill_process(getpid(), Signal::KILL).unwrap();
                // The signal is delivered before anything else is done.
                std::thread::sleep(Duration::from_secs(60));
            }
        })
        .unwrap();
    }
    let answer = std::env::var(ANSWER).ok();
    let questions = Questions {
        answer: answer.map(|millis| Duration::from_millis(millis.parse().unwrap())),
        ..Questions::default()
    };
    let in_memory = InMemory(Arc::new(place), Arc::new(questions));
    let questions = Arc::clone(&in_memory.1);
    let world: Arc<dyn World> = Arc::new(in_memory);
    if std::env::var_os(EMBEDDED).is_some() {
        return embedded(world);
    }
    let code = kubitect_cli::run_in(&world, std::env::args_os());
    questions.write(folder);
    let counts = serde_json::to_vec(&*counts.lock().unwrap()).unwrap();
    std::fs::write(passed(folder), counts).unwrap();
    code
}

/// Runs the example with the process's arguments. Its events go to stdout, a line of JSON each.
fn embedded(world: Arc<dyn World>) -> ExitCode {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let home = Home::open(&variable("KUBITECT_HOME").unwrap(), variable("HOME")).unwrap();
    let mut options =
        Options::new(home, Events::new(|event| println!("{}", event.json()))).unwrap();
    options.world = world;
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let done = crate::verbs::carry_out(&arguments[0], &arguments[1], options);
    match runtime.block_on(done) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct InMemory(Arc<Place>, Arc<Questions>);

struct Machine {
    place: Arc<Place>,
    questions: Arc<Questions>,
    name: String,
}

/// The questions to machines while they are asked.
#[derive(Default)]
struct Questions {
    /// The machines that are being asked now, and the questions so far.
    state: Mutex<(BTreeMap<String, BTreeSet<String>>, Asked)>,
    /// How long an answer takes; none: no time.
    answer: Option<Duration>,
}

/// The questions to machines of a run.
#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// By question: of how many machines it was asked at the same time, at most.
    pub most: BTreeMap<String, usize>,
    /// By machine: how often it was asked.
    pub times: BTreeMap<String, usize>,
}

/// The question that is a login.
pub const LOGIN: &str = "login";

impl Questions {
    /// Asks a machine. Machines that are asked side by side are all asked before the first one answers.
    async fn ask(&self, machine: &str, question: &str) {
        {
            let (now, asked) = &mut *self.state.lock().unwrap();
            let now = now.entry(question.to_owned()).or_default();
            now.insert(machine.to_owned());
            let most = asked.most.entry(question.to_owned()).or_default();
            *most = now.len().max(*most);
            *asked.times.entry(machine.to_owned()).or_default() += 1;
        }
        match self.answer {
            Some(answer) => tokio::time::sleep(answer).await,
            None => {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            }
        }
        let (now, _) = &mut *self.state.lock().unwrap();
        now.get_mut(question).unwrap().remove(machine);
    }

    fn write(&self, folder: &Path) {
        let (_, asked_of) = &*self.state.lock().unwrap();
        std::fs::write(asked(folder), serde_json::to_vec(asked_of).unwrap()).unwrap();
    }
}

/// The first words of a command, without sudo's.
fn question(argv: &[&str]) -> String {
    let own = argv.strip_prefix(&["sudo", "-n"]).unwrap_or(argv);
    let line = own.join(" ");
    let first = line.lines().next().unwrap_or_default();
    first.chars().take(60).collect()
}

fn unreachable(machine: &str, why: &str) -> Error {
    Error::Ssh {
        machine: machine.to_owned(),
        action: "connect to".to_owned(),
        source: why.into(),
    }
}

impl InMemory {
    /// An error unless the machine is on, at this address, with this host key, and accepts this person's key.
    fn login(&self, target: &Target) -> Result<Machine, Error> {
        let name = &target.machine;
        let public = |key: &russh::keys::PublicKey| {
            let text = key.to_openssh().unwrap();
            let words: Vec<_> = text.split(' ').take(2).collect();
            words.join(" ")
        };
        let ip = target.address.ip().to_string();
        let place = Arc::clone(&self.0);
        place.with(|state, host| {
            let deaf = state.guests.get(name).is_some_and(|guest| guest.deaf);
            if deaf || !state.answers(host, name) || state.address(host, name) != Some(ip) {
                return Err(unreachable(name, "no route to host"));
            }
            let keys = &state.guests[name].keys;
            if !keys.contains(&public(&target.host_key)) {
                return Err(Error::HostKey {
                    machine: name.clone(),
                    address: target.address.to_string(),
                    wanted: "the pinned one".to_owned(),
                    found: "another".to_owned(),
                });
            }
            if !keys.contains(&public(target.private_key.public_key())) {
                return Err(unreachable(name, "it does not accept the key"));
            }
            Ok(())
        })?;
        Ok(Machine {
            place,
            questions: Arc::clone(&self.1),
            name: name.clone(),
        })
    }
}

impl Reach for InMemory {
    fn hosts(&self, hosts: &[&Host]) -> Result<Hosts, Error> {
        let unreached = self.0.with(|state, _| state.away.clone());
        let hypervisors = hosts
            .iter()
            .map(|host| match unreached.contains(host.name.as_str()) {
                true => Err(Error::Connect {
                    host: host.name.to_string(),
                    uri: "qemu+ssh://me@10.255.255.1/system".to_owned(),
                    help: "is it on?".to_owned(),
                    source: "no route to host".into(),
                }),
                false => {
                    let own = self.0.host.part(host.name.as_str());
                    if is_to_hang(HOST) {
                        own.set_call_time(Duration::from_secs(600));
                    }
                    Ok((host.name.clone(), Arc::new(own) as Arc<dyn Hypervisor>))
                }
            });
        Ok(Hosts::from_hypervisors(
            hypervisors.collect::<Result<_, Error>>()?,
        ))
    }

    fn answers(&self, _: SocketAddr) -> bool {
        false
    }

    fn connect(&self, target: Target, _: Duration) -> BoxFuture<'_, Arc<dyn Remote>> {
        Box::pin(async move {
            self.1.ask(&target.machine, LOGIN).await;
            let machine = self.login(&target)?;
            Ok(Arc::new(machine) as Arc<dyn Remote>)
        })
    }

    fn wait<'a>(
        &'a self,
        machines: Vec<wait::Machine>,
        on_event: &'a (dyn Fn(Event) + Send + Sync),
    ) -> Waiting<'a> {
        // Machines here boot at once, or never.
        Box::pin(async move {
            for machine in &machines {
                let what = format!("wait for {}", machine.target.machine);
                on_event(Event::Started { what: what.clone() });
                let why = "SSH does not answer yet (at most 20 min)".to_owned();
                on_event(Event::Waiting { what, why });
            }
            hang_at(BOOT, &self.0.folder);
            let ended = machines.iter().map(|machine| {
                let what = format!("wait for {}", machine.target.machine);
                let login = self.login(&machine.target);
                on_event(match &login {
                    Ok(_) => Event::Finished {
                        what,
                        outcome: Outcome::Done,
                    },
                    Err(error) => Event::Failed {
                        what,
                        error: error.to_string(),
                    },
                });
                login.map(drop)
            });
            ended.collect()
        })
    }
}

impl World for InMemory {
    fn check<'a>(&'a self, _: &'a Kubernetes, _: &'a Path) -> Checking<'a> {
        Box::pin(async { Vec::new() })
    }

    fn prepare<'a>(
        &'a self,
        kubernetes: &'a Kubernetes,
        _: &'a Path,
        _: OnEvent<'a>,
    ) -> Preparing<'a> {
        Box::pin(async move {
            let folder = self.0.folder.join("ansible");
            let kubespray = folder.join(kubernetes.kubespray.version.to_string());
            std::fs::create_dir_all(&kubespray).unwrap();
            let program = folder.join("bin/ansible-playbook");
            if !program.exists() {
                let own = std::env::current_exe().unwrap();
                let text = format!("#!/bin/sh\n{ANSIBLE}=1 exec '{}' \"$@\"\n", own.display());
                std::fs::create_dir_all(folder.join("bin")).unwrap();
                let aside = folder.join("bin/new");
                std::fs::write(&aside, text).unwrap();
                std::fs::set_permissions(&aside, Permissions::from_mode(0o755)).unwrap();
                std::fs::rename(aside, program).unwrap();
            }
            Ok(Tools {
                kubespray,
                environment: folder,
                forks: kubernetes.kubespray.forks,
            })
        })
    }
}

impl Machine {
    fn with<T>(&self, change: impl FnOnce(&mut crate::state::State) -> T) -> Result<T, Error> {
        self.place
            .with(|state, host| match state.answers(host, &self.name) {
                true => Ok(change(state)),
                false => Err(unreachable(&self.name, "the connection was lost")),
            })
    }
}

impl Remote for Machine {
    fn run<'a>(&'a self, argv: &'a [&'a str], _: Duration) -> remote::BoxFuture<'a, Output> {
        Box::pin(async move {
            self.questions.ask(&self.name, &question(argv)).await;
            Ok(self.with(|state| run(state, &self.place.host, &self.name, argv))?)
        })
    }

    fn put<'a>(
        &'a self,
        path: &'a str,
        bytes: &'a [u8],
        _: u32,
        _: Duration,
    ) -> remote::BoxFuture<'a, ()> {
        let text = match path.ends_with(".db") {
            true => crate::restored::text(bytes),
            false => String::from_utf8(bytes.to_vec()).unwrap(),
        };
        Box::pin(async move {
            self.with(|state| {
                let guest = state.guests.get_mut(&self.name).unwrap();
                guest.files.insert(path.to_owned(), text);
            })?;
            Ok(())
        })
    }
}
