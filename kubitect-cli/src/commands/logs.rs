//! `logs`: lists the logs of a cluster's runs, prints the last one, or follows it while it is written.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use kubitect_config::text;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use crate::args::{Logs, Output};
use crate::failure::Failure;
use crate::home::{ClusterDir, Home};
use crate::names;

use super::{print_json, print_lines, print_while_read};
use crate::signals::on_runtime_alone;

/// The pause between two reads of a log that is being written.
const PAUSE: Duration = Duration::from_millis(300);

/// Carries the command out.
pub fn logs(home: &Home, args: &Logs) -> Result<(), Failure> {
    let cluster = names::resolve_with(home, &args.cluster, &home.removed()?)?;
    let dir = home.cluster(&cluster);
    let all = home.runs(&cluster)?;
    if !args.last && !args.follow {
        let paths: Vec<_> = all.iter().map(|path| path.display().to_string()).collect();
        return match args.output {
            Output::Json => print_json(serde_json::json!({"formatVersion": 1, "logs": paths})),
            Output::Text => print_lines(
                paths
                    .iter()
                    .map(|path| format!("{path}\n"))
                    .collect::<String>(),
            ),
        };
    }
    let Some(last) = all.last() else {
        return Err(Failure::failed(format!(
            "find a log of {cluster}: no run has left one in {}",
            dir.logs().display()
        )));
    };
    match args.follow {
        true => on_runtime_alone(follow(&dir, last))?,
        false => show(last, &mut open(last)?).map(drop),
    }
}

fn open(log: &Path) -> Result<File, Failure> {
    File::open(log).map_err(|e| Failure::io("read", log, e))
}

/// Prints the part of a log that was not read yet; false: stdout has no reader any more.
fn show(log: &Path, file: &mut File) -> Result<bool, Failure> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|e| Failure::io("read", log, e))?;
    print_while_read(text::lines(&String::from_utf8_lossy(&bytes)))
}

/// Prints a log while it is written, until the run ends or stdout has no reader any more.
async fn follow(dir: &ClusterDir, log: &Path) -> Result<(), Failure> {
    let mut file = open(log)?;
    // Only a pipe can lose its reader; for a file there is no `Sender`.
    let stdout = std::io::stdout().as_fd().try_clone_to_owned();
    let stdout = stdout.and_then(Sender::from_owned_fd_unchecked).ok();
    loop {
        // Checked before the rest is read: so the last lines that the run writes are read, too.
        let ended = !dir.is_busy();
        if !show(log, &mut file)? || ended {
            return Ok(());
        }
        let reader_gone = async {
            if let Some(stdout) = &stdout
                && let Ok(ready) = stdout.ready(Interest::ERROR).await
                && ready.is_error()
            {
                return;
            }
            std::future::pending().await
        };
        tokio::select! {
            () = reader_gone => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
