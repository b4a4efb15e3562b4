//! etcd's members, and its snapshots, by etcdctl.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use kubitect_config::remote::{Output, Remote};
use kubitect_config::text;
use serde::{Deserialize, Serialize};

use super::remote::{Health, LIMIT, bounded, last_output, parse_json, run_once, run_retrying};
use crate::Error;

/// Kubespray's file with the settings of the member on this master, and of etcdctl for it.
pub(super) const ENVIRONMENT: &str = "/etc/etcd.env";

const ETCDCTL: &str = "/usr/local/bin/etcdctl";

/// The largest snapshot that is accepted, in bytes: twice the largest database that etcd recommends (8 GiB). A compromised master
/// could report any size and fill the disk here.
const SNAPSHOT_MAX: u64 = 16 << 30;

/// The longest `/etc/etcd.env` that is accepted, in bytes; Kubespray's has 2 KiB.
const ENVIRONMENT_MAX: usize = 64 << 10;

/// A member of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdMember {
    /// Its id, which no other member ever gets. In JSON it is text in hexadecimal digits, as etcdctl takes it: many JSON readers
    /// can't hold numbers of 64 bits.
    #[serde(serialize_with = "as_text")]
    pub id: u64,
    /// Its name, as `etcd-1`; empty until it has started for the first time.
    pub name: String,
    /// The URLs for other members, as `https://192.168.113.10:2380`.
    pub peer_urls: Vec<String>,
    /// The URLs for clients; none until it has started for the first time.
    pub client_urls: Vec<String>,
    /// Whether it serves.
    #[serde(flatten)]
    pub health: Health,
}

/// Serializes an id as hexadecimal digits.
fn as_text<S: serde::Serializer>(id: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{id:x}"))
}

impl EtcdMember {
    /// Whether it is the member on the machine with this address.
    pub fn is_at(&self, ip: Ipv4Addr) -> bool {
        let address = ip.to_string();
        let host = |url: &String| {
            let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            rest.rsplit_once(':').map_or(rest, |(host, _)| host) == address
        };
        self.peer_urls.iter().any(host)
    }
}

/// A snapshot in a file on a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Its file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits, with which the fetched copy is compared.
    pub sha256: String,
}

#[derive(Deserialize)]
struct MemberList {
    #[serde(deserialize_with = "bounded")]
    members: Vec<ListedMember>,
}

#[derive(Deserialize)]
struct ListedMember {
    #[serde(rename = "ID")]
    id: u64,
    #[serde(default)]
    name: String,
    #[serde(rename = "peerURLs", default)]
    peer_urls: Vec<String>,
    #[serde(rename = "clientURLs", default)]
    client_urls: Vec<String>,
}

