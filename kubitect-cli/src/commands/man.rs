//! `export man`: writes the man pages of all commands and the shells' completion scripts, for packages.

use std::path::Path;

use kubitect_provision::render::fill_for_all;
use serde_json::json;

use super::completion::script;
use super::{print, print_json};
use crate::args::{Output, command_line};
use crate::environment::trusted_users;
use crate::failure::Failure;
use crate::manual;

/// The path of each shell's script, below the folder that packages are built from.
const SCRIPTS: [(&str, &str); 3] = [
    ("bash", "completions/kubitect.bash"),
    ("fish", "completions/kubitect.fish"),
    ("zsh", "completions/_kubitect"),
];

/// Carries the command out.
pub fn man(out: &Path, output: Output) -> Result<(), Failure> {
    let mut files = Vec::new();
    let command = command_line();
    let mut commands = Vec::new();
    all(&command, &mut commands);
    let name = |command: &clap::Command| clap_mangen::Man::new(command.clone()).get_filename();
    let names: Vec<_> = commands.iter().map(|command| name(command)).collect();
    // For example `kubitect-export-schema.1`.
    for (command, name) in commands.iter().zip(&names) {
        let page = manual::page(command, &names);
        let page = page.map_err(|e| Failure::because(format!("write the man page {name}"), e))?;
        files.push((format!("man1/{name}"), page));
    }
    for (shell, path) in SCRIPTS {
        files.push((path.to_owned(), script(shell)?.into_bytes()));
    }
    fill_for_all(out, &files, &trusted_users())?;
    let names: Vec<_> = files.into_iter().map(|(path, _)| path).collect();
    match output {
        Output::Json => print_json(json!({"formatVersion": 1, "folder": out, "files": names})),
        Output::Text => print(format!(
            "{} files written to {}\n",
            names.len(),
            out.display()
        )),
    }
}

/// A command and all below it.
fn all<'c>(command: &'c clap::Command, found: &mut Vec<&'c clap::Command>) {
    found.push(command);
    let below = command.get_subcommands();
    below
        .filter(|command| !command.is_hide_set())
        .for_each(|command| all(command, found));
}
