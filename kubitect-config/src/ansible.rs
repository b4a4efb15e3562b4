//! [`rewrite`]: reads Ansible's variables as Ansible does. Its files are YAML 1.1, in which the plain words `yes` and `off` are
//! truth values. A version is always read as text: as a number, `20.10` would be 20.1.

use crate::tree::{Kind, Tree};

/// The paths of versions outside of `addons.kubespray`.
const VERSIONS: [&str; 3] = [
    "kubernetes.version",
    "kubernetes.kubespray.version",
    "addons.rook.version",
];

const TRUE: [&str; 6] = ["yes", "Yes", "YES", "on", "On", "ON"];
const FALSE: [&str; 6] = ["no", "No", "NO", "off", "Off", "OFF"];

/// Rewrites the variables in `addons.kubespray` of a cluster file, and all versions in the file.
pub(crate) fn rewrite(root: &mut Tree) {
    for path in VERSIONS {
        if let Some(tree) = root.path_mut(path) {
            as_text(tree);
        }
    }
    let Some(variables) = root.path_mut("addons.kubespray") else {
        return;
    };
    truth_values(variables);
    let Kind::Map(entries) = &mut variables.kind else {
        return;
    };
    for (key, value) in entries {
        if key.text().ends_with("_version") {
            as_text(value);
        }
    }
}

/// Makes a number text.
fn as_text(tree: &mut Tree) {
    let is_number = tree.value().is_number();
    if let Kind::Scalar { plain, .. } = &mut tree.kind
        && is_number
    {
        *plain = false;
    }
}

/// Rewrites the plain words of YAML 1.1 for true and false, at any depth.
fn truth_values(tree: &mut Tree) {
    match &mut tree.kind {
        Kind::Scalar { text, plain: true } => {
            if TRUE.contains(&text.as_str()) {
                "true".clone_into(text);
            } else if FALSE.contains(&text.as_str()) {
                "false".clone_into(text);
            }
        }
        Kind::Scalar { .. } => {}
        Kind::List(items) => items.iter_mut().for_each(truth_values),
        Kind::Map(entries) => entries
            .iter_mut()
            .for_each(|(_, value)| truth_values(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_mean_what_they_mean_to_ansible() {
        let text = "addons: {kubespray: {a: yes, b: [Off, 'no', \"on\"], c: {d: NO, yes: y}, docker_version: 20.10, \
                    e_version: 7, f_version: 1.2.3, g: 20.10}}\nother: yes";
        let (tree, faults) = crate::tree::read(text, true);
        assert!(faults.is_empty());
        let mut tree = tree.unwrap();
        rewrite(&mut tree);
        let wanted = "addons: {kubespray: {a: true, b: [false, 'no', 'on'], c: {d: false, 'yes': 'y'}, docker_version: \
                      '20.10', e_version: '7', f_version: 1.2.3, g: 20.1}}\nother: 'yes'";
        let wanted = crate::yaml::read(wanted, crate::yaml::Limits::OWN).unwrap();
        assert_eq!(tree.value(), wanted);
    }
}
