//! What an earlier run has left running on a machine: the end of an SSH session does not end it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kubitect_config::{Remote, text};

use super::remote::{PATIENCE, succeed};
use super::wait::wait;
use crate::Error;

/// Programs that Kubespray's tasks run for long, or that hold the locks of package managers.
const PROGRAMS: [&str; 7] = ["kubeadm", "apt-get", "apt", "dpkg", "dnf", "yum", "rpm"];
/// What is in the arguments of every task of Ansible that runs as root, with and without pipelining.
const TASKS: [&str; 3] = ["BECOME-SUCCESS-", "AnsiballZ_", "/ansible-tmp-"];

/// What an earlier run has left running on the machine at the other end, a line each for a person.
pub async fn running(remote: &impl Remote) -> Result<Vec<String>, Error> {
    let what = "look for what an earlier run has left running";
    let argv = ["ps", "-e", "-ww", "-o", "pid=,args="];
    let output = succeed(remote, what, &argv, PATIENCE).await?;
    Ok(left(&String::from_utf8_lossy(&output.stdout)))
}

fn left(processes: &str) -> Vec<String> {
    let line = |line: &str| {
        let (pid, arguments) = line.trim().split_once(' ')?;
        let arguments = arguments.trim();
        let program = |word: &str| PROGRAMS.contains(&word.rsplit('/').next().unwrap_or_default());
        // Python and shell scripts are the second word; `timeout` and sudo stand before what they run.
        let begins = arguments
            .split_whitespace()
            .take(8)
            .find(|word| program(word));
        let is_task = TASKS.iter().any(|mark| arguments.contains(mark));
        let named = match begins {
            // Another word may be called so: `tail /var/log/apt`.
            Some(word) if arguments.starts_with(word) || runs(arguments, word) => word,
            _ if is_task => "a task of Ansible",
            _ => return None,
        };
        let named = named.rsplit('/').next().unwrap_or(named);
        let is_number = pid.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| format!("{named} (process {pid})"))
    };
    processes.lines().filter_map(line).collect()
}

/// Whether the words before this one are those of a program that runs another.
fn runs(arguments: &str, word: &str) -> bool {
    let before = arguments
        .split_whitespace()
        .take_while(|other| *other != word);
    let mut before = before.peekable();
    let first = before
        .peek()
        .map(|word| word.rsplit('/').next().unwrap_or_default());
    first.is_some_and(|first| ["timeout", "sudo", "env", "python3", "sh", "bash"].contains(&first))
        && before.skip(1).all(|word| {
            word.starts_with('-')
                || word.contains('=')
                || word.trim_end_matches('s').parse::<u32>().is_ok()
        })
}

/// How long the machine at the other end has been up.
pub async fn uptime(remote: &impl Remote) -> Result<Duration, Error> {
    let what = "ask how long the machine has been up";
    let output = succeed(remote, what, &["cat", "/proc/uptime"], PATIENCE).await?;
    let text = String::from_utf8_lossy(&output.stdout);
    let seconds = text
        .split(['.', ' '])
        .next()
        .and_then(|text| text.parse().ok());
    match seconds {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(Error::Program {
            what: what.to_owned(),
            lines: format!("`{}` is no time", text::line(text.trim())),
        }),
    }
}

/// Waits until nothing of an earlier run goes on on the machine at the other end. `tell` hears once of what is waited for.
pub async fn wait_idle(
    remote: &impl Remote,
    machine: &str,
    limit: Duration,
    tell: impl Fn(&str) + Send + Sync,
) -> Result<(), Error> {
    let mut failed = None;
    let told = AtomicBool::new(false);
    let waits = |running: &str| {
        if !told.swap(true, Ordering::Relaxed) {
            tell(running);
        }
    };
    let left = wait(limit, &waits, async || match running(remote).await {
        Ok(running) => Some(running.join(", ")).filter(|running| !running.is_empty()),
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    match (left.await, failed) {
        (Some(running), _) => Err(Error::Busy {
            machine: machine.to_owned(),
            limit,
            running,
        }),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubespray_runs_is_told_from_what_is_the_machines_own() {
        let processes = "    1 /sbin/init\n\
  512 /usr/bin/python3 /usr/share/unattended-upgrades/unattended-upgrade-shutdown --wait-for-signal\n\
  700 sshd: k8s@notty\n\
  801 sudo -H -S -n -u root /bin/sh -c echo BECOME-SUCCESS-abcdefgh ; /usr/bin/python3\n\
  812 timeout -k 300s 300s /usr/local/bin/kubeadm init --config=/etc/kubernetes/kubeadm-config.yaml\n\
  813 /usr/local/bin/kubeadm init --config=/etc/kubernetes/kubeadm-config.yaml\n\
  820 /usr/bin/python3 /home/k8s/.ansible/tmp/ansible-tmp-1.2-3/AnsiballZ_get_url.py\n\
  900 apt-get -y install conntrack\n\
  901 /usr/bin/dpkg --status-fd 12 --configure -a\n\
  950 tail -f /var/log/apt\n\
  951 vi kubeadm\n\
  960 sudo -n ps -e -ww -o pid=,args=\n\
  961 ps -e -ww -o pid=,args=\n\
  970 /usr/local/bin/kubelet --config=/etc/kubernetes/kubelet-config.yaml\n";
        assert_eq!(
            left(processes),
            [
                "a task of Ansible (process 801)",
                "kubeadm (process 812)",
                "kubeadm (process 813)",
                "a task of Ansible (process 820)",
                "apt-get (process 900)",
                "dpkg (process 901)",
            ]
        );
        assert_eq!(left(""), [""; 0]);
    }
}
