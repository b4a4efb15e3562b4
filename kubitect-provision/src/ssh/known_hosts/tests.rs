//! Changes of a user's `known_hosts`: which lines are added and removed, and that all others stay.

use super::*;
use kubitect_config::NodeFacts;
use kubitect_config::cluster::Role;
use proptest::strategy::Strategy;

const FOREIGN: &str = "# mine\n\n|1|abc=|def= ssh-ed25519 AAAAhashed\ngithub.com ssh-rsa AAAAgithub a comment\n\
    @cert-authority *.example.org ssh-rsa AAAAca\n10.9.9.9 ssh-ed25519 AAAAno-newline";

fn facts(keys: &[(&str, &str)]) -> Facts {
    Facts {
        user: "k8s".to_owned(),
        private_key: "/id".into(),
        known_hosts: "/known_hosts".into(),
        nodes: keys
            .iter()
            .enumerate()
            .map(|(i, (ip, key))| NodeFacts {
                name: format!("demo-master-{i}").parse().unwrap(),
                role: Role::Master,
                id: i.to_string().parse().unwrap(),
                host: "localhost".parse().unwrap(),
                ip: ip.parse().unwrap(),
                mac: "52:54:00:00:00:01".parse().unwrap(),
                host_key: format!("ssh-ed25519 {key}"),
            })
            .collect(),
    }
}

fn demo() -> Label {
    "demo".parse().unwrap()
}

fn with(content: &str) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("known_hosts");
    std::fs::write(&path, content).unwrap();
    (home, path)
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn lines_come_once_and_go_without_a_trace() {
    let (home, path) = with(FOREIGN);
    let facts = facts(&[("10.0.0.1", "AAAAone"), ("10.0.0.2", "AAAAtwo")]);
    assert!(add(&path, &demo(), &facts, &|_| true).unwrap());
    let ours =
        "10.0.0.1 ssh-ed25519 AAAAone kubitect:demo\n10.0.0.2 ssh-ed25519 AAAAtwo kubitect:demo\n";
    assert_eq!(text(&path), format!("{ours}{FOREIGN}"));
    assert!(!add(&path, &demo(), &facts, &|_| true).unwrap());
    assert_eq!(text(&path), format!("{ours}{FOREIGN}"));
    assert!(remove(&path, &demo()).unwrap());
    assert_eq!(text(&path), FOREIGN);
    assert!(!remove(&path, &demo()).unwrap());
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn a_new_key_takes_the_place_of_ours_and_of_no_other() {
    let (_home, path) = with("10.0.0.1 ssh-ed25519 AAAAforeign\n");
    add(&path, &demo(), &facts(&[("10.0.0.1", "AAAAold")]), &|_| {
        true
    })
    .unwrap();
    add(&path, &demo(), &facts(&[("10.0.0.1", "AAAAnew")]), &|_| {
        true
    })
    .unwrap();
    assert_eq!(
        text(&path),
        "10.0.0.1 ssh-ed25519 AAAAnew kubitect:demo\n10.0.0.1 ssh-ed25519 AAAAforeign\n"
    );
}

#[test]
fn what_the_user_has_already_is_not_written_again() {
    let before = "host,10.0.0.1 ssh-ed25519 AAAAone\n";
    let (_home, path) = with(before);
    assert!(
        !add(&path, &demo(), &facts(&[("10.0.0.1", "AAAAone")]), &|_| {
            true
        })
        .unwrap()
    );
    assert_eq!(text(&path), before);
}

#[test]
fn clusters_leave_each_other_alone() {
    let (_home, path) = with("");
    let demo2: Label = "demo2".parse().unwrap();
    add(&path, &demo(), &facts(&[("10.0.0.1", "AAAAone")]), &|_| {
        true
    })
    .unwrap();
    add(&path, &demo2, &facts(&[("10.0.0.2", "AAAAtwo")]), &|_| true).unwrap();
    remove(&path, &demo()).unwrap();
    assert_eq!(text(&path), "10.0.0.2 ssh-ed25519 AAAAtwo kubitect:demo2\n");
}

#[test]
fn a_file_is_made_private_and_an_existing_one_keeps_its_mode_and_link() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".ssh/known_hosts");
    assert!(!remove(&path, &demo()).unwrap());
    add(&path, &demo(), &facts(&[("10.0.0.1", "AAAAone")]), &|_| {
        true
    })
    .unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));

    let real = home.path().join("dotfile");
    std::fs::write(&real, "").unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o644)).unwrap();
    let link = home.path().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    add(&link, &demo(), &facts(&[("10.0.0.1", "AAAAone")]), &|_| {
        true
    })
    .unwrap();
    assert!(link.is_symlink());
    assert_eq!(mode(&real), 0o644);
    assert!(text(&real).contains("AAAAone"));
}

