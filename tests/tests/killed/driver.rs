//! Kills the program at each of its points in turn, in each kind of run, runs the same command again, and compares the world with
//! the result of an undisturbed run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tests::points::POINTS;

use crate::picture::Picture;
use crate::program::passed;
use crate::shape::{Shape, Worker};
use crate::stage::{Run, Stage, scratch};

/// A kind of run: the cluster before and after it.
struct Kind {
    name: &'static str,
    start: Stage,
    /// None: the cluster is destroyed.
    wanted: Option<Shape>,
}

/// One kill, and its result.
struct Kill {
    point: &'static str,
    times: usize,
    differences: Vec<String>,
    leftovers: Vec<String>,
    foreign: bool,
}

impl Kind {
    fn run(&self, stage: &Stage, kill: Option<(&str, usize)>) -> Run {
        match &self.wanted {
            Some(shape) => stage.apply(shape, kill),
            None => stage.destroy(kill),
        }
    }

    /// Kills a run at a point, and runs the command again.
    fn kill(&self, point: &'static str, times: usize, expected: &Picture) -> Kill {
        let stage = self.start.copy();
        let mut differences = Vec::new();
        let first = self.run(&stage, Some((point, times)));
        if first.code.is_some() {
            differences.push(format!("it is not killed there: {}", first.said));
        }
        let second = self.run(&stage, None);
        if second.code != Some(0) {
            differences.push(format!("the next run fails: {}", second.said));
        } else if let Some(plan) = self.wanted.as_ref().and_then(|shape| stage.plan(shape)) {
            differences.push(format!("something is left to do: {plan}"));
        }
        let picture = stage.picture();
        differences.extend(expected.differences(&picture));
        stage.end();
        Kill {
            point,
            times,
            differences,
            leftovers: picture.leftovers,
            foreign: picture.foreign != expected.foreign,
        }
    }
}

/// Runs that have to succeed.
fn done(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.said);
}

/// Each kind with its world at the beginning.
fn kinds(scratch: &Path) -> Vec<Kind> {
    let base = Shape::base();
    let nothing = Stage::new(scratch);
    let kind = |name, start: &Stage, wanted: Option<&Shape>| Kind {
        name,
        start: start.copy(),
        wanted: wanted.cloned(),
    };
    let made = |from: &Stage, shape: &Shape| {
        let stage = from.copy();
        stage.done(shape);
        assert_eq!(stage.plan(shape), None);
        stage
    };
    let finished = made(&nothing, &base);

    let mut larger = base.clone();
    larger.masters.extend([4, 5]);
    larger.workers.extend([Worker::new(3), Worker::new(4)]);
    let mut smaller = larger.clone();
    smaller.masters = vec![2, 3, 4];
    smaller.workers = vec![Worker::new(2), Worker::new(4)];
    smaller.balancers = 1;
    let grown = made(&finished, &larger);

    let mut with_disk = base.clone();
    with_disk.workers[0].disks = vec![("data", 1)];
    let with_disk = made(&nothing, &with_disk);
    let mut resized = base.clone();
    resized.forwards = true;
    resized.master_ram = 3;
    resized.workers[0].cpu = 3;
    resized.workers[0].main_disk = 9;
    resized.workers[0].disks = vec![("data", 2), ("more", 1)];
    resized.workers[0].label = Some("db");
    resized.workers[0].taint = true;
    resized.workers[1].ram = 3;
    resized.addon = true;

    let mut upgraded = base.clone();
    upgraded.release = ["v1.25.6", "v2.21.0"];
    vec![
        kind("create", &nothing, Some(&base)),
        kind("scale up", &finished, Some(&larger)),
        kind("scale down", &grown, Some(&smaller)),
        kind("resize", &with_disk, Some(&resized)),
        kind("upgrade", &finished, Some(&upgraded)),
        kind("destroy", &finished, None),
    ]
}

/// Runs the whole table; false if a result is wrong. `only`: a part of the kinds' names.
pub fn all(only: &str) -> bool {
    let began = Instant::now();
    let scratch = scratch();
    let mut sums = [0; 5];
    println!(
        "{:10}  {:22}  {:>5}  {:>11}  {:>9}  {:>7}",
        "kind", "point", "kills", "differences", "leftovers", "foreign"
    );
    for kind in kinds(scratch.path()) {
        if !kind.name.contains(only) {
            continue;
        }
        let straight = kind.start.copy();
        let foreign = straight.picture().foreign;
        done(&match &kind.wanted {
            Some(shape) => straight.apply_as_shown(shape),
            None => straight.destroy(None),
        });
        let counts = std::fs::read(passed(&straight.folder)).unwrap();
        let counts: BTreeMap<String, usize> = serde_json::from_slice(&counts).unwrap();
        if let Some(shape) = &kind.wanted {
            assert_eq!(straight.plan(shape), None, "{}", kind.name);
        }
        let expected = straight.picture();
        assert_eq!(expected.leftovers, [""; 0], "{}", kind.name);
        assert_eq!(expected.foreign, foreign, "{}", kind.name);

        let points = POINTS.iter().flat_map(|(point, _)| {
            let times = counts.get(*point).copied().unwrap_or(0);
            passes(times)
                .into_iter()
                .map(move |before| (*point, before))
        });
        let kills = side_by_side(points.collect(), |(point, times)| {
            kind.kill(point, times, &expected)
        });
        let mut by_point: BTreeMap<&str, Vec<&Kill>> = BTreeMap::new();
        for kill in &kills {
            by_point.entry(kill.point).or_default().push(kill);
        }
        for (point, kills) in by_point {
            let differ = kills
                .iter()
                .filter(|kill| !kill.differences.is_empty())
                .count();
            let left: usize = kills.iter().map(|kill| kill.leftovers.len()).sum();
            let foreign = kills.iter().filter(|kill| kill.foreign).count();
            println!(
                "{:10}  {point:22}  {:5}  {differ:11}  {left:9}  {foreign:7}",
                kind.name,
                kills.len()
            );
            for (sum, part) in sums.iter_mut().zip([1, kills.len(), differ, left, foreign]) {
                *sum += part;
            }
        }
        for kill in kills
            .iter()
            .filter(|kill| !kill.differences.is_empty() || !kill.leftovers.is_empty())
        {
            println!(
                "  {}, {} passed {} times before:",
                kind.name, kill.point, kill.times
            );
            for line in kill.differences.iter().chain(&kill.leftovers).take(12) {
                println!("    {}", line.replace('\n', "\n      "));
            }
        }
    }
    let [points, kills, differ, left, foreign] = sums;
    println!(
        "{points} points, {kills} kills: {differ} with differences from an undisturbed run, {left} leftovers, {foreign} with \
         objects touched that are not ours; {} s",
        began.elapsed().as_secs()
    );
    (differ, left, foreign) == (0, 0, 0)
}

/// The passes of a point at which a run is killed: all, or the first, one between, and the last.
fn passes(times: usize) -> Vec<usize> {
    match is_short() && times > 3 {
        true => vec![0, times / 2, times - 1],
        false => (0..times).collect(),
    }
}

/// Whether the short form of this ring is asked for, as by CI: by the variable `KUBITECT_TEST_SHORT`.
pub fn is_short() -> bool {
    std::env::var_os("KUBITECT_TEST_SHORT").is_some()
}

/// Does work for all items, twice as many at a time as there are processors, because each waits for processes. The results are in
/// the order of the items.
pub fn side_by_side<T: Copy + Sync, R: Send>(all: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(4, |count| 2 * count.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = all.get(index) else { break };
                    let result = work(*item);
                    results.lock().unwrap().push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
