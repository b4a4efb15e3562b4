//! What `--debug` shows on stderr: each call to libvirt, each command on a machine, each program that is started; without secrets.

use std::io::{self, Write};

use kubitect_config::secrets::Secrets;
use kubitect_config::text;
use tracing_subscriber::EnvFilter;

/// From now on it is shown, a line each with its time.
pub fn begin() {
    // Other crates might tell what they send.
    let own = ["config", "provision", "lb", "kubespray", "cli"];
    let own = own.map(|name| format!("kubitect_{name}=debug"));
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(own.join(",")))
        .with_ansi(false)
        .with_writer(|| Clean)
        .init();
}

/// stderr, for text that is cleaned before: an event at a time.
struct Clean;

impl Write for Clean {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = text::lines(&String::from_utf8_lossy(bytes));
        // Nowhere to tell that stderr is gone.
        let _ = io::stderr().write_all(Secrets::new().without(&line).as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
