//! What somebody else has on the same libvirt: a network, a pool with a volume, a machine that is off.

use std::path::Path;

use crate::tools::stdout;

const FOLDER: &str = "/var/lib/libvirt/images/somebody";
const VOLUME: &str = "/var/lib/libvirt/images/somebody/letters";

const NETWORK: &str = "<network><name>somebody</name><forward mode='nat'/>\
    <ip address='10.213.0.1' netmask='255.255.255.0'/></network>";
const POOL: &str = "<pool type='dir'><name>somebody</name>\
    <target><path>/var/lib/libvirt/images/somebody</path></target></pool>";
const DOMAIN: &str = "<domain type='qemu'><name>somebody</name><memory unit='MiB'>64</memory>\
    <os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>\
    <source file='/var/lib/libvirt/images/somebody/letters'/><target dev='vda' bus='virtio'/></disk>\
    <interface type='network'><source network='somebody'/></interface></devices></domain>";

/// It, and what it was like.
pub struct Foreign {
    was: Vec<String>,
}

impl Foreign {
    /// Makes it.
    pub fn make() -> Self {
        std::fs::create_dir_all(FOLDER).expect("its folder can be made");
        std::fs::write(VOLUME, "dear all, ".repeat(10_000)).expect("its volume can be written");
        for (verb, xml) in [
            ("net-define", NETWORK),
            ("pool-define", POOL),
            ("define", DOMAIN),
        ] {
            let file = tempfile::NamedTempFile::new().expect("a file can be made");
            std::fs::write(file.path(), xml).expect("it can be written");
            stdout("virsh", &[verb, &file.path().display().to_string()]);
        }
        stdout("virsh", &["net-start", "somebody"]);
        stdout("virsh", &["pool-start", "somebody"]);
        Self { was: look() }
    }

    /// What of it is not as it was.
    pub fn touched(&self) -> Vec<String> {
        let now = look();
        let mut touched: Vec<_> = now.iter().filter(|line| !self.was.contains(line)).collect();
        touched.extend(self.was.iter().filter(|line| !now.contains(line)));
        touched.into_iter().cloned().collect()
    }

    /// Removes it.
    pub fn remove(self) {
        for arguments in [
            ["undefine", "somebody"],
            ["net-destroy", "somebody"],
            ["net-undefine", "somebody"],
            ["pool-destroy", "somebody"],
            ["pool-undefine", "somebody"],
        ] {
            stdout("virsh", &arguments);
        }
        std::fs::remove_dir_all(FOLDER).expect("its folder can be removed");
    }
}

/// What it is like: definitions, whether it is on, what the volume holds and when that was written.
fn look() -> Vec<String> {
    let mut all = Vec::new();
    for arguments in [
        &["net-dumpxml", "somebody"][..],
        &["net-info", "somebody"],
        &["pool-dumpxml", "somebody"],
        &["vol-list", "somebody"],
        &["dumpxml", "somebody"],
        &["domstate", "somebody"],
    ] {
        let text = stdout("virsh", arguments);
        // The file system under the pool is everybody's.
        let own = text.lines().filter(|line| {
            !["<allocation", "<available"]
                .iter()
                .any(|word| line.contains(word))
        });
        all.extend(own.map(|line| format!("{}: {line}", arguments[0])));
    }
    let written = Path::new(VOLUME)
        .metadata()
        .and_then(|volume| volume.modified());
    all.push(format!("written {:?}", written.expect("it tells")));
    all.push(stdout("sha256sum", &[VOLUME]));
    all
}
