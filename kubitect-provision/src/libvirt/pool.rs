//! Pools ⇄ XML.

use super::xml::{Element, text};
use crate::observe::PoolState;
use crate::resource::Pool;

/// The XML that defines a pool.
pub fn to_xml(pool: &Pool) -> String {
    Element::new("pool")
        .attr("type", "dir")
        .child(Element::text("name", &pool.name))
        .child(Element::new("target").child(Element::text("path", pool.path.display())))
        .document()
}

/// The state of a pool, from its XML. Its volumes are read separately.
pub(super) fn from_xml(xml: &str, active: bool) -> Result<PoolState, roxmltree::Error> {
    let document = roxmltree::Document::parse(xml)?;
    let root = document.root_element();
    Ok(PoolState {
        name: text(root, &["name"]).unwrap_or_default().to_owned(),
        is_folder: root.attribute("type") == Some("dir"),
        path: text(root, &["target", "path"]).map(Into::into),
        active,
        available: text(root, &["available"])
            .and_then(|bytes| bytes.parse().ok())
            .filter(|_| active)
            .unwrap_or_default(),
        volumes: Vec::new(),
    })
}
