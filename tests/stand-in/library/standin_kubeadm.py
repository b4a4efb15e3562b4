#!/usr/bin/python
# Run on a node: begins what `kubeadm init` and `kubeadm join` do, unless they have run before.
"""Options: control_plane. Result: runs (whether it had to)."""
import sys

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import PROGRAMS

sys.path.insert(0, PROGRAMS)


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={"control_plane": {"type": "bool", "required": True}})
    from kubeadm import begin
    try:
        runs = begin(module.params["control_plane"])
    except (RuntimeError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=runs, runs=runs)


if __name__ == "__main__":
    main()
