//! `list clusters`: the clusters that have a folder, and whether they were ever finished.

use crate::args::List;
use crate::failure::Failure;
use crate::home::Home;

use super::print;

/// Carries the command out.
pub fn list(home: &Home, what: &List) -> Result<(), Failure> {
    let List::Clusters = what;
    let mut text = String::new();
    for name in home.clusters()? {
        let state = if home.cluster(&name).applied().exists() {
            "applied"
        } else {
            "unfinished"
        };
        text += &format!("{name}\t{state}\n");
    }
    print(text)
}
