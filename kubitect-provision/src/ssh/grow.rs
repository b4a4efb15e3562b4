//! Hot-plugged processors and grown disks: the machine's system starts to use them.

use std::time::Duration;

use kubitect_config::Remote;
use kubitect_config::remote::BoxError;

/// The program that does it on the machine; its first lines say how.
const PROGRAM: &str = include_str!("grow.py");

/// How long file systems may take to grow.
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// Switches hot-plugged processors on and grows file systems to the size of their disks, as
/// [`Step::TakeInUse`](crate::change::Step::TakeInUse) lists them. It is idempotent. Data disks without a mounted file system are
/// not changed: how they are used is up to the programs on the machine.
pub async fn take_in_use(remote: &dyn Remote, given: &[String]) -> Result<(), BoxError> {
    let mut argv = vec!["sudo", "-n", "python3", "-I", "-c", PROGRAM];
    argv.extend(given.iter().map(String::as_str));
    remote.run_ok(&argv, LIMIT).await.map(drop)
}
