//! A session can be what rolling out asks for: its futures may cross threads.

use std::time::Duration;

use kubitect_lb::Remote;
use kubitect_provision::ssh::Session;

/// As programs introduce a session to `kubitect-lb`.
struct Balancer(Session);

type Failure = Box<dyn std::error::Error + Send + Sync>;

const COMMAND: Duration = Duration::from_secs(60);

impl Remote for Balancer {
    async fn put(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), Failure> {
        Ok(self.0.put(path, bytes, mode, true, COMMAND).await?)
    }

    async fn run(&self, argv: &[&str]) -> Result<kubitect_lb::Output, Failure> {
        let output = self.0.run(argv, COMMAND).await?;
        Ok(kubitect_lb::Output {
            status: output.status,
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }
}

#[test]
fn a_session_can_be_a_remote() {
    fn is_remote<R: Remote>() -> &'static str {
        std::any::type_name::<R>()
    }
    assert!(is_remote::<Balancer>().ends_with("Balancer"));
}
