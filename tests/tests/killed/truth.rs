//! A run does exactly what its plan says: each step happens, and no change is missing in the plan.

use std::fs;

use kubitect_provision::hypervisor::Hypervisor;
use serde_json::Value;

use crate::shape::{Shape, Worker};
use crate::stage::{Run, Stage, scratch};
use crate::state::Pod;

/// A world with a finished cluster.
pub fn finished(shape: &Shape) -> (tempfile::TempDir, Stage) {
    let scratch = scratch();
    let stage = Stage::new(scratch.path());
    stage.done(shape);
    assert_eq!(stage.plan(shape), None);
    (scratch, stage)
}

pub fn done(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.said);
}

/// The plan, as programs get it.
pub fn planned(stage: &Stage, shape: &Shape) -> Value {
    let file = stage.want(shape);
    let run = stage.run(&["plan", "--output", "json", "--config", &file], None);
    let mut values = serde_json::Deserializer::from_str(&run.said).into_iter::<Value>();
    values.next().unwrap().unwrap()
}

/// The rows of a kind, as `name [disruption] details`.
fn rows(plan: &Value, kind: &str) -> Vec<String> {
    let rows = plan["changes"].as_array().unwrap().iter();
    let rows = rows.filter(|row| row["kind"] == kind);
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    rows.map(|row| {
        let parts = ["name", "disruption", "details"].map(|key| text(row, key));
        format!("{} [{}] {}", parts[0], parts[1], parts[2])
    })
    .collect()
}

/// A worker whose address is leased reloads a balancer only where the balancer leads to it.
pub fn balancers() {
    let mut shape = Shape::base();
    for forwards in [false, true] {
        shape.forwards = forwards;
        let (_scratch, stage) = finished(&shape);
        let mut wider = shape.clone();
        wider.workers.push(Worker::new(5));
        let reloaded = rows(&planned(&stage, &wider), "balancer");
        assert_eq!(reloaded.len(), if forwards { 2 } else { 0 }, "{reloaded:?}");
        done(&stage.apply_as_shown(&wider));
        assert_eq!(stage.plan(&wider), None);
        stage.end();
    }
}

