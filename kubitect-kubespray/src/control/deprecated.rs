//! Use of API versions that a newer Kubernetes no longer serves: requests for them, and objects whose fields were written in them.
//! Changes nothing.

use kubitect_config::{Remote, text};

use super::nodes::KUBECTL;
use super::remote::{LIMIT, last_output, run_once};
use crate::Error;

/// Prints the metric in which an API server counts requests for deprecated APIs since its start. It is filtered on the master,
/// because all metrics are some megabytes.
const REQUESTED_SCRIPT: &str = r#"
{ "$@" get --raw=/metrics || echo failed; } |
  grep -e '^apiserver_requested_deprecated_apis{' -e '^failed$' | head -n 500
"#;

/// Prints a line for each object of these resources: the resource, the namespace, the name, and each field manager with the API
/// version in which it wrote. A resource that is not served has no lines.
const WRITTEN_SCRIPT: &str = r#"
kubectl="$1 $2 $3 $4"
shift 4
for resource in "$@"; do
  $kubectl get "$resource" --all-namespaces --output=jsonpath='{range .items[*]}{.metadata.namespace}{"\t"}{.metadata.name}{range .metadata.managedFields[*]}{"\t"}{.manager}{"="}{.apiVersion}{end}{"\n"}{end}' 2>/dev/null |
    head -n 500 | head -c 200000 | sed "s|^|$resource	|"
done
true
"#;

/// A deprecated API that an API server was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestedApi {
    /// The group and version, as `policy/v1beta1`.
    pub version: String,
    /// The resource, as `poddisruptionbudgets`.
    pub resource: String,
    /// The minor release that no longer serves it: 25 for v1.25.
    pub since: u64,
}

/// An object with its field managers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiObject {
    /// Resource and group, as `poddisruptionbudgets.policy`.
    pub resource: String,
    /// Its name, with its namespace if it is in one: `default/web`.
    pub name: String,
    /// Its field managers (`managedFields`), each with the group and version in which it wrote.
    pub managers: Vec<(String, String)>,
}

/// The deprecated APIs that the API server of this master was asked for since it started.
pub async fn requested_apis(remote: &impl Remote) -> Result<Vec<RequestedApi>, Error> {
    let what = "ask an API server which deprecated APIs are in use";
    let argv = [&["sh", "-c", REQUESTED_SCRIPT, "sh"], &KUBECTL[..]].concat();
    let output = run_once(remote, what, &argv, LIMIT).await?;
    let lines = String::from_utf8_lossy(&output.stdout);
    match lines.lines().any(|line| line == "failed") {
        true => Err(Error::Program {
            what: what.to_owned(),
            lines: last_output(&output),
        }),
        false => Ok(lines.lines().filter_map(metric).collect()),
    }
}

/// The objects of these resources, each as `poddisruptionbudgets.policy`.
pub async fn objects(remote: &impl Remote, resources: &[&str]) -> Result<Vec<ApiObject>, Error> {
    let what = "ask Kubernetes for objects of deprecated APIs";
    let argv = [&["sh", "-c", WRITTEN_SCRIPT, "sh"], &KUBECTL[..], resources].concat();
    let output = run_once(remote, what, &argv, LIMIT).await?;
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines.lines().filter_map(object).collect())
}

/// Parses a line of the metric; `None` if the API was not asked for, or is not yet to be removed.
fn metric(line: &str) -> Option<RequestedApi> {
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
    is_set.then_some(RequestedApi {
        version,
        resource,
        since,
    })
}

/// Parses a line that [`WRITTEN_SCRIPT`] prints.
fn object(line: &str) -> Option<ApiObject> {
    let mut fields = line.split('\t').map(text::line);
    let (resource, namespace, name) = (fields.next()?, fields.next()?, fields.next()?);
    let managers = fields.filter_map(|field| {
        let (manager, version) = field.split_once('=')?;
        Some((manager.to_owned(), version.to_owned()))
    });
    let name = match namespace.as_str() {
        "" => name,
        namespace => format!("{namespace}/{name}"),
    };
    Some(ApiObject {
        resource,
        name,
        managers: managers.collect(),
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
        // Deprecated, but no release removes it yet.
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
        assert_eq!(
            read.managers[0],
            ("helm".to_owned(), "batch/v1beta1".to_owned())
        );
        assert!(!read.managers[1].1.contains('\u{1b}'));
        assert_eq!(object("r\t\tn").unwrap().name, "n");
        assert_eq!(object("r\tn"), None);
    }
}
