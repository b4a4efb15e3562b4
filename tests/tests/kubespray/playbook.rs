//! Real runs of Ansible: what the callback plugin tells, how failures are reported, and what an end leaves behind.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use kubitect_config::variables::SANS;
use kubitect_kubespray::{Error, Event, Outcome};

use crate::fixture::{Events, Stage};

/// A play on three of the example's machines that is carried out on this one.
const LOCAL: &str = r#"
- name: On this machine
  hosts: local-k8s-cluster-master-2,local-k8s-cluster-worker-1,local-k8s-cluster-worker-3
  gather_facts: false
  vars:
    ansible_connection: local
    ansible_become: false
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
"#;

const KINDS: &str = r#"
    - name: Ok
      command: "true"
      changed_when: false
    - name: Changed
      command: "true"
    - name: Skipped
      command: "false"
      when: false
    - name: Ignored
      fail: {msg: never mind}
      ignore_errors: true
    - name: No text
      command: sh -c 'printf "\377 is no text" >&2; exit 3'
      ignore_errors: true
    - name: Secret
      command: sh -c 'echo s3cret-$((40 + 2)); exit 3'
      no_log: true
      ignore_errors: true
    - name: Secret unless
      command: sh -c 'echo s3cret-$((40 + 2)); exit 3'
      no_log: "{{ not (unsafe_show_logs | bool) }}"
      vars: {unsafe_show_logs: false}
      ignore_errors: true
    - name: Tried again
      command: "false"
      retries: 1
      delay: 0
      until: false
      ignore_errors: true
    - name: Loop
      fail: {msg: "not {{ item }}"}
      loop: [pears, plums]
      when: item == 'plums'
      ignore_errors: true
    - name: Rescue
      block:
        - name: Fails at first
          fail: {msg: rescued}
      rescue:
        - name: Is put right
          command: "true"
"#;

const BREAKS: &str = r#"
    - name: Not there
      ping:
      vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1, ansible_ssh_args: "", ansible_ssh_retries: 0}
      when: inventory_hostname == 'local-k8s-cluster-worker-3'
    - name: Breaks
      fail: {msg: the disk is full}
      when: inventory_hostname == 'local-k8s-cluster-master-2'
"#;

