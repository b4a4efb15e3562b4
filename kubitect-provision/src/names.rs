//! What volumes and machines of a cluster are called, and whose a name is.

/// The name after the cluster's, if it begins like that of a node.
pub(crate) fn of_node<'a>(cluster: &str, name: &'a str) -> Option<&'a str> {
    let rest = name.strip_prefix(cluster)?.strip_prefix('-')?;
    ["lb-", "master-", "worker-"]
        .iter()
        .any(|role| rest.starts_with(role))
        .then_some(rest)
}

/// Whether a volume in one of the cluster's pools is a disk, seed or console of one of its nodes.
pub(crate) fn is_own_volume(cluster: &str, name: &str) -> bool {
    of_node(cluster, name).is_some_and(|rest| {
        ["-main-disk", "-data-disk", "-seed"]
            .iter()
            .any(|end| rest.ends_with(end))
            || is_log(rest)
    })
}

/// Whether a volume is a console's log, or an older part of one: libvirt's log daemon keeps `.0`, `.1` and so on.
pub(crate) fn is_log(name: &str) -> bool {
    log_of(name).is_some()
}

/// The name before a console's log.
pub(crate) fn log_of(name: &str) -> Option<&str> {
    let current = name.rsplit_once('.').map_or(name, |(front, part)| {
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            front
        } else {
            name
        }
    });
    current.strip_suffix("-console.log")
}
