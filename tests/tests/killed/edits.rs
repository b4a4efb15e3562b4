//! The plans of everyday edits as people read them, each on one screen, and the same steps as programs get them.

use std::fs;

use kubitect_provision::hypervisor::Hypervisor;
use serde_json::Value;

use crate::shape::{Shape, Worker};
use crate::stage::{Stage, scratch};

/// A usual terminal.
const LINES: usize = 24;

/// What a person edits in the file, and what else changes in its text.
struct Edit {
    name: &'static str,
    shape: Shape,
    text: Option<[&'static str; 2]>,
    code: i32,
}

pub fn all() {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    let base = Shape {
        addon: true,
        ..Shape::base()
    };
    reads(&stage, &edit("create", |_| {}, &base));
    let made = stage.apply(&base, None);
    assert_eq!(made.code, Some(0), "{}", made.said);
    for edit in edits(&base) {
        reads(&stage, &edit);
    }
    stage.place().with(|_, host| {
        for volume in ["demo-worker-1-main-disk", "demo-lb-1-seed"] {
            let pool = "demo-main-resource-pool";
            host.remove_volume(pool, volume).unwrap();
        }
    });
    reads(&stage, &edit("repair", |_| {}, &base));
    stage.end();
}

fn edit(name: &'static str, how: impl FnOnce(&mut Shape), base: &Shape) -> Edit {
    let mut shape = base.clone();
    how(&mut shape);
    Edit {
        name,
        shape,
        text: None,
        code: 4,
    }
}

fn edits(base: &Shape) -> Vec<Edit> {
    let edit = |name, how: fn(&mut Shape)| edit(name, how, base);
    let in_text = |name, text| Edit {
        text: Some(text),
        ..edit(name, |_| {})
    };
    vec![
        Edit {
            code: 0,
            ..edit("nothing", |_| {})
        },
        edit("add_workers", |shape| {
            shape.workers.extend([4, 5].map(Worker::new));
            shape.workers[2].disks = vec![("db", 1)];
        }),
        edit("remove_a_worker", |shape| drop(shape.workers.pop())),
        edit("exchange_a_master", |shape| shape.masters = vec![1, 2, 4]),
        edit("resize", |shape| {
            shape.workers[0].cpu = 3;
            shape.workers[0].ram = 3;
            shape.workers[0].main_disk = 9;
        }),
        edit("label", |shape| {
            shape.workers[0].label = Some("fast");
            shape.workers[0].taint = true;
        }),
        edit("port", |shape| shape.forwards = true),
        edit("addon", |shape| {
            shape.variables = &["helm_enabled: true"];
        }),
        edit("upgrade", |shape| shape.release = ["v1.32.10", "v2.29.1"]),
        Edit {
            code: 2,
            ..in_text("network", ["10.9.0.0/24", "10.9.0.0/23"])
        },
    ]
}

/// The plan of an edit, as a person and as a program gets it.
fn reads(stage: &Stage, edit: &Edit) {
    let file = stage.want(&edit.shape);
    if let Some([was, is]) = edit.text {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(was), "{text}");
        fs::write(&file, text.replace(was, is)).unwrap();
    }
    let plan = stage.run(&["plan", "--config", &file], None);
    assert_eq!(plan.code, Some(edit.code), "{}: {}", edit.name, plan.said);
    let text = read(&plan.said);
    assert!(text.lines().count() <= LINES, "{text}");
    insta::assert_snapshot!(edit.name, text);
    let all = stage.run(&["plan", "-o", "json", "--config", &file], None);
    let mut values = serde_json::Deserializer::from_str(&all.said).into_iter::<Value>();
    let all = values.next().unwrap().unwrap();
    let steps = all["changes"].as_array().unwrap();
    // Each step that loses data says so in its text; and with `--verbose` each step has its line.
    let loses = steps.iter().any(|row| row["disruption"] == "data-loss");
    assert_eq!(text.contains("Data is lost: "), loses, "{}", plan.said);
    let verbose = stage.run(&["plan", "--verbose", "--config", &file], None);
    for step in steps {
        let (kind, name) = (
            step["kind"].as_str().unwrap(),
            step["name"].as_str().unwrap(),
        );
        let mut lines = verbose.said.lines();
        let shown = lines.any(|line| line.contains(kind) && line.contains(name));
        assert!(shown, "{kind} {name}: {}", verbose.said);
    }
}

/// The plan and its refusals, without the warnings about the file.
fn read(said: &str) -> String {
    let plan = said.split("warning[").next().unwrap();
    let (_, failure) = said.split_once("\nkubitect: ").unwrap_or_default();
    format!("{plan}{failure}")
}
