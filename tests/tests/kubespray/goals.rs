//! Goals of a living cluster: which playbooks are run, in which order, and on which hosts.

use std::time::{Duration, SystemTime};

use kubitect_config::value::Label;
use kubitect_kubespray::goal::Goal;
use kubitect_kubespray::{Event, Outcome, carry_out, carry_out_with_cached_facts};

use crate::fixture::{Events, Stage};

/// A playbook that reaches all hosts that it may, on this machine, and the members of etcd once more.
const REACH: &str = r#"
- name: Reach
  hosts: "{{ node | default('k8s_cluster') }}"
  gather_facts: false
  vars: &here
    ansible_connection: local
    ansible_become: false
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - name: Reach
      command: "true"
      when: node is not defined or skip_confirmation
- name: Count
  hosts: etcd
  gather_facts: false
  vars: *here
  tasks:
    - name: Members
      fail: {msg: "{{ groups['etcd'] | join(' ') }}, first {{ groups['kube_control_plane'][0] }}"}
      ignore_errors: true
      run_once: true
    - name: An odd number
      assert: {that: "groups['etcd'] | length % 2 == 1 or ignore_assert_errors | default(false)"}
      run_once: true
"#;

const PLAYBOOKS: [&str; 5] = [
    "cluster.yml",
    "scale.yml",
    "playbooks/facts.yml",
    "upgrade-cluster.yml",
    "remove-node.yml",
];

/// What was run: for each playbook its hosts, and what it said of etcd.
async fn run(stage: &Stage, goal: &Goal) -> Vec<String> {
    let events = Events::default();
    let tell = |event| events.0.lock().unwrap().push(event);
    let stages = (&stage.cluster, &stage.facts, &stage.tools, &stage.workdir);
    carry_out(goal, stages.0, stages.1, stages.2, stages.3, &tell)
        .await
        .unwrap();
    let mut runs: Vec<(String, Vec<String>)> = Vec::new();
    let mut members = Vec::new();
    let short = |text: &str| text.replace("local-k8s-cluster-", "");
    for event in events.0.into_inner().unwrap() {
        match event {
            Event::PlaybookStarted { playbook, .. } => runs.push((playbook, Vec::new())),
            Event::HostDone {
                host,
                task,
                outcome: Outcome::Changed,
                ..
            } if task == "Reach" => runs.last_mut().unwrap().1.push(short(&host)),
            Event::HostDone {
                task,
                message: Some(message),
                ..
            } if task == "Members" => members.push(short(&message)),
            _ => {}
        }
    }
    members.dedup();
    let shown = runs.into_iter().map(|(playbook, mut hosts)| {
        hosts.sort();
        format!("{playbook}: {}", hosts.join(" "))
    });
    shown
        .chain(members.into_iter().map(|m| format!("etcd: {m}")))
        .collect()
}

fn name(text: &str) -> Label {
    format!("local-k8s-cluster-{text}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_goal_runs_on_the_hosts_that_it_concerns() {
    let playbooks = PLAYBOOKS.map(|name| (name, REACH));
    let mut stage = Stage::of(&playbooks).await;
    let all = "playbooks/facts.yml: master-1 master-2 master-3 worker-1 worker-2 worker-3";
    let etcd = "etcd: master-1 master-2 master-3, first master-1";

    let goal = Goal::AddWorkers(vec![name("worker-2"), name("worker-3")]);
    assert_eq!(
        run(&stage, &goal).await,
        [all, "scale.yml: worker-2 worker-3", etcd]
    );
    let (node, keeps_pods) = (name("master-2"), false);
    let goal = Goal::Upgrade { node, keeps_pods };
    assert_eq!(
        run(&stage, &goal).await,
        [all, "upgrade-cluster.yml: master-2", etcd]
    );
    let rejoins = Goal::AddMaster(name("master-1"));
    let masters = "master-1 master-2 master-3";
    assert_eq!(
        run(&stage, &rejoins).await,
        [
            all,
            &format!("cluster.yml: {masters}"),
            "etcd: master-2 master-3 master-1, first master-2"
        ]
    );
    // The network plugin is not in etcd: nobody has to learn of its members from Kubespray.
    assert_eq!(run(&stage, &Goal::NetworkEtcdMembers).await, [""; 0]);
    let leaves = Goal::Remove {
        nodes: vec![name("master-1")],
        reachable: true,
    };
    assert_eq!(
        run(&stage, &leaves).await,
        [
            "remove-node.yml: master-1",
            "etcd: master-2 master-3, first master-2"
        ]
    );
    // One less than before, so that there is an even number of members for a while.
    stage
        .cluster
        .nodes
        .retain(|node| node.name != name("master-3"));
    assert_eq!(
        run(&stage, &rejoins).await,
        [
            "playbooks/facts.yml: master-1 master-2 worker-1 worker-2 worker-3",
            "cluster.yml: master-1 master-2",
            "etcd: master-2 master-1, first master-2"
        ]
    );
}

/// As Kubespray does it for all nodes, on this machine.
const GATHER: &str = r#"
- name: Gather
  hosts: k8s_cluster
  gather_facts: false
  vars:
    ansible_connection: local
    ansible_become: false
  tasks:
    - name: Gather
      set_fact: {main_access_ip: "{{ access_ip }}", cacheable: true}
"#;

/// As runs that leave nodes out do with these.
const ASK: &str = r#"
- name: Ask
  hosts: k8s_cluster
  gather_facts: false
  tasks:
    - name: Ask
      assert: {that: "hostvars[item].main_access_ip is defined"}
      loop: "{{ groups['k8s_cluster'] }}"
"#;

/// A release forgets after 2 to 24 hours, and an upgrade of many nodes takes longer.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_gathered_holds_for_a_whole_upgrade() {
    let playbooks = [
        ("playbooks/facts.yml", GATHER),
        ("upgrade-cluster.yml", ASK),
    ];
    let stage = Stage::of(&playbooks).await;
    let upgrade = |node| Goal::Upgrade {
        node: name(node),
        keeps_pods: false,
    };
    run(&stage, &upgrade("master-1")).await;
    let gathered = stage.folder.path().join("config/.ansible/facts");
    let week = Duration::from_secs(7 * 24 * 3600);
    let mut aged = 0;
    for entry in std::fs::read_dir(gathered).unwrap() {
        let file = std::fs::File::options()
            .write(true)
            .open(entry.unwrap().path());
        file.unwrap()
            .set_modified(SystemTime::now() - week)
            .unwrap();
        aged += 1;
    }
    assert_eq!(aged, 6);
    let (cluster, facts, tools) = (&stage.cluster, &stage.facts, &stage.tools);
    let goal = upgrade("master-2");
    let done =
        carry_out_with_cached_facts(&goal, cluster, facts, tools, &stage.workdir, &|_| ()).await;
    done.unwrap();
}
