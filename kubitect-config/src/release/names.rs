//! The names of the variables that a release of Kubespray reads, with their types. By these validation finds variables that are
//! misspelt, no longer read or of another type. The data is made from Kubespray's tags by `tests/kubespray-release.py`.

use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

use super::{Release, all};

/// The type of a variable, as far as its default shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// A whole number.
    Number,
    /// A list.
    List,
    /// A mapping.
    Mapping,
    /// A list or a mapping: the default is an empty one of either type, and the releases differ in which of them they take.
    Collection,
    /// A version without a leading `v`.
    Bare,
    /// A version with a leading `v`.
    Prefixed,
    /// Other text.
    Text,
    /// Not known: the default is an expression, or there is none.
    Unknown,
}

/// The variables of one release: name to type.
pub type Names = HashMap<&'static str, Kind>;

/// One line of the data: the variables of one type that the releases from `first` to `last` have. Both are indices into [`all`].
struct Line {
    first: usize,
    last: usize,
    kind: Kind,
    names: Vec<&'static str>,
}

// The data is compiled in, and a test reads it: `expect` can't fail on a person's input.
static LINES: LazyLock<Vec<Line>> = LazyLock::new(|| {
    include_str!("../../data/kubespray-variables.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|text| line(text).expect("the list of variables is well formed"))
        .collect()
});

/// The variables of each release, by its index in [`all`]. Each is made when it is first asked for: a run needs few of them.
static BY_RELEASE: LazyLock<Vec<OnceLock<Names>>> =
    LazyLock::new(|| all().iter().map(|_| OnceLock::new()).collect());

/// Reads a line: `v2.19.0..v2.21.0 b: one two`.
fn line(text: &'static str) -> Option<Line> {
    let (head, names) = text.split_once(": ")?;
    let (tags, kind) = head.split_once(' ')?;
    let (first, last) = tags.split_once("..")?;
    let index = |tag: &str| {
        all()
            .iter()
            .position(|release| release.tag.to_string() == tag)
    };
    let kind = match kind {
        "b" => Kind::Boolean,
        "i" => Kind::Number,
        "l" => Kind::List,
        "m" => Kind::Mapping,
        "c" => Kind::Collection,
        "n" => Kind::Bare,
        "v" => Kind::Prefixed,
        "s" => Kind::Text,
        "?" => Kind::Unknown,
        _ => return None,
    };
    Some(Line {
        first: index(first)?,
        last: index(last)?,
        kind,
        names: names.split(' ').collect(),
    })
}

/// All variables that a release reads. A release that is newer than the table has those of the newest in it.
pub fn names(release: &Release) -> &'static Names {
    let newest = all().len() - 1;
    let index = all()
        .iter()
        .position(|own| own.tag == release.tag)
        .unwrap_or(newest);
    BY_RELEASE[index].get_or_init(|| names_of(index))
}

fn names_of(index: usize) -> Names {
    LINES
        .iter()
        .filter(|line| (line.first..=line.last).contains(&index))
        .flat_map(|line| line.names.iter().map(|name| (*name, line.kind)))
        .collect()
}

/// The newest release that reads this variable.
pub fn last_with(name: &str) -> Option<&'static Release> {
    let last = LINES
        .iter()
        .filter(|line| line.names.contains(&name))
        .map(|line| line.last)
        .max()?;
    all().get(last)
}

/// The oldest release that reads this variable.
pub fn first_with(name: &str) -> Option<&'static Release> {
    let first = LINES
        .iter()
        .filter(|line| line.names.contains(&name))
        .map(|line| line.first)
        .min()?;
    all().get(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::find;

    fn names_of_tag(tag: &str) -> &'static Names {
        names(find(&tag.parse().unwrap()).unwrap())
    }

    #[test]
    fn every_release_has_its_variables() {
        for release in all() {
            let count = names(release).len();
            assert!((1500..2200).contains(&count), "{}: {count}", release.tag);
        }
    }

    #[test]
    fn names_types_and_their_time_are_those_of_the_tags() {
        assert_eq!(
            names_of_tag("v2.30.0").get("helm_enabled"),
            Some(&Kind::Boolean)
        );
        assert_eq!(
            names_of_tag("v2.30.0").get("kube_network_node_prefix"),
            Some(&Kind::Number)
        );
        assert!(names_of_tag("v2.21.0").contains_key("metallb_ip_range"));
        assert!(!names_of_tag("v2.22.0").contains_key("metallb_ip_range"));
        assert!(names_of_tag("v2.22.0").contains_key("metallb_config"));
        for name in [
            "metrics_server_enabled",
            "http_proxy",
            "kube_proxy_strict_arp",
            "calico_pool_blocksize",
            "cilium_ipsec_key",
            "kubelet_config_extra_args",
        ] {
            assert!(names_of_tag("v2.19.0").contains_key(name), "{name}");
            assert!(names_of_tag("v2.31.0").contains_key(name), "{name}");
        }
        assert!(!names_of_tag("v2.31.0").contains_key("metrics_server_enable"));
        // Kubespray reads it by a name that it makes from parts.
        assert!(names_of_tag("v2.31.0").contains_key("kube_memory_reserved"));
        // In the sample inventory and among the defaults, but no task reads it.
        for name in [
            "metallb_protocol",
            "deploy_netchecker",
            "files_repo",
            "etcd_node_cert_hosts",
        ] {
            assert!(!names_of_tag("v2.31.0").contains_key(name), "{name}");
        }
        // Its default is empty, and some releases take a mapping.
        let registries = names_of_tag("v2.21.0").get("containerd_insecure_registries");
        assert_eq!(registries, Some(&Kind::Collection));
        // Its value may be text as well.
        let flags = names_of_tag("v2.19.0").get("kubelet_custom_flags");
        assert_ne!(flags, Some(&Kind::Collection));
        let last = last_with("metallb_ip_range").unwrap();
        assert_eq!(last.tag.to_string(), "v2.21.0");
        let first = first_with("metallb_config").unwrap();
        assert_eq!(first.tag.to_string(), "v2.22.0");
    }
}
