//! What lets the etcd of a machine start, or keeps it from that: its unit, the data that it finds, and with how many members it was
//! announced.

use std::time::SystemTime;

use kubitect_config::remote::Remote;

use super::etcd::ENVIRONMENT;
use super::kubeadm::exists;
use super::remote::{PATIENCE, once, said, succeed};
use crate::Error;

/// The program itself.
pub(super) const ETCD: &str = "/usr/local/bin/etcd";

/// Where Kubespray writes the members with which etcd begins.
const INITIAL: &str = "ETCD_INITIAL_CLUSTER=";

/// Sets aside what an etcd has left in its data folder on a machine that is to join, and stops and disables it; where the data
/// are then, if there were any. With them it would never start: they are of a member that is gone, or of a cluster that never
/// was. Only for a machine whose address etcd does not list, or whose member is one of two.
pub async fn set_data_aside(remote: &impl Remote, folder: &str) -> Result<Option<String>, Error> {
    let what = format!("set aside the old etcd data in {folder}");
    if !exists(remote, &format!("{folder}/member")).await? {
        return Ok(None);
    }
    stop_etcd(remote, &what).await?;
    move_data(remote, &what, folder).await
}

/// Stops and disables etcd on the machine at the other end. Where there is no such unit, nothing runs.
pub(super) async fn stop_etcd(remote: &impl Remote, what: &str) -> Result<(), Error> {
    let argv = ["systemctl", "disable", "--now", "etcd"];
    let stopped = once(remote, what, &argv, PATIENCE).await?;
    let argv = ["systemctl", "--quiet", "is-active", "etcd"];
    match once(remote, what, &argv, PATIENCE).await?.status {
        0 => Err(Error::Program {
            what: what.to_owned(),
            lines: format!("etcd does not stop: {}", said(&stopped)),
        }),
        _ => Ok(()),
    }
}

/// Moves the data of an etcd that does not run aside; where they are then, if there are any.
pub(super) async fn move_data(
    remote: &impl Remote,
    what: &str,
    folder: &str,
) -> Result<Option<String>, Error> {
    let data = format!("{folder}/member");
    if !exists(remote, &data).await? {
        return Ok(None);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let aside = format!("{folder}/set-aside-{}", now.unwrap_or_default().as_nanos());
    // In the same folder, so that it is one step; etcd looks at nothing there but `member`.
    let argv = ["mv", "-f", "-T", "--", &data, &aside];
    succeed(remote, what, &argv, PATIENCE).await?;
    Ok(Some(aside))
}

/// How many members etcd was to have when the one of the machine at the other end was announced; 0 where Kubespray has not written
/// that.
pub async fn announced(remote: &impl Remote) -> Result<usize, Error> {
    let what = "read with which members etcd begins";
    if !exists(remote, ENVIRONMENT).await? {
        return Ok(0);
    }
    let output = succeed(remote, what, &["cat", ENVIRONMENT], PATIENCE).await?;
    Ok(count(&String::from_utf8_lossy(&output.stdout)))
}

/// The members in `ETCD_INITIAL_CLUSTER=etcd-1=https://10.0.0.1:2380,etcd-2=https://10.0.0.2:2380`.
fn count(environment: &str) -> usize {
    let mut lines = environment.lines();
    let list = lines.rfind(|line| line.starts_with(INITIAL));
    let list = list.map_or("", |line| line[INITIAL.len()..].trim());
    list.split(',').filter(|member| !member.is_empty()).count()
}

/// Starts etcd on the machine at the other end, anew if it runs.
pub async fn restart_etcd(remote: &impl Remote) -> Result<(), Error> {
    let argv = ["systemctl", "enable", "etcd"];
    succeed(remote, "enable etcd", &argv, PATIENCE).await?;
    // It counts as started only once it serves; whether it does, the others say.
    let argv = ["systemctl", "restart", "--no-block", "etcd"];
    succeed(remote, "restart etcd", &argv, PATIENCE).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_members_are_counted() {
        let two = "ETCD_NAME=b\nETCD_INITIAL_CLUSTER_STATE=existing\nETCD_INITIAL_CLUSTER=a=https://10.0.0.1:2380,b=https://10.0.0.2:2380\n";
        assert_eq!(count(two), 2);
        assert_eq!(
            count(&format!("{two}ETCD_INITIAL_CLUSTER=a=x,b=y,c=z\n")),
            3
        );
        assert_eq!(count("ETCD_INITIAL_CLUSTER=\n"), 0);
        assert_eq!(count("ETCD_INITIAL_CLUSTER_STATE=new\n"), 0);
    }
}
