//! Cluster and facts → Ansible's inventory, in which every host key is pinned and etcd's member names do not depend on positions.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use kubitect_config::cluster::{Node, Role, Taint};
use kubitect_config::jump::{Jump, quoted};
use kubitect_config::yaml::{self, Mapping, Value};
use kubitect_config::{Cluster, Facts};
use serde::Serialize;

use crate::Error;
use crate::goal::{self, Goal};

/// The variables of one host. They are set on the host, where no group and no `ansible.cfg` overrides them: Kubespray's
/// `ansible.cfg` turns the check of host keys off.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Host<'a> {
    ansible_host: Ipv4Addr,
    /// The address to which Kubernetes binds, and by which other nodes reach it.
    ip: Ipv4Addr,
    access_ip: Ipv4Addr,
    ansible_user: &'a str,
    /// A variable, because Ansible's option `-b` would also need sudo on this machine.
    ansible_become: bool,
    ansible_ssh_private_key_file: &'a Path,
    ansible_host_key_checking: bool,
    /// Replaces the arguments in Kubespray's `ansible.cfg`, which discard all host keys.
    ansible_ssh_args: &'static str,
    ansible_ssh_common_args: String,
    /// Set where a jump host is used: sshd rejects some of many simultaneous logins.
    #[serde(skip_serializing_if = "Option::is_none")]
    ansible_ssh_retries: Option<u32>,
    /// From the master's id. The default depends on the position in the inventory, so another order of masters would rename
    /// members.
    #[serde(skip_serializing_if = "Option::is_none")]
    etcd_member_name: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    node_labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    node_taints: &'a [Taint],
}

/// One connection for each host, which all tasks share; a machine that stops answering is noticed within two minutes.
const SSH_ARGS: &str = "-o ControlMaster=auto -o ControlPersist=5m -o ConnectionAttempts=5 \
                        -o ServerAliveInterval=15 -o ServerAliveCountMax=8";

/// The inventory as YAML, as the goal needs it.
pub(crate) fn render(cluster: &Cluster, facts: &Facts, goal: &Goal) -> Result<String, Error> {
    let names = |nodes: Vec<&'_ Node>| -> Vec<String> {
        nodes.iter().map(|node| node.name.to_string()).collect()
    };
    let masters = names(goal::masters(goal, cluster));
    let members = names(goal::etcd_members(goal, cluster));
    let mut workers = names(cluster.role(Role::Worker).collect());
    if workers.is_empty() {
        // Without workers the masters run pods. Also, Kubespray up to v2.25 refuses an empty group.
        workers.clone_from(&masters);
    }

    // Balancers last: some of Kubespray's checks use the first host, which has to be a node of Kubernetes.
    let (balancers, nodes): (Vec<_>, Vec<_>) = cluster
        .nodes
        .iter()
        .partition(|node| node.role == Role::LoadBalancer);
    let mut hosts = Mapping::new();
    for node in nodes.iter().chain(&balancers) {
        let host = yaml::to_value(&host(node, cluster, facts)?).map_err(|source| Error::Yaml {
            what: format!("the inventory's entry of {}", node.name),
            source,
        })?;
        hosts.insert(node.name.as_str().into(), host);
    }

    let mut groups = Mapping::new();
    groups.insert("kube_control_plane".into(), group(&masters));
    groups.insert("etcd".into(), group(&members));
    groups.insert("kube_node".into(), group(&workers));
    let both = ["kube_control_plane", "kube_node"];
    groups.insert(
        "k8s_cluster".into(),
        map([("children", empty_entries(both))]),
    );
    let balancers = names(balancers);
    if !balancers.is_empty() {
        groups.insert("haproxy".into(), group(&balancers));
    }
    let all = map([("hosts", hosts.into()), ("children", groups.into())]);
    crate::write_yaml("the inventory", &map([("all", all)]))
}

fn host<'a>(node: &'a Node, cluster: &Cluster, facts: &'a Facts) -> Result<Host<'a>, Error> {
    let ip = crate::address(node, facts)?;
    check_literal(&facts.private_key)?;
    let jump = cluster.jump(&node.host);
    Ok(Host {
        ansible_host: ip,
        ip,
        access_ip: ip,
        ansible_user: &facts.user,
        ansible_become: true,
        ansible_ssh_private_key_file: &facts.private_key,
        ansible_host_key_checking: true,
        ansible_ssh_args: SSH_ARGS,
        ansible_ssh_common_args: ssh_common_args(&facts.known_hosts, jump.as_ref())?,
        ansible_ssh_retries: jump.map(|_| 5),
        etcd_member_name: (node.role == Role::Master).then(|| format!("etcd-{}", node.id)),
        node_labels: &node.labels,
        node_taints: &node.taints,
    })
}

