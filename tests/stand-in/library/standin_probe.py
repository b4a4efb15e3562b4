#!/usr/bin/python
# Reports what the playbooks need to know of a host, as facts (so that they are cached like others).
"""Options: ip (must it be local?), reach ([host, port] that must answer, or empty). Changes nothing."""
import json
import os
import platform
import shutil
import socket
import sys
import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import PROGRAMS, STATE, read
from ansible.module_utils.standin_pki import digests


def is_local(ip):
    """Whether an address is one of this machine's."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True


def answers(host, port, seconds=15):
    """Empty when a TCP connection succeeds, else why not."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=3).close()
            return ""
        except OSError as error:
            if time.monotonic() > deadline:
                return f"{host}:{port}: {error}"
            time.sleep(1)


def memory_mb():
    """MemTotal, as Ansible's memtotal_mb."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        return int(next(line.split()[1] for line in file if line.startswith("MemTotal:"))) // 1024


def listed():
    """The etcd members that the API server of this host lists."""
    text = read("/etc/kubernetes/manifests/kube-apiserver.yaml").decode()
    given = [line.strip().partition("--etcd-servers=")[2] for line in text.splitlines() if "--etcd-servers=" in line]
    return given[0].split(",") if given else []


def published():
    """The etcd members with which control planes join; none while the API does not answer."""
    sys.path.insert(0, PROGRAMS)
    try:
        from kube import Client
        from kubeadm import ADMIN, MAP, endpoints
        return endpoints(Client(ADMIN).request("GET", f"{MAP}/kubeadm-config")["data"]["ClusterConfiguration"])
    except Exception:  # an older stand-in's programs, no answer, no such map: nothing is known
        return []


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={"ip": {"type": "str", "required": True}, "reach": {"type": "list", "elements": "str", "default": []}},
                           supports_check_mode=True)
    ip, reach = module.params["ip"], module.params["reach"]
    certificates = json.loads(read(f"{STATE}/certificates.json") or b"{}")
    installed = json.loads(read(f"{STATE}/installed.json") or b"{}")
    module.exit_json(changed=False, ansible_facts={"standin": {
        "hostname": socket.gethostname(),
        "root": os.geteuid() == 0,
        "python": platform.python_version(),
        "system": read("/etc/os-release").decode(errors="replace").partition('PRETTY_NAME="')[2].partition('"')[0],
        "memory_mb": memory_mb(),
        "ip_is_local": is_local(ip),
        "missing": [name for name in ("systemctl", "openssl") if not shutil.which(name)],
        "etcd": shutil.which("etcd") or "",
        "unreached": answers(reach[0], int(reach[1])) if reach else "",
        "authorities": digests(),
        "certificates": {name: note for name, note in certificates.items() if all(map(os.path.exists, note["paths"]))},
        "etcd_data": os.path.isdir("/var/lib/etcd/member"),
        "etcd_formed": bool(read(f"{STATE}/etcd-formed")),
        "version": installed.get("version", ""),
        "etcd_servers": listed(),
        "published": published() if listed() else [],
        "kubeadm_ran": os.path.exists("/var/lib/kubelet/config.yaml"),
        "tools": [name for name in ("kubectl", "etcdctl") if os.access(f"/usr/bin/{name}", os.X_OK)],
    }})


if __name__ == "__main__":
    main()
