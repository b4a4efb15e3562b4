//! A session implements what the roll-out and the work on Kubernetes need.

use kubitect_config::Remote;
use kubitect_provision::ssh::Session;

#[test]
fn a_session_is_a_remote() {
    fn is_remote<R: Remote>() -> &'static str {
        std::any::type_name::<R>()
    }
    assert!(is_remote::<Session>().ends_with("Session"));
    assert!(is_remote::<std::sync::Arc<dyn Remote>>().contains("Remote"));
}
