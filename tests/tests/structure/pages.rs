//! The pages as a forge shows them: each begins with its one job, its links have targets, and its commands are run or marked.

use std::path::{Path, PathBuf};

use tests::pages::{self, Page, repository};

/// The prefix by which pages of `docs/` link to files outside of it, which the site does not have.
const FORGE: [&str; 2] = [
    "https://github.com/kubitect/kubitect-rs/blob/main/",
    "https://github.com/kubitect/kubitect-rs/tree/main/",
];

/// The languages of blocks: commands with their output, files, and text that is no input.
const LANGUAGES: [&str; 5] = ["console", "yaml", "json", "text", "rust"];

/// Other pages of the repository.
const OTHERS: [&str; 5] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "tests/lab/README.md",
    "tests/real/README.md",
    "tests/stand-in/README.md",
];

/// The pages that people read, without the table of contents.
fn read() -> Vec<Page> {
    let mut all = pages::all();
    all.retain(|page| page.path != "docs/SUMMARY.md");
    assert!(all.len() > 20, "only {} pages were found", all.len());
    all
}

#[test]
fn every_page_begins_with_its_job() {
    let job = |page: &Page| {
        let mut parts = page.text.split("\n\n");
        let title = parts.next().unwrap_or_default();
        let mut parts = parts.filter(|part| !part.starts_with("<!-- "));
        let first = parts.next().unwrap_or_default();
        title.starts_with("# ")
            && !title.contains('\n')
            && first.starts_with(|c: char| c.is_alphabetic() || c == '`')
            && !first.starts_with("```")
            && first.len() > 40
    };
    let without: Vec<_> = read().into_iter().filter(|page| !job(page)).collect();
    let without: Vec<_> = without.iter().map(|page| &page.path).collect();
    assert_eq!(without, [""; 0]);
}

/// Why a link has no target, if so.
fn broken(page: &Page, link: &str) -> Option<String> {
    let outside = FORGE.iter().find_map(|forge| link.strip_prefix(forge));
    if outside.is_none() && link.contains("://") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = Path::new(&page.path).parent().unwrap();
    let file = match (outside, path) {
        (Some(path), _) => PathBuf::from(path.split('#').next().unwrap()),
        (None, "") => PathBuf::from(&page.path),
        (None, path) => folder.join(path),
    };
    if outside.is_none() && page.path.starts_with("docs/") && path.starts_with("..") {
        return Some("it leads out of the site: write its whole address".to_owned());
    }
    if !repository().join(&file).exists() {
        return Some("there is no such file".to_owned());
    }
    let is_page = file.extension().is_some_and(|end| end == "md");
    if anchor.is_empty() || !is_page {
        return None;
    }
    let target = Page::read(file.to_str().unwrap());
    let anchors = target.anchors();
    let has_anchor = anchors.iter().any(|other| other == anchor);
    (!has_anchor).then(|| {
        format!(
            "there is no such heading; there are: {}",
            anchors.join(", ")
        )
    })
}

#[test]
fn no_link_leads_nowhere() {
    let mut all = pages::all();
    all.extend(OTHERS.map(Page::read));
    let mut faults = Vec::new();
    let mut count = 0;
    for page in &all {
        for link in page.links() {
            count += 1;
            let fault = broken(page, &link);
            faults.extend(fault.map(|why| format!("{}: {link}: {why}", page.path)));
        }
    }
    assert!(count > 100, "only {count} links were found");
    assert_eq!(faults, [""; 0]);
}

#[test]
fn links_that_lead_nowhere_are_noticed() {
    let page = Page {
        path: "docs/page.md".to_owned(),
        text: String::new(),
    };
    for link in [
        "nowhere.md",
        "scaling.md#nowhere",
        "../README.md",
        "https://github.com/kubitect/kubitect-rs/blob/main/nowhere",
    ] {
        assert!(broken(&page, link).is_some(), "{link}");
    }
    for link in [
        "scaling.md",
        "scaling.md#masters",
        "schema.json",
        "https://github.com/kubitect/kubitect-rs/blob/main/README.md",
        "https://kubernetes.io/nowhere",
    ] {
        assert_eq!(broken(&page, link), None, "{link}");
    }
}

