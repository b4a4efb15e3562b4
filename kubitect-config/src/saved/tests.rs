//! Plans in files: what is saved, what is refused, and that nothing else is replaced.

use super::*;
use crate::row::{Action, Disruption, Kind};

fn row(name: &str, details: &str) -> Row {
    Row {
        phase: 1,
        ..Row::new(Action::Create, Kind::Domain, name, "box".to_owned()).with(details)
    }
}

fn saved() -> SavedPlan {
    SavedPlan {
        format_version: VERSION,
        kubitect: "0.1.0".to_owned(),
        time: "2026-01-02T03:04:05Z".to_owned(),
        cluster: "demo".to_owned(),
        configuration: Configuration {
            file: Some("/home/me/cluster.yaml".into()),
            sha256: sha256(b"a"),
        },
        site: sha256(b"b"),
        phases: vec![SavedPhase::new(
            "make machines",
            "all",
            vec![row("demo-worker-1", "2 CPUs, https://t0ken@h/x")],
        )],
        notes: vec!["a note".to_owned()],
    }
}

/// A change of this format makes the plans unreadable that people have saved.
#[test]
fn golden_file_of_a_saved_plan() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    saved().write(&file).unwrap();
    insta::assert_snapshot!(std::fs::read_to_string(&file).unwrap(), @r#"
    {
      "formatVersion": 1,
      "kubitect": "0.1.0",
      "time": "2026-01-02T03:04:05Z",
      "cluster": "demo",
      "configuration": {
        "file": "/home/me/cluster.yaml",
        "sha256": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
      },
      "site": "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d",
      "phases": [
        {
          "title": "make machines",
          "sha256": "5ef5ef0364b6939c4ca61f34b393f7b368d1be8619647aaf83d5b395919ab629",
          "changes": [
            {
              "action": "create",
              "kind": "domain",
              "name": "demo-worker-1",
              "host": "box",
              "disruption": "none",
              "details": "2 CPUs, https://(not shown)@h/x",
              "destructive": false,
              "phase": 1
            }
          ]
        }
      ],
      "notes": [
        "a note"
      ]
    }
    "#);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(SavedPlan::read(&file).unwrap(), saved());
    // A plan replaces another plan, and no other file.
    saved().write(&file).unwrap();
    let cluster = folder.path().join("cluster.yaml");
    std::fs::write(&cluster, "hosts: []\n").unwrap();
    let error = saved().write(&cluster).unwrap_err().to_string();
    assert!(error.contains("what is there is no plan"), "{error}");
    assert_eq!(std::fs::read_to_string(&cluster).unwrap(), "hosts: []\n");
    let error = saved().write(&folder.path().join("no/plan.json"));
    let error = crate::chain(&error.unwrap_err());
    assert!(error.contains("its folder is not there"), "{error}");
}

/// `mktemp` makes an empty file.
#[test]
fn an_empty_file_is_as_good_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    std::fs::write(&file, "").unwrap();
    saved().write(&file).unwrap();
    assert_eq!(SavedPlan::read(&file).unwrap(), saved());
}

#[test]
fn what_is_no_regular_file_is_refused_unopened() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    // To open it would block until somebody writes.
    let (sender, receiver) = std::sync::mpsc::channel();
    let path = fifo.clone();
    std::thread::spawn(move || {
        let read = SavedPlan::read(&path).unwrap_err();
        let written = saved().write(&path).unwrap_err();
        sender.send([read, written].map(|e| crate::chain(&e)))
    });
    let errors = receiver.recv_timeout(std::time::Duration::from_secs(60));
    let fifo = fifo.display();
    let why = "it is no regular file";
    let [read, written] = errors.expect("nothing is waited for");
    assert_eq!(read, format!("read {fifo}: {why}"));
    assert_eq!(written, format!("write {fifo}: {why}"));
    // A device is not taken for an empty file.
    assert!(saved().write(Path::new("/dev/null")).is_err());
}

#[test]
fn what_is_no_plan_is_refused_by_name() {
    let why = |text: &str| {
        let error = SavedPlan::parse(text.as_bytes(), "p").unwrap_err();
        error.to_string()
    };
    assert!(why("hosts: []").contains("`-c p`"));
    assert!(why("{}").contains("it has no formatVersion"));
    assert!(why(r#"{"formatVersion":1}"#).contains("missing field `kubitect`"));
    assert!(why(r#"{"formatVersion":2}"#).contains("its formatVersion is 2"));
    // Fields that a later release adds are ignored.
    let mut more = serde_json::to_value(saved()).unwrap();
    more["more"] = true.into();
    assert_eq!(
        SavedPlan::parse(more.to_string().as_bytes(), "p").unwrap(),
        saved()
    );
}

#[test]
fn what_differs_is_said() {
    let differs = |change: &dyn Fn(&mut SavedPlan)| {
        let mut now = saved();
        change(&mut now);
        saved().differences(&now)
    };
    assert_eq!(differs(&|now| now.time = "later".to_owned()), [""; 0]);
    assert_eq!(
        differs(&|now| {
            now.kubitect = "0.2.0".to_owned();
            now.cluster = "other".to_owned();
            now.configuration.sha256 = sha256(b"c");
            now.site = sha256(b"c");
            now.notes = vec!["another".to_owned()];
        }),
        [
            "Kubitect 0.1.0 saved it, and this is 0.2.0",
            "it is of the cluster demo, and the configuration is of other",
            "the configuration has changed: /home/me/cluster.yaml",
            "the site file has changed",
            "this no longer holds: a note",
            "this has come to hold: another",
        ]
    );
    assert_eq!(
        differs(&|now| {
            now.phases[0].changes[0].disruption = Disruption::Reboot;
            now.phases[0].changes.push(row("demo-worker-2", ""));
        }),
        [
            "create domain demo-worker-1 on box: was `2 CPUs, https://(not shown)@h/x` [none], and is `2 CPUs, \
             https://(not shown)@h/x` [reboot]",
            "to be done now, too: create domain demo-worker-2 on box",
        ]
    );
    assert_eq!(
        differs(&|now| now.phases.clear()),
        ["no longer to be done: create domain demo-worker-1 on box"]
    );
    let more = |now: &mut SavedPlan| now.phases.push(SavedPhase::new("use", "", Vec::new()));
    assert_eq!(
        differs(&more),
        ["the phases were: make machines; and are: make machines, use"]
    );
    let other = |now: &mut SavedPlan| now.phases[0].sha256 = sha256(b"other");
    assert!(differs(&other)[0].starts_with("`make machines` would do its steps in another way"));
    let many = |now: &mut SavedPlan| {
        let rows = (0..20).map(|number| row(&format!("w{number}"), ""));
        now.phases[0].changes.extend(rows);
    };
    assert_eq!(differs(&many).len(), NAMED + 1);
    assert_eq!(differs(&many)[NAMED], "and 8 more");
}
