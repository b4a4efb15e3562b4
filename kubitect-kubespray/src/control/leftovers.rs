//! Processes of an earlier run that still run on a machine: when an SSH session ends, what it started goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kubitect_config::{Remote, text};

use super::remote::{LIMIT, run_retrying};
use super::wait::wait;
use crate::Error;

/// Programs that run long in Kubespray's tasks, or that hold a lock of a package manager.
const PROGRAMS: [&str; 7] = ["kubeadm", "apt-get", "apt", "dpkg", "dnf", "yum", "rpm"];
/// What the arguments of an Ansible task that runs as root contain, with or without pipelining.
const TASK_MARKS: [&str; 3] = ["BECOME-SUCCESS-", "AnsiballZ_", "/ansible-tmp-"];

/// The processes of an earlier run on the connected machine, one line for each, as `apt-get (process 900)`.
pub async fn leftover_processes(remote: &impl Remote) -> Result<Vec<String>, Error> {
    let what = "look for what an earlier run has left running";
    let argv = ["ps", "-e", "-ww", "-o", "pid=,args="];
    let output = run_retrying(remote, what, &argv, LIMIT).await?;
    Ok(leftovers(&String::from_utf8_lossy(&output.stdout)))
}

/// The leftovers among the lines of `ps`, each a process id and its arguments.
fn leftovers(processes: &str) -> Vec<String> {
    let line = |line: &str| {
        let (pid, arguments) = line.trim().split_once(' ')?;
        let arguments = arguments.trim();
        let program = |word: &str| PROGRAMS.contains(&word.rsplit('/').next().unwrap_or_default());
        // The program need not be the first word: an interpreter, `timeout` or sudo may run it.
        let begins = arguments
            .split_whitespace()
            .take(8)
            .find(|word| program(word));
        let is_task = TASK_MARKS.iter().any(|mark| arguments.contains(mark));
        let label = match begins {
            // Not a program but an argument: `tail /var/log/apt`.
            Some(word) if arguments.starts_with(word) || is_run_by_wrapper(arguments, word) => word,
            _ if is_task => "a task of Ansible",
            _ => return None,
        };
        let label = label.rsplit('/').next().unwrap_or(label);
        let is_number = pid.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| format!("{label} (process {pid})"))
    };
    processes.lines().filter_map(line).collect()
}

/// Whether the words before `word` are a program that runs another one (sudo, `timeout`, an interpreter) and its options.
fn is_run_by_wrapper(arguments: &str, word: &str) -> bool {
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

/// How long the connected machine has been up.
pub async fn uptime(remote: &impl Remote) -> Result<Duration, Error> {
    let what = "ask how long the machine has been up";
    let output = run_retrying(remote, what, &["cat", "/proc/uptime"], LIMIT).await?;
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

/// Waits until no process of an earlier run is left on the connected machine. `on_wait` is called once, with the processes.
pub async fn wait_idle(
    remote: &impl Remote,
    machine: &str,
    limit: Duration,
    on_wait: impl Fn(&str) + Send + Sync,
) -> Result<(), Error> {
    let mut failed = None;
    let reported = AtomicBool::new(false);
    let report_once = |running: &str| {
        if !reported.swap(true, Ordering::Relaxed) {
            on_wait(running);
        }
    };
    let leftovers = wait(limit, &report_once, async || {
        match leftover_processes(remote).await {
            Ok(running) => Some(running.join(", ")).filter(|running| !running.is_empty()),
            Err(error) => {
                failed = Some(error);
                None
            }
        }
    });
    match (leftovers.await, failed) {
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
            leftovers(processes),
            [
                "a task of Ansible (process 801)",
                "kubeadm (process 812)",
                "kubeadm (process 813)",
                "a task of Ansible (process 820)",
                "apt-get (process 900)",
                "dpkg (process 901)",
            ]
        );
        assert_eq!(leftovers(""), [""; 0]);
    }
}
