//! YAML has one reader and one writer. serde_yaml, which is no longer maintained, parses and writes no text.

use std::fs;
use std::path::Path;

use crate::repository;

/// All sources below a folder, without their tests, by name.
fn collect(folder: &Path, all: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().unwrap() != "tests.rs"
        {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let code: Vec<_> = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            all.push((path.display().to_string(), code.join("\n")));
        }
    }
}

#[test]
fn one_module_has_serde_yaml_and_neither_parses_nor_writes_text_with_it() {
    let mut all = Vec::new();
    for package in ["config", "provision", "lb", "kubespray", "cli"] {
        let folder = repository().join(format!("kubitect-{package}"));
        collect(&folder.join("src"), &mut all);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert_eq!(
            manifest.contains("serde_yaml"),
            package == "config",
            "{package}"
        );
    }
    let with: Vec<_> = all
        .iter()
        .filter(|(_, code)| code.contains("serde_yaml"))
        .collect();
    assert_eq!(
        with.len(),
        1,
        "{:?}",
        with.iter().map(|(name, _)| name).collect::<Vec<_>>()
    );
    let (name, code) = with[0];
    assert!(name.ends_with("kubitect-config/src/yaml.rs"), "{name}");
    for function in [
        "from_str",
        "from_slice",
        "from_reader",
        "to_string",
        "to_writer",
        "Deserializer",
        "Serializer",
    ] {
        assert!(
            !code.contains(&format!("serde_yaml::{function}")),
            "{function}"
        );
    }
}
