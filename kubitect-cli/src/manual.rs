//! The parts of help and man pages besides the options: examples, exit codes, environment, files.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use kubitect_config::yaml::{Limits, read_as};
use serde::Deserialize;

/// Terms, each with its meaning.
type Pairs = Vec<(String, String)>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manual {
    exit: Pairs,
    environment: Pairs,
    files: Pairs,
    /// The examples of each command, by its words.
    examples: BTreeMap<String, Pairs>,
}

static MANUAL: LazyLock<Manual> = LazyLock::new(|| {
    // The file is a part of this program, and a test checks that it can be read.
    read_as(include_str!("../manual.yaml"), Limits::OWN).unwrap_or_default()
});

/// The words of a command below the program's name: `etcd snapshot`.
fn words(command: &Command) -> &str {
    let name = command.get_bin_name().unwrap_or_default();
    name.strip_prefix("kubitect").unwrap_or(name).trim_start()
}

fn examples(words: &str) -> &'static [(String, String)] {
    MANUAL.examples.get(words).map_or(&[], Vec::as_slice)
}

/// The same command with examples at the end of its help, and of that of its subcommands.
pub fn with_examples(command: Command) -> Command {
    below(command, "")
}

fn below(mut command: Command, words: &str) -> Command {
    let names = command
        .get_subcommands()
        .map(|own| own.get_name().to_owned());
    for name in names.collect::<Vec<_>>() {
        let words = format!("{words} {name}");
        command = command.mut_subcommand(name, |own| below(own, words.trim_start()));
    }
    let lines = examples(words).iter();
    let lines: String = lines
        .map(|(run, does)| format!("\n  {run}\n      {does}"))
        .collect();
    match lines.as_str() {
        "" => command,
        lines => command.after_help(format!("Examples:{lines}")),
    }
}

/// The man page of a command, with links to `all` others. The command has to be built, so that it has its parents' options.
pub fn page(command: &Command, all: &[String]) -> std::io::Result<Vec<u8>> {
    let (man, mut page) = (Man::new(command.clone()), Vec::new());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    section(&mut roff, "EXAMPLES", examples(words(command)));
    section(&mut roff, "EXIT STATUS", &MANUAL.exit);
    section(&mut roff, "ENVIRONMENT", &MANUAL.environment);
    section(&mut roff, "FILES", &MANUAL.files);
    let own = man.get_filename();
    let others = all.iter().filter(|name| **name != own);
    let others = others.filter_map(|name| Some(format!("{}(1)", name.strip_suffix(".1")?)));
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(others.collect::<Vec<_>>().join(", "))]);
    roff.to_writer(&mut page)?;
    Ok(page)
}

fn section(roff: &mut Roff, title: &str, pairs: &[(String, String)]) {
    if !pairs.is_empty() {
        roff.control("SH", [title]);
    }
    for (term, meaning) in pairs {
        roff.control("TP", []);
        roff.text([bold(term)]);
        roff.text([roman(meaning)]);
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::args::Cli;

    fn leaves(command: &Command, all: &mut Vec<String>) {
        match command.has_subcommands() {
            true => command.get_subcommands().for_each(|own| leaves(own, all)),
            false => all.push(words(command).to_owned()),
        }
    }

    #[test]
    fn each_command_has_examples_and_each_example_is_a_command() {
        let manual: Manual = read_as(include_str!("../manual.yaml"), Limits::OWN).unwrap();
        let (mut command, mut all) = (
            Cli::command().disable_help_subcommand(true),
            vec![String::new()],
        );
        command.build();
        leaves(&command, &mut all);
        all.sort();
        assert_eq!(manual.examples.keys().cloned().collect::<Vec<_>>(), all);
        for (words, examples) in &manual.examples {
            for (run, does) in examples {
                let line = run
                    .trim_start_matches("source <(")
                    .trim_end_matches(" | source");
                let line = line.trim_end_matches(')');
                let parsed = Cli::try_parse_from(line.split(' '));
                assert!(parsed.is_ok(), "{run}: {}", parsed.unwrap_err());
                assert!(
                    line.starts_with(format!("kubitect {words}").trim_end()),
                    "{run}"
                );
                assert!(!does.is_empty() && !does.ends_with('.'), "{does}");
            }
        }
    }
}
