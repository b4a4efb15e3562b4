//! Figures that have to hold, as lines `ratio NAME VALUE LIMIT` for a script, and the number of calls to libvirt: over hosts and
//! whole clusters in memory that answer with delays. It starts itself as the program. See docs/performance.md.

#![expect(
    dead_code,
    reason = "the worlds are those of the rings `killed` and `pipeline`, which use more of them"
)]

#[path = "../tests/killed/ansible.rs"]
mod ansible;
#[path = "../tests/killed/demands.rs"]
mod demands;
#[path = "../tests/killed/etcd.rs"]
mod etcd;
#[path = "../tests/killed/etcd_plays.rs"]
mod etcd_plays;
#[path = "../tests/killed/guest.rs"]
mod guest;
#[path = "../tests/killed/joins.rs"]
mod joins;
#[path = "../tests/killed/kubelet.rs"]
mod kubelet;
#[path = "../tests/killed/kubernetes.rs"]
mod kubernetes;
#[path = "../tests/killed/machine.rs"]
mod machine;
#[path = "../tests/killed/picture.rs"]
mod picture;
#[path = "../tests/killed/place.rs"]
mod place;
#[path = "../tests/killed/plays.rs"]
mod plays;
#[path = "../tests/killed/program.rs"]
mod program;
#[path = "../tests/killed/restored.rs"]
mod restored;
#[path = "../tests/killed/shape.rs"]
mod shape;
#[path = "../tests/killed/stage.rs"]
mod stage;
#[path = "../tests/killed/state.rs"]
mod state;
#[path = "../tests/killed/upgrade_plays.rs"]
mod upgrade_plays;
#[path = "../../examples/embed/verbs.rs"]
mod verbs;
#[path = "../tests/pipeline/world.rs"]
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kubitect_provision::observe::{self, HostState};
use kubitect_provision::{plan_of, status};
use tests::many;

use shape::Shape;
use stage::{Stage, scratch};

/// The number of runs of each kind. The best one counts: other processes use this machine, too.
const RUNS: usize = 5;
/// The duration of a call to libvirt.
const CALL: Duration = Duration::from_millis(1);
/// The time that a machine takes for an answer or a login.
const ANSWER: Duration = Duration::from_millis(500);
/// The limit for a plan with nothing to do.
const PLAN: Duration = Duration::from_millis(100);

fn ratio(name: &str, value: f64, limit: f64) {
    println!("ratio {name} {value:.2} {limit}");
}

/// The shortest of some runs of the program, which end with this code.
fn best(stage: &Stage, arguments: &[&str], code: i32) -> Duration {
    let runs = (0..RUNS).map(|_| {
        let began = Instant::now();
        let run = stage.run(arguments, None);
        let wall = began.elapsed();
        assert_eq!(run.code, Some(code), "{}", run.said);
        wall
    });
    runs.min().expect("there are runs")
}

/// `status` and `plan` of the example: two balancers, three masters, two workers.
fn example() {
    let scratch = scratch();
    let mut stage = Stage::new(scratch.path());
    let shape = Shape::base();
    let run = stage.apply(&shape, None);
    assert_eq!(run.code, Some(0), "{}", run.said);

    let file = stage.want(&shape);
    let plan = best(&stage, &["plan", "--config", &file], 0);
    println!("plan with nothing to do: {plan:.3?}");
    ratio("plan", plan.div_duration_f64(PLAN), 1.0);

    stage.answers = Some(ANSWER);
    let status = best(&stage, &["status", "--cluster", "demo"], 0);
    let times = stage.asked().times.into_iter();
    let (name, questions) = times
        .max_by_key(|(_, questions)| *questions)
        .expect("machines were asked");
    let alone = ANSWER * u32::try_from(questions).expect("they are few");
    println!("status: {status:.3?}; {name}, which is asked most, takes {alone:.3?}");
    ratio("status", status.div_duration_f64(alone), 1.5);
    stage.end();
}

/// The calls to libvirt, and the time, of a plan, of an observation as for `status`, and of an apply.
fn calls(hosts: usize, each: usize) -> [(u64, Duration); 3] {
    let names = many::hosts(hosts);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let world = world::World::new_on(&names, &many::cluster(hosts, each), &HostState::default());
    for fake in world.fakes.values() {
        fake.set_call_time(CALL);
    }
    let measured = |work: &dyn Fn()| {
        let so_far = || world.fakes.values().map(|fake| fake.calls()).sum::<u64>();
        let (before, began) = (so_far(), Instant::now());
        work();
        (so_far() - before, began.elapsed())
    };
    let apply = measured(&|| world.apply().unwrap());
    let (own, connected) = (&world.cluster, world.hosts());
    let plan = measured(&|| {
        let observed = observe::observe_with_addresses(own, &connected).unwrap();
        assert!(plan_of(own, &observed).unwrap().is_empty());
    });
    let look = measured(&|| drop(status::machines(own, &connected)));
    [plan, (plan.0 + look.0, plan.1 + look.1), apply]
}

/// The growth of the calls with the machines.
fn scale() {
    println!(
        "{:8} {:>8} {:>6} {:>8}   at {CALL:?} a call",
        "", "machines", "hosts", "calls"
    );
    let mut before: Option<[(u64, Duration); 3]> = None;
    for (hosts, each) in [(2, 5), (20, 5), (20, 50)] {
        let machines = hosts * each;
        let now = calls(hosts, each);
        for (what, (calls, took)) in ["plan", "status", "apply"].into_iter().zip(now) {
            println!("{what:8} {machines:>8} {hosts:>6} {calls:>8}   {took:.2?}");
        }
        for (at, what) in ["plan", "status", "apply"].into_iter().enumerate() {
            if let Some(before) = before {
                let grown = now[at].0 as f64 / before[at].0 as f64;
                ratio(&format!("calls-{what}-{machines}"), grown, 10.5);
            }
        }
        before = Some(now);
    }
}

fn main() -> ExitCode {
    if let Some(folder) = std::env::var_os(program::WORLD) {
        return program::main(&PathBuf::from(folder));
    }
    example();
    scale();
    ExitCode::SUCCESS
}
