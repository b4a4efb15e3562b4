//! The output of `--debug` on stderr: each call to libvirt, each command on a machine, each program that is started; without
//! secrets.

use std::io::{self, Write};

use kubitect_config::secrets::Secrets;
use kubitect_config::text;
use tracing_subscriber::EnvFilter;

/// Switches it on: a line each, with its time.
pub fn begin() {
    // Only our own crates: others might log secrets that they send.
    let own = ["config", "provision", "lb", "kubespray", "cli"];
    let own = own.map(|name| format!("kubitect_{name}=debug"));
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(own.join(",")))
        .with_ansi(false)
        .with_writer(|| Clean)
        .init();
}

/// stderr behind a filter that removes control characters and secrets. Each write is one event.
struct Clean;

impl Write for Clean {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = text::lines(&String::from_utf8_lossy(bytes));
        // A failure can't be shown where stderr is closed.
        let _ = io::stderr().write_all(Secrets::new().without(&line).as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