/// Pages that messages refer to, and the headings on them.
#[test]
fn pages_that_messages_name_are_there() {
    let mut files = Vec::new();
    for package in ["cli", "config", "kubespray", "lb", "provision"] {
        let folder = repository().join(format!("kubitect-{package}/src"));
        crate::assumptions::sources(&folder, &mut files);
    }
    let mut faults = Vec::new();
    let mut headings = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.lines().map(str::trim_start);
        let code: String = code
            .filter(|line| !line.starts_with("//"))
            // A string may continue in the next line.
            .map(|line| match line.strip_suffix('\\') {
                Some(begin) => begin.to_owned(),
                None => format!("{line}\n"),
            })
            .collect();
        for rest in code.split("docs/").skip(1) {
            let Some((name, rest)) = rest.split_once(".md") else {
                continue;
            };
            if !name.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
                continue;
            }
            let path = format!("docs/{name}.md");
            let place = format!("{}: {path}", file.display());
            if !repository().join(&path).exists() {
                faults.push(place);
                continue;
            }
            let heading = rest.strip_prefix(", \\\"");
            let Some((heading, _)) = heading.and_then(|rest| rest.split_once("\\\"")) else {
                continue;
            };
            headings += 1;
            let text = Page::read(&*path).text;
            let mut titles = text.lines().filter(|line| line.starts_with("##"));
            if !titles.any(|title| title.trim_start_matches('#').trim() == heading) {
                faults.push(format!("{place}, {heading:?}"));
            }
        }
    }
    assert!(headings > 0, "no heading was found");
    assert_eq!(faults, [""; 0]);
}

/// Words of our own for what has a name in the field.
pub const WORDS: [&str; 6] = [
    "made anew",
    "amiss",
    "told of",
    "tells of",
    "brought home",
    "brings home",
];

#[test]
fn pages_use_the_words_of_the_field() {
    let mut faults = Vec::new();
    for page in read() {
        for (line, number) in page.text.lines().zip(1..) {
            let words = WORDS.iter().filter(|word| line.contains(*word));
            faults.extend(words.map(|word| format!("{}:{number}: {word}", page.path)));
        }
    }
    assert_eq!(faults, [""; 0]);
}

/// Files of the repository that pages name.
#[test]
fn files_that_pages_name_are_there() {
    let folders = ["tests/", "examples/", "packaging/", "kubitect-"];
    let mut faults = Vec::new();
    let mut count = 0;
    for page in read() {
        let mut spans = page.spans();
        spans.extend(page.blocks().into_iter().filter_map(|block| block.not_run));
        for word in spans.iter().flat_map(|span| span.split([' ', ';', ','])) {
            let is_path =
                folders.iter().any(|folder| word.starts_with(folder)) && word.contains('/');
            if is_path && !word.contains(['*', '<', '{']) {
                count += 1;
                if !repository().join(word).exists() {
                    faults.push(format!("{}: {word}", page.path));
                }
            }
        }
    }
    assert!(count > 30, "only {count} files are named");
    assert_eq!(faults, [""; 0]);
}

/// Commands that people type are in blocks of `console`: the ring `killed` runs them, except those marked with a reason.
#[test]
fn what_can_be_typed_is_run_or_says_why_not() {
    let mut faults = Vec::new();
    for page in read() {
        for block in page.blocks() {
            let place = format!("{}:{}", page.path, block.line);
            if !LANGUAGES.contains(&block.language.as_str()) {
                faults.push(format!("{place}: a block of `{}`", block.language));
            }
            let typed = block.text.lines().any(|line| line.starts_with("$ "));
            if typed != (block.language == "console") {
                faults.push(format!(
                    "{place}: commands begin with `$ `, in blocks of `console`"
                ));
            }
            if block.not_run.is_some_and(|reason| reason.len() < 12) {
                faults.push(format!("{place}: why is it not run?"));
            }
        }
    }
    assert_eq!(faults, [""; 0]);
}
