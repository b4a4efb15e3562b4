//! The start of etcd on a machine: its systemd unit, its data folder, and the size of the cluster with which it starts.

use std::time::SystemTime;

use kubitect_config::remote::Remote;

use super::etcd::ENVIRONMENT;
use super::kubeadm::exists;
use super::remote::{LIMIT, last_output, run_once, run_retrying};
use crate::Error;

/// The etcd program.
pub(super) const ETCD: &str = "/usr/local/bin/etcd";

/// The setting with the members of the cluster that this etcd joins, as Kubespray wrote it before the join.
const INITIAL: &str = "ETCD_INITIAL_CLUSTER=";

/// Stops and disables etcd on a machine that will join, and renames its old data within the data folder. Returns their new path,
/// if there were any. With these data etcd would not start: they belong to a member that was removed, or to a cluster that never
/// formed.
///
/// Call it only for a machine whose address etcd does not list, or whose member is one of two: any other member needs its data.
pub async fn set_data_aside(remote: &impl Remote, folder: &str) -> Result<Option<String>, Error> {
    let what = format!("set aside the old etcd data in {folder}");
    if !exists(remote, &format!("{folder}/member")).await? {
        return Ok(None);
    }
    stop_etcd(remote, &what).await?;
    move_data(remote, &what, folder).await
}

/// Stops and disables etcd on the connected machine. That there is no such unit is no error: then nothing runs.
pub(super) async fn stop_etcd(remote: &impl Remote, what: &str) -> Result<(), Error> {
    let argv = ["systemctl", "disable", "--now", "etcd"];
    let stopped = run_once(remote, what, &argv, LIMIT).await?;
    let argv = ["systemctl", "--quiet", "is-active", "etcd"];
    match run_once(remote, what, &argv, LIMIT).await?.status {
        0 => Err(Error::Program {
            what: what.to_owned(),
            lines: format!("etcd does not stop: {}", last_output(&stopped)),
        }),
        _ => Ok(()),
    }
}

/// Renames the folder `member` with the data, for an etcd that does not run. Returns the new path, if there are data.
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
    // A rename within one folder is atomic, and etcd reads nothing there but `member`.
    let argv = ["mv", "-f", "-T", "--", &data, &aside];
    run_retrying(remote, what, &argv, LIMIT).await?;
    Ok(Some(aside))
}

/// How many members `ETCD_INITIAL_CLUSTER` lists on the connected machine: the cluster's size when its own member was added. 0 if
/// Kubespray has not written the setting.
pub async fn initial_cluster_size(remote: &impl Remote) -> Result<usize, Error> {
    let what = "read with which members etcd begins";
    if !exists(remote, ENVIRONMENT).await? {
        return Ok(0);
    }
    let output = run_retrying(remote, what, &["cat", ENVIRONMENT], LIMIT).await?;
    Ok(count_members(&String::from_utf8_lossy(&output.stdout)))
}

/// Counts the members in `ETCD_INITIAL_CLUSTER=etcd-1=https://10.0.0.1:2380,etcd-2=https://10.0.0.2:2380`.
fn count_members(environment: &str) -> usize {
    let mut lines = environment.lines();
    let list = lines.rfind(|line| line.starts_with(INITIAL));
    let list = list.map_or("", |line| line[INITIAL.len()..].trim());
    list.split(',').filter(|member| !member.is_empty()).count()
}

/// Restarts etcd on the connected machine, and enables it.
pub async fn restart_etcd(remote: &impl Remote) -> Result<(), Error> {
    let argv = ["systemctl", "enable", "etcd"];
    run_retrying(remote, "enable etcd", &argv, LIMIT).await?;
    // The unit counts as started only once etcd serves, which needs other members: so this does not wait. Callers ask etcd itself.
    let argv = ["systemctl", "restart", "--no-block", "etcd"];
    run_retrying(remote, "restart etcd", &argv, LIMIT).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_members_are_counted() {
        let two = "ETCD_NAME=b\nETCD_INITIAL_CLUSTER_STATE=existing\nETCD_INITIAL_CLUSTER=a=https://10.0.0.1:2380,b=https://10.0.0.2:2380\n";
        assert_eq!(count_members(two), 2);
        assert_eq!(
            count_members(&format!("{two}ETCD_INITIAL_CLUSTER=a=x,b=y,c=z\n")),
            3
        );
        assert_eq!(count_members("ETCD_INITIAL_CLUSTER=\n"), 0);
        assert_eq!(count_members("ETCD_INITIAL_CLUSTER_STATE=new\n"), 0);
    }
}