#[test]
fn only_a_machine_that_was_logged_in_on_comes_and_what_stands_stays() {
    let (_home, path) = with("10.0.0.9 ssh-ed25519 AAAAforeign\n");
    let two = facts(&[("10.0.0.1", "AAAAone"), ("10.0.0.2", "AAAAtwo")]);
    let first: Label = "demo-master-0".parse().unwrap();
    assert_eq!(missing(&path, &two).unwrap().len(), 2);
    assert!(!add(&path, &demo(), &two, &|_| false).unwrap());
    add(&path, &demo(), &two, &|name| *name == first).unwrap();
    assert_eq!(
        missing(&path, &two).unwrap(),
        ["demo-master-1".parse().unwrap()]
    );
    assert!(!add(&path, &demo(), &two, &|_| false).unwrap());
    assert!(text(&path).contains("AAAAone") && !text(&path).contains("AAAAtwo"));
    // The machine has another address now, and no login has verified that.
    let moved = facts(&[("10.0.0.3", "AAAAone"), ("10.0.0.9", "AAAAtwo")]);
    add(&path, &demo(), &moved, &|_| false).unwrap();
    assert_eq!(text(&path), "10.0.0.9 ssh-ed25519 AAAAforeign\n");
}

#[test]
fn runs_side_by_side_lose_nothing() {
    let (_home, path) = with(FOREIGN);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let name = format!("c{i}").parse().unwrap();
                add(
                    path,
                    &name,
                    &facts(&[(&format!("10.0.1.{i}"), "AAAAkey")]),
                    &|_| true,
                )
                .unwrap();
            });
        }
    });
    let text = text(&path);
    assert!(text.ends_with(FOREIGN));
    assert_eq!(text.matches("kubitect:c").count(), 8);
}

proptest::proptest! {
    /// For any content: every foreign byte stays, adding is idempotent, and removing undoes it.
    #[test]
    fn fuzz_known_hosts(
        before in proptest::collection::vec(proptest::prop_oneof![
            proptest::prelude::any::<Vec<u8>>(),
            "[ \t]?(#|@revoked |@cert-authority |\\|1\\|YQ==\\|YQ== |!)?(10\\.0\\.0\\.[12]|\\[10\\.0\\.0\\.1\\]:22|h|\\*)(,10\\.0\\.0\\.[12]|,)?( |\t|  )\
              (ssh-ed25519|ssh-rsa)? ?(AAAA|BBBB)?( c)?( |\t)(kubitect:(demo|demo2|)|#kubitect:demo)?[ \t\r\u{0}]?"
                .prop_map(String::into_bytes),
        ], 0..8),
        others in proptest::collection::btree_map(2..5u8, ("AAAA|BBBB", proptest::prelude::any::<bool>()), 0..4),
    ) {
        let before = before.join(&b'\n');
        let cluster: Label = "demo".parse().unwrap();
        let mut entries = vec![Entry { address: "10.0.0.1".parse().unwrap(), key: "ssh-ed25519 AAAA".to_owned(), verified: true }];
        entries.extend(others.into_iter().map(|(last, (key, verified))| Entry {
            address: Ipv4Addr::new(10, 0, 0, last),
            key: format!("ssh-ed25519 {key}"),
            verified,
        }));
        let with = rewritten(&before, &cluster, &entries);
        proptest::prop_assert_eq!(&rewritten(&with, &cluster, &entries), &with);
        let without = rewritten(&with, &cluster, &[]);
        proptest::prop_assert_eq!(&without, &rewritten(&before, &cluster, &[]));
        let foreign: Vec<u8> = before
            .split_inclusive(|b| *b == b'\n')
            .filter(|line| !is_ours(line, "kubitect:demo"))
            .flatten()
            .copied()
            .collect();
        proptest::prop_assert_eq!(without, foreign);
    }
}
