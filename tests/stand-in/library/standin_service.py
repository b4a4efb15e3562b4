#!/usr/bin/python
# Keeps a service of ours running with what is wanted now, and waits until it answers.
"""Options: name, unit, files ({path: {content, mode, owner}}), watch (paths whose change needs a restart),
ready (URL that must answer 200, on loopback; empty: nothing to wait for), seconds."""
import ssl
import urllib.request

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import Trouble, active, journal, service, wait


def answer(url):
    """None when the URL answers 200, else why not. Health needs no secret, so the certificate is not looked at."""
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(url, timeout=5, context=context):
            return None
    except OSError as error:
        return f"{url}: {error}"


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={
        "name": {"type": "str", "required": True}, "unit": {"type": "str", "required": True}, "files": {"type": "dict", "default": {}},
        "watch": {"type": "list", "elements": "str", "default": []}, "ready": {"type": "str", "default": ""},
        "seconds": {"type": "int", "default": 180}})
    want = module.params
    try:
        changed = service(want["name"], want["unit"], want["files"], want["watch"])
        wait(want["name"], want["seconds"], lambda: None if active(want["name"]) else f"the service is not running: {journal(want['name'])}")
        if want["ready"]:
            wait(want["name"], want["seconds"], lambda: answer(want["ready"]))
    except Trouble as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
