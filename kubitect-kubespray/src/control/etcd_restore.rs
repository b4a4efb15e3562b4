//! A snapshot of etcd in the place of what a master's member holds: brought there, unpacked beside what runs, and put in its place
//! once the control plane and all members stand still. What was there before is set aside.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use kubitect_config::remote::Remote;
use kubitect_config::text;
use kubitect_config::value::Version;
use tokio::time::Instant;

use super::etcd::ENVIRONMENT;
use super::etcd_start::{ETCD, move_data, stop_etcd};
use super::kubeadm::exists;
use super::remote::{PATIENCE, once, said, succeed, write};
use super::wait::LOOK;
use crate::Error;

/// What restores snapshots: the first that is there. etcdctl does it up to etcd 3.5.
const PROGRAMS: [&str; 2] = ["/usr/local/bin/etcdutl", "/usr/local/bin/etcdctl"];
/// The certificate of Kubernetes' own authority.
const AUTHORITY: &str = "/etc/kubernetes/ssl/ca.crt";
/// Where the snapshot lies on a master meanwhile.
pub const BROUGHT: &str = "/var/lib/kubitect/etcd-restore.db";
/// A part of it that has just arrived.
const PIECE_FILE: &str = "/var/lib/kubitect/etcd-restore.piece";
/// How much of it is brought at a time, in bytes.
const PIECE: u64 = 16 << 20;
/// How long bringing a piece of it may take, and unpacking it.
const WORK: Duration = Duration::from_secs(10 * 60);
/// How long the control plane may take to end by itself, and then by force.
const ENDS: Duration = Duration::from_secs(40);
/// The processes of the control plane, as they were started.
const CONTROL_PLANE: &str = "^kube-(apiserver|controller-manager|scheduler) ";
/// By how much revisions go up, so that none is given out twice: more than a cluster makes in a year.
const BUMP: &str = "--bump-revision=1000000000";

/// What a master's etcd is, and what it can be restored with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The member's name.
    pub name: String,
    /// By which the other members reach it.
    pub peer_url: String,
    /// Where it keeps its data.
    pub folder: String,
    /// The version that is installed.
    pub version: Option<Version>,
    /// The certificate of the cluster's own authority.
    pub authority: String,
    /// How many bytes are free where its data lie.
    pub free: u64,
    /// What unpacks the snapshot.
    program: &'static str,
    /// Whether that can number the restored data so that nobody takes them for what he has already seen.
    pub bumps: bool,
}

impl Member {
    /// As `--initial-cluster` names it.
    pub fn initial(&self) -> String {
        format!("{}={}", self.name, self.peer_url)
    }

    /// Where the snapshot is unpacked: beside its data, so that putting it in their place is one step.
    fn unpacked(&self) -> String {
        format!("{}/kubitect-restore", self.folder)
    }
}

/// Looks at the etcd of a master, which need not run.
pub async fn member(remote: &impl Remote) -> Result<Member, Error> {
    let what = "look at the etcd of this master";
    let environment = read(remote, what, ENVIRONMENT).await?;
    let folder = setting(&environment, "ETCD_DATA_DIR")?;
    let program = match exists(remote, PROGRAMS[0]).await? {
        true => PROGRAMS[0],
        false => PROGRAMS[1],
    };
    Ok(Member {
        name: setting(&environment, "ETCD_NAME")?,
        peer_url: setting(&environment, "ETCD_INITIAL_ADVERTISE_PEER_URLS")?,
        version: version(remote, what).await?,
        authority: read(remote, what, AUTHORITY).await?.trim().to_owned(),
        free: free(remote, what, &folder).await?,
        bumps: can_bump(remote, what, program).await?,
        folder,
        program,
    })
}

