//! The documents as text, and the volume as a machine reads it.

use super::{documents, seed};
use crate::ssh::MachineKeys;
use crate::testing::cluster;
use serde_json::{Value, json};

fn keys() -> MachineKeys {
    MachineKeys {
        authorized: "ssh-ed25519 AAAAuser".to_owned(),
        host_private:
            "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n"
                .to_owned(),
        host_public: "ssh-ed25519 AAAAhost".to_owned(),
    }
}

fn user_data(text: &str) -> Value {
    serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap()
}

#[test]
fn a_master_in_full() {
    let cluster = cluster();
    let documents = documents(&cluster, &cluster.nodes[1], &keys());
    insta::assert_snapshot!("user_data", documents.user_data);
    insta::assert_snapshot!("network_config", documents.network_config);
    insta::assert_snapshot!("meta_data", documents.meta_data);
}

#[test]
fn a_balancer_brings_its_packages_and_services() {
    let mut cluster = cluster();
    let one = user_data(&documents(&cluster, &cluster.nodes[0], &keys()).user_data);
    assert_eq!(one["packages"], json!(["qemu-guest-agent", "haproxy"]));
    assert_eq!(
        one["runcmd"][2],
        json!(["systemctl", "enable", "--now", "haproxy.service"])
    );
    // Even a single balancer may have a VIP, so that others can be added later.
    cluster.balancing.vip = Some("192.168.113.200".parse().unwrap());
    let two = user_data(&documents(&cluster, &cluster.nodes[0], &keys()).user_data);
    assert_eq!(
        two["packages"],
        json!(["qemu-guest-agent", "haproxy", "keepalived"])
    );
    assert_eq!(
        two["runcmd"][3],
        json!(["systemctl", "enable", "keepalived.service"])
    );
    assert_eq!(
        two["runcmd"][4],
        json!(["systemctl", "enable", "--now", "haproxy.service"])
    );
}

#[test]
fn what_a_distro_needs_differs() {
    let mut cluster = cluster();
    cluster.guest.image.distro = "rocky9".to_owned();
    let rocky = user_data(&documents(&cluster, &cluster.nodes[0], &keys()).user_data);
    assert_eq!(rocky["write_files"], Value::Null);
    assert_eq!(
        rocky["runcmd"][1],
        json!(["setsebool", "-P", "haproxy_connect_any", "1"])
    );
}

