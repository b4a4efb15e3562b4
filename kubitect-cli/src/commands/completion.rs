//! `completion`: prints the script with which a shell asks this program for completions.

use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::failure::Failure;

use super::print_exactly;

/// In a folder of zsh's `fpath` the script becomes a function that zsh loads at the first Tab. These lines answer that first Tab.
const LOADED: &str = "if [ \"${funcstack[1]}\" = _kubitect ]; then\n    _clap_dynamic_completer_kubitect \"$@\"\nfi\n";

/// Carries the command out.
pub fn completion(shell: Shell) -> Result<(), Failure> {
    print_exactly(script(&shell.to_string())?)
}

/// The script of a shell.
pub fn script(name: &str) -> Result<String, Failure> {
    let mut script = Vec::new();
    let written = match Shells::builtins().completer(name) {
        Some(shell) => {
            shell.write_registration("COMPLETE", "kubitect", "kubitect", "kubitect", &mut script)
        }
        None => Err(std::io::Error::other("it is not known")),
    };
    written.map_err(|e| Failure::because(format!("write the script for {name}"), e))?;
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if name == "zsh" {
        script += LOADED;
    }
    Ok(script)
}