#[derive(Deserialize)]
struct Endpoint {
    endpoint: String,
    health: bool,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct EndpointStatus {
    #[serde(rename = "Endpoint")]
    endpoint: String,
    #[serde(rename = "Status")]
    status: StatusBody,
}

#[derive(Deserialize)]
struct StatusBody {
    header: Header,
    /// The id of the leader that this member follows; 0 if it has none.
    #[serde(default)]
    leader: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Header {
    member_id: u64,
}

/// The beginning of a command line: `env`, etcdctl's settings of [`ENVIRONMENT`], and etcdctl. It holds the paths of keys, not
/// the keys. `endpoints` replaces the member of this master.
async fn etcdctl_command(
    remote: &impl Remote,
    endpoints: Option<&str>,
) -> Result<Vec<String>, Error> {
    let what = "read how etcdctl reaches etcd";
    let output = run_retrying(remote, what, &["cat", ENVIRONMENT], LIMIT).await?;
    let mut argv = vec!["env".to_owned(), "ETCDCTL_API=3".to_owned()];
    if output.stdout.len() > ENVIRONMENT_MAX {
        return Err(Error::Program {
            what: what.to_owned(),
            lines: format!("{ENVIRONMENT} is longer than {} KiB", ENVIRONMENT_MAX >> 10),
        });
    }
    let text = String::from_utf8_lossy(&output.stdout);
    for name in ["ENDPOINTS", "CACERT", "CERT", "KEY"] {
        let begin = format!("ETCDCTL_{name}=");
        // As a variable, not as an option: etcdctl refuses to get the endpoints both ways.
        if let (Some(endpoints), "ENDPOINTS") = (endpoints, name) {
            argv.push(format!("{begin}{endpoints}"));
            continue;
        }
        match text.lines().rfind(|line| line.starts_with(&begin)) {
            Some(line) => argv.push(line.trim_end().to_owned()),
            None => {
                return Err(Error::Program {
                    what: what.to_owned(),
                    lines: format!("{ENVIRONMENT} has no {begin}"),
                });
            }
        }
    }
    argv.extend([ETCDCTL.to_owned(), "--command-timeout=10s".to_owned()]);
    Ok(argv)
}

/// A command of etcdctl as a person can type it on a master, for messages.
pub fn manual_command(arguments: &str) -> String {
    format!("sudo env $(sudo grep ^ETCDCTL_ {ENVIRONMENT}) ETCDCTL_API=3 {ETCDCTL} {arguments}")
}

/// Runs etcdctl on this master; with `retries`, again while it fails for transient reasons.
async fn run_etcdctl(
    remote: &impl Remote,
    what: &str,
    arguments: &[&str],
    limit: Duration,
    retries: bool,
) -> Result<Output, Error> {
    let program = etcdctl_command(remote, None).await?;
    let program = program.iter().map(String::as_str);
    let argv: Vec<_> = program.chain(arguments.iter().copied()).collect();
    if retries {
        run_retrying(remote, what, &argv, limit).await
    } else {
        run_once(remote, what, &argv, limit).await
    }
}

/// All members, each with its health, asked through the member of this master. From etcd 3.5 on this fails without a
/// majority; then see [`members_without_quorum`].
pub async fn members(remote: &impl Remote) -> Result<Vec<EtcdMember>, Error> {
    let what = "ask etcd for its members";
    let arguments = ["member", "list", "--write-out=json"];
    let output = run_etcdctl(remote, what, &arguments, LIMIT, true).await?;
    let list: MemberList = parse_json(what, &output.stdout)?;
    let what = "ask etcd's members how they are";
    let arguments = ["endpoint", "health", "--cluster", "--write-out=json"];
    // etcdctl exits with an error if a member does not serve, but still prints all of them.
    let output = run_etcdctl(remote, what, &arguments, LIMIT, false).await?;
    let endpoints: Vec<Endpoint> = match parse_json(what, &output.stdout) {
        Err(_) if output.status != 0 => {
            return Err(Error::Program {
                what: what.to_owned(),
                lines: last_output(&output),
            });
        }
        endpoints => endpoints?,
    };
    Ok(list
        .members
        .into_iter()
        .map(|member| with_health(member, &endpoints))
        .collect())
}

/// A listed member with its health. A member without client URLs has never started, so no endpoint is its own.
fn with_health(member: ListedMember, endpoints: &[Endpoint]) -> EtcdMember {
    let own = endpoints
        .iter()
        .find(|endpoint| member.client_urls.contains(&endpoint.endpoint));
    let health = match own {
        Some(endpoint) if endpoint.health => Health::Healthy,
        Some(endpoint) => Health::unhealthy(&endpoint.error),
        None => Health::Unhealthy("it has not started yet".to_owned()),
    };
    let ListedMember {
        id,
        name,
        peer_urls,
        client_urls,
    } = member;
    let clean = |urls: Vec<String>| urls.iter().map(|url| text::line(url)).collect();
    EtcdMember {
        id,
        name: text::line(&name),
        peer_urls: clean(peer_urls),
        client_urls: clean(client_urls),
        health,
    }
}

/// Whether the member of this master has a leader (itself or another one). Without a leader, etcd has no majority. Each member
/// answers this alone, whereas `member list` needs a majority from etcd 3.5 on.
pub async fn has_leader(remote: &impl Remote) -> Result<bool, Error> {
    let what = "ask the etcd member of this master whether it has a leader";
    let arguments = ["endpoint", "status", "--write-out=json"];
    let output = run_etcdctl(remote, what, &arguments, LIMIT, true).await?;
    let all: Vec<EndpointStatus> = parse_json(what, &output.stdout)?;
    Ok(all.iter().any(|member| member.status.leader != 0))
}

/// The members at these addresses, asked one by one: for an etcd without a majority, where [`members`] fails. Their names are
/// empty, and members at other addresses are missing, because only a majority can list them.
pub async fn members_without_quorum(
    remote: &impl Remote,
    addresses: &[Ipv4Addr],
) -> Result<Vec<EtcdMember>, Error> {
    let what = "ask etcd's members one by one";
    let endpoints: Vec<_> = addresses.iter().map(|ip| super::endpoint(*ip)).collect();
    let program = etcdctl_command(remote, Some(&endpoints.join(","))).await?;
    let program = program.iter().map(String::as_str);
    let argv: Vec<_> = program
        .chain(["endpoint", "status", "--write-out=json"])
        .collect();
    // etcdctl exits with an error if a member does not answer, but still prints the others.
    let output = run_once(remote, what, &argv, LIMIT).await?;
    let answers: Vec<EndpointStatus> = match parse_json(what, &output.stdout) {
        Err(_) if output.status != 0 => Vec::new(),
        answers => answers?,
    };
    let member = |(ip, endpoint): (&Ipv4Addr, &String)| {
        let answer = answers.iter().find(|answer| answer.endpoint == *endpoint);
        let status = answer.map(|answer| &answer.status);
        EtcdMember {
            id: status.map_or(0, |status| status.header.member_id),
            name: String::new(),
            peer_urls: vec![format!("https://{ip}:2380")],
            client_urls: vec![endpoint.clone()],
            health: match status {
                Some(status) if status.leader != 0 => Health::Healthy,
                Some(_) => Health::Unhealthy(
                    "it runs, and a majority of the members is missing".to_owned(),
                ),
                None => Health::Unhealthy("it does not answer".to_owned()),
            },
        }
    };
    Ok(addresses.iter().zip(&endpoints).map(member).collect())
}

/// Removes the member of the machine with this address from etcd, through the member of this master. Returns whether there was one.
///
/// etcd refuses this in the first seconds after a member was added, and if the members that remain would have no majority.
pub async fn remove_member(remote: &impl Remote, ip: Ipv4Addr) -> Result<bool, Error> {
    let what = "ask etcd for its members";
    let arguments = ["member", "list", "--write-out=json"];
    let output = run_etcdctl(remote, what, &arguments, LIMIT, true).await?;
    let list: MemberList = parse_json(what, &output.stdout)?;
    let members = list.members.into_iter().map(|m| with_health(m, &[]));
    let mut removed = false;
    for member in members.filter(|member| member.is_at(ip)) {
        let id = format!("{:x}", member.id);
        let what = format!("remove the etcd member of {ip} ({id})");
        match run_etcdctl(remote, &what, &["member", "remove", &id], LIMIT, true).await {
            Ok(_) => removed = true,
            // An earlier try removed it, but its answer was lost.
            Err(Error::Program { lines, .. }) if lines.contains("member not found") => {
                removed = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// Saves a snapshot of etcd to a file on the master. Only root can read it: it holds every secret of Kubernetes.
pub async fn save_snapshot(
    remote: &impl Remote,
    path: &str,
    limit: Duration,
) -> Result<Snapshot, Error> {
    let what = format!("save a snapshot of etcd to {path}");
    let folder = Path::new(path).parent().and_then(Path::to_str);
    let argv = ["install", "-d", "-m", "0700", folder.unwrap_or("/")];
    run_retrying(remote, &what, &argv, LIMIT).await?;
    let arguments = [
        "snapshot",
        "save",
        path,
        &format!("--command-timeout={}s", limit.as_secs()),
    ];
    run_etcdctl(remote, &what, &arguments, limit, true).await?;
    run_retrying(remote, &what, &["chmod", "0600", path], LIMIT).await?;
    let output = run_retrying(remote, &what, &["stat", "--format=%s", path], LIMIT).await?;
    let bytes = String::from_utf8_lossy(&output.stdout).trim().parse();
    let output = run_retrying(remote, &what, &["sha256sum", "--", path], limit).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let sha256 = text.split_whitespace().next().unwrap_or_default();
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
    match bytes {
        Ok(bytes) if bytes > SNAPSHOT_MAX => Err(Error::Program {
            what,
            lines: format!(
                "the master says that it has {} GiB; more than {} GiB are not fetched",
                bytes >> 30,
                SNAPSHOT_MAX >> 30
            ),
        }),
        Ok(bytes) if bytes > 0 && is_digest => Ok(Snapshot {
            path: path.to_owned(),
            bytes,
            sha256: sha256.to_owned(),
        }),
        _ => Err(Error::Program {
            what,
            lines: "the file is empty, or cannot be measured".to_owned(),
        }),
    }
}

/// Removes a snapshot from the master.
pub async fn discard_snapshot(remote: &impl Remote, path: &str) -> Result<(), Error> {
    let what = format!("remove the snapshot {path}");
    run_retrying(remote, &what, &["rm", "-f", "--", path], LIMIT).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_compared_whole() {
        let member = EtcdMember {
            id: 1,
            name: "etcd-1".to_owned(),
            peer_urls: vec!["https://10.0.0.11:2380".to_owned()],
            client_urls: Vec::new(),
            health: Health::Healthy,
        };
        assert!(member.is_at("10.0.0.11".parse().unwrap()));
        assert!(!member.is_at("10.0.0.1".parse().unwrap()));
    }
}
