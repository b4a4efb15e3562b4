//! From a file or text to a [`Cluster`] or [`Site`]. Reading these files is the only I/O: validation itself does none.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::cluster::Cluster;
use crate::error::Error;
use crate::keys::KeyJudge;
use crate::problem::{Problem, Severity};
use crate::release::Hop;
use crate::report::{KeyPath, Report};
use crate::site::Site;
use crate::tree::Tree;
use crate::{ansible, older, omitted_versions, raw, schema, structure, tree, validate, yaml};

/// The largest file that is read, in bytes. The file of a cluster of 10,000 nodes has a sixth of that.
const MAX_BYTES: usize = 4 << 20;

/// A valid configuration, with its warnings.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The cluster.
    pub cluster: Cluster,
    /// The warnings, in the order of the file.
    pub warnings: Vec<Problem>,
    /// Whether the file omits the version of Kubernetes or of Kubespray: a cluster that exists then keeps its own.
    pub omits_version: bool,
    /// For a cluster that exists: a sentence for each omitted version, if a newer one could be set up.
    pub version_remarks: Vec<String>,
}

/// How a configuration is checked.
#[derive(Default, Clone, Copy)]
pub(crate) struct Mode<'a> {
    /// Codes of errors that become warnings.
    pub tolerated: &'static [&'static str],
    /// The versions of the cluster that the file describes; none: it is a new one.
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

/// Codes of problems with which a cluster can't be set up or changed, but can exist: a file that an older Kubitect accepted and
/// applied may have them. For a stored configuration they are warnings, so that its cluster can still be looked at and destroyed.
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

/// Reads the configuration of a cluster that exists, as a run stored it in the cluster's folder. Versions that it omits are those
/// of `living`. Errors for which only Kubespray or a newer Kubitect refuses it (`CONDITIONS`) are warnings: so the cluster can
/// still be looked at and destroyed.
///
/// # Errors
/// The file cannot be read, or has other errors: all of them are in [`Error::problems`].
pub fn load_stored(path: &Path, site: &Site, living: Option<&Hop>) -> Result<Parsed, Error> {
    let (file, text) = read_stored(path)?;
    let mode = Mode {
        tolerated: &CONDITIONS,
        living,
    };
    parse_as(mode, &text, &file, site, &|_, _| None)
}

/// Checks a configuration. `file` names it in problems.
///
/// # Errors
/// It has errors: all of them are in [`Error::problems`].
pub fn parse(text: &str, file: &str, site: &Site) -> Result<Parsed, Error> {
    parse_with_keys(text, file, site, &|_, _| None)
}

/// The errors that a configuration would have with these versions. An upgrade through this hop sets nodes up with the file's
/// variables, so the release of the hop must take them. Empty if the configuration has errors with its own versions: those are
/// reported elsewhere.
pub fn problems_at_hop(text: &str, site: &Site, hop: &Hop) -> Vec<Problem> {
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

/// Checks a configuration as [`parse`] does; `keys` judges the key files that it names.
///
/// # Errors
/// It has errors: all of them are in [`Error::problems`].
pub fn parse_with_keys(
    text: &str,
    file: &str,
    site: &Site,
    keys: KeyJudge,
) -> Result<Parsed, Error> {
    parse_as(Mode::default(), text, file, site, keys)
}

/// Checks a configuration in this mode.
pub(crate) fn parse_as(
    mode: Mode,
    text: &str,
    file: &str,
    site: &Site,
    keys: KeyJudge,
) -> Result<Parsed, Error> {
    let (found, warnings) = checked(mode.tolerated, text, file, &|mut raw, report| {
        let written = raw.kubernetes.clone();
        if let Some(living) = mode.living {
            omitted_versions::fill_in(&mut raw.kubernetes, living);
        }
        Some((validate::cluster(&raw, site, keys, report)?, written))
    })?;
    let (cluster, written) = found;
    let wanted = cluster.kubernetes.hop();
    let remarks = mode
        .living
        .map(|living| omitted_versions::remarks(&written, living, &wanted));
    Ok(Parsed {
        cluster,
        warnings,
        omits_version: omitted_versions::omits_version(&written),
        version_remarks: remarks.unwrap_or_default(),
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
        // A file with comments only is the same as no file.
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

/// From text to a tree, to raw types `R`, to `T`, with all problems of all steps.
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
    let foreign = tree
        .as_ref()
        .and_then(|tree| structure::foreign_file(tree, schema));
    match (&tree, foreign) {
        (Some(tree), Some((message, help))) => {
            let error = Severity::Error;
            report.at_key(&KeyPath::Root, tree, error, "other-file", message, help);
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

/// As [`read`], for a file that a run has stored: a regular file.
pub(crate) fn read_stored(path: &Path) -> Result<(String, String), Error> {
    crate::file::check_regular(path).map_err(|source| Error::Read {
        file: path.display().to_string(),
        source,
    })?;
    read(path)
}

/// Reads a configuration file of limited size; `-` is standard input. Gives its name for messages, and its text.
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
    // One byte more than the limit is read: so a file that is too large is recognised whatever size its metadata says.
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

/// An error about a file as a whole.
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
