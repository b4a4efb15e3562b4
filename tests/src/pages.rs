//! The pages of the project: README and all of `docs/`, with their blocks, their links and their headings.

use std::path::{Path, PathBuf};

use serde_yaml::Value;

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Its path in the repository, as `docs/scaling.md`.
    pub path: String,
    pub text: String,
}

/// A block between two fences.
#[derive(Debug, PartialEq)]
pub struct Block {
    /// The word after the first fence, as `console`.
    pub language: String,
    pub text: String,
    /// The line of the first fence, from 1.
    pub line: usize,
    /// The reason in `<!-- not run: REASON -->` before it.
    pub not_run: Option<String>,
    /// The codes in `<!-- warned: CODES -->` before it, of the problems that the file on the page has.
    pub warned: Vec<String>,
}

/// The repository.
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Compares a generated file with the one that is checked in; with `UPDATE_DOCS=1`, writes it.
#[track_caller]
pub fn assert_fresh(path: &str, generated: &str) {
    let file = repository().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, generated).unwrap_or_else(|e| panic!("{path}: {e}"));
    }
    let current = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        current == generated,
        "{path} is out of date: run this test with UPDATE_DOCS=1 and look at the difference"
    );
}

/// A page's text with another one between `<!-- NAME -->` and `<!-- end -->`.
#[track_caller]
pub fn with_part(text: &str, name: &str, part: &str) -> String {
    let mark = format!("<!-- {name} -->\n");
    let (before, rest) = text
        .split_once(&mark)
        .unwrap_or_else(|| panic!("no {mark}"));
    let (_, after) = rest
        .split_once("<!-- end -->")
        .unwrap_or_else(|| panic!("no end of {mark}"));
    format!("{before}{mark}{part}<!-- end -->{after}")
}

/// README, and all pages of `docs/`, by name.
pub fn all() -> Vec<Page> {
    let mut paths = vec!["README.md".to_owned()];
    let docs = std::fs::read_dir(repository().join("docs")).unwrap();
    let mut names: Vec<_> = docs
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "md"))
        .collect();
    names.sort();
    paths.extend(names.into_iter().map(|name| format!("docs/{name}")));
    paths.into_iter().map(Page::read).collect()
}

/// What a block of YAML is, by its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// A whole cluster file: `# kubitect.yaml`.
    Whole,
    /// A part that is laid over the cluster file: `# in kubitect.yaml`.
    Part,
    /// The site file: `# site.yaml`.
    Site,
}

/// The cluster that pages speak of where they show no file.
pub const SMALL: &str = "
hosts: [{name: localhost, connection: {type: local}}]
cluster:
  name: demo
  network: {mode: nat, cidr: 192.168.113.0/24}
  nodes:
    loadBalancer: {instances: [{id: 1, ip: 192.168.113.5}]}
    master: {instances: [{id: 1, ip: 192.168.113.10}]}
    worker: {instances: [{id: 1, ip: 192.168.113.20}]}
kubernetes: {version: v1.35.4}
";

/// A file with a part laid over it: mappings are merged, any other value of the part replaces that of the file.
pub fn laid_over(file: &str, part: &str) -> String {
    fn lay(below: &mut Value, above: Value) {
        match (below, above) {
            (Value::Mapping(below), Value::Mapping(above)) => {
                for (key, value) in above {
                    match below.get_mut(&key) {
                        Some(current) => lay(current, value),
                        None => drop(below.insert(key, value)),
                    }
                }
            }
            (below, above) => *below = above,
        }
    }
    let mut whole: Value = serde_yaml::from_str(file).unwrap();
    lay(&mut whole, serde_yaml::from_str(part).unwrap());
    serde_yaml::to_string(&whole).unwrap()
}

impl Page {
    /// The page at this path of the repository.
    pub fn read(path: impl Into<String>) -> Self {
        let path = path.into();
        let text = std::fs::read_to_string(repository().join(&path));
        let text = text.unwrap_or_else(|e| panic!("{path}: {e}"));
        Self { path, text }
    }

