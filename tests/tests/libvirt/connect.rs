//! What a person is told when a libvirt can't be reached.

use kubitect_config::cluster::Connection;
use kubitect_provision::Error;
use kubitect_provision::libvirt::Libvirt;

fn help(uri: &str) -> String {
    let host = "box".parse().unwrap();
    match Libvirt::connect(&host, &Connection::Uri(uri.into())) {
        Err(Error::Connect {
            help, uri: tried, ..
        }) => {
            assert_eq!(tried, kubitect_config::address::shown(uri));
            help
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_libvirt_that_does_not_answer() {
    for uri in [
        "qemu+unix:///system?socket=/nonexistent/libvirt-sock",
        "qemu+tcp://127.0.0.1:1/system",
    ] {
        let help = help(uri);
        assert!(
            help.contains("no libvirt answers at this URI"),
            "{uri}: {help}"
        );
    }
}
