//! `list`: the clusters that have a folder, and whether each was ever applied to the end; the presets; the machines of a cluster,
//! as libvirt has them.

use std::sync::Arc;

use kubitect_config::presets::{PRESETS, Preset};
use serde_json::{Value, json};

use crate::args::{List, Output};
use crate::environment::Place;
use crate::failure::Failure;
use crate::home::Home;
use crate::names::{self, ClusterName};
use crate::report::{self, Reporter};
use crate::run::{View, Wanted};
use crate::world::World;

use super::{options, print_exactly, print_json};

/// Carries the command out; false when a host can't be reached.
pub fn list(
    world: &Arc<dyn World>,
    place: &Place,
    what: &List,
    output: Output,
) -> Result<bool, Failure> {
    let mut faults = Vec::new();
    let about = |preset: &Preset| json!({"name": preset.name, "about": preset.about()});
    let (name, rows) = match what {
        List::Clusters => ("clusters", clusters(&place.home()?)?),
        List::Presets => ("presets", PRESETS.iter().map(about).collect()),
        List::Nodes(cluster) => ("nodes", nodes(world, &place.home()?, cluster, &mut faults)?),
    };
    faults.iter().for_each(|host| report::hint(host));
    if output == Output::Json {
        let mut object = json!({"formatVersion": 1, name: rows});
        if matches!(what, List::Nodes(_)) {
            object["problems"] = json!(faults);
        }
        return print_json(object).map(|()| faults.is_empty());
    }
    if rows.is_empty() && matches!(what, List::Clusters) {
        report::hint("there is no cluster yet; `kubitect init` writes a file to begin with");
    }
    // A tab separates the columns: no name contains one.
    let mut text = String::new();
    for row in &rows {
        let columns = row.as_object().into_iter().flat_map(|row| row.values());
        let columns: Vec<_> = columns.map(|value| value.as_str().unwrap_or("-")).collect();
        text += &format!("{}\n", columns.join("\t"));
    }
    print_exactly(text).map(|()| faults.is_empty())
}

fn clusters(home: &Home) -> Result<Vec<Value>, Failure> {
    let state = |name| {
        let dir = home.cluster(name);
        match (dir.applied().exists(), dir.config_dir().exists()) {
            (true, _) => "applied",
            (false, true) => "unfinished",
            // Removed, except for what hosts carry that were left out.
            (false, false) => "left-out",
        }
    };
    let clusters = home.clusters()?;
    let row = |name| json!({"name": name, "state": state(name)});
    Ok(clusters.iter().map(row).collect())
}

fn nodes(
    world: &Arc<dyn World>,
    home: &Home,
    cluster: &ClusterName,
    faults: &mut Vec<String>,
) -> Result<Vec<Value>, Failure> {
    let cluster = names::resolve(home, cluster)?;
    let options = options(world, home, &Arc::new(Reporter::new()))?;
    let machines;
    (machines, *faults) = View::connect(Wanted::stored(&cluster, &options)?, options)?.machines();
    Ok(machines.iter().map(|machine| json!(machine)).collect())
}
