//! `graph`: a picture of a cluster, from its file or, with its health, from the cluster itself.

use std::path::Path;
use std::sync::Arc;

use kubitect_provision::picture::{MachineStatus, Picture, dot, mermaid, svg, text};
use serde_json::json;

use super::{load, options, print_exactly, print_json, print_lines};
use crate::args::{DEFAULT_FILE, Form, Graph};
use crate::environment::Place;
use crate::failure::Failure;
use crate::home::Home;
use crate::report::{self, Reporter};
use crate::run::{View, Wanted};
use crate::signals::on_runtime_alone;
use crate::world::World;
use crate::{keys, names};

/// Carries the command out; false when a host can't be reached.
pub fn graph(world: &Arc<dyn World>, place: &Place, args: &Graph) -> Result<bool, Failure> {
    let mut faults = Vec::new();
    let picture = match (&args.config, &args.cluster.name, &args.cluster.cluster) {
        (None, None, None) => of_file(place, Path::new(DEFAULT_FILE))?,
        (Some(file), ..) => of_file(place, file)?,
        (None, ..) => of_cluster(world, &place.home()?, args, &mut faults)?,
    };
    faults.iter().for_each(|host| report::hint(host));
    let printed = match args.format {
        Form::Text => print_lines(text(&picture)),
        Form::Svg => print_exactly(svg(&picture)),
        Form::Mermaid => print_exactly(mermaid(&picture)),
        Form::Dot => print_exactly(dot(&picture)),
        Form::Json => {
            let mut object = json!(picture);
            object["formatVersion"] = json!(1);
            object["problems"] = json!(faults);
            print_json(object)
        }
    };
    printed.map(|()| faults.is_empty())
}

fn of_file(place: &Place, file: &Path) -> Result<Picture, Failure> {
    let (parsed, _) = load(file, &place.site()?, &keys::if_present)?;
    Ok(Picture::of(&parsed.cluster))
}

/// The stored configuration, with what libvirt and Kubernetes report of each machine.
fn of_cluster(
    world: &Arc<dyn World>,
    home: &Home,
    args: &Graph,
    faults: &mut Vec<String>,
) -> Result<Picture, Failure> {
    let cluster = names::resolve(home, &args.cluster)?;
    let options = options(world, home, &Arc::new(Reporter::new()))?;
    let view = View::connect(Wanted::stored(&cluster, &options)?, options)?;
    let mut picture = Picture::of(view.cluster());
    let status = on_runtime_alone(view.status())??;
    faults.clone_from(&status.unreached_hosts);
    let status = json!(status);
    let nodes: Vec<_> = status["nodes"].as_array().into_iter().flatten().collect();
    for machine in status["machines"].as_array().into_iter().flatten() {
        let name = machine["name"].as_str().unwrap_or_default();
        let node = nodes.iter().find(|node| node["name"] == name);
        let ready = node.map(|node| node["healthy"] == true);
        let cordoned = node.is_some_and(|node| node["cordoned"] == true);
        let state = machine["state"].as_str().unwrap_or_default();
        let seen = MachineStatus::of(state, ready, cordoned);
        picture.add_status(name, machine["address"].as_str(), seen);
    }
    Ok(picture)
}
