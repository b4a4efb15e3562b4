#!/usr/bin/python
# Run on the first control plane: issues the certificates that hosts lack, and returns them for each to keep.
"""Options: hosts ({host: {specs, have}}, see `issue` in module_utils/standin_pki.py). Returns hosts ({host: {files, notes}}) and
error (a text, empty if all went well: the task must have no_log, which would hide a failure's message)."""
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import Trouble
from ansible.module_utils.standin_pki import issue


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={"hosts": {"type": "dict", "required": True}})
    issued, trouble = {}, ""
    try:
        for host, wants in module.params["hosts"].items():
            files, notes = issue(wants["specs"], wants["have"])
            issued[host] = {"files": files, "notes": notes}
    except Trouble as error:
        trouble = str(error)
    module.exit_json(changed=any(host["notes"] for host in issued.values()), hosts=issued, error=trouble)


if __name__ == "__main__":
    main()
