//! Each stored file, broken in each way: it is never taken for a missing one, and the error says what to do about it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::driver::{is_short, side_by_side};
use crate::shape::Shape;
use crate::stage::{Run, Stage};
use crate::truth::finished;

/// Breaks a file's content.
type Damage = fn(&[u8]) -> Vec<u8>;

/// After a full disk, a loss of power, a sector of another file, and as a file of another program or of a newer release.
const WAYS: [(&str, Damage); 5] = [
    ("empty", |_| Vec::new()),
    ("half", |text| text[..text.len() / 2].to_vec()),
    ("zeros", |text| vec![0; text.len()]),
    ("garbled", |text| {
        let (before, after) = text.split_at(text.len() / 2);
        [before, b"\xff\x1b]0;x\x07\0\n- :{", after].concat()
    }),
    ("other", |_| b"ofTheFuture: {version: 99}\n".to_vec()),
];

/// The parts of errors that say what to do.
const REMEDIES: [&str; 5] = [
    "remove it",
    "move it away",
    "mend it",
    "back with the next",
    "brings it back",
];

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, all),
            false => all.push(path),
        }
    }
}

/// The fault of a command's message about a broken file, if it has one.
fn fault(run: &Run) -> Option<String> {
    let said = &run.said;
    let whole = run.code.is_some_and(|code| code <= 5) && !said.contains("panicked");
    let steers = said.contains(['\u{1b}', '\u{7}']);
    let helps = run.code == Some(0) || REMEDIES.iter().any(|remedy| said.contains(remedy));
    (!whole || steers || !helps).then(|| format!("code {:?}: {said}", run.code))
}

/// The faults of all commands with a broken file, in a world of its own.
fn faults(stage: &Stage, shape: &Shape, name: &Path, (way, breaks): (&str, Damage)) -> Vec<String> {
    let other = stage.copy();
    let path = other.folder.join(name);
    let broken = breaks(&fs::read(&path).unwrap());
    fs::write(&path, broken).unwrap();
    let mut faults = Vec::new();
    let mut note = |what: &str, run: &Run| {
        let fault = fault(run).map(|fault| format!("{} {way}: {what}: {fault}", name.display()));
        faults.extend(fault);
    };
    let wanted = other.want(shape);
    for arguments in [
        &["plan", "--config", &wanted][..],
        &["status", "demo"],
        &["export", "kubeconfig", "demo"],
    ] {
        note(arguments[0], &other.run(arguments, None));
    }
    let applied = other.apply(shape, None);
    note("apply", &applied);
    if applied.code != Some(0) {
        fs::remove_file(&path).unwrap();
        note("apply without it", &other.done(shape));
    }
    assert_eq!(other.plan(shape), None, "{} {way}", name.display());
    note("destroy", &other.destroy(None));
    other.end();
    faults
}

pub fn all() {
    let mut shape = Shape::base();
    shape.balancers = 1;
    shape.masters = vec![1];
    shape.workers.truncate(1);
    let (_scratch, stage) = finished(&shape);
    let mut paths = Vec::new();
    for folder in ["home", "person"] {
        files(&stage.folder.join(folder), &mut paths);
    }
    paths.sort();
    // In the short form, each file is broken in the worst way and in one more.
    let is_chosen = |file: usize, way: usize| !is_short() || way == 3 || way == file % WAYS.len();
    let ways = (0..paths.len()).flat_map(|file| (0..WAYS.len()).map(move |way| (file, way)));
    let ways = ways.filter(|(file, way)| is_chosen(*file, *way));
    let faults = side_by_side(ways.collect(), |(file, way): (usize, usize)| {
        let name = paths[file].strip_prefix(&stage.folder).unwrap();
        faults(&stage, &shape, name, WAYS[way])
    });
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
