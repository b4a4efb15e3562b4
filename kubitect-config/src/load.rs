//! Text to [`Cluster`]; reading the text is the crate's only I/O.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::cluster::Cluster;
use crate::error::Error;
use crate::keys::KeyJudge;
use crate::problem::{Problem, Severity};
use crate::release::Hop;
use crate::report::{At, Report};
use crate::site::Site;
use crate::tree::Tree;
use crate::{ansible, keep, older, raw, schema, structure, tree, validate, yaml};

/// The largest file that is read, in bytes. A cluster of 10,000 nodes has a sixth of it.
const MAX_BYTES: usize = 4 << 20;

/// A valid configuration, and what is doubtful in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The cluster.
    pub cluster: Cluster,
    /// Doubts, in the order of the file.
    pub warnings: Vec<Problem>,
    /// Whether the file leaves a version out, of Kubernetes or of Kubespray: a cluster that lives keeps its own.
    pub is_open: bool,
    /// What a person should know of the versions that it leaves out, a sentence each, where the cluster lives.
    pub kept: Vec<String>,
}

/// How a configuration is checked.
#[derive(Default, Clone, Copy)]
pub(crate) struct How<'a> {
    /// Codes of errors that are warnings here.
    pub tolerated: &'static [&'static str],
    /// What the cluster has that is described; none: it is a new one.
    pub living: Option<&'a Hop>,
}

/// Reads and checks a configuration file; `-` is standard input.
///
/// # Errors
/// The file cannot be read, or has errors: all of them are in [`Error::problems`].
pub fn load(path: &Path, site: &Site) -> Result<Parsed, Error> {
    let (file, text) = read(path)?;
    parse(&text, &file, site)
}

/// What a cluster can't be set up or changed with, and can be what it is: conditions that a file may break which an older
/// Kubitect accepted.
pub(crate) const CONDITIONS: [&str; 24] = [
    "addon-variable",
    "addon-variable-type",
    "addon-variable-version",
    "address-given-out",
    "address-host",
    "calico-routes",
    "certificate-name",
    "cilium-release",
    "component-version",
    "distro-cgroup",
    "distro-kernel",
    "distro-release",
    "host-same",
    "ipv6",
    "kubespray-pair",
    "kubespray-refuses",
    "memory",
    "name-server",
    "network-full",
    "network-hosts",
    "not-in-release",
    "port-name-reserved",
    "processors",
    "range-overlap",
];

/// Reads the configuration of a cluster that there is, as it was kept when it was applied; versions that it leaves out are those
/// of `living`. What Kubespray would refuse, and what is only wrong by a rule of this release's, are warnings: the cluster can be
/// looked at and destroyed with it.
///
/// # Errors
/// The file cannot be read, or has other errors: all of them are in [`Error::problems`].
pub fn load_kept(path: &Path, site: &Site, living: Option<&Hop>) -> Result<Parsed, Error> {
    let (file, text) = read_kept(path)?;
    let how = How {
        tolerated: &CONDITIONS,
        living,
    };
    parse_as(how, &text, &file, site, &|_, _| None)
}

/// Checks a configuration. `file` names it in problems.
///
/// # Errors
/// It has errors: all of them are in [`Error::problems`].
pub fn parse(text: &str, file: &str, site: &Site) -> Result<Parsed, Error> {
    parse_with_keys(text, file, site, &|_, _| None)
}

/// What a configuration would be wrong with if it were of this pair of versions: an upgrade that goes over it sets nodes up with the
/// variables of the file. Nothing, where it is wrong as it is.
pub fn on_the_way(text: &str, site: &Site, hop: &Hop) -> Vec<Problem> {
    let with_hop = |mut raw: raw::Config, report: &mut Report| {
        raw.kubernetes.version = Some(hop.kubernetes.to_string());
        raw.kubernetes.kubespray.version = Some(hop.kubespray.to_string());
        validate::cluster(&raw, site, &|_, _| None, report)
    };
    let problems = |with: &dyn Fn(raw::Config, &mut Report) -> Option<Cluster>| match checked(
        &[],
        text,
        "",
        with,
    ) {
        Err(Error::Invalid { problems, .. }) => problems,
        _ => Vec::new(),
    };
    let own = problems(&|raw, report| validate::cluster(&raw, site, &|_, _| None, report));
    if !own.is_empty() {
        return Vec::new();
    }
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    problems(&with_hop).into_iter().filter(is_error).collect()
}

/// Checks a configuration as [`parse`] does, and has the key files looked at that it names.
///
/// # Errors
/// It has errors: all of them are in [`Error::problems`].
pub fn parse_with_keys(
    text: &str,
    file: &str,
    site: &Site,
    keys: KeyJudge,
) -> Result<Parsed, Error> {
    parse_as(How::default(), text, file, site, keys)
}

/// The same, in this way.
pub(crate) fn parse_as(
    how: How,
    text: &str,
    file: &str,
    site: &Site,
    keys: KeyJudge,
) -> Result<Parsed, Error> {
    let (found, warnings) = checked(how.tolerated, text, file, &|mut raw, report| {
        let written = raw.kubernetes.clone();
        if let Some(living) = how.living {
            keep::keep(&mut raw.kubernetes, living);
        }
        Some((validate::cluster(&raw, site, keys, report)?, written))
    })?;
    let (cluster, written) = found;
    let has = cluster.kubernetes.hop();
    let kept = how
        .living
        .map(|living| keep::remarks(&written, living, &has));
    Ok(Parsed {
        cluster,
        warnings,
        is_open: keep::is_open(&written),
        kept: kept.unwrap_or_default(),
    })
}

