//! The site: mdBook builds it from `docs/`, with every page in its table of contents, and each link in it has a target.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use mdbook_driver::MDBook;
use tests::pages::{self, Page, repository};

/// A file of the site: its links, and its anchors.
#[derive(Default)]
struct File {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

fn values(html: &str, attribute: &str) -> Vec<String> {
    let begin = format!(" {attribute}=\"");
    let parts = html.split(&begin).skip(1);
    let values = parts.filter_map(|part| part.split('"').next());
    values.map(|value| value.replace("&amp;", "&")).collect()
}

fn collect(folder: &Path, site: &Path, all: &mut BTreeMap<PathBuf, File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, site, all);
            continue;
        }
        let mut file = File::default();
        if path.extension().is_some_and(|end| end == "html") {
            let html = fs::read_to_string(&path).unwrap();
            file.links = values(&html, "href");
            file.links.extend(values(&html, "src"));
            file.anchors = values(&html, "id").into_iter().collect();
        }
        all.insert(path.strip_prefix(site).unwrap().to_owned(), file);
    }
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The links without a target inside of the site.
fn broken(files: &BTreeMap<PathBuf, File>) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, file) in files {
        for link in &file.links {
            let outside = link.contains("://") || link.starts_with("data:");
            // Links of the page for what is not found begin at the site's root.
            if outside || path == Path::new("404.html") {
                continue;
            }
            let (to, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match to {
                "" => path.clone(),
                to => plain(&path.parent().unwrap().join(to)),
            };
            let found = files
                .get(&target)
                .is_some_and(|target| anchor.is_empty() || target.anchors.contains(anchor));
            if !found {
                faults.push(format!("{}: {link}", path.display()));
            }
        }
    }
    faults
}

#[test]
fn the_site_builds_and_no_link_in_it_leads_nowhere() {
    let site = tempfile::tempdir().unwrap();
    let mut book = MDBook::load(repository()).unwrap();
    book.config.build.build_dir = site.path().to_owned();
    book.build().unwrap();
    let mut files = BTreeMap::new();
    collect(site.path(), site.path(), &mut files);
    for page in pages::all() {
        let html = match page.path.as_str() {
            "README.md" | "docs/SUMMARY.md" => continue,
            "docs/README.md" => PathBuf::from("index.html"),
            path => Path::new(path.strip_prefix("docs/").unwrap()).with_extension("html"),
        };
        assert!(
            files.contains_key(&html),
            "{} is no page of the site",
            page.path
        );
    }
    let links: usize = files.values().map(|file| file.links.len()).sum();
    assert!(links > 1_000, "only {links} links were found");
    assert_eq!(broken(&files), [""; 0]);

    // A broken link is found.
    files.get_mut(Path::new("index.html")).unwrap().links = vec![
        "nowhere.html".to_owned(),
        "scaling.html#nowhere".to_owned(),
        "scaling.html#masters".to_owned(),
    ];
    assert_eq!(
        broken(&files),
        [
            "index.html: nowhere.html",
            "index.html: scaling.html#nowhere"
        ]
    );
}

/// Each page stands in the table of contents once.
#[test]
fn every_page_is_in_the_table_of_contents() {
    let mut listed = Page::read("docs/SUMMARY.md").links();
    listed.sort();
    let docs = pages::all().into_iter().filter_map(|page| {
        let name = page.path.strip_prefix("docs/")?;
        (name != "SUMMARY.md").then(|| name.to_owned())
    });
    assert_eq!(listed, docs.collect::<Vec<_>>());
}
