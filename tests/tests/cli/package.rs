//! The package and the tarball: built by their one command from the program that is built already, unpacked, and used.

use std::path::Path;
use std::process::Command;

use tests::checkers::{run, said};
use tests::pages::{Page, repository};

use crate::env::{KUBITECT, TestEnv, tree};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds both into the folder `out`; their paths.
fn build(env: &TestEnv) -> [String; 2] {
    let out = env.path("out");
    let output = Command::new(repository().join("packaging/build.sh"))
        .args(["--quick", "--program", KUBITECT, "--out"])
        .arg(&out)
        .env("SOURCE_DATE_EPOCH", "1767225600")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let names = String::from_utf8(output.stdout).unwrap();
    let mut names = names.lines().map(str::to_owned);
    [names.next().unwrap(), names.next().unwrap()]
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Fails unless the program in this folder runs, with its pages and scripts beside it.
fn works(env: &TestEnv, root: &Path, zsh: &str) {
    let program = root.join("bin/kubitect");
    let mut version = Command::new(&program);
    version.arg("--version");
    env.dress(&mut version);
    let output = version.output().unwrap();
    assert_eq!(said(&output), format!("kubitect {VERSION}\n"));
    let mut validate = Command::new(&program);
    let example = root.join("share/doc/kubitect/examples/multi-master.yaml");
    validate.args(["validate", "--config", text(&example)]);
    env.dress(&mut validate);
    let output = validate.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let all = tree(root);
    for file in [
        "share/man/man1/kubitect.1.gz",
        "share/man/man1/kubitect-export-schema.1.gz",
        "share/bash-completion/completions/kubitect",
        "share/fish/vendor_completions.d/kubitect.fish",
        "share/doc/kubitect/README.md",
        "share/doc/kubitect/docs/SUMMARY.md",
        "share/doc/kubitect/docs/multi-master.svg",
        "share/doc/kubitect/docs/output/plan.json",
        zsh,
    ] {
        assert!(all.iter().any(|path| path == file), "no {file} in {all:#?}");
    }
    let page = run(
        "gzip",
        &["-dc", text(&root.join("share/man/man1/kubitect.1.gz"))],
    );
    assert!(said(&page).contains(".SH SUBCOMMANDS"), "{}", said(&page));
    let script = root.join("share/bash-completion/completions/kubitect");
    let checked = run("bash", &["-n", text(&script)]);
    assert!(checked.status.success(), "{}", said(&checked));
}

#[test]
fn the_package_and_the_tarball_hold_what_is_needed() {
    let env = TestEnv::new();
    let [tarball, package] = build(&env);
    assert!(
        package.ends_with(&format!("/kubitect_{VERSION}_amd64.deb")),
        "{package}"
    );
    assert!(
        tarball.ends_with(&format!("/kubitect-{VERSION}-linux-amd64.tar.gz")),
        "{tarball}"
    );
    // The README names the package that is built.
    let name = Path::new(&package).file_name().unwrap().to_str().unwrap();
    assert!(
        Page::read("README.md")
            .text
            .contains(&format!("target/package/{name}")),
        "{name}"
    );

    let field = |field: &str| {
        let output = run("dpkg-deb", &["--field", &package, field]);
        said(&output).trim().to_owned()
    };
    assert_eq!(field("Package"), "kubitect");
    assert_eq!(field("Version"), VERSION);
    let depends = field("Depends");
    for part in ["libc6 (>= 2.", "libvirt0 (>= "] {
        assert_eq!(depends.matches(part).count(), 1, "{depends}");
    }
    // Both libraries are here: the program was built with them.
    let asked = run("dpkg-query", &["-W", "-f", "${Version}", "libvirt0"]);
    let newest = depends
        .split("libvirt0 (>= ")
        .nth(1)
        .unwrap()
        .split(')')
        .next()
        .unwrap();
    let compared = run("dpkg", &["--compare-versions", &said(&asked), "ge", newest]);
    assert!(compared.status.success(), "{} {newest}", said(&asked));

    let contents = said(&run("dpkg-deb", &["--contents", &package]));
    for line in contents.lines() {
        assert!(line.contains(" root/root "), "{line}");
        let mode = line.split(' ').next().unwrap();
        let program = line.ends_with("/usr/bin/kubitect");
        let wanted = match (mode.starts_with('d'), program) {
            (true, _) => "drwxr-xr-x",
            (false, true) => "-rwxr-xr-x",
            (false, false) => "-rw-r--r--",
        };
        assert_eq!(mode, wanted, "{line}");
    }
    let root = env.path("root");
    let unpacked = run("dpkg-deb", &["--extract", &package, text(&root)]);
    assert!(unpacked.status.success(), "{}", said(&unpacked));
    works(
        &env,
        &root.join("usr"),
        "share/zsh/vendor-completions/_kubitect",
    );
    let control = env.path("control");
    run("dpkg-deb", &["--control", &package, text(&control)]);
    let mut sums = Command::new("md5sum");
    let sums = sums
        .args(["--check", "--quiet"])
        .arg(control.join("md5sums"));
    let sums = sums.current_dir(&root).output().unwrap();
    assert!(sums.status.success(), "{}", said(&sums));

    let place = env.path("local");
    std::fs::create_dir(&place).unwrap();
    let args = ["-C", text(&place), "--strip-components=1", "-xzf", &tarball];
    let unpacked = run("tar", &args);
    assert!(unpacked.status.success(), "{}", said(&unpacked));
    works(&env, &place, "share/zsh/site-functions/_kubitect");
    assert!(place.join("share/doc/kubitect/LICENSE").exists());

    // A second build is the same.
    let before = [&tarball, &package].map(|path| std::fs::read(path).unwrap());
    let after = build(&env).map(|path| std::fs::read(path).unwrap());
    assert!(before == after, "the same sources gave other bytes");

    judge(&package);
}

/// Debian's own checker finds no error.
fn judge(package: &str) {
    let output = run("lintian", &["--fail-on", "error", package]);
    assert!(output.status.success(), "{}", said(&output));
}