async fn read(remote: &impl Remote, what: &str, path: &str) -> Result<String, Error> {
    let output = succeed(remote, what, &["cat", "--", path], PATIENCE).await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A variable of what Kubespray has written for the member.
fn setting(environment: &str, name: &str) -> Result<String, Error> {
    let mut lines = environment.lines().filter_map(|line| line.split_once('='));
    let own = lines.rfind(|(own, _)| *own == name);
    let value = own.map(|(_, value)| value.trim());
    let value = value.filter(|value| !value.is_empty() && **value == text::line(value));
    let missing = || failed(&format!("read {ENVIRONMENT}"), format!("it has no {name}"));
    value.map(str::to_owned).ok_or_else(missing)
}

/// The version of etcd that is installed, if it tells.
async fn version(remote: &impl Remote, what: &str) -> Result<Option<Version>, Error> {
    let output = once(remote, what, &[ETCD, "--version"], PATIENCE).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut lines = said.lines();
    let version = lines.find_map(|line| line.strip_prefix("etcd Version:"));
    Ok(version.and_then(|text| text.trim().parse().ok()))
}

/// How many bytes are free where this folder lies.
async fn free(remote: &impl Remote, what: &str, folder: &str) -> Result<u64, Error> {
    let argv = ["df", "--output=avail", "--block-size=1", "--", folder];
    let output = succeed(remote, what, &argv, PATIENCE).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last();
    Ok(last.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}

/// Whether what restores snapshots can raise the numbers of revisions.
async fn can_bump(remote: &impl Remote, what: &str, program: &str) -> Result<bool, Error> {
    let argv = [
        "env",
        "ETCDCTL_API=3",
        program,
        "snapshot",
        "restore",
        "--help",
    ];
    let help = once(remote, what, &argv, PATIENCE).await?;
    let said = [help.stdout, help.stderr].concat();
    Ok(String::from_utf8_lossy(&said).contains("--bump-revision"))
}

/// Brings a snapshot of this machine to a master, piece by piece, in a file that root alone can read; whether all of it arrived, its
/// SHA-256 tells.
pub async fn bring(remote: &impl Remote, file: &Path, sha256: &str) -> Result<(), Error> {
    let what = "bring the snapshot to this master";
    let own = || Error::file("read", file);
    let source = std::fs::File::open(file).map_err(own())?;
    let length = source.metadata().map_err(own())?.len();
    let argv = ["install", "-d", "-m", "0700", "/var/lib/kubitect"];
    succeed(remote, what, &argv, PATIENCE).await?;
    discard(remote).await?;
    for piece in 0..length.div_ceil(PIECE) {
        let from = piece * PIECE;
        let mut bytes = vec![0; PIECE.min(length - from) as usize];
        source.read_exact_at(&mut bytes, from).map_err(own())?;
        bring_piece(remote, what, piece, &bytes).await?;
    }
    arrived(remote, what, sha256).await
}

async fn bring_piece(
    remote: &impl Remote,
    what: &str,
    piece: u64,
    bytes: &[u8],
) -> Result<(), Error> {
    if piece == 0 {
        return write(remote, what, BROUGHT, bytes, 0o600).await;
    }
    write(remote, what, PIECE_FILE, bytes, 0o600).await?;
    let (from, to) = (format!("if={PIECE_FILE}"), format!("of={BROUGHT}"));
    let (block, seek) = (format!("bs={PIECE}"), format!("seek={piece}"));
    let argv = [
        "dd",
        &from,
        &to,
        &block,
        &seek,
        "conv=notrunc",
        "status=none",
    ];
    succeed(remote, what, &argv, WORK).await.map(drop)
}

async fn arrived(remote: &impl Remote, what: &str, sha256: &str) -> Result<(), Error> {
    let output = succeed(remote, what, &["sha256sum", "--", BROUGHT], WORK).await?;
    match String::from_utf8_lossy(&output.stdout).starts_with(sha256) {
        true => Ok(()),
        false => Err(failed(what, "what arrived is not what was sent".to_owned())),
    }
}

/// Unpacks the snapshot beside the member's data, by etcd's own program, which checks it: as the member that it is of `cluster`, all
/// members of it. The `token` tells the restored etcd from the one before it, whose members it never mixes with.
pub async fn unpack(
    remote: &impl Remote,
    member: &Member,
    cluster: &str,
    token: &str,
    bumps: bool,
) -> Result<(), Error> {
    let what = "unpack the snapshot beside etcd's data";
    clear(remote, member).await?;
    let (name, peer, folder) = (&member.name, &member.peer_url, member.unpacked());
    let mut argv = vec![
        "env",
        "ETCDCTL_API=3",
        member.program,
        "snapshot",
        "restore",
        BROUGHT,
    ];
    argv.extend(["--name", name, "--initial-cluster", cluster]);
    argv.extend(["--initial-cluster-token", token]);
    argv.extend(["--initial-advertise-peer-urls", peer, "--data-dir", &folder]);
    if bumps {
        argv.extend([BUMP, "--mark-compacted"]);
    }
    succeed(remote, what, &argv, WORK).await?;
    Ok(())
}

/// Stops the control plane of a master, its kubelet first, which would start it again; what else runs in containers there runs on.
/// No reboot starts it either.
pub async fn halt(remote: &impl Remote) -> Result<(), Error> {
    let what = "stop the control plane of this master";
    let argv = ["systemctl", "disable", "--now", "kubelet"];
    succeed(remote, what, &argv, PATIENCE).await?;
    for signal in ["--signal=TERM", "--signal=KILL"] {
        let argv = ["pkill", signal, "--full", CONTROL_PLANE];
        let sent = once(remote, what, &argv, PATIENCE).await?;
        if sent.status > 1 {
            return Err(failed(what, said(&sent)));
        }
        if have_ended(remote, what).await? {
            return Ok(());
        }
    }
    Err(failed(what, "its processes do not end".to_owned()))
}

/// Whether no process of the control plane is left, in time.
async fn have_ended(remote: &impl Remote, what: &str) -> Result<bool, Error> {
    let end = Instant::now() + ENDS;
    loop {
        let argv = ["pgrep", "--full", CONTROL_PLANE];
        let found = once(remote, what, &argv, PATIENCE).await?;
        match found.status {
            1 => return Ok(true),
            0 if Instant::now() + LOOK < end => tokio::time::sleep(LOOK).await,
            0 => return Ok(false),
            _ => return Err(failed(what, said(&found))),
        }
    }
}

/// Stops the member of a master; no reboot starts it.
pub async fn stop_member(remote: &impl Remote) -> Result<(), Error> {
    stop_etcd(remote, "stop etcd on this master").await
}

/// Puts what was unpacked in the place of the member's data; where those are then. Only while no member runs.
pub async fn put_in_place(remote: &impl Remote, member: &Member) -> Result<Option<String>, Error> {
    let what = "put the snapshot in the place of etcd's data";
    let aside = move_data(remote, what, &member.folder).await?;
    fail::fail_point!("kubespray::restore-aside");
    let (from, to) = (
        format!("{}/member", member.unpacked()),
        format!("{}/member", member.folder),
    );
    succeed(
        remote,
        what,
        &["mv", "-f", "-T", "--", &from, &to],
        PATIENCE,
    )
    .await?;
    Ok(aside)
}

/// Has the kubelet of a master start, and with it the control plane, now and with each boot.
pub async fn resume(remote: &impl Remote) -> Result<(), Error> {
    let argv = ["systemctl", "enable", "--now", "kubelet"];
    succeed(remote, "start the kubelet", &argv, PATIENCE).await?;
    Ok(())
}

/// Removes what a restoration has left beside etcd's data.
pub async fn clear(remote: &impl Remote, member: &Member) -> Result<(), Error> {
    let what = "remove what was unpacked beside etcd's data";
    let argv = ["rm", "-rf", "--", &member.unpacked()];
    succeed(remote, what, &argv, PATIENCE).await?;
    Ok(())
}

/// Removes the snapshot from the master: every secret of the cluster is in it.
pub async fn discard(remote: &impl Remote) -> Result<(), Error> {
    let argv = ["rm", "-f", "--", BROUGHT, PIECE_FILE];
    succeed(remote, "remove the snapshot", &argv, PATIENCE).await?;
    Ok(())
}

fn failed(what: &str, lines: String) -> Error {
    Error::Program {
        what: what.to_owned(),
        lines,
    }
}
