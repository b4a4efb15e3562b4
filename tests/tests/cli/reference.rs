//! The pages of the reference that are generated from the program: every command with its options, and every JSON output.

use std::fmt::Write;

use clap::{Arg, Command};
use serde_json::Value;
use tests::pages::{self, assert_fresh, repository};

const AGAIN: &str = "UPDATE_DOCS=1 cargo test --workspace --test cli reference";

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('\n', " ")
        .replace('|', "\\|")
        .trim()
        .to_owned()
}

/// The row of an argument: how it is written, and its meaning.
fn row(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let values: Vec<_> = names.iter().map(|name| format!("<{name}>")).collect();
    let values = match argument.get_action().takes_values() {
        true => values.join(" "),
        false => String::new(),
    };
    let mut forms: Vec<String> = Vec::new();
    forms.extend(argument.get_short().map(|short| format!("-{short}")));
    forms.extend(argument.get_long().map(|long| format!("--{long}")));
    match forms.last_mut() {
        Some(last) if !values.is_empty() => *last += &format!(" {values}"),
        Some(_) => {}
        None => forms.push(values),
    }
    let forms: Vec<_> = forms
        .iter()
        .map(|form| format!("`{}`", cell(form)))
        .collect();
    let help = argument
        .get_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut meaning = cell(&help);
    let possible = argument.get_possible_values();
    let words: Vec<_> = possible
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if argument.get_action().takes_values() && !words.is_empty() {
        meaning += &format!(". One of {}", words.join(", "));
    }
    let defaults: Vec<_> = argument
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        meaning += &format!(". Default: `{}`", defaults.join(" "));
    }
    format!("| {} | {meaning} |\n", forms.join(", "))
}

fn table(arguments: &[&Arg]) -> String {
    let mut text = String::new();
    if !arguments.is_empty() {
        text += "\n| Argument | Meaning |\n|---|---|\n";
        arguments.iter().for_each(|argument| text += &row(argument));
    }
    text
}

/// The section of a command, and those of its own commands.
fn section(command: &Command, everywhere: &[&Arg], text: &mut String) {
    let name = command.get_bin_name().unwrap();
    let about = command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap();
    write!(text, "\n## {name}\n\n{about}.\n\n```text\n{usage}\n```\n").unwrap();
    let is_own = |argument: &&Arg| {
        let is_usual = ["help", "version"].contains(&argument.get_id().as_str());
        let documented = everywhere
            .iter()
            .any(|other| other.get_id() == argument.get_id());
        !is_usual && !documented && !argument.is_hide_set()
    };
    text.push_str(&table(
        &command.get_arguments().filter(is_own).collect::<Vec<_>>(),
    ));
    for command in command.get_subcommands() {
        section(command, everywhere, text);
    }
}

#[test]
fn the_page_of_all_commands_is_fresh() {
    let root = kubitect_cli::command_line();
    let usual = |argument: &&Arg| argument.get_id() != "version";
    let everywhere: Vec<_> = root.get_arguments().filter(usual).collect();
    let mut text = format!(
        "# Every command and option\n\nThis page lists all commands of `kubitect` with their arguments, as `--help` does; \
         [the command line](command-line.md) says more of each.\n\n<!-- Made from the program: {AGAIN} -->\n\n## Everywhere\n{}",
        table(&everywhere)
    );
    for command in root.get_subcommands() {
        section(command, &everywhere, &mut text);
    }
    assert_fresh("docs/commands.md", &text);
}

/// The type of a value, as text.
fn kind(schema: &Value) -> String {
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> = words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap()))
            .collect();
        return words.join(", ");
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    if let Some(kinds) = schema["oneOf"].as_array() {
        return kinds.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let word = |kind: &str| match kind {
        "string" => "text".to_owned(),
        "integer" | "number" => "number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => match kind_of_items(schema).as_str() {
            "" => "list".to_owned(),
            items => format!("list of {items}"),
        },
        "object" => "object".to_owned(),
        "null" => "null".to_owned(),
        other => panic!("unknown type {other}"),
    };
    match &schema["type"] {
        Value::String(kind) => word(kind),
        Value::Array(kinds) => {
            let kinds = kinds.iter().map(|kind| word(kind.as_str().unwrap()));
            kinds.collect::<Vec<_>>().join(" or ")
        }
        _ => String::new(),
    }
}

