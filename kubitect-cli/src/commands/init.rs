//! `init`: writes a cluster file to begin with, and beside it its schema for the editor. It never replaces a file.

use std::fs::OpenOptions;
use std::io::{BufRead, Error, ErrorKind, IsTerminal, Write};
use std::path::Path;

use kubitect_config::presets::{PRESETS, Preset};
use kubitect_config::value::Label;
use kubitect_config::{Site, text};
use serde_json::json;

use crate::args::{Init, Output};
use crate::failure::Failure;
use crate::report::hint;

use super::{print, print_json};

/// The schema's name beside the file.
const SCHEMA: &str = "kubitect.schema.json";

/// Carries the command out.
pub fn init(args: &Init) -> Result<(), Failure> {
    if args.file.exists() {
        return Err(exists(&args.file));
    }
    let ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let preset = match &args.preset {
        Some(name) => name.clone(),
        None if ask => {
            let about: String = PRESETS
                .iter()
                .map(|preset| format!("  {:22} {}\n", preset.name, preset.about()))
                .collect();
            answer(&format!("{about}Which one to begin with?"), DEFAULT)?
        }
        None => DEFAULT.to_owned(),
    };
    let preset = Preset::find(&preset).ok_or_else(|| {
        let guess = text::did_you_mean(&preset, PRESETS.iter().map(|preset| preset.name));
        Failure::failed(format!(
            "find the preset `{preset}`{guess}; `kubitect list presets` shows them"
        ))
    })?;
    let name = match &args.name {
        Some(name) => Some(name.clone()),
        None if ask => {
            let name = answer("The cluster's name?", &preset.cluster())?;
            let name = name.parse::<Label>();
            Some(name.map_err(|e| Failure::because("use this as a cluster's name", e))?)
        }
        None => None,
    };
    let text = format!(
        "# yaml-language-server: $schema=./{SCHEMA}\n{}",
        preset.named(name.as_ref())
    );
    // A preset is valid, but a name may be too long for its machines.
    kubitect_config::parse(&text, &args.file.display().to_string(), &Site::default())
        .map_err(Failure::config)?;
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

/// The answer of the person at the terminal; an empty one is the default.
fn answer(question: &str, default: &str) -> Result<String, Failure> {
    let (mut stderr, mut answer) = (std::io::stderr(), String::new());
    write!(stderr, "{question} [{default}] ")
        .and_then(|()| stderr.flush())
        .and_then(|()| std::io::stdin().lock().read_line(&mut answer))
        .map_err(|e| Failure::because("ask on the terminal", e))?;
    match answer.trim() {
        "" => Ok(default.to_owned()),
        answer => Ok(answer.to_owned()),
    }
}
