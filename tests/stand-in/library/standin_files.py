#!/usr/bin/python
# Puts a set of files on a host in one go, each whole or not at all.
"""Options: files ({path: {content, mode, owner}})."""
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import put_all


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={"files": {"type": "dict", "required": True, "no_log": True}})
    changed = put_all(module.params["files"])
    module.exit_json(changed=bool(changed), paths=changed)


if __name__ == "__main__":
    main()
