//! What is noted of balancers that serve, and which of them differ from it.

use std::collections::BTreeMap;

use kubitect_config::cluster::Role;
use kubitect_config::value::Label;
use kubitect_config::{Cluster, digest};

use crate::{Error, Rendered};

/// What is noted of each balancer once these files are rolled out: their digest.
pub fn notes(rendered: &[Rendered]) -> Result<BTreeMap<Label, String>, Error> {
    rendered
        .iter()
        .map(|balancer| {
            let digest = digest::of(&(&balancer.haproxy, &balancer.keepalived))
                .map_err(|e| Error::Digest { source: e.into() })?;
            Ok((balancer.node.clone(), digest))
        })
        .collect()
}

/// The balancers whose files differ from what is `noted` of them, and whether each serves already.
///
/// Of a file that depends on an address which is not known yet, nothing is `wanted` for certain, and it is rolled out.
pub fn outdated(
    cluster: &Cluster,
    wanted: &BTreeMap<Label, String>,
    noted: impl Fn(&Label) -> Option<String>,
) -> Vec<(Label, bool)> {
    let balancers = cluster.role(Role::LoadBalancer).map(|node| &node.name);
    balancers
        .map(|name| (name, noted(name)))
        .filter(|(name, have)| have.is_none() || wanted.get(name) != have.as_ref())
        .map(|(name, have)| (name.clone(), have.is_some()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever changes this makes every living balancer reload once: the digests lie on people's machines.
    #[test]
    fn golden_notes_of_balancers() {
        let rendered = |keepalived: Option<&str>| Rendered {
            node: "demo-lb-1".parse().unwrap(),
            vrrp: None,
            ports: Vec::new(),
            haproxy: "h\n".to_owned(),
            keepalived: keepalived.map(str::to_owned),
        };
        for (keepalived, text) in [(Some("k"), r#"["h\n","k"]"#), (None, r#"["h\n",null]"#)] {
            let notes = notes(&[rendered(keepalived)]).unwrap();
            assert_eq!(
                notes.into_values().collect::<Vec<_>>(),
                [digest::sha256(text.as_bytes())]
            );
        }
    }
}
