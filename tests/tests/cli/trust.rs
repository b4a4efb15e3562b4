//! The files that the program trusts: those in folders of its own user that no other user can write to, and that it can read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::env::TestEnv;
use crate::interrupt::silent_server;

/// The commands that read the program's folder.
const COMMANDS: [&[&str]; 5] = [
    &["list", "clusters"],
    &["plan", "-c", "cluster.yaml"],
    &["apply", "-c", "cluster.yaml", "--auto-approve"],
    &["destroy", "--cluster", "demo", "--auto-approve"],
    &["export", "config", "--cluster", "demo"],
];

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The permissions of a file.
pub fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// An environment with a cluster's folder, as the program makes it, that was finished once.
/// A cluster that was applied, and of which no machine is left.
pub fn finished() -> TestEnv {
    let env = TestEnv::new();
    env.write_cluster(|text| text);
    let config = env.in_home("clusters/demo/config");
    fs::create_dir_all(&config).unwrap();
    fs::create_dir_all(env.in_home("share/images")).unwrap();
    for path in [
        "",
        "clusters",
        "clusters/demo",
        "clusters/demo/config",
        "share",
        "share/images",
    ] {
        chmod(&env.in_home(path), 0o700);
    }
    fs::write(config.join("kubitect.yaml"), env.cluster()).unwrap();
    fs::write(config.join("kubitect-applied.yaml"), env.cluster()).unwrap();
    env
}

#[test]
fn a_folder_that_others_can_write_to_is_not_believed() {
    for (place, change) in [
        ("", 0o777),
        ("share", 0o775),
        ("clusters/demo/config", 0o722),
    ] {
        let env = finished();
        chmod(&env.in_home(place), change);
        let before = env.home_tree();
        for command in COMMANDS {
            env.run(command)
                .code(1)
                .prints("")
                .tells(&["others can write to it", "`chmod -R go-w '[DIR]/kubitect"]);
        }
        assert_eq!(env.home_tree(), before);
    }
}

/// With a umask of 002 a person has such a folder; a command that does not read it goes on.
#[test]
fn a_folder_that_others_can_write_to_stops_only_what_looks_into_it() {
    let env = finished();
    env.write("taken.yaml", "mine");
    chmod(&env.in_home(""), 0o775);
    for args in [
        &["version"][..],
        &["explain", "missing"],
        &["init"],
        &["list", "presets"],
        &["export", "schema"],
        &["export", "preset", "--name", "minimal"],
        &["export", "man", "--out", "man"],
        &["versions"],
        &["validate", "-c", "cluster.yaml"],
        &["graph", "-c", "cluster.yaml"],
        &["render", "-c", "cluster.yaml", "--out", "files"],
    ] {
        env.run(args).code(0);
    }
    let said = env.run(&["doctor"]).code(5);
    let cure = "`chmod -R go-w '[DIR]/kubitect'`";
    assert!(
        said.stdout.contains("! folder") && said.stdout.contains(cure),
        "{said:?}"
    );
    // A site file in it would be used.
    env.write_site("{}");
    for args in [
        &["validate", "-c", "cluster.yaml"][..],
        &["versions", "demo"],
    ] {
        env.run(args)
            .code(1)
            .tells(&["others can write to it", cure]);
    }
    chmod(&env.in_home(""), 0o755);
    env.run(&["validate", "-c", "cluster.yaml"]).code(0);
    // Emacs' lock while it edits the file.
    symlink("me@box.17:1", env.in_home(".#site.yaml")).unwrap();
    env.run(&["list", "clusters"]).code(0);
}

#[test]
fn a_folder_of_somebody_else_is_not_believed() {
    let env = finished();
    // Only root can give files away.
    if std::os::unix::fs::chown(env.in_home(""), Some(4321), None).is_err() {
        return;
    }
    for command in COMMANDS {
        env.run(command)
            .code(1)
            .prints("")
            .tells(&["belongs to user 4321"]);
    }
}

