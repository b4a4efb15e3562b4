//! The program as a process that ends at one of its named points; this test program starts itself as it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kubitect_cli::world::{Real, World};
use rustix::process::{Signal, getpid, kill_process};

/// The variable with the program's arguments, a line each.
pub const ARGUMENTS: &str = "KUBITECT_TEST_ARGUMENTS";
/// The variable with the point, and how often it is passed before.
pub const POINT: &str = "KUBITECT_TEST_POINT";

#[test]
#[ignore = "it is the program itself, which other tests start"]
fn program() {
    let variable = |name| std::env::var(name).expect("whoever starts it says what to do");
    let (arguments, point) = (variable(ARGUMENTS), variable(POINT));
    let (name, times) = point.split_once(' ').expect("a name and a number");
    let times: usize = times.parse().expect("it is a number");
    let passed = AtomicUsize::new(0);
    fail::cfg_callback(name, move || {
        if passed.fetch_add(1, Ordering::SeqCst) == times {
            kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
            // It is delivered before anything else is done.
            std::thread::sleep(Duration::from_secs(60));
        }
    })
    .expect("the points are in this build");
    let world: Arc<dyn World> = Arc::new(Real::default());
    kubitect_cli::run_in(&world, std::iter::once("kubitect").chain(arguments.lines()));
    panic!("it ended, and did not pass {name} {times} times before");
}
