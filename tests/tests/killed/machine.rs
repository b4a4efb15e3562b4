//! The commands on the machines of a world in memory. A command that is not known here fails the test.

use kubitect_config::remote::Output;
use kubitect_lb::{KEEPALIVED, PROBE, SET_STATE};
use kubitect_provision::fake::FakeHost;

use crate::etcd::{self, etcdctl};
use crate::kubelet::{kubeadm, restart_kubelet};
use crate::kubernetes::{api_server, kubectl};
use crate::restored::{self, bytes};
use crate::state::{CERTIFICATE, Guest, State, file};

/// Runs a command on a machine that answers.
pub fn run(state: &mut State, host: &FakeHost, name: &str, argv: &[&str]) -> Output {
    let ["sudo", "-n", argv @ ..] = argv else {
        panic!("not as root: {argv:?}");
    };
    match argv {
        ["/usr/local/bin/kubectl", _, _, _, rest @ ..] => return kubectl(state, host, name, rest),
        [
            "env",
            "ETCDCTL_API=3",
            _,
            _,
            _,
            _,
            "/usr/local/bin/etcdctl",
            _,
            rest @ ..,
        ] => {
            return etcdctl(state, host, name, rest);
        }
        ["ip", "-o", "-4", "addr", "show"] => {
            let own = state.address(host, name).unwrap();
            let mut text = format!("2: eth0    inet {own}/24 scope global eth0\n");
            if state.holder.as_deref() == Some(name) {
                text.push_str(&format!("2: eth0    inet {VIP}/32 scope global eth0\n"));
            }
            return ok(text);
        }
        ["systemctl", "restart", "kubelet"] => return restart_kubelet(state, name),
        ["systemctl", "restart", "containerd"] => return ok(""),
        [
            "systemctl",
            "show",
            "--property=ActiveState,UnitFileState",
            unit,
        ] => {
            let stopped = state.guests[name].stopped.contains(*unit);
            let active = if stopped { "inactive" } else { "active" };
            return ok(format!("ActiveState={active}\nUnitFileState=enabled\n"));
        }
        ["systemctl", "start", "--no-block", unit] => {
            let stopped = state.guests.get_mut(name).unwrap().stopped.remove(*unit);
            assert!(stopped, "{unit} runs on {name}");
            return ok("");
        }
        ["/usr/local/bin/kubeadm", rest @ ..]
            if rest.starts_with(&["reset"]) || rest.contains(&"mark-control-plane") =>
        {
            return kubeadm(state, host, name, rest);
        }
        ["openssl", "x509", "-noout", "-in", path, _, asked] => {
            assert_eq!(*path, CERTIFICATE[0]);
            let has = state.guests[name].names.contains(*asked);
            let word = if has { "does" } else { "does NOT" };
            let mut output = ok(format!("Hostname {asked} {word} match certificate\n"));
            output.status = u32::from(!has && state.strict_openssl);
            return output;
        }
        ["stat", "--file-system", "--format=%T", "/sys/fs/cgroup"] => {
            let kind = if state.cgroup_v1 {
                "tmpfs"
            } else {
                "cgroup2fs"
            };
            return ok(format!("{kind}\n"));
        }
        ["ps", "-e", "-ww", "-o", "pid=,args="] => return processes(state, name),
        // Further questions of `status`.
        ["find", "/etc/kubernetes/ssl", ..] => return ok(""),
        ["python3", "-I", "-c", program, ..]
            if program.starts_with("# Prints what the HAProxy") =>
        {
            return ok(statistics(&state.guests[name]));
        }
        [
            "python3",
            "-I",
            "-c",
            program,
            _patience,
            _watched,
            VIP,
            "/run/keepalived.pid",
        ] if *program == KEEPALIVED => {
            return keepalived(state, host, name);
        }
        ["sh", "-c", script, "sh", ..] if script.contains("apiserver_requested_deprecated") => {
            return ok(match state.serves(host, name) {
                true => state.kube.requested.clone(),
                false => "failed\n".to_owned(),
            });
        }
        ["sh", "-c", script, "sh", _, _, _, _, resources @ ..]
            if script.contains("managedFields") =>
        {
            let mut lines = state.kube.written.lines();
            let asked = |line: &&str| resources.iter().any(|own| line.starts_with(own));
            return ok(lines
                .by_ref()
                .filter(asked)
                .map(|line| format!("{line}\n"))
                .collect::<String>());
        }
        ["cat", "/proc/uptime"] => return ok("86400.00 0.00\n"),
        ["cat", "/proc/sys/kernel/random/boot_id"] => {
            return ok(format!("{}\n", state.boot_id(name)));
        }
        ["python3", "-I", "-c", program, given @ ..]
            if program.starts_with("# Lets the system") =>
        {
            return grow(state, host, name, given);
        }
        _ => {}
    }
    if let Some(output) = restored::run(state, host, name, argv)
        .or_else(|| api_server(state, host, name, argv))
        .or_else(|| etcd::service(state, host, name, argv))
    {
        return output;
    }
    let guest = state.guests.get_mut(name).unwrap();
    let output = files(guest, argv).or_else(|| services(guest, name, argv));
    output.unwrap_or_else(|| panic!("unexpected command on {name}: {argv:?}"))
}