#[test]
fn links_that_were_planted_are_not_followed() {
    for place in [
        "clusters/demo/config/admin.conf",
        "clusters/demo/logs",
        "clusters/other",
        "share/kubespray",
        "site.yaml",
    ] {
        let env = finished();
        let victim = env.path("victim");
        fs::write(&victim, "untouched").unwrap();
        symlink(&victim, env.in_home(place)).unwrap();
        for command in COMMANDS {
            env.run(command).code(1).tells(&["it is a link"]);
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_never_means_never_applied() {
    for (name, text) in [
        ("kubitect-applied.yaml", "hosts: ["),
        ("kubitect-applied.yaml", "ofTheFuture: true\n"),
        ("kubitect-unfinished-12345678.yaml", "\u{1}"),
        ("kubitect-unfinished-12345678.yaml", "ofTheFuture: true\n"),
    ] {
        let env = finished();
        let file = env.in_home("clusters/demo/config").join(name);
        fs::write(&file, text).unwrap();
        // The same message wherever it is read.
        let looks: [&[&str]; 4] = [
            &["status", "demo"],
            &["list", "nodes", "demo"],
            &["stop", "demo"],
            &["graph", "demo"],
        ];
        let looks = looks.iter().filter(|_| name == "kubitect-applied.yaml");
        let looks: Vec<_> = looks.collect();
        if !looks.is_empty() {
            fs::remove_file(env.in_home("clusters/demo/config/kubitect.yaml")).unwrap();
        }
        for command in looks
            .into_iter()
            .chain([&COMMANDS[1], &COMMANDS[2], &COMMANDS[3]])
        {
            env.run(command).code(1).prints("").tells(&[
                &format!("clusters/demo/config/{name}"),
                "if a newer Kubitect wrote it, use that one",
                "mend it, or move it away",
            ]);
        }
        assert!(file.exists());
    }
}

#[test]
fn modes_that_are_too_wide_are_repaired_by_whoever_takes_the_cluster() {
    let env = finished();
    let config = env.in_home("clusters/demo/config");
    for (name, text) in [("admin.conf", "secret"), ("key.pub", "public")] {
        fs::write(config.join(name), text).unwrap();
        chmod(&config.join(name), 0o644);
    }
    chmod(&config, 0o755);
    env.run(&["destroy", "--cluster", "demo"]).code(3);
    assert_eq!(mode(&config), 0o700);
    assert_eq!(mode(&config.join("admin.conf")), 0o600);
    assert_eq!(mode(&config.join("key.pub")), 0o644);
}

#[test]
fn a_home_that_ansible_could_not_take_literally_is_refused_before_a_machine_is_made() {
    for name in ["a{b}", "a'b", "a$b", "a%b"] {
        let env = TestEnv::new();
        env.write_cluster(|text| text);
        let home = env.path(name);
        for arguments in [COMMANDS[1], COMMANDS[2]] {
            let mut command = env.command(arguments);
            command.env("KUBITECT_HOME", &home);
            let said = env.said(command.output().unwrap());
            said.code(1).prints("").tells(&["move Kubitect's folder"]);
        }
        assert!(!home.exists());
    }
}

#[test]
fn what_a_file_holds_does_not_steer_the_terminal() {
    let env = TestEnv::new();
    env.write_cluster(|text| text.replace("name: demo", "name: \"de\u{202e}mo\""));
    let said = env.run(&["validate", "-c", "cluster.yaml"]).code(2);
    assert!(!said.stderr.contains('\u{202e}'), "{said:#?}");
    env.write("cluster.yaml", "a: \u{9b}2J\u{1b}[2J\n");
    let said = env.run(&["validate", "-c", "cluster.yaml"]).code(2);
    assert!(!said.stderr.contains(['\u{9b}', '\u{1b}']), "{said:#?}");
    env.write_cluster(|text| text.replace("name: demo", "name: \"de\u{202e}mo\""));
    let said = env
        .run(&["validate", "-o", "json", "-c", "cluster.yaml"])
        .code(2);
    assert!(!said.stdout.contains('\u{202e}'), "{said:#?}");
    said.json();
}

#[test]
fn what_becomes_root_over_an_open_connection_is_a_warning_each() {
    let env = TestEnv::new();
    let digits = "a".repeat(64);
    for (source, checksum, repository, site, wanted) in [
        ("http://h/x.img", None, "/k", "", vec!["image-open"]),
        (
            "http://h/x.img",
            Some("http://h/SUMS"),
            "/k",
            "",
            vec!["image-open"],
        ),
        (
            "https://h/x.img",
            Some("http://h/SUMS"),
            "/k",
            "",
            vec!["image-open"],
        ),
        ("http://h/x.img", Some("https://h/SUMS"), "/k", "", vec![]),
        ("http://h/x.img", Some(digits.as_str()), "/k", "", vec![]),
        (
            "/x.img",
            Some(digits.as_str()),
            "git://h/k",
            "",
            vec!["kubespray-open"],
        ),
        (
            "/x.img",
            Some(digits.as_str()),
            "http://h/k",
            "",
            vec!["kubespray-open"],
        ),
        ("/x.img", Some(digits.as_str()), "ssh://git@h/k", "", vec![]),
        (
            "/x.img",
            Some(digits.as_str()),
            "/k",
            "pip: {indexUrl: 'http://h/simple', findLinks: 'http://h/links'}\n",
            vec!["pip-open", "pip-open"],
        ),
    ] {
        fs::create_dir_all(env.in_home("")).unwrap();
        chmod(&env.in_home(""), 0o700);
        fs::write(env.in_home("site.yaml"), site).unwrap();
        let dir = env.path("");
        let dir = dir.to_str().unwrap().trim_end_matches('/').to_owned();
        env.write_cluster(|text| {
            let range = text.find("checksum:").map(|start| {
                let end = text[start..].find(['\n', '}', ',']).unwrap() + start;
                start..end
            });
            let mut text = text;
            if let Some(range) = range {
                let checksum = match checksum {
                    Some(list) if list.contains("://") => format!("checksum: '{list}'"),
                    Some(digits) => format!("checksum: 'sha256:{digits}'"),
                    None => "checksum: null".to_owned(),
                };
                text.replace_range(range, &checksum);
            }
            text.replace(&format!("{dir}/image.qcow2"), source)
                .replace(&format!("{dir}/kubespray"), repository)
        });
        let said = env
            .run(&["validate", "-o", "json", "-c", "cluster.yaml"])
            .code(0);
        let problems = said.json();
        let codes: Vec<_> = problems["problems"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|problem| problem["code"].as_str())
            .filter(|code| code.ends_with("-open"))
            .collect();
        assert_eq!(
            codes, wanted,
            "{source} {checksum:?} {repository}: {said:#?}"
        );
    }
}

/// A server for one image by https, whose certificate is signed by an authority of its own. It ends when this is dropped.
struct Tls(std::process::Child);

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve_by_tls(env: &TestEnv) -> (Tls, u16) {
    let folder = env.path("tls");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    fs::write(folder.join("x.img"), "no image").unwrap();
    let openssl = |arguments: &str| {
        let mut command = std::process::Command::new("openssl");
        command.current_dir(&folder).args(arguments.split(' '));
        command
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for arguments in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=site"),
        format!("req {key} -keyout own.key -out own.csr -subj /CN=images"),
        "x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out own.pem".to_owned(),
    ] {
        let made = openssl(&arguments).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = port.local_addr().unwrap().port();
    let server =
        format!("s_server -quiet -accept 127.0.0.1:{port} -cert own.pem -key own.key -WWW");
    let mut server = openssl(&server);
    server
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let server = Tls(server.spawn().unwrap());
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    (server, port)
}

#[test]
fn the_certificates_of_the_system_count() {
    let env = TestEnv::new();
    let (_server, port) = serve_by_tls(&env);
    let (git, _asked) = silent_server();
    env.write_cluster(|text| {
        let here = env.path("");
        let here = here.to_str().unwrap().trim_end_matches('/');
        text.replace(
            &format!("{here}/image.qcow2"),
            &format!("https://127.0.0.1:{port}/x.img"),
        )
        .replace(
            &format!("{here}/kubespray"),
            &format!("http://127.0.0.1:{git}/kubespray.git"),
        )
    });
    // A downloaded image is compared with its digest; from a server whose certificate is not trusted none is downloaded.
    for (authorities, why) in [("tls/ca.pem", "sha256"), ("node.xml", "certificate")] {
        let mut command = env.command(&["apply", "-c", "cluster.yaml", "--auto-approve"]);
        command.env("SSL_CERT_FILE", env.path(authorities));
        let said = env.said(command.output().unwrap()).code(1);
        assert!(said.stderr.to_lowercase().contains(why), "{said:#?}");
    }
}