fn outcomes<'a>(events: &'a [Event], of: &str) -> Vec<(Outcome, Option<&'a str>)> {
    let mut outcomes: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::HostDone {
                task,
                outcome,
                message,
                ..
            } if task == of => Some((*outcome, message.as_deref())),
            _ => None,
        })
        .collect();
    outcomes.dedup();
    outcomes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_result_is_told_and_secrets_are_not() {
    let stage = Stage::new(&format!("{LOCAL}{KINDS}")).await;
    let events = Events::default();
    stage.create(&events).await.unwrap();
    let lines = events.lines().join("\n");
    let events = events.0.into_inner().unwrap();

    assert_eq!(outcomes(&events, "Ok"), [(Outcome::Ok, None)]);
    assert_eq!(outcomes(&events, "Changed"), [(Outcome::Changed, None)]);
    assert_eq!(outcomes(&events, "Skipped"), [(Outcome::Skipped, None)]);
    assert_eq!(
        outcomes(&events, "Ignored"),
        [(Outcome::Ignored, Some("never mind"))]
    );
    assert_eq!(
        outcomes(&events, "Loop"),
        [(Outcome::Ignored, Some("not plums"))]
    );
    assert_eq!(
        outcomes(&events, "Fails at first"),
        [(Outcome::Failed, Some("rescued"))]
    );
    let raw = outcomes(&events, "No text");
    assert!(
        matches!(raw[..], [(Outcome::Ignored, Some(said))] if said.contains(" is no text")),
        "{raw:?}"
    );
    let again = outcomes(&events, "Tried again");
    assert!(
        again.iter().any(|(o, _)| *o == Outcome::Retried),
        "{again:?}"
    );
    assert!(
        again.iter().any(|(o, _)| *o == Outcome::Ignored),
        "{again:?}"
    );
    let hidden = "what it says is hidden, since it may hold a password";
    assert_eq!(
        outcomes(&events, "Secret"),
        [(Outcome::Ignored, Some(hidden))]
    );
    let unless = format!("{hidden}; addons.kubespray.unsafe_show_logs: true shows it");
    assert_eq!(
        outcomes(&events, "Secret unless"),
        [(Outcome::Ignored, Some(unless.as_str()))]
    );
    assert!(!lines.contains("s3cret-42"), "{lines}");
    match events.last() {
        // Changed, and put right, on three hosts.
        Some(Event::PlaybookFinished { changed, .. }) => assert!(*changed >= 6, "{changed}"),
        other => panic!("{other:?}"),
    }

    let log = stage.log();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("TASK [Changed]") && text.contains("PLAY RECAP"));
    assert!(!text.contains("s3cret-42"));
    assert!(!text.contains('\u{1b}'), "colours in the log");
    let mode = std::fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_names_host_task_and_message_and_counts_the_others() {
    let stage = Stage::new(&format!("{LOCAL}{KINDS}{BREAKS}")).await;
    let events = Events::default();
    match stage.create(&events).await {
        Err(Error::Playbook {
            playbook,
            host,
            task,
            message,
            others,
            log,
        }) => {
            assert_eq!(playbook, "cluster.yml");
            assert_eq!(host, "local-k8s-cluster-worker-3");
            assert_eq!(task, "Not there");
            assert!(message.contains("onnection refused"), "{message}");
            assert_eq!(others, 1);
            assert_eq!(*log, *stage.log());
        }
        other => panic!("{other:?}: {:?}", events.lines()),
    }
    let events = events.0.into_inner().unwrap();
    assert!(outcomes(&events, "Breaks").contains(&(Outcome::Failed, Some("the disk is full"))));
    let gone = outcomes(&events, "Not there");
    assert!(
        gone.iter().any(|(o, _)| *o == Outcome::Unreachable),
        "{gone:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_playbook_that_cannot_be_read_is_quoted() {
    let stage = Stage::new("- hosts: all\n  tasks: [{no_such_module: }]\n").await;
    let events = Events::default();
    match stage.create(&events).await {
        Err(Error::Ansible { lines, log, .. }) => {
            assert!(lines.contains("no_such_module"), "{lines}");
            assert!(log.exists());
        }
        other => panic!("{other:?}"),
    }
}

/// The processes with this in their arguments.
fn running(arguments: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(arguments))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_it_leaves_nothing_running_and_the_next_run_goes_on() {
    let flag = tempfile::tempdir().unwrap();
    let path = flag.path().join("begun").display().to_string();
    let seconds = format!("3333.{}", std::process::id());
    let playbook = format!(
        "{LOCAL}    - name: Takes long the first time\n      command: sh -c 'test -e {path} || {{ touch {path}; sleep {seconds}; }}'\n"
    );
    let stage = Stage::new(&playbook).await;
    let events = Events::default();
    // The shell's own arguments have the sleep in them before it has left its flag.
    let begun = async {
        while !flag.path().join("begun").exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        result = stage.create(&events) => panic!("{result:?}"),
        () = begun => {}
        () = tokio::time::sleep(Duration::from_secs(120)) => panic!("{:?}", events.lines()),
    }
    assert_eq!(running(&format!("sleep {seconds}")), [""; 0]);
    let inventory = stage.workdir.inventory().display().to_string();
    assert_eq!(running(&inventory), [""; 0]);

    let again = stage.create(&events);
    let again = tokio::time::timeout(Duration::from_secs(300), again).await;
    again.expect("the next run ends").unwrap();
}

/// Two of the example's masters, with what the release knows of names by itself, and a list that no certificate here has.
const NAMES: &str = r#"
- name: On this machine
  hosts: local-k8s-cluster-master-1,local-k8s-cluster-master-2
  gather_facts: false
  vars:
    ansible_connection: local
    ansible_become: false
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    dns_domain: cluster.local
    kube_apiserver_ip: 10.233.0.1
  tasks:
    - name: The release's own list
      set_fact:
        apiserver_sans: "{{ groups['kube_control_plane'] }}"
    - name: What it goes by
      copy:
        content: "{{ apiserver_sans | to_json }}"
        dest: "FOLDER/{{ inventory_hostname }}.json"
        mode: "0600"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn releases_that_stop_at_names_go_by_a_list_of_ours() {
    let folder = tempfile::tempdir().unwrap();
    let play = NAMES.replace("FOLDER", folder.path().to_str().unwrap());
    let mut stage = Stage::new(&play).await;
    // Its Ansible is another's: what is under test are the arguments.
    stage.cluster.kubernetes.kubespray.version = "v2.24.3".parse().unwrap();
    stage.cluster.kubernetes.version = "v1.28.14".parse().unwrap();
    let variables = &mut stage.cluster.addons.kubespray;
    let left_out = vec!["late.example.org".to_owned()];
    let names = ["early.example.org".to_owned(), left_out[0].clone()];
    variables.insert(SANS.into(), names.to_vec().into());
    variables.insert("kubitect_names_left_out".into(), left_out.into());
    stage.create(&Events::default()).await.unwrap();
    let list = |id: u32| -> Vec<String> {
        let path = folder
            .path()
            .join(format!("local-k8s-cluster-master-{id}.json"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let (first, second) = (list(1), list(2));
    let address = |node: &str| {
        let mut nodes = stage.facts.nodes.iter();
        nodes.find(|known| known.name.as_str() == node).unwrap().ip
    };
    let own = |id: u32| {
        let name = format!("local-k8s-cluster-master-{id}");
        [address(&name).to_string(), name]
    };
    let api = kubitect_kubespray::api_address(&stage.cluster, &stage.facts);
    let api = api.unwrap().to_string();
    let all = [
        "kubernetes.default.svc.cluster.local",
        "10.233.0.1",
        "localhost",
        "127.0.0.1",
        "early.example.org",
        &api,
    ];
    for name in all {
        assert!(first.iter().any(|one| one == name), "{name}: {first:?}");
    }
    for (list, own, others) in [(&first, own(1), own(2)), (&second, own(2), own(1))] {
        assert!(own.iter().all(|name| list.contains(name)), "{list:?}");
        assert!(!others.iter().any(|name| list.contains(name)), "{list:?}");
        assert!(!list.contains(&names[1]), "{list:?}");
    }
}

/// Not a test of its own: what the next test starts as a process and kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by killed_it_leaves_nothing_that_goes_on as a process of its own"]
async fn victim() {
    let flag = std::env::var("KUBITECT_TEST_FLAG").unwrap();
    let gate = std::env::var("KUBITECT_TEST_GATE").unwrap();
    let playbook = format!(
        "{LOCAL}    - name: Ends when the gate is there\n      shell: until test -e {gate}; do sleep 0.1; done\n    \
         - name: Must not begin\n      command: touch {flag}\n"
    );
    let stage = Stage::new(&playbook).await;
    let result = stage.create(&Events::default()).await;
    panic!("ended: {result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_it_leaves_nothing_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let flag = folder.path().join("flag");
    let gate = folder.path().join("gate");
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "playbook::victim", "--ignored"])
        .env("KUBITECT_TEST_FLAG", &flag)
        .env("KUBITECT_TEST_GATE", &gate)
        .env("TMPDIR", folder.path())
        .spawn()
        .unwrap();
    let waiting = format!("until test -e {}", gate.display());
    for _ in 0..2400 {
        if !running(&waiting).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!running(&waiting).is_empty(), "the playbook did not begin");
    victim.kill().unwrap();
    victim.wait().unwrap();
    std::fs::write(&gate, "").unwrap();
    // Ansible notices at its next result that nobody listens any more.
    let inventory = format!("{}/", folder.path().display());
    for _ in 0..600 {
        if running(&inventory).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(running(&inventory), [""; 0]);
    assert!(!flag.exists(), "Ansible went on without us");
}