fn kind_of_items(schema: &Value) -> String {
    match kind(&schema["items"]).as_str() {
        "object" => "objects".to_owned(),
        "text" => "texts".to_owned(),
        "number" => "numbers".to_owned(),
        other => other.to_owned(),
    }
}

/// One row for each key, with those of nested objects after it. An output inside of another has a section of its own.
fn keys(object: &Value, prefix: &str, text: &mut String) {
    for (key, schema) in object["properties"].as_object().into_iter().flatten() {
        let path = format!("{prefix}{key}");
        let about = schema["description"].as_str().unwrap_or_default();
        writeln!(
            text,
            "| `{path}` | {} | {} |",
            cell(&kind(schema)),
            cell(about)
        )
        .unwrap();
        if schema["properties"].get("formatVersion").is_some() {
            continue;
        }
        keys(schema, &format!("{path}."), text);
        keys(&schema["items"], &format!("{path}[]."), text);
        for variant in schema["oneOf"].as_array().into_iter().flatten() {
            keys(variant, &format!("{path}."), text);
        }
    }
}

#[test]
fn the_page_of_all_outputs_is_fresh() {
    let mut text = format!(
        "# JSON outputs\n\nThis page lists what commands print with `--output json`, key by key, for programs that read it.\n\n\
         <!-- Made from docs/output: {AGAIN} -->\n\nEach output is one object; a run's events are objects, one a line. \
         `formatVersion` changes when a key goes or means something else, not when one comes: readers pass over keys that they \
         don't know. Each section links the JSON Schema that it is made from.\n"
    );
    let mut files: Vec<_> = std::fs::read_dir(repository().join("docs/output"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let schema: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let heading = file.file_stem().unwrap().to_str().unwrap();
        let (title, about) = (&schema["title"], &schema["description"]);
        let commands: Vec<_> = title
            .as_str()
            .unwrap()
            .split(", ")
            .map(|part| format!("`{part}`"))
            .collect();
        write!(
            text,
            "\n## {heading}\n\n{}: {} [Schema](output/{name}).\n\n| Key | Type | Meaning |\n|---|---|---|\n",
            commands.join(", "),
            about.as_str().unwrap()
        )
        .unwrap();
        let before = text.len();
        keys(&schema, "", &mut text);
        assert_ne!(text.len(), before, "{name} has no keys");
    }
    assert_fresh("docs/outputs.md", &text);
}

/// The words of a command line, with values in the place of `NAME`, `FILE` and the like.
fn words(line: &str) -> Vec<String> {
    let line = line.split([';', '|', '>', '#']).next().unwrap();
    let words = line.split_whitespace().map(|word| {
        let name = |c: char| c.is_ascii_uppercase() || c == '_';
        let value = match word.split_once('=') {
            Some((option, value)) if value.chars().all(name) => format!("{option}=1m"),
            _ if word.chars().all(name) => "word".to_owned(),
            _ => word.trim_matches(['"', '\'']).to_owned(),
        };
        value.trim_end_matches(['`', ',']).to_owned()
    });
    words.collect()
}

/// The program accepts every `kubitect …` on the pages, as far as it goes.
#[test]
fn commands_on_the_pages_are_those_of_the_program() {
    let mut lines: Vec<(String, String)> = Vec::new();
    for page in pages::all() {
        let spans = page.spans().into_iter();
        let typed = page
            .blocks()
            .into_iter()
            .filter(|block| block.language == "console");
        let typed = typed
            .flat_map(|block| block.commands())
            .map(|(line, _)| line);
        lines.extend(spans.chain(typed).map(|line| (page.path.clone(), line)));
    }
    // With a group of options, or a part left out, it is a pattern and not a command.
    lines.retain(|(_, line)| line.starts_with("kubitect ") && !line.contains(['[', '…', '$']));
    assert!(lines.len() > 60, "only {} commands were found", lines.len());
    let mut faults = Vec::new();
    for (page, line) in lines {
        let words = words(&line);
        let taken = kubitect_cli::command_line().try_get_matches_from(&words);
        if let Err(error) = taken
            && !matches!(
                error.kind(),
                clap::error::ErrorKind::DisplayHelp
                    | clap::error::ErrorKind::DisplayVersion
                    | clap::error::ErrorKind::MissingRequiredArgument
                    | clap::error::ErrorKind::MissingSubcommand
                    | clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            )
        {
            faults.push(format!("{page}: {line}: {error}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
