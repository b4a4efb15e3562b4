//! The short form of plans.

use super::*;

fn row(action: &str, kind: &str, name: &str, details: &str) -> Row {
    let action = serde_json::from_value(action.into()).unwrap();
    let kind = serde_json::from_value(kind.into()).unwrap();
    Row::new(action, kind, name, "box".to_owned()).with(details)
}

#[test]
fn a_machine_is_a_line_with_all_that_is_its_own() {
    let lost = |row: Row| Row {
        destructive: true,
        ..row.disturbing(Disruption::DataLoss)
    };
    let rows = [
        row("create", "network", "demo-network", "nat 10.0.0.0/24"),
        row(
            "create",
            "image",
            "debian12",
            "brought to the host and verified",
        ),
        row("create", "volume", "demo-worker-3-seed", ""),
        row("create", "volume", "demo-worker-3-main-disk", "8 GiB"),
        row("create", "volume", "demo-worker-3-db-data-disk", "2 GiB"),
        row("create", "domain", "demo-worker-3", "2 CPUs, 4 GiB"),
        row(
            "update",
            "volume",
            "demo-worker-1-main-disk",
            "size 8 GiB -> 9 GiB",
        ),
        row("create", "volume", "demo-worker-1-new-data-disk", "1 GiB"),
        row(
            "update",
            "domain",
            "demo-worker-1",
            "attach disk demo-worker-1-new-data-disk (1 GiB)",
        ),
        Row {
            follows: true,
            ..row(
                "update",
                "domain",
                "demo-worker-1",
                "its system takes into use its main disk",
            )
        },
        row(
            "create",
            "node",
            "demo-worker-3",
            "joins: Kubernetes v1.23.7",
        ),
        row("update", "domain", "demo-worker-1", "CPUs 2 -> 3").disturbing(Disruption::Reboot),
        lost(row(
            "delete",
            "domain",
            "demo-worker-2",
            "it is no longer in the configuration",
        )),
        lost(row("delete", "volume", "demo-worker-2-main-disk", "")),
        lost(row("delete", "volume", "demo-worker-2-db-data-disk", "")),
        lost(row(
            "replace",
            "domain",
            "demo-master-1",
            "its main disk is gone",
        )),
        row("create", "domain", "demo-master-1", "2 CPUs, 4 GiB"),
        row("update", "addons", "demo", "a: 1 -> 2"),
    ];
    insta::assert_snapshot!(Fold::new("demo", &rows), @r"
  + network demo-network, image debian12
  + demo-worker-3  main disk 8 GiB; disk db 2 GiB; 2 CPUs, 4 GiB
  ~ demo-worker-1  [reboot] main disk size 8 GiB -> 9 GiB; + disk new 1 GiB; CPUs 2 -> 3
  + node demo-worker-3: joins: Kubernetes v1.23.7
  - demo-worker-2  [data-loss] it is no longer in the configuration; with its disk db
  ± demo-master-1  [data-loss] its main disk is gone; 2 CPUs, 4 GiB
  ~ addons         a: 1 -> 2
demo: 1 to add, 2 to change, 1 to recreate, 1 to remove. Data is lost: demo-worker-2, demo-master-1
");
}

/// Even if the reason names a disk that has a row of its own.
#[test]
fn why_a_machine_is_restarted_is_said() {
    let rows = [
        row("create", "volume", "demo-worker-1-new-data-disk", "1 GiB"),
        row(
            "update",
            "domain",
            "demo-worker-1",
            "memory 2048 MiB -> 3072 MiB, disk demo-worker-1-new-data-disk is attached, for which it has no port free while it runs",
        )
        .disturbing(Disruption::Reboot),
        row("delete", "volume", "demo-worker-2-old-data-disk", ""),
        Row {
            destructive: true,
            ..row(
                "update",
                "domain",
                "demo-worker-2",
                "detach disk demo-worker-2-old-data-disk: it is not wanted",
            )
        },
    ];
    insta::assert_snapshot!(Fold::new("demo", &rows), @r"
  ~ demo-worker-1  [reboot] + disk new 1 GiB; memory 2048 MiB -> 3072 MiB, disk demo-worker-1-new-data-disk is attached, for which it has no port free while it runs
  ~ demo-worker-2  - disk old; detach disk demo-worker-2-old-data-disk: it is not wanted
demo: 2 to change
");
}

#[test]
fn an_upgrade_is_a_line_a_hop() {
    let hop = |name: &str, to: &str, more: &str| Row {
        upgrade: Some(format!("v1.23.7 -> {to}")),
        ..row("update", "node", name, &format!("drained, then {to}{more}"))
            .disturbing(Disruption::Drain)
    };
    let hops = ["v1.24.6", "v1.25.6"].into_iter().flat_map(|to| {
        let names = ["demo-master-1", "demo-master-2", "demo-worker-1"];
        names.map(|name| hop(name, to, ""))
    });
    let snapshot = row("update", "etcd", "demo", "a snapshot is brought home");
    let rows: Vec<_> = std::iter::once(snapshot).chain(hops).collect();
    insta::assert_snapshot!(Fold::new("demo", &rows), @r"
  ~ etcd  a snapshot is brought home
  ~ upgrade v1.23.7 -> v1.24.6: demo-master-1, 2, demo-worker-1  [drain]
  ~ upgrade v1.23.7 -> v1.25.6: demo-master-1, 2, demo-worker-1  [drain]
demo: 1 to change, 3 nodes to upgrade in 2 hops
");
    let single = [hop("demo-worker-1", "v1.24.6", "; its pods stay on it")];
    insta::assert_snapshot!(Fold::new("demo", &single), @r"
  ~ upgrade v1.23.7 -> v1.24.6: demo-worker-1  [drain] its pods stay on it
demo: 1 node to upgrade
");
}

#[test]
fn a_disk_belongs_to_the_machine_with_the_longest_name_before_it() {
    let machines = BTreeSet::from(["demo-worker-1", "demo-worker-1-a", "demo-worker-11"]);
    assert_eq!(
        owner("demo-worker-1-main-disk", &machines),
        Some("demo-worker-1")
    );
    assert_eq!(
        owner("demo-worker-1-a-main-disk", &machines),
        Some("demo-worker-1-a")
    );
    assert_eq!(owner("demo-worker-2-main-disk", &machines), None);
}