/// The virtual address of all clusters here.
pub const VIP: &str = "10.9.0.99";

fn files(guest: &mut Guest, argv: &[&str]) -> Option<Output> {
    let files = &mut guest.files;
    let exists = |path: &str| files.contains_key(path);
    let missing = |path: &str| failed(1, &format!("{path}: No such file or directory"));
    Some(match argv {
        ["true"] => ok(""),
        ["cat", "--", path] | ["cat", path] => match files.get(*path) {
            Some(text) => ok(text),
            None => missing(path),
        },
        ["test", "-e", path] => failed(u32::from(!exists(path)), ""),
        ["rm", "-f", "--", paths @ ..] => {
            for path in paths {
                files.remove(*path);
            }
            ok("")
        }
        ["ln", "-T", "--", from, to] | ["cp", "-T", "--", from, to]
            if !exists(from) || (argv[0] == "ln" && exists(to)) =>
        {
            failed(1, "no such file, or it exists")
        }
        ["ln" | "cp", "-T", "--", from, to] => {
            let text = files[*from].clone();
            files.insert((*to).to_owned(), text);
            ok("")
        }
        ["mv", "-f", "-T", "--", from, to] => match files.remove(*from) {
            Some(text) => {
                files.insert((*to).to_owned(), text);
                ok("")
            }
            None => missing(from),
        },
        ["install", "-d", "-m", "0700", _] => ok(""),
        ["chmod", "0600", path] => failed(u32::from(!exists(path)), "no such file"),
        // All snapshots here fit in one piece.
        ["dd", from, _, "skip=0", "count=1", "status=none"] => {
            match files.get(&from["if=".len()..]) {
                Some(text) => Output {
                    stdout: bytes(from, text),
                    ..Output::default()
                },
                None => missing(from),
            }
        }
        ["stat", "--format=%s", path] => match files.get(*path) {
            Some(text) => ok(format!("{}\n", bytes(path, text).len())),
            None => missing(path),
        },
        ["sha256sum", "--", path] => match files.get(*path) {
            Some(text) => ok(format!("{}  {path}\n", digest(&bytes(path, text)))),
            None => missing(path),
        },
        _ => return None,
    })
}

fn services(guest: &mut Guest, name: &str, argv: &[&str]) -> Option<Output> {
    Some(match argv {
        ["haproxy", "-c", "-f", path] | ["keepalived", "--config-test", "--use-file", path] => {
            failed(u32::from(!guest.files.contains_key(*path)), "no such file")
        }
        ["haproxy" | "keepalived", "-v"] => failed(u32::from(!name.contains("-lb-")), "not found"),
        ["systemctl", "--quiet", "is-active", unit] => {
            failed(u32::from(!guest.running.contains_key(*unit)), "")
        }
        ["systemctl", "--quiet", "enable", unit] => {
            guest.enabled.insert((*unit).to_owned());
            ok("")
        }
        ["systemctl", "stop", unit] => {
            guest.running.remove(*unit);
            ok("")
        }
        ["systemctl", "reload-or-restart", unit] => {
            let Some(text) = guest.files.get(file(unit)) else {
                return Some(failed(1, &format!("Job for {unit}.service failed.")));
            };
            guest.running.insert((*unit).to_owned(), text.clone());
            if *unit == "haproxy" {
                guest.drained.clear();
            }
            ok("")
        }
        [
            "python3",
            "-I",
            "-c",
            program,
            _patience,
            digest,
            "8404",
            "6443",
            ..,
        ] if *program == PROBE => {
            let served = guest.running.get("haproxy");
            let is_it = served.is_some_and(|text| text.contains(digest));
            failed(u32::from(!is_it), "HAProxy runs another configuration")
        }
        [
            "python3",
            "-I",
            "-c",
            program,
            _socket,
            word,
            server,
            backends @ ..,
        ] if *program == SET_STATE => {
            for backend in backends {
                if !servers(guest, backend).iter().any(|other| other == server) {
                    return Some(failed(1, &format!("{backend}/{server}: No such server.")));
                }
                let both = format!("{backend}/{server}");
                match *word {
                    "drain" => guest.drained.insert(both),
                    "ready" => guest.drained.remove(&both),
                    _ => panic!("{word}"),
                };
            }
            ok("")
        }
        _ => return None,
    })
}

