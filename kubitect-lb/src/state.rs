//! What a balancer's HAProxy says of the servers behind it.

use kubitect_config::text;
use kubitect_config::value::Label;
use serde::Serialize;

use crate::balancer::PATIENT;
use crate::machine::Machine;
use crate::{API, Error, SOCKET};
use kubitect_config::Remote;

/// The Python program that asks the runtime socket; see the program's own first line.
const SHOW_STAT: &str = include_str!("programs/show_stat.py");

/// A server of a backend, as HAProxy sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerState {
    /// The backend.
    pub backend: String,
    /// The node.
    pub server: String,
    /// HAProxy's word: `UP`, `DOWN`, `DRAIN`, `UP 1/3` (going down) and the like.
    pub status: String,
    /// Whether it takes new connections.
    pub serves: bool,
}

/// All servers of a balancer, in the order of its configuration. Those that are listed again without checks are left out.
pub async fn servers<R: Remote>(node: &Label, remote: &R) -> Result<Vec<ServerState>, Error> {
    let machine = Machine { node, remote };
    let output = machine
        .root_ok(&["python3", "-I", "-c", SHOW_STAT, SOCKET])
        .await?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

/// The servers that should take connections and do not: masters, and nodes behind a forwarded port that other nodes serve.
///
/// Of a forwarded port that no node serves none is listed: the service behind it may not be deployed yet.
pub fn out_of_service(servers: &[ServerState]) -> impl Iterator<Item = &ServerState> {
    let is_served = |backend: &str| {
        let mut others = servers.iter().filter(|server| server.backend == backend);
        backend == API || others.any(|server| server.serves)
    };
    let idle = servers.iter().filter(|server| !server.serves);
    idle.filter(move |server| is_served(&server.backend))
}

/// At most so many servers are read: 100 forwarded ports of 1,000 nodes.
const ROWS: usize = 100_000;

/// The rows of `show stat` that are servers. The columns are found by their names, which are the same in all releases.
fn parse(csv: &str) -> Vec<ServerState> {
    let mut lines = csv.lines();
    let header: Vec<_> = match lines.next() {
        Some(line) => line.trim_start_matches("# ").split(',').collect(),
        None => return Vec::new(),
    };
    let column = |name| header.iter().position(|other| *other == name);
    let (Some(backend), Some(server), Some(status)) =
        (column("pxname"), column("svname"), column("status"))
    else {
        return Vec::new();
    };
    let row = |line: &str| {
        let cells: Vec<_> = line.split(',').collect();
        let cell = |index: usize| Some(text::line(cells.get(index)?));
        let (backend, server, status) = (cell(backend)?, cell(server)?, cell(status)?);
        let is_server = server != "FRONTEND" && server != "BACKEND" && !server.is_empty();
        (is_server && backend != PATIENT).then(|| ServerState {
            serves: status.starts_with("UP") || status == "no check",
            backend,
            server,
            status,
        })
    };
    lines.filter_map(row).take(ROWS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_distinguished_from_frontends_and_backends() {
        let csv = "# pxname,svname,qcur,status,weight\nkubernetes-api,FRONTEND,,OPEN,\n\
                   kubernetes-api,c-master-1,0,UP,1\nkubernetes-api,c-master-2,0,DOWN,1\n\
                   kubernetes-api,c-master-3,0,DRAIN,1\nkubernetes-api,BACKEND,0,UP,1\n\
                   kube_api:patient,c-master-1,0,UP,1\nkube_api:patient,BACKEND,0,UP,1\n\n";
        let shown: Vec<_> = parse(csv)
            .iter()
            .map(|s| format!("{} {} {}", s.server, s.status, s.serves))
            .collect();
        assert_eq!(
            shown,
            [
                "c-master-1 UP true",
                "c-master-2 DOWN false",
                "c-master-3 DRAIN false"
            ]
        );
        assert!(parse("").is_empty());
        let forged = parse("# pxname,svname,status\na,\u{1b}[2J,UP\u{9b}\u{202e}\n");
        assert_eq!(forged[0].server, "\\u{1b}[2J");
        assert_eq!(forged[0].status, "UP\\u{9b}\\u{202e}");
    }

    #[test]
    fn a_port_that_nobody_serves_yet_is_not_listed_and_a_master_that_does_not_serve_is() {
        let csv = "# pxname,svname,status\nkube_api,m-1,DOWN\nweb,w-1,DOWN\nweb,w-2,DOWN\nssh,w-1,UP\nssh,w-2,DOWN\n";
        let servers = parse(csv);
        let shown: Vec<_> = out_of_service(&servers)
            .map(|server| format!("{} in {}", server.server, server.backend))
            .collect();
        assert_eq!(shown, ["m-1 in kube_api", "w-2 in ssh"]);
    }
}
