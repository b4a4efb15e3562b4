//! What a machine was given while it runs is taken into use by its system.

use std::time::Duration;

use kubitect_config::cluster::Node;
use kubitect_config::value::Label;

use super::Remote;
use crate::Error;
use crate::change::Step;
use crate::desired::serial_of;
use crate::plan::Plan;

/// The program that does it; see its own first lines.
const PROGRAM: &str = include_str!("grown.py");

/// How long file systems may take to grow.
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// What a plan gives to a machine while it runs, as [`take_in_use`] is told of it; empty for most.
pub fn given(plan: &Plan, node: &Node) -> Vec<String> {
    let of = |name: &Label| *name == node.name;
    let mut given: Vec<_> = plan
        .changes
        .iter()
        .filter_map(|change| match &change.step {
            Step::SetVcpus { node: name, .. } if of(name) => Some("cpus".to_owned()),
            Step::GrowVolume {
                node: name, volume, ..
            } if of(name) => {
                let data = node
                    .data_disks
                    .iter()
                    .find(|disk| node.data_volume(disk) == *volume);
                Some(data.map_or("main".to_owned(), |disk| serial_of(disk.name.as_str())))
            }
            _ => None,
        })
        .collect();
    given.sort();
    given.dedup();
    given
}

/// Has a machine's system use its new processors, and lets the file systems grow with their disks. Done again, it does no
/// harm; data disks without a mounted file system of their own are left to whoever uses them.
pub async fn take_in_use(remote: &dyn Remote, given: &[String]) -> Result<(), Error> {
    let mut argv = vec!["sudo", "-n", "python3", "-I", "-c", PROGRAM];
    argv.extend(given.iter().map(String::as_str));
    remote.run_ok(&argv, LIMIT).await.map(drop)
}
