//! Which fields of a master's kubeconfig are accepted, and which are refused.

use super::super::tests::ADMIN;
use super::*;
use proptest::prelude::*;

fn refusal(text: &str) -> String {
    match Admin::read(text, "the kubeconfig on master-1") {
        Ok(_) => panic!("taken: {text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_could_run_or_lead_elsewhere_is_refused_by_name() {
    let user = "    client-key-data: S0VZ\n";
    let cluster = "    server: https://127.0.0.1:6443\n";
    let context = "    user: kubernetes-admin\n";
    let cases = [
        (
            user,
            "    exec: {command: sh, args: [-c, SECRET]}\n",
            "users[0].user.exec",
        ),
        (
            user,
            "    auth-provider: {name: x}\n",
            "users[0].user.auth-provider",
        ),
        (
            user,
            "    tokenFile: /etc/shadow\n",
            "users[0].user.tokenFile",
        ),
        (
            user,
            "    client-key: /etc/shadow\n",
            "users[0].user.client-key",
        ),
        (user, "    username: SECRET\n", "users[0].user.username"),
        (user, "    as: root\n", "users[0].user.as"),
        (
            cluster,
            "    proxy-url: http://10.0.0.9\n",
            "clusters[0].cluster.proxy-url",
        ),
        (
            cluster,
            "    insecure-skip-tls-verify: true\n",
            "clusters[0].cluster.insecure-skip-tls-verify",
        ),
        (
            cluster,
            "    tls-server-name: x\n",
            "clusters[0].cluster.tls-server-name",
        ),
        (
            cluster,
            "    certificate-authority: /x\n",
            "clusters[0].cluster.certificate-authority",
        ),
        (
            cluster,
            "    extensions: []\n",
            "clusters[0].cluster.extensions",
        ),
        (
            context,
            "    extensions: []\n",
            "contexts[0].context.extensions",
        ),
        ("kind: Config\n", "extensions: []\n", "extensions"),
        ("kind: Config\n", "\"\\e[2J\": 1\n", "\\u{1b}[2J"),
    ];
    for (after, added, name) in cases {
        let text = ADMIN.replace(after, &format!("{after}{added}"));
        assert_ne!(text, ADMIN);
        let error = refusal(&text);
        assert!(error.contains(&format!("`{name}`")), "{error}");
        assert!(!error.contains("SECRET"), "{error}");
    }
    let preferences = ADMIN.replace("preferences: {}", "preferences: {colors: true}");
    assert!(refusal(&preferences).contains("`preferences`"));
    let second = ADMIN.replace("users:\n", "users:\n- name: other\n  user: {token: t}\n");
    assert!(refusal(&second).contains("`users[1]`"));
}

#[test]
fn it_is_short_and_multiplies_nothing() {
    let long = format!("{ADMIN}# {}\n", "x".repeat(MAX_BYTES));
    assert!(refusal(&long).contains("longer than 256 KiB"));
    let bomb = format!("a: &a [x, x]\nb: &b [*a, *a]\n{ADMIN}");
    assert!(
        refusal(&bomb).contains("line 2, column 8: an alias"),
        "{}",
        refusal(&bomb)
    );
    let twice = ADMIN.replace("users:\n", "users: []\nusers:\n");
    assert!(refusal(&twice).contains("twice"));
    for tag in [
        "!python",
        "!!binary",
        "!!python/name:os.system",
        "!<tag:yaml.org,2002:binary>",
    ] {
        let tagged = ADMIN.replace("kind: Config", &format!("kind: {tag} Config"));
        assert!(refusal(&tagged).contains("tag"), "{tag}");
    }
}

/// YAML readers understand these differently: kubectl might see a program to run where this program's reader sees none.
#[test]
fn what_readers_understand_differently_is_refused() {
    let exec = "exec: {command: sh}";
    let user = "    client-key-data: S0VZ\n";
    let in_user = |line: &str| ADMIN.replace(user, &format!("{user}    {line}\n"));
    for text in [
        format!("{ADMIN}---\n{ADMIN}"),
        format!("{ADMIN}...\n---\nusers: [{{name: x, user: {{{exec}}}}}]\n"),
        format!("%TAG ! tag:evil,2000:\n---\n{ADMIN}x: !y z\n"),
        in_user(&format!("<<: {{{exec}}}")),
        in_user("\"\\u0065xec\": {command: sh}"),
        in_user("\"ex\\\n      ec\": {command: sh}"),
        in_user("? exec\n    : {command: sh}"),
        in_user("? [exec]\n    : {command: sh}"),
        in_user("Exec: {command: sh}"),
        in_user("client-key-data: S0VZ"),
        in_user("client-certificate: /root/.ssh/id_rsa"),
        in_user("auth-provider: {name: gcp, config: {cmd-path: sh}}"),
        ADMIN.replace("S0VZ", "\"S0VZ\\0\""),
        ADMIN.replace("S0VZ", "S0\0VZ"),
        ADMIN.replace("S0VZ", "\"S0VZ\\x9b2J\""),
        ADMIN.replace("S0VZ", "S0\u{202e}VZ"),
        ADMIN.replace("S0VZ", "!!binary S0VZ"),
        ADMIN.replace("S0VZ", "12"),
    ] {
        assert_ne!(text, ADMIN);
        assert!(Admin::read(&text, "it").is_err(), "{text}");
    }
}

#[test]
fn half_a_user_is_none_and_no_value_gets_into_an_error() {
    for (from, to) in [
        ("    client-key-data: S0VZ\n", ""),
        ("    client-certificate-data: Q0VSVA==\n", ""),
        ("client-key-data: S0VZ", "client-key-data: [SECRET]"),
        ("client-key-data: S0VZ", "client-key-data: \"SECRET \\n\""),
        ("    certificate-authority-data: Q0E=\n", ""),
        ("Q0E=", "12"),
        (
            "current-context: kubernetes-admin@cluster.local",
            "current-context: SECRET",
        ),
        ("kind: Config", "kind: SECRET"),
    ] {
        let text = ADMIN.replace(from, to);
        assert_ne!(text, ADMIN);
        assert!(!refusal(&text).contains("SECRET"));
    }
    let token = ADMIN.replace(
        "    client-certificate-data: Q0VSVA==\n    client-key-data: S0VZ\n",
        "    token: abc.def-ghi_j\n",
    );
    assert!(Admin::read(&token, "it").is_ok());
}

/// Lines with special meanings in YAML, and fields that kubectl would run or follow.
const LINES: [&str; 24] = [
    "exec: {command: sh}",
    "proxy-url: http://x",
    "insecure-skip-tls-verify: true",
    "token: abc",
    "token: \"\\e[2J\"",
    "client-key: /etc/shadow",
    "&a",
    "*a",
    "<<: *a",
    "<<: {exec: {}}",
    "!!str",
    "!!binary",
    "!x",
    "!<tag:x>",
    "? exec",
    ": {}",
    "---",
    "...",
    "%YAML 1.1",
    "- name: x",
    "|",
    ">-",
    "[",
    "{}",
];

proptest! {
    /// Any text is either refused without a panic, or what is written from it is short and reads back as the same.
    #[test]
    fn fuzz_what_a_guest_hands_over(
        at in 0..ADMIN.len(),
        cut in 0..40usize,
        text in prop_oneof![any::<String>(), "[a-z:{}\\[\\]&*!|>\\-\n\"'# ]{0,60}"],
    ) {
        let mut conf = ADMIN.to_owned();
        conf.replace_range(at..(at + cut).min(ADMIN.len()), &text);
        if let Ok(admin) = Admin::read(&conf, "it") {
            let name: Label = "demo".parse().unwrap();
            let written = admin.write(&name, "https://h:6443").unwrap();
            prop_assert!(written.len() < 4096);
            let again = Admin::read(&written, "it").ok().unwrap();
            prop_assert_eq!(again.write(&name, "https://h:6443").unwrap(), written);
        }
        let _ = Admin::read(&text, "it");
    }

    /// Lines of YAML inserted, doubled, removed or put into values: duplicate keys, anchors, tags, merges, documents.
    #[test]
    fn fuzz_what_a_guest_makes_of_the_lines(
        changes in prop::collection::vec((0..20usize, 0..4usize, 0..4usize, 0..LINES.len()), 1..6),
    ) {
        let mut lines: Vec<String> = ADMIN.lines().map(str::to_owned).collect();
        for (at, kind, indent, line) in changes {
            let at = at.min(lines.len() - 1);
            match kind {
                0 => lines.insert(at, format!("{}{}", "  ".repeat(indent), LINES[line])),
                1 => lines.insert(at, lines[at].clone()),
                2 => lines[at] = lines[at].replacen(": ", &format!(": {} ", LINES[line]), 1),
                _ => _ = lines.remove(at),
            }
        }
        if let Ok(admin) = Admin::read(&lines.join("\n"), "it") {
            let written = admin.write(&"demo".parse().unwrap(), "https://h:6443").unwrap();
            for evil in ["exec", "proxy", "insecure", "/etc", "\u{1b}", "127.0.0.1", "kubernetes-admin"] {
                prop_assert!(!written.contains(evil), "{}", written);
            }
            // A user has a certificate and its key, or a token, or all of them.
            let user = 2 * usize::from(written.contains("    client-key-data:")) + usize::from(written.contains("    token:"));
            prop_assert_eq!(written.lines().count(), 16 + user);
        }
    }
}