/// The commands do not depend on the distro: an image of one's own may have SELinux, and so may Debian.
#[test]
fn selinux_is_asked_on_every_balancer() {
    let mut cluster = cluster();
    for distro in ["custom", "debian12", "rocky9"] {
        cluster.guest.image.distro = distro.to_owned();
        let asked = |vip: Option<&str>, node: usize| {
            let mut cluster = cluster.clone();
            cluster.balancing.vip = vip.map(|vip| vip.parse().unwrap());
            let data = user_data(&documents(&cluster, &cluster.nodes[node], &keys()).user_data);
            let commands = data["runcmd"].as_array().unwrap().iter();
            commands
                .filter(|command| command[0] == "setsebool")
                .map(|command| command[2].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(asked(None, 0), ["haproxy_connect_any"], "{distro}");
        // keepalived's check connects to HAProxy, in a domain of its own: without this every balancer is in FAULT.
        assert_eq!(
            asked(Some("192.168.113.200"), 0),
            ["haproxy_connect_any", "keepalived_connect_any"],
            "{distro}"
        );
        assert_eq!(asked(Some("192.168.113.200"), 1), [""; 0], "{distro}");
    }
}

#[test]
fn an_account_may_have_the_name_of_a_group_that_the_image_has() {
    let mut cluster = cluster();
    cluster.guest.user = "sudo".to_owned();
    let data = user_data(&documents(&cluster, &cluster.nodes[0], &keys()).user_data);
    let user = &data["users"][0];
    assert_eq!(user["name"], "sudo");
    assert_eq!(user["primary_group"], "sudo");
    assert_eq!(user["groups"], "sudo");
    assert_eq!(user["no_user_group"], true);
}

#[test]
fn a_proxy_reaches_the_package_manager() {
    let mut cluster = cluster();
    cluster.proxy = Some(kubitect_config::cluster::Proxy {
        http: Some("http://proxy.example:3128".to_owned()),
        https: Some("http://me:s@proxy.example:3128".to_owned()),
        no: vec!["mirror.example".to_owned(), ".example".to_owned()],
        own: vec!["192.168.113.0/24".to_owned()],
    });
    let files = |cluster: &kubitect_config::Cluster| {
        let data = user_data(&documents(cluster, &cluster.nodes[0], &keys()).user_data);
        data["write_files"].as_array().unwrap().clone()
    };
    let apt = "Acquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::http::Proxy::mirror.example \"DIRECT\";\n\
               Acquire::https::Proxy \"http://me:s@proxy.example:3128\";\n\
               Acquire::https::Proxy::mirror.example \"DIRECT\";\n";
    let dnf = "\nproxy=http://me:s@proxy.example:3128\n";
    for (distro, wanted) in [
        ("debian12", vec![apt]),
        ("rocky9", vec![dnf]),
        ("custom", vec![apt, dnf]),
    ] {
        cluster.guest.image.distro = distro.to_owned();
        let written = files(&cluster);
        let contents: Vec<_> = written
            .iter()
            .filter(|file| file["path"] != "/etc/apt/apt.conf.d/99-kubitect")
            .map(|file| file["content"].as_str().unwrap())
            .collect();
        assert_eq!(contents, wanted, "{distro}");
    }
}

#[test]
fn a_node_without_address_asks_for_a_lease_by_its_ethernet_address() {
    let mut cluster = cluster();
    let network = |cluster: &kubitect_config::Cluster, i: usize| -> Value {
        serde_json::from_str(&documents(cluster, &cluster.nodes[i], &keys()).network_config)
            .unwrap()
    };
    assert_eq!(
        network(&cluster, 2)["ethernets"]["ens3"],
        json!({"match": {"macaddress": "52:54:00:00:00:0c"}, "set-name": "ens3", "accept-ra": false, "dhcp4": true, "dhcp-identifier": "mac"})
    );
    cluster.guest.dns = vec!["9.9.9.9".parse().unwrap()];
    let leased = network(&cluster, 2);
    assert_eq!(
        leased["ethernets"]["ens3"]["dhcp4-overrides"],
        json!({"use-dns": false})
    );
    for i in [1, 2] {
        assert_eq!(
            network(&cluster, i)["ethernets"]["ens3"]["nameservers"],
            json!({"addresses": ["9.9.9.9"]})
        );
    }
}

#[test]
fn root_may_log_in_only_where_it_is_the_user() {
    let mut cluster = cluster();
    let root_disabled = |cluster: &kubitect_config::Cluster| {
        user_data(&documents(cluster, &cluster.nodes[1], &keys()).user_data)["disable_root"].clone()
    };
    assert_eq!(root_disabled(&cluster), true);
    cluster.guest.user = "root".to_owned();
    assert_eq!(root_disabled(&cluster), false);
}

#[test]
fn debug_shows_no_key() {
    let cluster = cluster();
    let documents = documents(&cluster, &cluster.nodes[1], &keys());
    assert!(documents.user_data.contains("PRIVATE KEY"));
    assert!(!format!("{documents:?}").contains("PRIVATE KEY"));
}

#[test]
fn the_volume_holds_the_documents_and_always_the_same_bytes() {
    let cluster = cluster();
    let documents = documents(&cluster, &cluster.nodes[1], &keys());
    let bytes = seed::image(&documents).unwrap();
    assert_eq!(bytes.len(), seed::SIZE);
    assert_eq!(seed::read(&bytes).unwrap(), documents);
    // FAT stores times in steps of two seconds: after three seconds, only a fixed clock gives the same bytes.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(seed::image(&documents).unwrap() == bytes);
    let volume =
        fatfs::FileSystem::new(std::io::Cursor::new(bytes), fatfs::FsOptions::new()).unwrap();
    assert_eq!(volume.volume_label(), "cidata");
    assert_eq!(
        volume.read_volume_label_from_root_dir().unwrap().as_deref(),
        Some("cidata")
    );
}

#[test]
fn documents_that_do_not_fit_are_an_error() {
    let cluster = cluster();
    let mut documents = documents(&cluster, &cluster.nodes[1], &keys());
    documents.user_data = "x".repeat(2 << 20);
    assert!(seed::image(&documents).is_err());
}

proptest::proptest! {
    /// A machine can write to its seed: for any bytes, reading ends without a panic, and unchanged documents are read.
    #[test]
    fn fuzz_seeds(
        texts in proptest::array::uniform3("[ -~\n]{0,3000}"),
        changes in proptest::collection::vec(
            (proptest::prop_oneof![0..512usize, 512..8192usize, 0..seed::SIZE], proptest::prelude::any::<u8>()),
            0..20,
        ),
        raw in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2048),
    ) {
        let [user_data, network_config, meta_data] = texts;
        let documents = super::Documents { user_data, network_config, meta_data };
        let mut bytes = seed::image(&documents).unwrap();
        proptest::prop_assert!(seed::read(&bytes).unwrap() == documents);
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        let _ = seed::read(&bytes);
        bytes[..raw.len()].copy_from_slice(&raw);
        let _ = (seed::read(&bytes), seed::read(&raw));
    }

    /// The same with changes of whole fields of the file system: first clusters, lengths, and chains.
    #[test]
    fn fuzz_seeds_fields(
        words in proptest::collection::vec(
            (0..40usize, 0..16usize, proptest::sample::select(vec![0u16, 1, 2, 3, 9, 0xff0, 0xff7, 0xff8, 0xfff, 0x7fff, 0xffff])),
            1..8,
        ),
        links in proptest::collection::vec((0..32usize, proptest::prelude::any::<u8>()), 0..8),
    ) {
        let long = |c: &str| c.repeat(3000);
        let documents =
            super::Documents { user_data: long("u"), network_config: long("n"), meta_data: long("m") };
        let mut bytes = seed::image(&documents).unwrap();
        // The allocation table follows the reserved sectors, and the root folder follows all copies of the table.
        let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let table = word(14) * 512;
        let root = table + usize::from(bytes[16]) * word(22) * 512;
        for (entry, word, value) in words {
            let at = root + entry * 32 + word * 2;
            bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        for (at, byte) in links {
            bytes[table + at] = byte;
        }
        if let Ok(found) = seed::read(&bytes) {
            proptest::prop_assert!(found.user_data.len() <= seed::SIZE);
        }
    }
}
