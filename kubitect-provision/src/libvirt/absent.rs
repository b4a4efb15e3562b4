//! A build without the feature `libvirt` reaches no host. It can still validate cluster files and write configurations.

use std::sync::Arc;

use kubitect_config::address;
use kubitect_config::cluster::Connection;
use kubitect_config::value::Name;

use super::uri;
use crate::error::Error;
use crate::hypervisor::Hypervisor;

/// Always an error, which says that this build can't reach hosts, and what to do.
pub fn connect(host: &Name, connection: &Connection) -> Result<Arc<dyn Hypervisor>, Error> {
    Err(Error::Connect {
        host: host.to_string(),
        uri: address::shown(&uri(connection)),
        help: "this kubitect was built without libvirt, to check and write files; install one that has it".to_owned(),
        source: "the feature `libvirt` is off".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let error = connect(&"h".parse().unwrap(), &Connection::Local)
            .err()
            .unwrap();
        let said = error.to_string();
        for part in ["host h", "qemu:///system", "built without libvirt"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
