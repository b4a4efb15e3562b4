#!/usr/bin/python
# Prepares a host in one go: its name, the cluster's names in /etc/hosts, programs and certificates.
"""Options: hostname (empty: leave it), names (lines for /etc/hosts), files ({path: {content, mode, owner}})."""
import socket

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import Trouble, hosts_block, put, put_all, read, run


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={"hostname": {"type": "str", "default": ""}, "names": {"type": "list", "elements": "str", "default": []},
                                          "files": {"type": "dict", "required": True, "no_log": True}})
    want, changed = module.params, []
    try:
        if want["hostname"] and want["hostname"] != socket.gethostname():
            run(["hostnamectl", "set-hostname", want["hostname"]])
            changed.append("hostname")
        old = read("/etc/hosts").decode()
        if put("/etc/hosts", hosts_block(old, want["names"])):
            changed.append("/etc/hosts")
        changed += put_all(want["files"])
    except (Trouble, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), changes=len(changed))


if __name__ == "__main__":
    main()
