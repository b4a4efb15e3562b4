//! `list`: the clusters that have a folder, and whether they were ever finished; the presets, and what each is for.

use crate::args::List;
use crate::failure::Failure;
use crate::home::Home;
use crate::presets::{PRESETS, Preset};

use super::print_exactly;

/// Carries the command out.
pub fn list(home: &Home, what: &List) -> Result<(), Failure> {
    let List::Clusters = what else {
        return presets();
    };
    let mut text = String::new();
    for name in home.clusters()? {
        let state = if home.cluster(&name).applied().exists() {
            "applied"
        } else {
            "unfinished"
        };
        text += &format!("{name}\t{state}\n");
    }
    // Names are checked words; a tab stands between the columns.
    print_exactly(text)
}

fn presets() -> Result<(), Failure> {
    let line = |preset: &Preset| format!("{}\t{}\n", preset.name, preset.about());
    print_exactly(PRESETS.iter().map(line).collect::<String>())
}
