#!/usr/bin/python
# Run on a control plane: notes addons as installed, in the config map addons of kube-system.
"""Options: addons (their variables), kubeconfig. What is noted already stays: Kubespray takes no addon away."""
import sys

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import PROGRAMS

sys.path.insert(0, PROGRAMS)
MAPS = "/api/v1/namespaces/kube-system/configmaps"


def install(client, addons):
    """Whether any was new."""
    from kube import Failed
    wanted = {name: "installed" for name in addons}
    try:
        old = client.request("GET", f"{MAPS}/addons")
    except Failed as error:
        if error.code != 404:
            raise
        client.request("POST", MAPS, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "addons"}, "data": wanted})
        return bool(wanted)
    if set(wanted) <= set(old.get("data") or {}):
        return False
    client.patch(f"{MAPS}/addons", {"data": wanted})
    return True


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={"addons": {"type": "list", "elements": "str", "required": True},
                                          "kubeconfig": {"type": "str", "default": "/etc/kubernetes/admin.conf"}})
    from kube import Client, Failed
    try:
        changed = install(Client(module.params["kubeconfig"]), module.params["addons"])
    except (Failed, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
