//! etcd's members, and its snapshots, by etcdctl.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use kubitect_config::remote::{Output, Remote};
use kubitect_config::text;
use serde::{Deserialize, Serialize};

use super::remote::{Health, PATIENCE, bounded, json, once, said, succeed};
use crate::Error;

/// Where Kubespray writes how etcdctl reaches the member of this master.
pub(super) const ENVIRONMENT: &str = "/etc/etcd.env";

const ETCDCTL: &str = "/usr/local/bin/etcdctl";

/// The largest snapshot that is believed, in bytes: twice of what etcd suggests for its database at most (8 GiB).
const SNAPSHOT_MAX: u64 = 16 << 30;

/// The longest `/etc/etcd.env` that is read, in bytes; Kubespray's has 2 KiB.
const ENVIRONMENT_MAX: usize = 64 << 10;

/// A member of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdMember {
    /// Its number, which is its own for ever. For programs it is a text, as etcdctl takes it: not all of them have numbers this large.
    #[serde(serialize_with = "as_text")]
    pub id: u64,
    /// Its name, as `etcd-1`; empty until it has started for the first time.
    pub name: String,
    /// By which the other members reach it, as `https://192.168.113.10:2380`.
    pub peer_urls: Vec<String>,
    /// By which clients reach it; none until it has started for the first time.
    pub client_urls: Vec<String>,
    /// Whether it serves.
    #[serde(flatten)]
    pub health: Health,
}

/// An id in hexadecimal digits.
fn as_text<S: serde::Serializer>(id: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{id:x}"))
}

impl EtcdMember {
    /// Whether it is the one of the machine with this address.
    pub fn is_at(&self, ip: Ipv4Addr) -> bool {
        let address = ip.to_string();
        let host = |url: &String| {
            let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            rest.rsplit_once(':').map_or(rest, |(host, _)| host) == address
        };
        self.peer_urls.iter().any(host)
    }
}

/// A snapshot that lies on a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// Its file.
    pub path: String,
    /// How large it is.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits: what was fetched has to have it, too.
    pub sha256: String,
}

