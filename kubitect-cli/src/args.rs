//! The command line, as clap types and nothing else.

mod everyday;
mod info;

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use kubitect_config::presets::PRESETS;
use kubitect_config::timeouts::Timeout;
use kubitect_config::value::Name;

use crate::environment::expand;
use crate::names::ClusterName;

pub use everyday::{Console, Logs, Restore, Snapshot, Ssh, Start, Stop, Store, TakeOver, Timeouts};
pub use info::{Doctor, Explain, Form, Graph, Init, Support, Versions};

/// Kubernetes clusters on libvirt hosts, from one YAML file.
#[derive(Debug, Parser)]
#[command(
    name = "kubitect",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// Each call to libvirt, command on a machine, and command line of git, pip and Ansible, with its time, on stderr
    #[arg(long, global = true)]
    pub debug: bool,
    /// Errors, warnings and the end only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Every step, and every task of Ansible
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// No colours (so does the environment variable NO_COLOR)
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Keep clusters in ./.kubitect instead of KUBITECT_HOME
    #[arg(short, long, global = true)]
    pub local: bool,
    /// Where clusters are kept, instead of KUBITECT_HOME or ~/.kubitect
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the cluster what the file says: show the plan, ask, carry it out
    Apply(Apply),
    /// Show what apply would do; exit 0: nothing, 4: changes
    Plan(Plan),
    /// Check files and report every problem at once
    Validate(Validate),
    /// Write every file that apply would produce, without doing anything
    Render(Render),
    /// Write a cluster file to begin with, and its schema for the editor
    Init(Init),
    /// Open a shell on a machine, or run a command there
    Ssh(Ssh),
    /// List the logs of a cluster's runs, or show one
    Logs(Logs),
    /// List the Kubernetes and Kubespray releases, and where a cluster can go
    Versions(Versions),
    /// Print the versions of this program and of what it sets up
    Version {
        /// For people or for programs
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Say what this machine, or the hosts of a file, lack to carry clusters, and how to mend it; exit 5: something
    Doctor(Doctor),
    /// Say what a problem that validate gives means, and how to mend it
    Explain(Explain),
    /// Draw a cluster: hosts, network, balancers, machines, ports
    Graph(Graph),
    /// Gather what is needed to find a fault into one archive, without keys, tokens and passwords
    Support(Support),
    /// Remove a cluster's machines, disks, pools and network, and its folder
    Destroy(Destroy),
    /// Shut a cluster's machines down in order; nothing of it is deleted
    Stop(Stop),
    /// Start a cluster's machines again, and wait until it serves
    Start(Start),
    /// Open a machine's serial console; without a terminal, print its log
    Console(Console),
    /// Save what a cluster's etcd holds, and bring it back
    #[command(name = "etcd", subcommand)]
    Store(Store),
    /// Show how a cluster is; exit 0: healthy, 5: degraded, 1: it can't be reached
    Status(Status),
    /// List what there is
    List {
        #[command(subcommand)]
        what: List,
        /// For people or for programs
        #[arg(short, long, value_enum, default_value_t, global = true)]
        output: Output,
    },
    /// Print a file of a cluster, or the schema
    #[command(subcommand)]
    Export(Export),
    /// Print the completion script of a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// The command line as clap has it, with the whole names of all commands: for pages that are made from it.
pub fn command_line() -> clap::Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// The file where none is named.
pub const DEFAULT_FILE: &str = "kubitect.yaml";

#[derive(Debug, Args)]
pub struct Apply {
    /// A plan that `plan --out` saved: exactly that is done, or nothing if anything has changed since
    #[arg(value_name = "PLAN", value_parser = path())]
    pub plan: Option<PathBuf>,
    /// The cluster's file; - for stdin [default: kubitect.yaml, or the one that PLAN was made of]
    #[arg(short, long, value_name = "FILE", value_parser = path())]
    pub config: Option<PathBuf>,
    /// Refuse changes that this action does not cover
    #[arg(short, long, value_enum)]
    pub action: Option<Action>,
    /// Don't ask
    #[arg(long)]
    pub auto_approve: bool,
    #[command(flatten)]
    pub held: TakeOver,
    #[command(flatten)]
    pub timeouts: Timeouts,
    /// For people, or for programs: the events of the run on stdout, one a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// What an apply may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Action {
    /// Make a new cluster
    Create,
    /// Add and remove nodes
    Scale,
    /// Take Kubernetes to another release
    Upgrade,
}

impl From<Action> for kubitect_config::policy::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::Create => Self::Create,
            Action::Scale => Self::Scale,
            Action::Upgrade => Self::Upgrade,
        }
    }
}

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub cluster: ClusterName,
    /// Look again until it is healthy, so long at most, as 90s, 20m or 1h (20m where nothing is said)
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "20m")]
    pub wait: Option<Timeout>,
    /// For people or for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Plan {
    /// The cluster's file; - for stdin
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE, value_parser = path())]
    pub config: PathBuf,
    /// Save it to this file as well, for `apply PLAN`; only another plan is replaced
    #[arg(long, value_name = "PLAN", value_parser = path())]
    pub out: Option<PathBuf>,
    /// For people or for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Validate {
    /// The files; - for stdin
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE, num_args = 1.., value_parser = path())]
    pub config: Vec<PathBuf>,
    /// For people or for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
