//! The diagram in SVG: one file without fonts, scripts or links, so that it can be put into any page.

use std::fmt::Write;

use kubitect_config::cluster::Role;
use quick_xml::escape::escape;

use super::layout::{Block, GAP, LINE, PAD, Placed, frameless, place, width};
use super::model::plural;
use super::{HostBox, MachineBox, Picture};

/// The margin around the diagram, in which the lines to further rows of hosts run.
const MARGIN: f32 = 28.0;

/// Draws the diagram.
pub fn svg(picture: &Picture) -> String {
    let root = blocks(picture);
    let placed = place(&root).unwrap_or_default();
    let (width, height) = placed
        .first()
        .map_or((0.0, 0.0), |root| (root.width, root.height));
    let (width, height) = (width + 2.0 * MARGIN, height + 2.0 * MARGIN);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\">\n<title>{}</title>\n{STYLE}\n\
         <rect class=\"page\" width=\"{width:.0}\" height=\"{height:.0}\" rx=\"10\"/>\n\
         <g transform=\"translate({MARGIN} {MARGIN})\">\n",
        escape(format!("{}: {}", picture.cluster, picture.about))
    );
    lines(&placed, &mut text);
    for block in &placed {
        draw(block, &mut text);
    }
    text + "</g>\n</svg>\n"
}

const STYLE: &str = "<style>
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2933; white-space: pre }
.first { font-weight: 700 } .rest { fill: #52606d } .bad { fill: #b42318; font-weight: 700 } .good { fill: #176b3a }
rect { stroke-width: 1.25 } .page { fill: #ffffff } .line { stroke: #7b8794; stroke-width: 1.5; fill: none }
.clients { fill: #f5f7fa; stroke: #52606d } .network { fill: #eef2ff; stroke: #6172b3 } .host { fill: #fafbfc; stroke: #9aa5b1 }
.LoadBalancer { fill: #fff4e0; stroke: #c77f0a } .Master { fill: #e6f1ff; stroke: #2f72c4 } .Worker { fill: #e9f8ee; stroke: #2f9156 }
</style>";

/// The boxes of the diagram, as a tree.
fn blocks(picture: &Picture) -> Block {
    let mut entry = vec![
        format!("clients → {}", picture.entry),
        picture.entry_kind.clone(),
    ];
    entry.extend(picture.ways.iter().map(super::Route::describe));
    let leaf = |kind, lines| Block {
        kind,
        lines,
        inside: Vec::new(),
        in_rows: false,
    };
    let hosts = Block {
        kind: "hosts",
        lines: Vec::new(),
        inside: picture.hosts.iter().map(host).collect(),
        in_rows: true,
    };
    let inside = vec![
        leaf("clients", entry),
        leaf("network", picture.network.clone()),
        hosts,
    ];
    let title = vec![picture.cluster.clone(), picture.about.clone()];
    // In a column, with gaps in which the connecting lines run.
    Block {
        kind: "all",
        lines: title,
        inside,
        in_rows: false,
    }
}

fn host(host: &HostBox) -> Block {
    let roles = host.by_role().into_iter().map(|(role, machines)| Block {
        kind: "role",
        lines: vec![plural(role).to_owned()],
        inside: machines.into_iter().map(|(_, m)| machine(m)).collect(),
        in_rows: true,
    });
    Block {
        kind: "host",
        lines: vec![format!("host {}", host.name), host.place.clone()],
        inside: roles.collect(),
        in_rows: false,
    }
}

fn machine(machine: &MachineBox) -> Block {
    let mut lines = vec![
        machine.short.clone(),
        machine.address.clone(),
        machine.size.clone(),
    ];
    lines.extend(machine.disks.iter().cloned());
    if let Some(status) = &machine.seen {
        let mark = if status.good { '●' } else { '▲' };
        lines.push(format!("{mark} {}", status.words));
    }
    Block {
        kind: match machine.role {
            Role::LoadBalancer => "LoadBalancer",
            Role::Master => "Master",
            Role::Worker => "Worker",
        },
        lines,
        inside: Vec::new(),
        in_rows: false,
    }
}

/// Draws the lines from the clients to the network, and from it to each host: straight down to the first row, along the left edge
/// to the others.
fn lines(placed: &[Placed], text: &mut String) {
    let of = |kind| {
        placed
            .iter()
            .filter(move |placed| placed.block.kind == kind)
    };
    let (Some(clients), Some(network)) = (of("clients").next(), of("network").next()) else {
        return;
    };
    let mut path =
        |path: String| writeln!(text, "<path class=\"line\" d=\"{path}\"/>").unwrap_or_default();
    let x = clients.x + 2.0 * PAD;
    path(format!(
        "M{x} {} V{}",
        clients.y + clients.height,
        network.y
    ));
    let bottom = network.y + network.height;
    let first = of("host").map(|host| host.y).fold(f32::INFINITY, f32::min);
    let edge = network.x - MARGIN / 2.0;
    for host in of("host") {
        let middle = host.x + host.width / 2.0;
        // The network's box is as wide as the picture, so that the first row is below it.
        let path_down = match host.y <= first {
            true => format!("M{middle} {bottom} V{}", host.y),
            false => {
                let rail = host.y - GAP;
                let from = bottom - network.height / 2.0;
                format!(
                    "M{} {from} H{edge} V{rail} H{middle} V{}",
                    network.x, host.y
                )
            }
        };
        path(path_down);
    }
}

fn draw(placed: &Placed, text: &mut String) {
    let Placed {
        block,
        x,
        y,
        width: box_width,
        height,
    } = placed;
    let framed = !frameless(block) && block.kind != "all";
    if framed {
        let kind = block.kind;
        writeln!(text, "<rect class=\"{kind}\" x=\"{x}\" y=\"{y}\" width=\"{box_width}\" height=\"{height}\" rx=\"6\"/>")
            .unwrap_or_default();
    }
    let pad = if frameless(block) { 0.0 } else { PAD };
    for (index, line) in block
        .lines
        .iter()
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
    {
        let class = match (index, line.chars().next()) {
            (_, Some('▲')) => "bad",
            (_, Some('●')) => "good",
            (0, _) if block.kind != "role" => "first",
            _ => "rest",
        };
        let (left, base) = (x + pad, y + pad + index as f32 * LINE + 12.0);
        writeln!(
            text,
            "<text class=\"{class}\" x=\"{left}\" y=\"{base}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\">{}</text>",
            width(line),
            escape(line.as_str())
        )
        .unwrap_or_default();
    }
}
