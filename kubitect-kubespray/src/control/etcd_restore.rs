//! The steps of restoring a snapshot on one master: upload it, unpack it beside the member's data, stop the control plane and the
//! member, and replace the data. The old data are moved away, not deleted.

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
use super::remote::{LIMIT, last_output, run_once, run_retrying, write};
use super::wait::POLL_INTERVAL;
use crate::Error;

/// The programs that restore snapshots; the first that is installed is used. etcdctl can do it up to etcd 3.5, etcdutl from 3.5 on.
const PROGRAMS: [&str; 2] = ["/usr/local/bin/etcdutl", "/usr/local/bin/etcdctl"];
/// The certificate of Kubernetes' own authority.
const AUTHORITY: &str = "/etc/kubernetes/ssl/ca.crt";
/// The file on a master to which the snapshot is uploaded.
pub const SNAPSHOT_FILE: &str = "/var/lib/kubitect/etcd-restore.db";
/// The file on a master to which each part of the snapshot is uploaded, before it is appended to [`SNAPSHOT_FILE`].
const PIECE_FILE: &str = "/var/lib/kubitect/etcd-restore.piece";
/// The size of such a part, in bytes.
const PIECE: u64 = 16 << 20;
/// How long each command on the snapshot may take: appending a part, checking, unpacking.
const TRANSFER_LIMIT: Duration = Duration::from_secs(10 * 60);
/// How long the control plane may take to end after SIGTERM, and again after SIGKILL.
const STOP_LIMIT: Duration = Duration::from_secs(40);
/// Matches the processes of the control plane by their command lines.
const CONTROL_PLANE: &str = "^kube-(apiserver|controller-manager|scheduler) ";
/// By how much the revisions of the restored data are raised: more than a cluster makes in a year. Clients that watch would
/// otherwise see revisions again that they saw before the restore, and miss changes.
const BUMP: &str = "--bump-revision=1000000000";

/// The etcd member of one master, as installed there, and what can restore its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMember {
    /// The member's name.
    pub name: String,
    /// The URL for other members.
    pub peer_url: String,
    /// Its data folder.
    pub folder: String,
    /// The installed version of etcd.
    pub version: Option<Version>,
    /// The certificate of Kubernetes' certificate authority, by which the cluster is recognized.
    pub authority: String,
    /// Free space on the disk of its data, in bytes.
    pub free: u64,
    /// The program that unpacks the snapshot.
    program: &'static str,
    /// Whether that program can raise the revisions of the restored data (`--bump-revision`).
    pub bumps_revision: bool,
}

impl LocalMember {
    /// The member as etcd's option `--initial-cluster` lists it: `name=url`.
    pub fn initial(&self) -> String {
        format!("{}={}", self.name, self.peer_url)
    }

    /// The folder into which the snapshot is unpacked. It is on the same file system as the data, so that replacing them is one
    /// rename.
    fn unpacked(&self) -> String {
        format!("{}/kubitect-restore", self.folder)
    }
}

/// Reads what is installed on the connected master; its etcd need not run.
pub async fn local_member(remote: &impl Remote) -> Result<LocalMember, Error> {
    let what = "look at the etcd of this master";
    let environment = read(remote, what, ENVIRONMENT).await?;
    let folder = environment_value(&environment, "ETCD_DATA_DIR")?;
    let program = match exists(remote, PROGRAMS[0]).await? {
        true => PROGRAMS[0],
        false => PROGRAMS[1],
    };
    Ok(LocalMember {
        name: environment_value(&environment, "ETCD_NAME")?,
        peer_url: environment_value(&environment, "ETCD_INITIAL_ADVERTISE_PEER_URLS")?,
        version: version(remote, what).await?,
        authority: read(remote, what, AUTHORITY).await?.trim().to_owned(),
        free: free(remote, what, &folder).await?,
        bumps_revision: can_bump(remote, what, program).await?,
        folder,
        program,
    })
}