/// SSH's options: only the pinned host key is accepted, only the cluster's private key is used, and nothing prompts. With `jump`,
/// the connection goes through the machine's host.
fn ssh_common_args(known_hosts: &Path, jump: Option<&Jump>) -> Result<String, Error> {
    // Quoted twice: Ansible splits the arguments at blanks as a shell does, and SSH splits the option's value again.
    let known_hosts = check_literal(known_hosts)?;
    let mut args = format!(
        "-o StrictHostKeyChecking=yes -o 'UserKnownHostsFile=\"{known_hosts}\"' \
         -o GlobalKnownHostsFile=/dev/null -o UpdateHostKeys=no -o IdentitiesOnly=yes -o BatchMode=yes"
    );
    if let Some(jump) = jump {
        if let Some(keyfile) = &jump.keyfile {
            check_literal(keyfile)?;
        }
        check_literal(&jump.program)?;
        check_literal(Path::new(&jump.to_string()))?;
        // SSH passes the whole rest of the option to a shell.
        let option = format!("ProxyCommand={}", jump.proxy_command());
        args.push_str(&format!(" -o {}", quoted(&option)));
    }
    Ok(args)
}

/// An error if SSH or Ansible would not take paths in this folder literally. To be called before any machine is created.
pub fn check_folder(folder: &Path) -> Result<(), Error> {
    check_literal(folder).map(drop)
}

/// An error if this folder, which has the inventory, contains variables that Kubitect does not write. Ansible would read them,
/// and a variable can run a program on this machine: the folder may have been copied from elsewhere.
pub fn check_variables(folder: &Path) -> Result<(), Error> {
    let mut pending = ["group_vars", "host_vars"].map(PathBuf::from).to_vec();
    while let Some(name) = pending.pop() {
        let path = folder.join(&name);
        let failed = || Error::file("look at", &path);
        match path.symlink_metadata() {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(failed()(e)),
            Ok(found) if found.is_dir() => {
                for entry in path.read_dir().map_err(failed())? {
                    pending.push(name.join(entry.map_err(failed())?.file_name()));
                }
            }
            Ok(_) if crate::GROUP_VARS.iter().any(|own| name == Path::new(own)) => {}
            Ok(_) => return Err(Error::Variables { path }),
        }
    }
    Ok(())
}

/// The path as text, if it has no character that Ansible's templates, its splitting of arguments or SSH's tokens would interpret.
/// Blanks are allowed.
fn check_literal(path: &Path) -> Result<&str, Error> {
    let error = |character| Error::Path {
        path: path.to_owned(),
        character,
    };
    let text = path
        .to_str()
        .ok_or_else(|| error(char::REPLACEMENT_CHARACTER))?;
    match text
        .chars()
        .find(|&c| c.is_control() || "'\"\\{}$%".contains(c))
    {
        Some(character) => Err(error(character)),
        None => Ok(text),
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    let entries = entries
        .into_iter()
        .map(|(key, value)| (key.into(), value))
        .collect::<Mapping>();
    Value::Mapping(entries)
}

fn empty_entries<'a>(names: impl IntoIterator<Item = &'a str>) -> Value {
    let entries = names
        .into_iter()
        .map(|name| (name.into(), Mapping::new().into()))
        .collect::<Mapping>();
    Value::Mapping(entries)
}

fn group(names: &[String]) -> Value {
    let names = names.iter().map(String::as_str);
    map([("hosts", empty_entries(names))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_blanks_are_quoted_and_others_refused() {
        let args = ssh_common_args(Path::new("/home/a b/known_hosts"), None).unwrap();
        assert!(
            args.contains(" -o 'UserKnownHostsFile=\"/home/a b/known_hosts\"' "),
            "{args}"
        );
        for path in [
            "/a'b",
            "/a\"b",
            "/a{{b",
            "/a%h",
            "/a${HOME}",
            "/a\\b",
            "/a\nb",
        ] {
            assert!(
                matches!(
                    ssh_common_args(Path::new(path), None),
                    Err(Error::Path { .. })
                ),
                "{path}"
            );
        }
    }

    #[test]
    fn the_way_through_a_host_is_one_option_whatever_its_key_is_called() {
        let jump = |keyfile: &str| Jump {
            program: "ssh".into(),
            user: Some("me".to_owned()),
            address: "h.example.org".to_owned(),
            port: Some(22),
            keyfile: Some(keyfile.into()),
            verify: true,
        };
        let known = Path::new("/known_hosts");
        let args = ssh_common_args(known, Some(&jump("/home/a b/`k`"))).unwrap();
        // Split as Ansible does.
        let split = std::process::Command::new("python3")
            .args([
                "-c",
                "import shlex, sys; print(shlex.split(sys.argv[1])[-1])",
                &args,
            ])
            .output()
            .unwrap();
        let option = String::from_utf8(split.stdout).unwrap();
        let command = jump("/home/a b/`k`").proxy_command();
        assert_eq!(option.trim_end(), format!("ProxyCommand={command}"));
        for keyfile in ["/a{{b}}", "/a'b", "/a%b"] {
            let args = ssh_common_args(known, Some(&jump(keyfile)));
            assert!(matches!(args, Err(Error::Path { .. })), "{keyfile}");
        }
    }
}