    /// All blocks between fences.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open = false;
        let (mut not_run, mut warned) = (None, Vec::new());
        for (line, number) in self.text.lines().zip(1..) {
            match (line.strip_prefix("```"), open) {
                (Some(language), false) => blocks.push(Block {
                    language: language.to_owned(),
                    text: String::new(),
                    line: number,
                    not_run: not_run.take(),
                    warned: std::mem::take(&mut warned),
                }),
                (Some(rest), true) => assert_eq!(rest, "", "{}:{number}", self.path),
                (None, true) => blocks.last_mut().unwrap().text += &format!("{line}\n"),
                (None, false) if line.is_empty() => continue,
                (None, false) => {
                    let mark = |begin| line.strip_prefix(begin)?.strip_suffix(" -->");
                    not_run = mark("<!-- not run: ").map(str::to_owned);
                    let codes = mark("<!-- warned: ").into_iter();
                    let codes = codes.flat_map(|codes| codes.split(", "));
                    warned = codes.map(str::to_owned).collect();
                    continue;
                }
            }
            open ^= line.starts_with("```");
        }
        assert!(!open, "{}: a block has no end", self.path);
        blocks
    }

    /// The text without its blocks.
    pub fn prose(&self) -> String {
        let mut inside = false;
        let lines = self.text.lines().filter(|line| {
            let fence = line.starts_with("```");
            inside ^= fence;
            !inside && !fence
        });
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// The parts of the text between backquotes, each in one line.
    pub fn spans(&self) -> Vec<String> {
        let prose = self.prose().replace('\n', " ");
        let spans = prose.split('`').skip(1).step_by(2);
        spans.map(str::to_owned).collect()
    }

    /// The targets of its links.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let inline = prose.split("](").skip(1);
        let inline = inline.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
        let defined = prose.lines().filter_map(|line| {
            let (name, to) = line.strip_prefix('[')?.split_once("]: ")?;
            (!name.contains(']')).then(|| to.to_owned())
        });
        inline.chain(defined).collect()
    }

    /// The anchors of its headings, as forges and mdBook make them.
    pub fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for line in self.prose().lines() {
            let heading = line.trim_start_matches('#');
            let Some(heading) = heading.strip_prefix(' ').filter(|_| line.starts_with('#')) else {
                continue;
            };
            let heading = heading.to_lowercase();
            let characters = heading.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            });
            let anchor: String = characters.collect();
            let earlier = anchors.iter().filter(|other| **other == anchor).count();
            anchors.push(match earlier {
                0 => anchor,
                _ => format!("{anchor}-{earlier}"),
            });
        }
        anchors
    }
}

impl Block {
    /// The kind of file that it shows, if it is YAML.
    #[track_caller]
    pub fn file(&self) -> Option<File> {
        if self.language != "yaml" {
            return None;
        }
        Some(match self.text.lines().next().unwrap_or_default() {
            "# kubitect.yaml" => File::Whole,
            "# in kubitect.yaml" => File::Part,
            "# site.yaml" => File::Site,
            other => panic!(
                "line {}: it does not begin with its file's name: {other}",
                self.line
            ),
        })
    }

    /// Its commands, each with the lines of output after it.
    pub fn commands(&self) -> Vec<(String, Vec<String>)> {
        let mut commands: Vec<(String, Vec<String>)> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command.to_owned(), Vec::new())),
                (None, Some((_, shown))) => shown.push(line.to_owned()),
                (None, None) => panic!("line {}: it begins with no command", self.line),
            }
        }
        commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page {
            path: "page.md".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn blocks_with_their_marks_and_commands() {
        let page = page(
            "# A\n\n```console\n$ a b\nshown\n$ c\n```\n\n<!-- not run: it is far away -->\n\n```console\n$ d\n```\n\nx\n\n\
             ```text\n[no](link.md)\n```\n",
        );
        let blocks = page.blocks();
        let reasons: Vec<_> = blocks
            .iter()
            .map(|block| block.not_run.as_deref())
            .collect();
        assert_eq!(reasons, [None, Some("it is far away"), None]);
        assert_eq!((blocks[0].line, blocks[2].line), (3, 17));
        let commands = blocks[0].commands();
        assert_eq!(commands[0], ("a b".to_owned(), vec!["shown".to_owned()]));
        assert_eq!(commands[1], ("c".to_owned(), vec![]));
        assert_eq!(page.links(), [""; 0]);
    }

    #[test]
    fn links_spans_and_anchors() {
        let page = page(
            "# Not a `b`: or c\n\n[x](y.md#z) and `kubitect\nplan` and ![p](q.svg)\n\n## Not a b or c\n\n[K]: https://k.io\n",
        );
        assert_eq!(page.links(), ["y.md#z", "q.svg", "https://k.io"]);
        assert_eq!(page.spans(), ["b", "kubitect plan"]);
        assert_eq!(page.anchors(), ["not-a-b-or-c", "not-a-b-or-c-1"]);
    }
}