/// What work on nodes disturbs: pods, and what has no second one.
pub fn disruptions() {
    let upgraded = |shape: &Shape| Shape {
        release: ["v1.24.6", "v2.20.0"],
        ..shape.clone()
    };
    let base = Shape::base();
    let (_scratch, stage) = finished(&base);
    let plan = planned(&stage, &upgraded(&base));
    let nodes = rows(&plan, "node");
    assert_eq!(nodes.len(), 5);
    for row in nodes {
        assert!(
            row.contains(" [drain] drained, then Kubernetes v1.24.6"),
            "{row}"
        );
    }
    let notes = plan["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let note = notes[0].as_str().unwrap();
    assert!(
        note.contains("emptyDir") && note.contains("no controller"),
        "{note}"
    );
    let mut less = base.clone();
    less.workers.pop();
    assert_eq!(
        rows(&planned(&stage, &less), "node"),
        ["demo-worker-2 [drain] drained, then it leaves Kubernetes"]
    );
    stage.end();

    let small = Shape {
        masters: vec![1],
        workers: vec![Worker::new(1)],
        balancers: 1,
        ..base
    };
    let (_scratch, stage) = finished(&small);
    let plan = planned(&stage, &upgraded(&small));
    let nodes = rows(&plan, "node");
    assert!(nodes[0].starts_with("demo-master-1 [outage] "), "{nodes:?}");
    assert!(
        nodes[0].ends_with("; etcd and the API restart, and don't answer meanwhile"),
        "{nodes:?}"
    );
    // By taints no node takes the pods of the only worker, and the plan does not call it a drain.
    assert!(
        nodes[1].starts_with("demo-worker-1 [none] Kubernetes v1.24.6"),
        "{nodes:?}"
    );
    assert!(
        nodes[1].ends_with("; its pods stay on it, unless other nodes take all of them"),
        "{nodes:?}"
    );
    let mut resized = small.clone();
    resized.workers[0].ram = 3;
    resized.master_ram = 3;
    let domains = rows(&planned(&stage, &resized), "domain");
    let of = |name: &str| domains.iter().find(|row| row.starts_with(name)).unwrap();
    assert!(of("demo-master-1").contains(" [outage] "), "{domains:?}");
    let worker = of("demo-worker-1");
    assert!(
        worker.contains(" [reboot] ") && worker.contains("its pods stay on it"),
        "{worker}"
    );
    stage.end();
}

/// An edit that can't be carried out is refused in one line, however many values follow from the edited key, and no unedited key
/// is named as edited.
pub fn causes() {
    let shape = Shape::base();
    let (_scratch, stage) = finished(&shape);
    let file = stage.want(&shape);
    let text = fs::read_to_string(&file).unwrap();
    let vip = format!("vip: {}", crate::machine::VIP);
    for (key, was, is) in [
        (
            "cluster.network.cidr: ",
            "cidr: 10.9.0.0/24",
            "cidr: 10.9.0.0/23",
        ),
        ("cluster.network.mode: ", "mode: nat", "mode: route"),
        (
            "cluster.nodes.loadBalancer.vip: ",
            vip.as_str(),
            "vip: 10.9.0.98",
        ),
        (
            "kubernetes.networkPlugin: ",
            "networkPlugin: calico",
            "networkPlugin: flannel",
        ),
        ("cluster.nodes.", "mainDiskSize: 8", "mainDiskSize: 7"),
    ] {
        let edited = text.replace(was, is);
        assert_ne!(text, edited);
        fs::write(&file, edited).unwrap();
        let run = stage.run(&["plan", "--output", "json", "--config", &file], None);
        assert_eq!(run.code, Some(2), "{}", run.said);
        let mut values = serde_json::Deserializer::from_str(&run.said).into_iter::<Value>();
        let plan = values.next().unwrap().unwrap();
        let refused = plan["refused"].as_array().unwrap();
        assert_eq!(refused.len(), 1, "{was} -> {is}: {refused:#?}");
        let refused = refused[0].as_str().unwrap();
        assert!(refused.starts_with(key), "{was} -> {is}: {refused}");
        // The same for programs, which do not read sentences.
        let parts = &plan["refusals"][0];
        assert_eq!(parts["kind"], "edit", "{parts}");
        for part in ["path", "from", "to", "why", "instead"] {
            let part = parts[part].as_str().unwrap();
            assert!(!part.is_empty() && refused.contains(part), "{parts}");
        }
    }
    stage.end();
}

/// A pod whose disruption budget would stop the run is in the plan, with what to do.
pub fn budgets() {
    let shape = Shape::base();
    let (_scratch, stage) = finished(&shape);
    let mut less = shape.clone();
    less.workers.pop();
    let warned = |stage: &Stage, shape: &Shape| -> Vec<String> {
        let plan = planned(stage, shape);
        let findings = plan["findings"].as_array().unwrap().iter();
        let speaks = |finding: &&Value| finding["message"].as_str().unwrap().contains("drain");
        let findings = findings.filter(speaks);
        let of = |finding: &Value| {
            assert_eq!(finding["severity"], "warning");
            let part = |key: &str| finding[key].as_str().unwrap().to_owned();
            format!("{}; {}", part("message"), part("help"))
        };
        findings.map(of).collect()
    };
    let put = |node: &str, kept: bool| {
        stage.place().with(|state, _| {
            let pod = Pod {
                node: node.to_owned(),
                kept,
                ..Pod::default()
            };
            state.kube.pods.insert("db".to_owned(), pod);
        });
    };
    put("demo-worker-2", false);
    assert_eq!(warned(&stage, &less), [""; 0]);
    put("demo-worker-1", true);
    assert_eq!(warned(&stage, &less), [""; 0]);
    put("demo-worker-2", true);
    let said = warned(&stage, &less);
    assert_eq!(said.len(), 1, "{said:?}");
    for part in [
        "draining demo-worker-2 stops at pods that a disruption budget keeps: default/db (budget default/db-budget: 1 healthy, 1 \
         have to be)",
        "relax the budget, before you apply",
    ] {
        assert!(said[0].contains(part), "{said:?}");
    }
    // Those who leave answer, too, if all masters do.
    let mut exchanged = less.clone();
    exchanged.masters = vec![4, 5, 6];
    assert_eq!(warned(&stage, &exchanged), said);
    let plan = stage.plan(&less).unwrap();
    assert!(plan.contains("default/db-budget"), "{plan}");
    // The forecast is right, and the advice helps.
    let run = stage.apply(&less, None);
    assert_eq!(run.code, Some(1), "{}", run.said);
    assert!(run.said.contains("default/db"), "{}", run.said);
    put("demo-worker-2", false);
    stage.done(&less);
    assert_eq!(stage.plan(&less), None);
    stage.end();
}

/// Edits without an immediate effect are noted, in a plan with and without steps.
pub fn notes() {
    let mut shape = Shape::base();
    let (_scratch, stage) = finished(&shape);
    let file = stage.want(&shape);
    let text = fs::read_to_string(&file).unwrap();
    let edited = text.replace(
        "    user: k8s\n",
        "    user: k8s\n    dns: [9.9.9.9]\n    updateOnBoot: false\n",
    );
    assert_ne!(text, edited);
    fs::write(&file, &edited).unwrap();
    let plan = stage.run(&["plan", "--config", &file], None);
    assert_eq!(plan.code, Some(0), "{}", plan.said);
    for part in [
        "demo: no change\n",
        "note: cluster.nodeTemplate.dns: (nothing) -> 9.9.9.9: counts for machines that are made from now on\n",
        "note: cluster.nodeTemplate.updateOnBoot: true -> false: counts for",
    ] {
        assert!(plan.said.contains(part), "{}", plan.said);
    }
    let run = stage.run(&["apply", "--auto-approve", "--config", &file], None);
    done(&run);
    assert!(
        run.said.contains("note: cluster.nodeTemplate.dns"),
        "{}",
        run.said
    );
    shape.workers.pop();
    let plan = planned(&stage, &shape);
    let notes = plan["notes"].as_array().unwrap();
    assert!(
        notes
            .iter()
            .any(|note| note.as_str().unwrap().contains("9.9.9.9 -> (nothing)")),
        "{notes:?}"
    );
    stage.end();
}

/// Balancers are restarted one after another, each when the one before serves, the holder of the virtual address last.
pub fn holder_last() {
    let shape = Shape::base();
    for (holder, other) in [("demo-lb-1", "demo-lb-2"), ("demo-lb-2", "demo-lb-1")] {
        let (_scratch, stage) = finished(&shape);
        stage
            .place()
            .with(|state, _| state.holder = Some(holder.to_owned()));
        let file = stage.want(&shape);
        let text = fs::read_to_string(&file).unwrap();
        let edited = text.replace("ram: 1, mainDiskSize: 8", "ram: 2, mainDiskSize: 8");
        assert_ne!(text, edited);
        fs::write(&file, &edited).unwrap();
        let plan = stage.run(&["plan", "--config", &file, "--output", "json"], None);
        let phase = "restart demo-lb-1, demo-lb-2, one after another";
        assert!(plan.said.contains(phase), "{}", plan.said);
        let run = stage.run(&["apply", "--auto-approve", "--config", &file], None);
        done(&run);
        assert!(run.said.contains(phase), "{}", run.said);
        let position = |name: &str| run.said.find(&format!("{name}: serves again")).unwrap();
        assert!(position(other) < position(holder), "{}", run.said);
        let plan = stage.run(&["plan", "--config", &file], None);
        assert_eq!(plan.code, Some(0), "{}", plan.said);
        stage.end();
    }
}

/// All definitions are lost and all disks exist: the machines are defined again as what they were, where the cluster's folder
/// says that; where nothing does, nothing is set up over them.
pub fn definitions_gone() {
    let shape = Shape::base();
    for with_folder in [true, false] {
        let (_scratch, stage) = finished(&shape);
        let snapshot = |stage: &Stage| {
            stage
                .place()
                .with(|state, _| (state.kube.id, state.kube.nodes.len()))
        };
        let before = snapshot(&stage);
        stage.place().with(|_, host| {
            for domain in host.domains().unwrap() {
                if domain.name.starts_with("demo-") {
                    host.remove_domain(&domain.name.parse().unwrap()).unwrap();
                }
            }
        });
        if !with_folder {
            fs::remove_dir_all(stage.folder.join("home/clusters/demo")).unwrap();
        }
        stage.playbooks();
        let run = stage.apply(&shape, None);
        match with_folder {
            true => {
                done(&run);
                assert_eq!(stage.playbooks(), []);
                assert_eq!(stage.plan(&shape), None);
            }
            false => {
                assert_eq!(run.code, Some(2), "{}", run.said);
                assert!(
                    run.said.contains("no note says that it joined"),
                    "{}",
                    run.said
                );
            }
        }
        assert_eq!(snapshot(&stage), before);
        stage.end();
    }
}

/// The changes of the person's own files are in the plan, and are reverted where the switch is turned off.
pub fn own_files() {
    let shape = Shape::base();
    let (_scratch, stage) = finished(&shape);
    let file = stage.want(&shape);
    let on = fs::read_to_string(&file).unwrap();
    let off = on
        .replace("mergeKubeconfig: true", "mergeKubeconfig: false")
        .replace("addToKnownHosts: true", "addToKnownHosts: false");
    let own = |path: &str| fs::read_to_string(stage.folder.join("person").join(path)).unwrap();
    let files = [".kube/config", ".ssh/known_hosts"];
    let with = files.map(own);
    for (text, word, is_on) in [(&off, "loses", false), (&on, "gets", true)] {
        fs::write(&file, text).unwrap();
        let plan = stage.run(&["plan", "--config", &file], None);
        assert_eq!(plan.code, Some(0), "{}", plan.said);
        for path in files {
            let note = plan
                .said
                .lines()
                .find(|line| line.starts_with("note: ") && line.contains(path));
            assert!(
                note.is_some_and(|note| note.contains(word)),
                "{}",
                plan.said
            );
        }
        done(&stage.run(&["apply", "--auto-approve", "--config", &file], None));
        for path in files {
            assert_eq!(own(path).contains("demo"), is_on, "{path}: {}", own(path));
        }
        let plan = stage.run(&["plan", "--config", &file], None);
        assert!(!plan.said.contains("note: "), "{}", plan.said);
    }
    assert_eq!(files.map(own), with);
    stage.end();
}
