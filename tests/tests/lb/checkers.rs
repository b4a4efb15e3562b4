//! HAProxy and keepalived accept the rendered files.

use kubitect_lb::render;
use tests::checkers::{an_interface, haproxy, keepalived};

use crate::cluster::{cluster, forward_ports};

#[test]
fn haproxy_and_keepalived_accept_what_is_rendered() {
    let folder = tempfile::tempdir().unwrap();
    for (balancers, masters, workers) in [(1, 1, 0), (1, 3, 0), (1, 3, 3), (3, 3, 0), (3, 5, 7)] {
        for forwarded in [Vec::new(), forward_ports()] {
            let (mut cluster, facts) = cluster(balancers, masters, workers);
            cluster.guest.interface = an_interface();
            cluster.balancing.vip = Some([192, 168, 113, 99].into());
            cluster.balancing.forward_ports = forwarded;
            for balancer in render(&cluster, &facts).unwrap() {
                let file = folder.path().join("haproxy.cfg");
                std::fs::write(&file, balancer.haproxy).unwrap();
                haproxy(&file);
                let file = folder.path().join("keepalived.conf");
                std::fs::write(&file, balancer.keepalived.unwrap()).unwrap();
                keepalived(&file);
            }
        }
    }
}
