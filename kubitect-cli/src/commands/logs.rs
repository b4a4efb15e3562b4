//! `logs`: the logs of a cluster's runs: which there are, the last one, or one that is being written.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use crate::args::{Logs, Output};
use crate::failure::Failure;
use crate::home::Home;
use crate::names;

use super::{print, print_json};

/// Carries the command out.
pub fn logs(home: &Home, args: &Logs) -> Result<(), Failure> {
    let cluster = names::meant_of(home, &args.cluster, &home.removed()?)?;
    let dir = home.cluster(&cluster);
    let all = home.runs(&cluster)?;
    if !args.last && !args.follow {
        let paths: Vec<_> = all.iter().map(|path| path.display().to_string()).collect();
        return match args.output {
            Output::Json => print_json(serde_json::json!({"formatVersion": 1, "logs": paths})),
            Output::Text => print(
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
    let failed = |e| Failure::io("read", last, e);
    let mut file = File::open(last).map_err(failed)?;
    loop {
        // Asked before the rest is read: what a run writes last is read then.
        let ended = !args.follow || !dir.is_busy();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        print(String::from_utf8_lossy(&bytes))?;
        if ended {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}
