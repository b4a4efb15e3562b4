//! API versions that go away with a newer Kubernetes: which an API server was asked for, and which objects were written in them.
//! Only looks.

use kubitect_config::{Remote, text};

use super::nodes::KUBECTL;
use super::remote::{PATIENCE, once, said};
use crate::Error;

/// Prints the lines of the metric by which an API server tells that it was asked for deprecated APIs since it started: a part of some
/// megabytes.
const REQUESTED: &str = r#"
{ "$@" get --raw=/metrics || echo failed; } |
  grep -e '^apiserver_requested_deprecated_apis{' -e '^failed$' | head -n 500
"#;

/// Prints, for each of these resources, a line for each of its objects: the resource, the namespace, the name, and who wrote fields of
/// it in which API version. A resource that is not served has none.
const WRITTEN: &str = r#"
kubectl="$1 $2 $3 $4"
shift 4
for resource in "$@"; do
  $kubectl get "$resource" --all-namespaces --output=jsonpath='{range .items[*]}{.metadata.namespace}{"\t"}{.metadata.name}{range .metadata.managedFields[*]}{"\t"}{.manager}{"="}{.apiVersion}{end}{"\n"}{end}' 2>/dev/null |
    head -n 500 | head -c 200000 | sed "s|^|$resource	|"
done
true
"#;

/// What an API server was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Requested {
    /// The group and version, as `policy/v1beta1`.
    pub version: String,
    /// The resource, as `poddisruptionbudgets`.
    pub resource: String,
    /// The minor release that no longer serves it: 25 for v1.25.
    pub since: u64,
}

/// An object, and who wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Resource and group, as `poddisruptionbudgets.policy`.
    pub resource: String,
    /// Its name, with its namespace if it is in one: `default/web`.
    pub name: String,
    /// Who wrote fields of it, and in which group and version.
    pub by: Vec<(String, String)>,
}

/// The deprecated APIs that the API server of this master was asked for since it started.
pub async fn requested(remote: &impl Remote) -> Result<Vec<Requested>, Error> {
    let what = "ask an API server which deprecated APIs are in use";
    let argv = [&["sh", "-c", REQUESTED, "sh"], &KUBECTL[..]].concat();
    let output = once(remote, what, &argv, PATIENCE).await?;
    let lines = String::from_utf8_lossy(&output.stdout);
    match lines.lines().any(|line| line == "failed") {
        true => Err(Error::Program {
            what: what.to_owned(),
            lines: said(&output),
        }),
        false => Ok(lines.lines().filter_map(metric).collect()),
    }
}

/// The objects of these resources, each as `poddisruptionbudgets.policy`.
pub async fn written(remote: &impl Remote, resources: &[&str]) -> Result<Vec<Written>, Error> {
    let what = "ask Kubernetes for objects of deprecated APIs";
    let argv = [&["sh", "-c", WRITTEN, "sh"], &KUBECTL[..], resources].concat();
    let output = once(remote, what, &argv, PATIENCE).await?;
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines.lines().filter_map(object).collect())
}

/// A line of the metric, of an API that was asked for.
fn metric(line: &str) -> Option<Requested> {
    let (labels, value) = line.split_once('{')?.1.split_once('}')?;
    let label = |name: &str| {
        let named = |part: &&str| part.starts_with(&format!("{name}=\""));
        let part = labels.split(',').find(named)?;
        Some(text::line(part.split('"').nth(1)?))
    };
    let since = label("removed_release")?.strip_prefix("1.")?.parse().ok()?;
    let version = match label("group")?.as_str() {
        "" => label("version")?,
        group => format!("{group}/{}", label("version")?),
    };
    let resource = label("resource")?;
    let is_set = value.trim() != "0";
    is_set.then_some(Requested {
        version,
        resource,
        since,
    })
}

/// A line of an object.
fn object(line: &str) -> Option<Written> {
    let mut words = line.split('\t').map(text::line);
    let (resource, namespace, name) = (words.next()?, words.next()?, words.next()?);
    let by = words.filter_map(|word| {
        let (manager, version) = word.split_once('=')?;
        Some((manager.to_owned(), version.to_owned()))
    });
    let name = match namespace.as_str() {
        "" => name,
        namespace => format!("{namespace}/{name}"),
    };
    Some(Written {
        resource,
        name,
        by: by.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_read_of_the_metric() {
        let line = "apiserver_requested_deprecated_apis{group=\"policy\",removed_release=\"1.25\",\
                    resource=\"podsecuritypolicies\",subresource=\"\",version=\"v1beta1\"} ";
        let read = metric(&format!("{line}1")).unwrap();
        assert_eq!((read.version.as_str(), read.since), ("policy/v1beta1", 25));
        assert_eq!(read.resource, "podsecuritypolicies");
        assert_eq!(metric(&format!("{line}0")), None);
        // One that is deprecated, and not yet to go.
        assert_eq!(metric(&line.replace("1.25", "")), None);
        let steers = metric(&format!("{}1", line.replace("policies", "\u{1b}[2J"))).unwrap();
        assert!(!steers.resource.contains('\u{1b}'));
        for wrong in ["", "x", "x{", "x{group=}", "x{a}1"] {
            assert_eq!(metric(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn objects_are_read_with_who_wrote_them() {
        let line = "cronjobs.batch\tdefault\tbackup\thelm=batch/v1beta1\tkubelet=batch/v1\u{1b}";
        let read = object(line).unwrap();
        assert_eq!(read.name, "default/backup");
        assert_eq!(read.by[0], ("helm".to_owned(), "batch/v1beta1".to_owned()));
        assert!(!read.by[1].1.contains('\u{1b}'));
        assert_eq!(object("r\t\tn").unwrap().name, "n");
        assert_eq!(object("r\tn"), None);
    }
}
