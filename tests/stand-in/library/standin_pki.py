#!/usr/bin/python
# Run on the first control plane: issues the certificates that a host lacks, and returns them for it to keep.
"""Options: specs, have (see `issue` in module_utils/standin_pki.py). Returns files and notes; use with no_log."""
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import Trouble
from ansible.module_utils.standin_pki import issue


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={"specs": {"type": "list", "elements": "dict", "required": True}, "have": {"type": "dict", "default": {}}})
    try:
        files, notes = issue(module.params["specs"], module.params["have"])
    except Trouble as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(notes), files=files, notes=notes)


if __name__ == "__main__":
    main()
