//! The command line of everyday commands: `stop`, `start`, `etcd`, `console`, `ssh`, `logs`; and how long is waited.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use kubitect_config::timeouts::Timeout;
use kubitect_config::value::Label;

use super::Output;
use crate::names::ClusterName;
use crate::{names, nodes};

/// How long is waited, instead of what the site file says.
#[derive(Debug, Args)]
pub struct Timeouts {
    /// How long a machine may take to boot, as 90s, 20m or 1h, instead of the site file's
    #[arg(long, value_name = "TIME")]
    boot_timeout: Option<Timeout>,
    /// How long pods may take to leave a node
    #[arg(long = "drain-timeout", value_name = "TIME")]
    leave_timeout: Option<Timeout>,
    /// How long a node may take to be Ready
    #[arg(long, value_name = "TIME")]
    ready_timeout: Option<Timeout>,
}

impl Timeouts {
    /// Those that are given: for booting, for leaving and for being Ready.
    pub fn given(&self) -> [Option<Timeout>; 3] {
        [self.boot_timeout, self.leave_timeout, self.ready_timeout]
    }
}

/// What becomes of a cluster that another run seems to hold.
#[derive(Debug, Args)]
pub struct TakeOver {
    /// Take the cluster from a run on another machine that has surely ended without giving it back
    #[arg(long)]
    pub take_over: bool,
}

#[derive(Debug, Subcommand)]
pub enum Store {
    /// Save all that etcd holds, every secret among it, to a file that only its owner can read
    Snapshot(Snapshot),
    /// Bring all that Kubernetes knows back to such a file; what came later is lost, and what etcd holds is set aside
    Restore(Restore),
}

#[derive(Debug, Args)]
pub struct Restore {
    /// The cluster's name
    #[arg(value_name = "CLUSTER", add = ArgValueCandidates::new(names::candidates))]
    pub cluster: Label,
    /// The snapshot, as `etcd snapshot`, `apply` before an upgrade, or etcdctl saved it
    #[arg(value_name = "SNAPSHOT", value_parser = super::path())]
    pub file: PathBuf,
    /// Don't ask
    #[arg(long, visible_alias = "yes")]
    pub auto_approve: bool,
    #[command(flatten)]
    pub held: TakeOver,
    /// For people, or for programs: the events of the run on stdout, one a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Snapshot {
    #[command(flatten)]
    pub cluster: ClusterName,
    /// The file, which must not be there yet [default: one in the cluster's folder, backups/etcd-<time>.db]
    #[arg(long, value_name = "FILE", value_parser = super::written())]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub held: TakeOver,
    /// For people or for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Console {
    /// The machine, as `demo-master-1`, or without the cluster's name
    #[arg(value_name = "NODE", add = ArgValueCandidates::new(nodes::candidates))]
    pub node: String,
    /// The cluster's name, where the machine's does not say it
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(names::candidates))]
    pub cluster: Option<Label>,
    /// Print what was last written to it, at a terminal, too
    #[arg(long)]
    pub log: bool,
}

#[derive(Debug, Args)]
pub struct Stop {
    #[command(flatten)]
    pub cluster: ClusterName,
    /// How long a machine may take to shut down, as 90s, 5m or 1h [default: 5m]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Timeout>,
    /// Don't ask
    #[arg(long)]
    pub auto_approve: bool,
    #[command(flatten)]
    pub held: TakeOver,
    /// For people, or for programs: the events of the run on stdout, one a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Start {
    #[command(flatten)]
    pub cluster: ClusterName,
    #[command(flatten)]
    pub held: TakeOver,
    /// For people, or for programs: the events of the run on stdout, one a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Ssh {
    /// The machine, as `demo-master-1`, or without the cluster's name
    #[arg(value_name = "NODE", add = ArgValueCandidates::new(nodes::candidates))]
    pub node: String,
    /// The cluster's name, where the machine's does not say it
    #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(names::candidates))]
    pub cluster: Option<Label>,
    /// What to run instead of a shell
    #[arg(value_name = "COMMAND", last = true)]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Logs {
    #[command(flatten)]
    pub cluster: ClusterName,
    /// Show the last run's
    #[arg(long)]
    pub last: bool,
    /// Show it while it is written, until the run ends
    #[arg(long)]
    pub follow: bool,
    /// The list, for people or for programs
    #[arg(short, long, value_enum, default_value_t, conflicts_with_all = ["last", "follow"])]
    pub output: Output,
}
