//! Volumes ⇄ XML.

use super::xml::{Element, find, text};
use crate::names::is_log;
use crate::observe::VolumeState;
use crate::resource::{BASE_POOL, Volume};

/// The XML that makes a volume.
pub fn to_xml(volume: &Volume) -> String {
    let mut target =
        Element::new("target").child(Element::new("format").attr("type", volume.format.as_str()));
    if volume.pool == BASE_POOL {
        // Machines of all clusters read it, under whatever account libvirt runs them.
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

/// The state of a volume, from its XML.
pub(super) fn from_xml(xml: &str) -> Result<VolumeState, roxmltree::Error> {
    let document = roxmltree::Document::parse(xml)?;
    let root = document.root_element();
    let bytes = |name| text(root, &[name]).and_then(|text| text.parse::<u64>().ok());
    let name = text(root, &["name"]).unwrap_or_default();
    Ok(VolumeState {
        name: name.to_owned(),
        path: text(root, &["target", "path"]).unwrap_or_default().into(),
        format: find(root, &["target", "format"])
            .and_then(|format| format.attribute("type"))
            .unwrap_or_default()
            .to_owned(),
        capacity: bytes("capacity").unwrap_or_default(),
        allocation: bytes("allocation").unwrap_or_default(),
        physical: bytes("physical"),
        // A guest can print anything into its console log, also the header of an overlay on another machine's disk: so the backing
        // of a log is never believed.
        backing: text(root, &["backingStore", "path"])
            .filter(|path| !path.is_empty() && !is_log(name))
            .map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest prints the header of a qcow2 image just after its log was rotated: libvirt takes the log for an overlay.
    #[test]
    fn a_log_lies_over_nothing_whatever_is_in_it() {
        let volume = |name: &str| {
            let xml = format!(
                "<volume><name>{name}</name><target><path>/p/{name}</path><format type='qcow2'/></target><backingStore>\
                 <path>/base/ubuntu22-0123456789abcdef.other.qcow2</path></backingStore></volume>"
            );
            from_xml(&xml).unwrap().backing
        };
        assert!(volume("demo-worker-1-main-disk").is_some());
        for log in ["demo-worker-1-console.log", "demo-worker-1-console.log.0"] {
            assert_eq!(volume(log), None, "{log}");
        }
    }
}
