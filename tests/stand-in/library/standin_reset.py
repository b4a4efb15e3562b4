#!/usr/bin/python
# Takes everything of the stand-in off a host: its services, their data, certificates, programs, and names in /etc/hosts.
"""No options. What is not there any more is no error."""
import os
import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import PROGRAMS, STATE, Trouble, hosts_block, put, read, run

SERVICES = ["kubelet", "kube-apiserver", "etcd"]
TOOLS = ["/usr/local/bin/kubectl", "/usr/local/bin/etcdctl", "/usr/local/bin/kubeadm", "/var/lib/kubelet/config.yaml"]
FOLDERS = ["/var/lib/etcd/member", "/etc/kubernetes", "/etc/ssl/etcd", PROGRAMS]


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={})
    changed = False
    try:
        for name in SERVICES:
            unit = f"/etc/systemd/system/{name}.service"
            if os.path.exists(unit):
                run(["systemctl", "disable", "--now", "--quiet", name])
                os.unlink(unit)
                changed = True
        run(["systemctl", "daemon-reload"])
        for folder in FOLDERS:
            if os.path.isdir(folder):
                shutil.rmtree(folder)
                changed = True
        for path in ["/etc/etcd.env", *TOOLS]:
            if os.path.exists(path):
                os.unlink(path)
        changed = put("/etc/hosts", hosts_block(read("/etc/hosts").decode(), [])) or changed
        shutil.rmtree(STATE, ignore_errors=True)  # last: it says what is installed
    except (Trouble, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
