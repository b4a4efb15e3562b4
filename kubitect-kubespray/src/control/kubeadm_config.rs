//! kubeadm's configuration as text: reads the etcd endpoints that it lists, and replaces them.

use kubitect_config::yaml::{self, Limits, Value};
use serde::Deserialize;

/// The part of `ClusterConfiguration` that says how API servers reach etcd.
#[derive(Deserialize)]
struct ClusterConfiguration {
    etcd: Etcd,
}

#[derive(Deserialize)]
struct Etcd {
    external: External,
}

#[derive(Deserialize)]
struct External {
    endpoints: Vec<String>,
}

/// The etcd endpoints of a `ClusterConfiguration`, as `https://192.168.113.10:2379`, or why they can't be read.
pub(super) fn endpoints(text: &str) -> Result<Vec<String>, String> {
    let document: ClusterConfiguration =
        yaml::read_as(text, Limits::GUEST).map_err(|e| e.to_string())?;
    Ok(document.etcd.external.endpoints)
}

/// kubeadm's configuration (several YAML documents) with `wanted` as its etcd endpoints, or why it can't be changed so. Every
/// other line stays as Kubespray wrote it, and the result is parsed again and compared: only the endpoints may differ. A text
/// with an unexpected layout is an error, instead of a broken configuration for kubeadm.
pub(super) fn with_endpoints(text: &str, wanted: &[String]) -> Result<String, String> {
    let mut result = String::new();
    let mut count = 0;
    for document in documents(text) {
        match read(document) {
            Ok(value) if value["kind"] == "ClusterConfiguration" => {
                result.push_str(&replace(document, wanted)?);
                count += 1;
            }
            // The other documents list no etcd endpoints; they may be of kinds that this program can't read.
            _ => result.push_str(document),
        }
    }
    match count {
        1 => Ok(result),
        _ => Err(format!(
            "it has {count} documents of kind ClusterConfiguration"
        )),
    }
}

fn read(document: &str) -> Result<Value, String> {
    yaml::read(document, Limits::GUEST).map_err(|e| e.to_string())
}

/// The documents of a YAML stream; each begins with its line `---`.
fn documents(text: &str) -> Vec<&str> {
    let mut starts = vec![0];
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" && offset > 0 {
            starts.push(offset);
        }
        offset += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| &text[*start..end])
        .collect()
}

/// A `ClusterConfiguration` in which the list items below its one line `endpoints:` are replaced.
fn replace(document: &str, wanted: &[String]) -> Result<String, String> {
    if endpoints(document).is_ok_and(|current| current == wanted) {
        return Ok(document.to_owned());
    }
    let mut result = String::new();
    let mut lines = document.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        result.push_str(line);
        if line.trim() != "endpoints:" {
            continue;
        }
        let is_item = |line: &&str| line.trim_start().starts_with("- ");
        let Some(indent) = lines
            .next_if(is_item)
            .map(|item| item.len() - item.trim_start().len())
        else {
            return Err("no endpoint stands below `endpoints:`".to_owned());
        };
        while lines.next_if(is_item).is_some() {}
        for endpoint in wanted {
            result.push_str(&format!("{:indent$}- \"{endpoint}\"\n", ""));
        }
    }
    let (mut before, after) = (read(document)?, read(&result)?);
    let external = before
        .get_mut("etcd")
        .and_then(|etcd| etcd.get_mut("external"));
    let Some(current) = external.and_then(|external| external.get_mut("endpoints")) else {
        return Err("it names no endpoints of an external etcd".to_owned());
    };
    *current = wanted
        .iter()
        .map(|endpoint| Value::from(endpoint.as_str()))
        .collect();
    match before == after {
        true => Ok(result),
        false => Err("its endpoints stand where they are not expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Kubespray v2.19.0 writes it (cut), with one member, and its unusual indents.
    const OLD: &str = "apiVersion: kubeadm.k8s.io/v1beta2\nkind: InitConfiguration\nlocalAPIEndpoint:\n  advertiseAddress: 10.0.0.1\n\
        ---\napiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\netcd:\n  external:\n      endpoints:\n      \
        - https://10.0.0.1:2379\n      caFile: /etc/ssl/etcd/ssl/ca.pem\napiServer:\n  extraArgs:\n    profiling: \"False\"\n\
        ---\nkind: KubeProxyConfiguration\nstrictARP: False\n";

    fn urls(hosts: &[&str]) -> Vec<String> {
        hosts
            .iter()
            .map(|host| format!("https://{host}:2379"))
            .collect()
    }

    #[test]
    fn endpoints_are_replaced_and_every_other_line_stays() {
        let three = urls(&["10.0.0.2", "10.0.0.3", "10.0.0.1"]);
        let text = with_endpoints(OLD, &three).unwrap();
        let removed: Vec<_> = OLD.lines().filter(|line| !text.contains(line)).collect();
        assert_eq!(removed, ["      - https://10.0.0.1:2379"]);
        assert!(text.contains(
            "      endpoints:\n      - \"https://10.0.0.2:2379\"\n      - \"https://10.0.0.3:2379\"\n      - \"https://10.0.0.1:2379\"\n      caFile:"
        ));
        assert_eq!(with_endpoints(&text, &three).unwrap(), text);
        // The same endpoints without quotation marks: nothing changes.
        assert_eq!(with_endpoints(OLD, &urls(&["10.0.0.1"])).unwrap(), OLD);
        let restored = with_endpoints(&text, &urls(&["10.0.0.1"])).unwrap();
        assert_eq!(restored.replace('"', ""), OLD.replace('"', ""));
    }

    #[test]
    fn what_the_configmap_holds_is_read() {
        let text = "kind: ClusterConfiguration\netcd:\n  external:\n    caFile: /c\n    endpoints:\n    - https://10.0.0.1:2379\n";
        assert_eq!(endpoints(text).unwrap(), urls(&["10.0.0.1"]));
        assert!(endpoints("kind: ClusterConfiguration\netcd:\n  local: {}\n").is_err());
    }

    #[test]
    fn what_is_not_understood_is_not_changed() {
        let endpoint = urls(&["10.0.0.1"]);
        for text in [
            "",
            "kind: InitConfiguration\n",
            "kind: ClusterConfiguration\netcd:\n  local: {}\n",
            "kind: ClusterConfiguration\netcd:\n  external:\n    endpoints: [https://10.0.0.9:2379]\n",
            "kind: ClusterConfiguration\netcd:\n  external:\n    endpoints:\n    caFile: /c\n",
            "kind: ClusterConfiguration\nother:\n  endpoints:\n  - a\netcd:\n  external:\n    endpoints:\n    - b\n",
        ] {
            assert!(with_endpoints(text, &endpoint).is_err(), "{text}");
        }
    }
}
