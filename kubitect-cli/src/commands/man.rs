//! `export man`: the man pages of all commands and the shells' completion scripts, for packages.

use std::path::Path;

use serde_json::json;

use super::completion::script;
use super::{print, print_json};
use crate::args::{Output, command_line};
use crate::failure::Failure;
use crate::home::write_whole;

/// Where the script of each shell belongs, below the folder that packages install from.
const SCRIPTS: [(&str, &str); 3] = [
    ("bash", "completions/kubitect.bash"),
    ("fish", "completions/kubitect.fish"),
    ("zsh", "completions/_kubitect"),
];

/// Carries the command out.
pub fn man(out: &Path, output: Output) -> Result<(), Failure> {
    let mut files = Vec::new();
    pages(&command_line(), &mut files)?;
    for (shell, path) in SCRIPTS {
        files.push((path.to_owned(), script(shell)?.into_bytes()));
    }
    for (path, bytes) in &files {
        let path = out.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Failure::io("create", folder, e))?;
        }
        write_whole(&path, bytes, 0o644)?;
    }
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

/// The page of a command and those of its own commands: `kubitect-export-schema.1`.
fn pages(command: &clap::Command, files: &mut Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
    let man = clap_mangen::Man::new(command.clone());
    let (name, mut page) = (man.get_filename(), Vec::new());
    man.render(&mut page)
        .map_err(|e| Failure::because(format!("write the man page {name}"), e))?;
    files.push((format!("man1/{name}"), page));
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .try_for_each(|command| pages(command, files))
}