/// The state of a machine's keepalived, as it reports it.
fn keepalived(state: &State, host: &FakeHost, name: &str) -> Output {
    if !state.guests[name].running.contains_key("keepalived") {
        return failed(1, "keepalived does not run");
    }
    match state.holder.as_deref() {
        Some(holder) if holder == name => ok("MASTER 1 -\n"),
        Some(holder) => {
            let heard = state.address(host, holder).unwrap();
            ok(format!("BACKUP 0 {heard}\n"))
        }
        None => ok("BACKUP 0 -\n"),
    }
}

/// The servers' states, as the HAProxy on a machine reports them.
fn statistics(guest: &Guest) -> String {
    let text = guest.running.get("haproxy").map_or("", String::as_str);
    let backends = text
        .lines()
        .filter_map(|line| line.strip_prefix("backend "));
    let mut rows = "# pxname,svname,status\n".to_owned();
    for backend in backends {
        for server in servers(guest, backend) {
            let drained = guest.drained.contains(&format!("{backend}/{server}"));
            let status = if drained { "DRAIN" } else { "UP" };
            rows.push_str(&format!("{backend},{server},{status}\n"));
        }
    }
    rows
}

/// The servers of a backend of the HAProxy that runs on a machine.
pub fn servers(guest: &Guest, backend: &str) -> Vec<String> {
    let text = guest.running.get("haproxy").map_or("", String::as_str);
    let begin = format!("backend {backend}");
    text.lines()
        .skip_while(|line| *line != begin)
        .skip(1)
        .take_while(|line| !line.starts_with("frontend ") && !line.starts_with("backend "))
        .filter_map(|line| line.trim().strip_prefix("server "))
        .filter_map(|rest| Some(rest.split_whitespace().next()?.to_owned()))
        .collect()
}

fn processes(state: &mut State, name: &str) -> Output {
    let guest = state.guests.get_mut(name).unwrap();
    let mut text = "    1 /sbin/init\n".to_owned();
    for (program, looks) in &mut guest.busy {
        text.push_str(&format!("  800 {program}\n"));
        *looks = looks.saturating_sub(1);
    }
    guest.busy.retain(|(_, looks)| *looks > 0);
    ok(text)
}

fn grow(state: &mut State, host: &FakeHost, name: &str, given: &[&str]) -> Output {
    let domain = host.domain_of(name).unwrap();
    let live = domain.live.unwrap();
    let guest = state.guests.get_mut(name).unwrap();
    for what in given {
        if *what == "cpus" {
            guest.cpus = live.vcpus;
            continue;
        }
        let is_meant = |disk: &str| match *what {
            "main" => disk.ends_with("-main-disk"),
            serial => {
                let middle = disk.strip_prefix(&format!("{name}-"));
                let own = middle.and_then(|rest| rest.strip_suffix("-data-disk"));
                // A short name is the serial number itself.
                own == Some(serial)
            }
        };
        let disk = live.disks.iter().find(|disk| {
            let file = disk.file_name().unwrap_or_default();
            is_meant(&file.to_string_lossy())
        });
        let Some(disk) = disk else {
            return failed(1, &format!("{what}: not a block device"));
        };
        let system = guest.systems.get_mut(disk).unwrap();
        system.1 = host.capacity(disk).unwrap();
    }
    ok("")
}

pub fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn ok(stdout: impl Into<String>) -> Output {
    Output {
        status: 0,
        stdout: stdout.into().into_bytes(),
        stderr: Vec::new(),
    }
}

pub fn failed(status: u32, stderr: &str) -> Output {
    Output {
        status,
        stdout: Vec::new(),
        stderr: stderr.into(),
    }
}