fn checked<T>(
    tolerated: &'static [&'static str],
    text: &str,
    file: &str,
    validate: &dyn Fn(raw::Config, &mut Report) -> Option<T>,
) -> Result<(T, Vec<Problem>), Error> {
    let rewrite = |tree: &mut Tree| {
        let older = older::rewrite(tree);
        ansible::rewrite(tree);
        older
    };
    check(tolerated, text, file, &schema::CLUSTER, rewrite, validate)
}

impl Site {
    /// Reads and checks a site file.
    ///
    /// # Errors
    /// The file cannot be read, or has errors: all of them are in [`Error::problems`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let (file, text) = read(path)?;
        Self::parse(&text, &file)
    }

    /// Checks a site file. `file` names it in problems. An empty text is an empty site.
    ///
    /// # Errors
    /// It has errors: all of them are in [`Error::problems`].
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        // A file of comments only is as good as none.
        if let (None, faults) = tree::read(text, true)
            && faults.is_empty()
        {
            return Ok(Self::default());
        }
        check(
            &[],
            text,
            file,
            &schema::SITE,
            |_| Vec::new(),
            |raw, report| validate::site(&raw, report),
        )
        .map(|(site, _)| site)
    }
}

/// Text → tree → raw → `T`, with all problems of all steps.
fn check<R: serde::de::DeserializeOwned, T>(
    tolerated: &'static [&'static str],
    text: &str,
    file: &str,
    schema: &serde_json::Value,
    rewrite: fn(&mut Tree) -> Vec<older::Finding>,
    validate: impl Fn(R, &mut Report) -> Option<T>,
) -> Result<(T, Vec<Problem>), Error> {
    if text.len() > MAX_BYTES {
        return Err(whole(file, "file-too-large", too_large(text.len() as u64)));
    }
    let (mut tree, faults) = tree::read(text, true);
    let older = tree.as_mut().map(rewrite).unwrap_or_default();
    let mut report = Report::new(file, text, tree.as_ref()).tolerating(tolerated);
    for fault in faults {
        report.fault(Severity::Error, fault);
    }
    for (severity, fault) in older {
        report.fault(severity, fault);
    }
    let mut result = None;
    let stranger = tree
        .as_ref()
        .and_then(|tree| structure::stranger(tree, schema));
    match (&tree, stranger) {
        (Some(tree), Some((message, help))) => {
            let error = Severity::Error;
            report.at_key(&At::Root, tree, error, "other-file", message, help);
        }
        (Some(tree), None) => {
            let value = structure::check(tree, schema, &mut report);
            match yaml::from_value::<R>(value) {
                Ok(raw) => result = validate(raw, &mut report),
                Err(error) => report.structure_error(error.to_string()),
            }
        }
        (None, _) if !report.failed() => report.empty(),
        (None, _) => {}
    }
    let failed = report.failed();
    let problems = report.finish();
    match result {
        Some(value) if !failed => Ok((value, problems)),
        _ => Err(Error::Invalid {
            file: file.to_owned(),
            text: text.to_owned(),
            problems,
        }),
    }
}

/// As [`read`], a file that was written by a run.
pub(crate) fn read_kept(path: &Path) -> Result<(String, String), Error> {
    crate::file::check_regular(path).map_err(|source| Error::Read {
        file: path.display().to_string(),
        source,
    })?;
    read(path)
}

/// Reads a configuration file, of bounded size; `-` is standard input. Gives its name for people, and its text.
///
/// # Errors
/// The file cannot be read, is too large or is not text.
pub fn read(path: &Path) -> Result<(String, String), Error> {
    let stdin = path == Path::new("-");
    let file = if stdin {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    };
    let failed = |source| Error::Read {
        file: file.clone(),
        source,
    };
    let mut bytes = Vec::new();
    // One byte more than is allowed tells a file that is too large, whatever it claims to be.
    let limit = MAX_BYTES as u64 + 1;
    if stdin {
        io::stdin()
            .lock()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
    } else {
        let input = File::open(path).map_err(failed)?;
        let metadata = input.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::Error::other(
                "it is a folder; name a file in it",
            )));
        }
        if metadata.is_file() && metadata.len() > MAX_BYTES as u64 {
            return Err(whole(&file, "file-too-large", too_large(metadata.len())));
        }
        input.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() > MAX_BYTES {
        return Err(whole(
            &file,
            "file-too-large",
            too_large(bytes.len() as u64),
        ));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((file, text)),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = good.iter().filter(|&&b| b == b'\n').count() + 1;
            let message = format!("line {line} is not UTF-8 text");
            Err(whole(
                &file,
                "not-text",
                (message, "save the file as UTF-8".to_owned()),
            ))
        }
    }
}

fn too_large(bytes: u64) -> (String, String) {
    (
        format!(
            "the file is {:.1} MiB long; at most {} MiB are read",
            bytes as f64 / f64::from(1 << 20),
            MAX_BYTES >> 20
        ),
        "check that this is the right file: a cluster of 10,000 nodes needs less than 1 MiB"
            .to_owned(),
    )
}

/// A problem of a file as a whole.
fn whole(file: &str, code: &'static str, (message, help): (String, String)) -> Error {
    Error::Invalid {
        file: file.to_owned(),
        text: String::new(),
        problems: vec![Problem {
            file: file.to_owned(),
            line: 1,
            column: 1,
            path: String::new(),
            severity: Severity::Error,
            code,
            message,
            help,
            span: 0..0,
        }],
    }
}
