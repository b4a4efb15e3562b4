//! Volumes ⇄ XML.

use super::xml::{Element, find, text};
use crate::observe::VolumeState;
use crate::resource::{BASE_POOL, Volume};

/// The XML that makes a volume.
pub fn to_xml(volume: &Volume) -> String {
    let mut target =
        Element::new("target").child(Element::new("format").attr("type", volume.format.as_str()));
    if volume.pool == BASE_POOL {
        // Read by the machines of all clusters, whatever account libvirt runs each of them as.
        target = target.child(Element::new("permissions").child(Element::text("mode", "0644")));
    }
    let mut element = Element::new("volume")
        .child(Element::text("name", &volume.name))
        .child(Element::text("capacity", volume.capacity).attr("unit", "bytes"))
        .child(Element::text("allocation", 0).attr("unit", "bytes"))
        .child(target);
    if let Some(backing) = &volume.backing {
        element = element.child(
            Element::new("backingStore")
                .child(Element::text("path", backing.path.display()))
                .child(Element::new("format").attr("type", backing.format.as_str())),
        );
    }
    element.document()
}

/// What a volume's XML tells.
pub(super) fn from_xml(xml: &str) -> Result<VolumeState, roxmltree::Error> {
    let document = roxmltree::Document::parse(xml)?;
    let root = document.root_element();
    let bytes = |name| text(root, &[name]).and_then(|text| text.parse::<u64>().ok());
    Ok(VolumeState {
        name: text(root, &["name"]).unwrap_or_default().to_owned(),
        path: text(root, &["target", "path"]).unwrap_or_default().into(),
        format: find(root, &["target", "format"])
            .and_then(|format| format.attribute("type"))
            .unwrap_or_default()
            .to_owned(),
        capacity: bytes("capacity").unwrap_or_default(),
        allocation: bytes("allocation").unwrap_or_default(),
        physical: bytes("physical"),
        backing: text(root, &["backingStore", "path"])
            .filter(|path| !path.is_empty())
            .map(Into::into),
    })
}
