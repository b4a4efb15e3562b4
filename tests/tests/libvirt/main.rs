//! The real binding, on libvirt's own test driver: a libvirt in memory, one for each connection.

#![expect(
    clippy::unwrap_used,
    reason = "in helpers, too, what can't be done fails the test"
)]

mod added;
mod connect;
mod road;
mod schema;

/// Which configuration all of these run on.
const DEMO: &str = include_str!("demo.yaml");

/// The cluster of a configuration.
fn cluster(yaml: &str) -> kubitect_config::Cluster {
    kubitect_config::parse(yaml, "demo.yaml", &kubitect_config::Site::default())
        .expect("the test's configuration is valid")
        .cluster
}
