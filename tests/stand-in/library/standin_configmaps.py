#!/usr/bin/python
# Run on a control plane: has config maps be there, as kubeadm and network plugins leave them.
"""Options: maps ({namespace/name: data}), kubeconfig. One that is there stays as it is."""
import sys

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import PROGRAMS

sys.path.insert(0, PROGRAMS)


def make(client, maps):
    """Whether any was new."""
    from kube import Failed
    new = False
    for path, data in sorted(maps.items()):
        namespace, _, name = path.partition("/")
        body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}
        try:
            client.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)
            new = True
        except Failed as error:
            if error.code != 409:
                raise
    return new


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={"maps": {"type": "dict", "required": True},
                                          "kubeconfig": {"type": "str", "default": "/etc/kubernetes/admin.conf"}})
    from kube import Client, Failed
    try:
        changed = make(Client(module.params["kubeconfig"]), module.params["maps"])
    except (Failed, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
