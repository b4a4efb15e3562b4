#!/usr/bin/python
# Keeps services of ours running with what is wanted now, and waits until they answer.
"""Options: services (each: name, unit, files ({path: {content, mode, owner}}), watch (paths whose change needs a restart),
ready (URL on loopback that must answer 200; empty: nothing to wait for)), seconds."""
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
    module = AnsibleModule(argument_spec={"services": {"type": "list", "elements": "dict", "required": True}, "seconds": {"type": "int", "default": 240}})
    seconds, changed = module.params["seconds"], []
    try:
        for want in module.params["services"]:
            if service(want["name"], want["unit"], want["files"], want["watch"]):
                changed.append(want["name"])
        for want in module.params["services"]:
            name = want["name"]
            wait(name, seconds, lambda name=name: None if active(name) else f"the service is not running: {journal(name)}")
            if want["ready"]:
                wait(name, seconds, lambda url=want["ready"]: answer(url))
    except Trouble as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), services=changed)


if __name__ == "__main__":
    main()
