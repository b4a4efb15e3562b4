//! What a machine was given while it runs is taken into use by its system.

use std::time::Duration;

use kubitect_config::Remote;
use kubitect_config::remote::BoxError;

/// The program that does it; see its own first lines.
const PROGRAM: &str = include_str!("grown.py");

/// How long file systems may take to grow.
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// Has a machine's system use its new processors, and lets the file systems grow with their disks, as
/// [`Step::TakeInUse`](crate::change::Step::TakeInUse) tells. Done again, it does no harm; data disks without a mounted file system of their own are left to whoever uses them.
pub async fn take_in_use(remote: &dyn Remote, given: &[String]) -> Result<(), BoxError> {
    let mut argv = vec!["sudo", "-n", "python3", "-I", "-c", PROGRAM];
    argv.extend(given.iter().map(String::as_str));
    remote.run_ok(&argv, LIMIT).await.map(drop)
}
