//! Stored files of existing clusters that a newer release refuses: the clusters can still be observed and destroyed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::trust::finished;

/// The small cluster's file with the part that is refused with this code.
fn refused(text: &str, code: &str) -> String {
    let newest = text.replace(
        "  version: v1.23.7\n  kubespray:\n    version: v2.19.0\n",
        "  version: v1.35.4\n  kubespray:\n    version: v2.31.0\n",
    );
    assert_ne!(newest, text);
    let addons = |line: &str| format!("{newest}addons: {{kubespray: {{{line}}}}}\n");
    match code {
        "certificate-name" => {
            addons("supplementary_addresses_in_ssl_keys: [https://api.example.org]")
        }
        "ipv6" => addons("ipv6_stack: true"),
        "distro-cgroup" => {
            let begin = newest.find("      source:").unwrap();
            let end = newest.find("  nodes:").unwrap();
            let own = &newest[begin..end];
            newest
                .replace(own, "")
                .replace("distro: debian", "distro: ubuntu20")
        }
        "network-full" => {
            let workers: String = (2..9)
                .map(|id| format!("        - {{id: {id}}}\n"))
                .collect();
            let small = newest.replace("10.77.0.0/24", "10.77.0.0/29");
            let small = small.replace("10.77.0.100", "10.77.0.2");
            let small = small.replace("10.77.0.11", "10.77.0.3");
            small.replace("kubernetes:\n", &format!("{workers}kubernetes:\n"))
        }
        "network-hosts" => {
            let pool = newest
                .lines()
                .find(|line| line.contains("mainResourcePoolPath"))
                .unwrap()
                .trim();
            let other = format!(
                "  - {{name: other, connection: {{uri: \"test:///default\"}}, virtType: qemu, {pool}}}\ncluster:\n"
            );
            let worker = "      instances:\n        - {id: 1, host: other}\nkubernetes:\n";
            newest
                .replace("cluster:\n", &other)
                .replace("      instances:\n        - {id: 1}\nkubernetes:\n", worker)
        }
        _ => panic!("{code}"),
    }
}

#[test]
fn what_a_newer_release_refuses_is_looked_at_and_destroyed() {
    for code in [
        "certificate-name",
        "ipv6",
        "distro-cgroup",
        "network-full",
        "network-hosts",
    ] {
        let env = finished();
        let text = refused(&env.cluster(), code);
        env.write("cluster.yaml", &text);
        env.run(&["validate", "-c", "cluster.yaml"])
            .code(2)
            .tells(&[&format!("error[{code}]")]);
        for name in ["kubitect.yaml", "kubitect-applied.yaml"] {
            let file = env.in_home("clusters/demo/config").join(name);
            fs::write(&file, &text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let looks: [(&[&str], &[i32]); 7] = [
            // No machine is left of it.
            (&["status", "demo"], &[1, 5]),
            (&["list", "nodes", "demo"], &[0]),
            (&["graph", "demo"], &[0]),
            (&["versions", "demo"], &[0]),
            (&["support", "demo"], &[0]),
            (&["stop", "demo", "--auto-approve"], &[0, 1]),
            (&["destroy", "demo", "--auto-approve"], &[0]),
        ];
        for (args, codes) in looks {
            let said = env.run(args).withholds(&["error["]);
            assert!(codes.contains(&said.code.unwrap()), "{args:?}: {said:#?}");
        }
        assert!(!env.in_home("clusters/demo/config").exists());
    }
}
