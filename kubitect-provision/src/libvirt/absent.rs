//! In a build without libvirt, no host can be reached: files are checked and written all the same.

use std::sync::Arc;

use kubitect_config::address;
use kubitect_config::cluster::Connection;
use kubitect_config::value::Name;

use super::uri;
use crate::error::Error;
use crate::hypervisor::Hypervisor;

/// Says that hosts can't be reached, and what to do.
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
