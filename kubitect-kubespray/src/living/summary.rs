//! [`newest_release`] and [`joined_nodes`]: what is set up on an existing cluster, by the notes on its machines. Pure.

use std::collections::BTreeMap;

use kubitect_config::release::Hop;
use kubitect_config::value::Label;

use super::note::Note;

/// The newest release that any machine has, or is being upgraded to: nothing older is run on the cluster. None, where no machine
/// has a note of Kubernetes. A note that can't be read does not count here; the plan refuses it.
pub fn newest_release(note_texts: &BTreeMap<Label, Option<String>>) -> Option<Hop> {
    let notes = note_texts.values().flatten();
    let notes = notes.filter_map(|text| Note::read(text).ok());
    let releases = notes.flat_map(|note| [Some(note.release), note.getting]);
    releases.flatten().max()
}

/// The machines whose notes say that Kubernetes is set up on them.
pub fn joined_nodes(note_texts: &BTreeMap<Label, Option<String>>) -> Vec<Label> {
    let is_finished = |note: &Option<String>| {
        let note = note.as_deref().and_then(|text| Note::read(text).ok());
        note.is_some_and(|note| note.finished)
    };
    let finished = note_texts.iter().filter(|(_, note)| is_finished(note));
    finished.map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_begun_upgrade_counts_and_what_is_no_note_does_not() {
        let note = |release: [&str; 2], getting: Option<[&str; 2]>| {
            let hop = |[kubernetes, kubespray]: [&str; 2]| {
                format!(r#"{{"kubernetes":"{kubernetes}","kubespray":"{kubespray}"}}"#)
            };
            let getting = getting.map(|getting| format!(r#""getting":{},"#, hop(getting)));
            Some(format!(
                r#"{{"version":1,"finished":true,"busy":false,"release":{},{}"settings":"","addons":"","labels":{{}},"taints":[],"members":[]}}"#,
                hop(release),
                getting.unwrap_or_default()
            ))
        };
        let of = |notes: &[Option<String>]| {
            let names = (0..).map(|id| format!("c-{id}").parse().unwrap());
            let newest = newest_release(&names.zip(notes.iter().cloned()).collect());
            newest.map(|hop| [hop.kubernetes, hop.kubespray].map(|own| own.to_string()))
        };
        let older = ["v1.33.5", "v2.29.1"];
        let newer = ["v1.33.5", "v2.30.0"];
        assert_eq!(of(&[None, Some("a balancer's".to_owned())]), None);
        assert_eq!(
            of(&[None, note(older, None)]),
            Some(older.map(str::to_owned))
        );
        for notes in [
            [note(older, None), note(newer, None)],
            [note(older, Some(newer)), note(older, None)],
        ] {
            assert_eq!(of(&notes), Some(newer.map(str::to_owned)));
        }
    }
}