#[derive(Deserialize)]
struct List {
    #[serde(deserialize_with = "bounded")]
    members: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
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
struct Answering {
    #[serde(rename = "Endpoint")]
    endpoint: String,
    #[serde(rename = "Status")]
    status: AnsweringStatus,
}

#[derive(Deserialize)]
struct AnsweringStatus {
    header: Header,
    /// The leader that this member follows; none: it knows of none.
    #[serde(default)]
    leader: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Header {
    member_id: u64,
}

/// `env` and `etcdctl` with what Kubespray has written for it; paths of keys, no keys.
async fn etcdctl(remote: &impl Remote, endpoints: Option<&str>) -> Result<Vec<String>, Error> {
    let what = "read how etcdctl reaches etcd";
    let output = succeed(remote, what, &["cat", ENVIRONMENT], PATIENCE).await?;
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
        // As a variable: etcdctl refuses to be given the same by an option, too.
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

/// A command of etcdctl as somebody types it on a master.
pub fn by_hand(arguments: &str) -> String {
    format!("sudo env $(sudo grep ^ETCDCTL_ {ENVIRONMENT}) ETCDCTL_API=3 {ETCDCTL} {arguments}")
}

/// One command of etcdctl; `again` until it succeeds where it fails for reasons that pass.
async fn ctl(
    remote: &impl Remote,
    what: &str,
    arguments: &[&str],
    limit: Duration,
    again: bool,
) -> Result<Output, Error> {
    let program = etcdctl(remote, None).await?;
    let program = program.iter().map(String::as_str);
    let argv: Vec<_> = program.chain(arguments.iter().copied()).collect();
    if again {
        succeed(remote, what, &argv, limit).await
    } else {
        once(remote, what, &argv, limit).await
    }
}

/// All members, each with its health, as the member of this master sees them.
pub async fn members(remote: &impl Remote) -> Result<Vec<EtcdMember>, Error> {
    let what = "ask etcd for its members";
    let arguments = ["member", "list", "--write-out=json"];
    let output = ctl(remote, what, &arguments, PATIENCE, true).await?;
    let list: List = json(what, &output.stdout)?;
    let what = "ask etcd's members how they are";
    let arguments = ["endpoint", "health", "--cluster", "--write-out=json"];
    // It ends with an error if one of them does not serve, and has printed all of them then.
    let output = ctl(remote, what, &arguments, PATIENCE, false).await?;
    let endpoints: Vec<Endpoint> = match json(what, &output.stdout) {
        Err(_) if output.status != 0 => {
            return Err(Error::Program {
                what: what.to_owned(),
                lines: said(&output),
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

fn with_health(member: Listed, endpoints: &[Endpoint]) -> EtcdMember {
    let own = endpoints
        .iter()
        .find(|endpoint| member.client_urls.contains(&endpoint.endpoint));
    let health = match own {
        Some(endpoint) if endpoint.health => Health::Well,
        Some(endpoint) => Health::ill(&endpoint.error),
        None => Health::Ill("it has not started yet".to_owned()),
    };
    let Listed {
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

/// Whether the member of this master follows a leader or leads itself; without one, a majority of the members is missing.
/// Any member can say so alone, while `member list` wants a majority from etcd 3.5 on.
pub async fn has_leader(remote: &impl Remote) -> Result<bool, Error> {
    let what = "ask the etcd member of this master whether it has a leader";
    let arguments = ["endpoint", "status", "--write-out=json"];
    let output = ctl(remote, what, &arguments, PATIENCE, true).await?;
    let all: Vec<Answering> = json(what, &output.stdout)?;
    Ok(all.iter().any(|own| own.status.leader != 0))
}

/// The members at these addresses, asked one by one, for when etcd has no majority and [`members`] fails. Their names and who
/// else is a member can't be known then.
pub async fn members_alone(
    remote: &impl Remote,
    addresses: &[Ipv4Addr],
) -> Result<Vec<EtcdMember>, Error> {
    let what = "ask etcd's members one by one";
    let endpoints: Vec<_> = addresses.iter().map(|ip| super::endpoint(*ip)).collect();
    let program = etcdctl(remote, Some(&endpoints.join(","))).await?;
    let program = program.iter().map(String::as_str);
    let argv: Vec<_> = program
        .chain(["endpoint", "status", "--write-out=json"])
        .collect();
    // It ends with an error if one of them does not answer, and has printed the others then.
    let output = once(remote, what, &argv, PATIENCE).await?;
    let answering: Vec<Answering> = match json(what, &output.stdout) {
        Err(_) if output.status != 0 => Vec::new(),
        answering => answering?,
    };
    let member = |(ip, endpoint): (&Ipv4Addr, &String)| {
        let own = answering.iter().find(|own| own.endpoint == *endpoint);
        EtcdMember {
            id: own.map_or(0, |own| own.status.header.member_id),
            name: String::new(),
            peer_urls: vec![format!("https://{ip}:2380")],
            client_urls: vec![endpoint.clone()],
            health: match own {
                Some(own) if own.status.leader != 0 => Health::Well,
                Some(_) => {
                    Health::Ill("it runs, and a majority of the members is missing".to_owned())
                }
                None => Health::Ill("it does not answer".to_owned()),
            },
        }
    };
    Ok(addresses.iter().zip(&endpoints).map(member).collect())
}

/// Takes the member of the machine with this address out of etcd, through another; whether there was one.
///
/// etcd refuses for the first seconds after a member has come, and where the rest would have no quorum.
pub async fn remove_member(remote: &impl Remote, ip: Ipv4Addr) -> Result<bool, Error> {
    let what = "ask etcd for its members";
    let arguments = ["member", "list", "--write-out=json"];
    let output = ctl(remote, what, &arguments, PATIENCE, true).await?;
    let list: List = json(what, &output.stdout)?;
    let members = list.members.into_iter().map(|m| with_health(m, &[]));
    let mut removed = false;
    for member in members.filter(|member| member.is_at(ip)) {
        let id = format!("{:x}", member.id);
        let what = format!("remove the etcd member of {ip} ({id})");
        match ctl(remote, &what, &["member", "remove", &id], PATIENCE, true).await {
            Ok(_) => removed = true,
            // The answer to an earlier try was lost.
            Err(Error::Program { lines, .. }) if lines.contains("member not found") => {
                removed = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// Saves all that etcd holds, every secret of Kubernetes among it, to a file on the master that root alone can read.
pub async fn save_snapshot(
    remote: &impl Remote,
    path: &str,
    limit: Duration,
) -> Result<Snapshot, Error> {
    let what = format!("save a snapshot of etcd to {path}");
    let folder = Path::new(path).parent().and_then(Path::to_str);
    let argv = ["install", "-d", "-m", "0700", folder.unwrap_or("/")];
    succeed(remote, &what, &argv, PATIENCE).await?;
    let arguments = [
        "snapshot",
        "save",
        path,
        &format!("--command-timeout={}s", limit.as_secs()),
    ];
    ctl(remote, &what, &arguments, limit, true).await?;
    succeed(remote, &what, &["chmod", "0600", path], PATIENCE).await?;
    let output = succeed(remote, &what, &["stat", "--format=%s", path], PATIENCE).await?;
    let bytes = String::from_utf8_lossy(&output.stdout).trim().parse();
    let output = succeed(remote, &what, &["sha256sum", "--", path], limit).await?;
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
    succeed(remote, &what, &["rm", "-f", "--", path], PATIENCE).await?;
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
            health: Health::Well,
        };
        assert!(member.is_at("10.0.0.11".parse().unwrap()));
        assert!(!member.is_at("10.0.0.1".parse().unwrap()));
    }
}