pub struct Render {
    /// The cluster's file; - for stdin
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_FILE, value_parser = path())]
    pub config: PathBuf,
    /// The folder to write into
    #[arg(long, value_name = "DIR", value_parser = written())]
    pub out: PathBuf,
    /// For people or for programs
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "kubitect destroy [OPTIONS] <CLUSTER>",
    mut_arg("name", |name| name.help("The cluster's name; it has to be said here, even if there is no other"))
)]
pub struct Destroy {
    #[command(flatten)]
    pub cluster: ClusterName,
    /// Remove the snapshots of etcd as well, which stay otherwise
    #[arg(long)]
    pub with_snapshots: bool,
    /// Leave out a host that is gone: what it carries stays on it, and is remembered (may be repeated)
    #[arg(long, value_name = "HOST")]
    pub without_host: Vec<Name>,
    /// Leave out a host that never comes back, and forget what it carries (may be repeated)
    #[arg(long, value_name = "HOST")]
    pub forget_host: Vec<Name>,
    /// Don't ask
    #[arg(long)]
    pub auto_approve: bool,
    #[command(flatten)]
    pub held: TakeOver,
    /// For people, or for programs: the events of the run on stdout, one a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
pub enum List {
    /// The clusters kept here, and whether each was ever finished
    Clusters,
    /// Cluster files to begin with, for `init` and `export preset`
    Presets,
    /// The machines of a cluster, as libvirt has them
    Nodes(ClusterName),
}

#[derive(Debug, Subcommand)]
pub enum Export {
    /// The configuration that was applied last
    Config(ClusterName),
    /// The kubeconfig, which is an administrator's key
    Kubeconfig(Kubeconfig),
    /// A cluster file to begin with
    Preset {
        /// The preset's name, as `list presets` shows it
        #[arg(long, value_name = "NAME", value_parser = names())]
        name: String,
    },
    /// The man pages of all commands, and the shells' completion scripts, for packages
    Man {
        /// The folder to write into
        #[arg(long, value_name = "DIR", value_parser = written())]
        out: PathBuf,
        /// For people or for programs
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// The JSON Schema of the configuration file
    Schema {
        /// That of the site file instead
        #[arg(long)]
        site: bool,
        /// In draft 07, for editors that know no newer one
        #[arg(long, conflicts_with = "site")]
        draft_07: bool,
    },
}

#[derive(Debug, Args)]
pub struct Kubeconfig {
    #[command(flatten)]
    pub cluster: ClusterName,
    /// Write it to this file, for its owner alone; one that is there is replaced only if it is this cluster's; - prints it
    #[arg(long, value_name = "FILE", conflicts_with = "merge", value_parser = path())]
    pub out: Option<PathBuf>,
    /// Put it into your kubeconfig (of KUBECONFIG, else ~/.kube/config), beside what is there, instead of printing it
    #[arg(long)]
    pub merge: bool,
}

/// A file or folder; the person's own folder is meant by `~/` also where the shell has left that, as in `--out=~/plan`.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(|path| expand(&path).unwrap_or(path))
}

/// A file or folder that is written; stdout is none.
fn written() -> impl TypedValueParser<Value = PathBuf> {
    path().try_map(|path| match path == Path::new("-") {
        true => Err(
            "this can't be written to stdout; name a file or folder, as `./-` for one of that name",
        ),
        false => Ok(path),
    })
}

/// The names of the presets, and no other.
fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(PRESETS.iter().map(|preset| preset.name))
}

/// The form of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::Cli;

    /// Commands whose result is a file or a text of its own.
    const PLAIN: [&str; 8] = [
        "completion",
        "console",
        "export config",
        "export kubeconfig",
        "export preset",
        "export schema",
        "ssh",
        "support",
    ];
    /// Commands that print events.
    const EVENTS: [&str; 5] = ["apply", "destroy", "etcd restore", "start", "stop"];

    fn leaves(command: &clap::Command, words: &str, all: &mut Vec<(String, bool)>) {
        for own in command
            .get_subcommands()
            .filter(|own| own.get_name() != "help")
        {
            let words = format!("{words} {}", own.get_name());
            match own.has_subcommands() {
                true => leaves(own, &words, all),
                false => {
                    let mut arguments = own.get_arguments();
                    let json = arguments.any(|argument| {
                        let values = argument.get_possible_values();
                        ["output", "format"].contains(&argument.get_id().as_str())
                            && values.iter().any(|value| value.get_name() == "json")
                    });
                    all.push((words.trim_start().to_owned(), json));
                }
            }
        }
    }

    /// What docs/command-line.md says of `--output json`.
    #[test]
    fn each_command_prints_json_that_has_a_schema_or_a_text_of_its_own() {
        let mut command = Cli::command();
        command.build();
        let mut all = Vec::new();
        leaves(&command, "", &mut all);
        assert!(all.len() > 25, "{all:?}");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/output");
        for (words, json) in all {
            let schema = match EVENTS.contains(&words.as_str()) {
                true => "events".to_owned(),
                false => words.replace(' ', "-"),
            };
            let there = folder.join(format!("{schema}.json")).exists();
            assert_eq!(
                (json, json),
                (!PLAIN.contains(&words.as_str()), there),
                "{words}"
            );
        }
    }
}
