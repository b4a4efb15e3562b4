//! `init`: writes a cluster file to begin with, and beside it its schema for the editor. It never replaces a file.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, IsTerminal, Write, stderr, stdin};
use std::path::Path;

use kubitect_config::presets::{PRESETS, Preset};
use kubitect_config::value::Label;
use kubitect_config::{Site, text};
use serde_json::json;

use crate::approve;
use crate::args::{Init, Output};
use crate::failure::Failure;
use crate::report::{self, hint};

use super::{print, print_json};

/// The schema's name beside the file.
const SCHEMA: &str = "kubitect.schema.json";

/// Carries the command out.
pub fn init(args: &Init) -> Result<(), Failure> {
    if args.file.exists() {
        return Err(exists(&args.file));
    }
    let ask = stdin().is_terminal() && stderr().is_terminal();
    let preset = match &args.preset {
        None if ask => {
            let about = PRESETS
                .iter()
                .map(|preset| format!("  {:22} {}\n", preset.name, preset.about()));
            let question = format!("{}Which one to begin with?", about.collect::<String>());
            answer(&question, DEFAULT, preset_named)?
        }
        name => preset_named(name.as_deref().unwrap_or(DEFAULT))?,
    };
    let text = match &args.name {
        None if ask => answer("The cluster's name?", &preset.cluster(), |name| {
            let name = name
                .parse()
                .map_err(|e| Failure::because("use this as a cluster's name", e))?;
            text_of(preset, Some(&name), &args.file)
        })?,
        name => text_of(preset, name.as_ref(), &args.file)?,
    };
    write_new(&args.file, &text)?;
    let schema = args.file.with_file_name(SCHEMA);
    let current = format!("{:#}\n", kubitect_config::schema());
    match write_new(&schema, &current) {
        Err(_) if schema.exists() => {
            if kubitect_config::file::read(&schema).is_ok_and(|found| found != current.as_bytes()) {
                let schema = schema.display();
                hint(&format!(
                    "{schema} is there already and says something else than this program; it stays, and `kubitect export schema \
                     >{schema}` brings it up to date"
                ));
            }
        }
        other => other?,
    }
    if args.output == Output::Json {
        return print_json(json!({"formatVersion": 1, "file": args.file, "schema": schema}));
    }
    let file = args.file.display();
    let option = match args.file == Path::new(crate::args::DEFAULT_FILE) {
        true => String::new(),
        false => format!(" -c {file}"),
    };
    print(format!(
        "{file}: written\nnext: edit it, then `kubitect validate{option}`, `kubitect plan{option}`, `kubitect apply{option}`\n"
    ))
}

/// The preset where none is named.
const DEFAULT: &str = "getting-started";

/// The preset with this name; a failure guesses which was meant.
pub fn preset_named(name: &str) -> Result<&'static Preset, Failure> {
    Preset::find(name).ok_or_else(|| {
        let guess = text::did_you_mean(name, PRESETS.iter().map(|preset| preset.name));
        Failure::failed(format!(
            "find the preset `{name}` (`kubitect list presets` shows which there are){guess}"
        ))
    })
}

/// The file's text; a failure if the name does not fit: it may be too long for its machines.
fn text_of(preset: &Preset, name: Option<&Label>, file: &Path) -> Result<String, Failure> {
    let text = format!(
        "# yaml-language-server: $schema=./{SCHEMA}\n{}",
        preset.named(name)
    );
    kubitect_config::parse(&text, &file.display().to_string(), &Site::default())
        .map_err(Failure::config)?;
    Ok(text)
}

fn exists(file: &Path) -> Failure {
    Failure::failed(format!(
        "write {}: it is there already, and stays as it is; name another file",
        file.display()
    ))
}

/// Writes a new file; a failure if it exists.
fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => exists(path),
        ErrorKind::NotFound => Failure::io("write", path, Error::other("its folder is not there")),
        _ => Failure::io("write", path, e),
    })?;
    let written = file.write_all(text.as_bytes());
    written.map_err(|e| Failure::io("write", path, e))
}

/// The answer of the person at the terminal, who is asked again if it does not fit; an empty one is the default.
fn answer<T>(
    question: &str,
    default: &str,
    read: impl Fn(&str) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let question = format!("{question} [{default}]");
    loop {
        let given = approve::answer(&question, &mut stdin().lock(), &mut stderr())?;
        match read(if given.is_empty() { default } else { &given }) {
            Ok(answer) => return Ok(answer),
            Err(failure) => report::failure(&failure),
        }
    }
}