async fn read(remote: &impl Remote, what: &str, path: &str) -> Result<String, Error> {
    let output = run_retrying(remote, what, &["cat", "--", path], LIMIT).await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A setting in [`ENVIRONMENT`].
fn environment_value(environment: &str, name: &str) -> Result<String, Error> {
    let mut lines = environment.lines().filter_map(|line| line.split_once('='));
    let line = lines.rfind(|(key, _)| *key == name);
    let value = line.map(|(_, value)| value.trim());
    let value = value.filter(|value| !value.is_empty() && **value == text::line(value));
    let missing = || failed(&format!("read {ENVIRONMENT}"), format!("it has no {name}"));
    value.map(str::to_owned).ok_or_else(missing)
}

/// The installed version of etcd, if it prints one.
async fn version(remote: &impl Remote, what: &str) -> Result<Option<Version>, Error> {
    let output = run_once(remote, what, &[ETCD, "--version"], LIMIT).await?;
    let output = String::from_utf8_lossy(&output.stdout);
    let mut lines = output.lines();
    let version = lines.find_map(|line| line.strip_prefix("etcd Version:"));
    Ok(version.and_then(|text| text.trim().parse().ok()))
}

/// Free space on the file system of this folder, in bytes.
async fn free(remote: &impl Remote, what: &str, folder: &str) -> Result<u64, Error> {
    let argv = ["df", "--output=avail", "--block-size=1", "--", folder];
    let output = run_retrying(remote, what, &argv, LIMIT).await?;
    let output = String::from_utf8_lossy(&output.stdout);
    let last = output.lines().last();
    Ok(last.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}

/// Whether the program that restores snapshots can raise revisions.
async fn can_bump(remote: &impl Remote, what: &str, program: &str) -> Result<bool, Error> {
    let argv = [
        "env",
        "ETCDCTL_API=3",
        program,
        "snapshot",
        "restore",
        "--help",
    ];
    let help = run_once(remote, what, &argv, LIMIT).await?;
    let output = [help.stdout, help.stderr].concat();
    Ok(String::from_utf8_lossy(&output).contains("--bump-revision"))
}

/// Uploads a local snapshot to a master, part by part, and compares its SHA-256 there. Only root can read the file.
pub async fn upload(remote: &impl Remote, file: &Path, sha256: &str) -> Result<(), Error> {
    let what = "bring the snapshot to this master";
    let read_error = || Error::file("read", file);
    let source = std::fs::File::open(file).map_err(read_error())?;
    let length = source.metadata().map_err(read_error())?.len();
    let argv = ["install", "-d", "-m", "0700", "/var/lib/kubitect"];
    run_retrying(remote, what, &argv, LIMIT).await?;
    discard_upload(remote).await?;
    for piece in 0..length.div_ceil(PIECE) {
        let from = piece * PIECE;
        let mut bytes = vec![0; PIECE.min(length - from) as usize];
        source
            .read_exact_at(&mut bytes, from)
            .map_err(read_error())?;
        upload_piece(remote, what, piece, &bytes).await?;
    }
    verify_upload(remote, what, sha256).await
}

async fn upload_piece(
    remote: &impl Remote,
    what: &str,
    piece: u64,
    bytes: &[u8],
) -> Result<(), Error> {
    if piece == 0 {
        return write(remote, what, SNAPSHOT_FILE, bytes, 0o600).await;
    }
    write(remote, what, PIECE_FILE, bytes, 0o600).await?;
    let (from, to) = (format!("if={PIECE_FILE}"), format!("of={SNAPSHOT_FILE}"));
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
    run_retrying(remote, what, &argv, TRANSFER_LIMIT)
        .await
        .map(drop)
}

async fn verify_upload(remote: &impl Remote, what: &str, sha256: &str) -> Result<(), Error> {
    let argv = ["sha256sum", "--", SNAPSHOT_FILE];
    let output = run_retrying(remote, what, &argv, TRANSFER_LIMIT).await?;
    match String::from_utf8_lossy(&output.stdout).starts_with(sha256) {
        true => Ok(()),
        false => Err(failed(what, "what arrived is not what was sent".to_owned())),
    }
}

/// Unpacks the snapshot beside the member's data with etcd's own program, which checks its integrity. `cluster` lists all members
/// as `--initial-cluster` does. The `token` differs from that of the old cluster, so that members of the two never accept each
/// other.
pub async fn unpack(
    remote: &impl Remote,
    member: &LocalMember,
    cluster: &str,
    token: &str,
    bumps_revision: bool,
) -> Result<(), Error> {
    let what = "unpack the snapshot beside etcd's data";
    remove_unpacked(remote, member).await?;
    let (name, peer, folder) = (&member.name, &member.peer_url, member.unpacked());
    let mut argv = vec![
        "env",
        "ETCDCTL_API=3",
        member.program,
        "snapshot",
        "restore",
        SNAPSHOT_FILE,
    ];
    argv.extend(["--name", name, "--initial-cluster", cluster]);
    argv.extend(["--initial-cluster-token", token]);
    argv.extend(["--initial-advertise-peer-urls", peer, "--data-dir", &folder]);
    if bumps_revision {
        argv.extend([BUMP, "--mark-compacted"]);
    }
    run_retrying(remote, what, &argv, TRANSFER_LIMIT).await?;
    Ok(())
}

/// Stops the control plane of a master, and keeps a reboot from starting it. The kubelet is stopped first, because it would start
/// the control plane again. Other containers on the machine run on.
pub async fn stop_control_plane(remote: &impl Remote) -> Result<(), Error> {
    let what = "stop the control plane of this master";
    let argv = ["systemctl", "disable", "--now", "kubelet"];
    run_retrying(remote, what, &argv, LIMIT).await?;
    for signal in ["--signal=TERM", "--signal=KILL"] {
        let argv = ["pkill", signal, "--full", CONTROL_PLANE];
        let sent = run_once(remote, what, &argv, LIMIT).await?;
        if sent.status > 1 {
            return Err(failed(what, last_output(&sent)));
        }
        if has_stopped(remote, what).await? {
            return Ok(());
        }
    }
    Err(failed(what, "its processes do not end".to_owned()))
}

/// Whether the last process of the control plane ends within [`STOP_LIMIT`].
async fn has_stopped(remote: &impl Remote, what: &str) -> Result<bool, Error> {
    let end = Instant::now() + STOP_LIMIT;
    loop {
        let argv = ["pgrep", "--full", CONTROL_PLANE];
        let found = run_once(remote, what, &argv, LIMIT).await?;
        match found.status {
            1 => return Ok(true),
            0 if Instant::now() + POLL_INTERVAL < end => tokio::time::sleep(POLL_INTERVAL).await,
            0 => return Ok(false),
            _ => return Err(failed(what, last_output(&found))),
        }
    }
}

/// Stops the member of a master, and keeps a reboot from starting it.
pub async fn stop_member(remote: &impl Remote) -> Result<(), Error> {
    stop_etcd(remote, "stop etcd on this master").await
}

/// Replaces the member's data with the unpacked snapshot. Returns the path to which the old data were moved. Call it only while
/// no member of etcd runs.
pub async fn put_in_place(
    remote: &impl Remote,
    member: &LocalMember,
) -> Result<Option<String>, Error> {
    let what = "put the snapshot in the place of etcd's data";
    let aside = move_data(remote, what, &member.folder).await?;
    fail::fail_point!("kubespray::restore-aside");
    let (from, to) = (
        format!("{}/member", member.unpacked()),
        format!("{}/member", member.folder),
    );
    run_retrying(remote, what, &["mv", "-f", "-T", "--", &from, &to], LIMIT).await?;
    Ok(aside)
}

/// Starts the kubelet of a master, and with it the control plane, now and at each boot.
pub async fn start_control_plane(remote: &impl Remote) -> Result<(), Error> {
    let argv = ["systemctl", "enable", "--now", "kubelet"];
    run_retrying(remote, "start the kubelet", &argv, LIMIT).await?;
    Ok(())
}

/// Removes the unpacked snapshot beside the member's data.
pub async fn remove_unpacked(remote: &impl Remote, member: &LocalMember) -> Result<(), Error> {
    let what = "remove what was unpacked beside etcd's data";
    let argv = ["rm", "-rf", "--", &member.unpacked()];
    run_retrying(remote, what, &argv, LIMIT).await?;
    Ok(())
}

/// Removes the uploaded snapshot from the master: it holds every secret of the cluster.
pub async fn discard_upload(remote: &impl Remote) -> Result<(), Error> {
    let argv = ["rm", "-f", "--", SNAPSHOT_FILE, PIECE_FILE];
    run_retrying(remote, "remove the snapshot", &argv, LIMIT).await?;
    Ok(())
}

fn failed(what: &str, lines: String) -> Error {
    Error::Program {
        what: what.to_owned(),
        lines,
    }
}
