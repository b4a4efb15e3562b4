# Marks nodes as not ready when they stop renewing their lease, as Kubernetes' node lifecycle controller does.
"""Every API server runs this; the work is idempotent, so that none has to lead."""
import sys
import time

from etcd import NoStore
from objects import BY_PLURAL, condition

GRACE, PERIOD = 60, 10


def overdue(seen, leases, moment):
    """Names of nodes whose lease has not changed for `GRACE` seconds; `seen` keeps {name: (version, since)} between calls.

    Only our own clock counts: a node whose clock is wrong is no worse for it."""
    for gone in set(seen) - set(leases):
        del seen[gone]
    for name, version in leases.items():
        if seen.get(name, (None, 0))[0] != version:
            seen[name] = (version, moment)
    return {name for name, (_, since) in seen.items() if moment - since > GRACE}


def lost(node, stamp):
    """The node with a Ready condition that says we have not heard of it."""
    ready = {**condition(node, "Ready"), "type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown",
             "message": "Kubelet stopped posting node status.", "lastTransitionTime": stamp}
    others = [item for item in node.get("status", {}).get("conditions") or [] if item.get("type") != "Ready"]
    return {**node, "status": {**node.get("status", {}), "conditions": [*others, ready]}}


def watch_over_nodes(registry, stop):
    """Until `stop`: look at the leases, and change the condition of nodes that are overdue."""
    nodes, leases = BY_PLURAL["", "nodes"], BY_PLURAL["coordination.k8s.io", "leases"]
    seen = {}
    while not stop.wait(PERIOD):
        try:
            found = registry.list(leases, "kube-node-lease", lambda _: True)[1]
            versions = {lease["metadata"]["name"]: lease["metadata"]["resourceVersion"] for lease in found}
            late = overdue(seen, versions, time.monotonic())
            for node in registry.list(nodes, "", lambda _: True)[1] if late else []:
                name = node["metadata"]["name"]
                if name in late and condition(node, "Ready").get("status") != "Unknown":
                    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                    registry.change(nodes, "", name, lambda old, stamp=stamp: lost(old, stamp), False, True)
        except NoStore:
            seen.clear()  # while nobody could renew, nobody is late
        except Exception as error:  # a conflict or a node that has just gone: the next round sees it anew
            print(f"node lifecycle: {error}", file=sys.stderr, flush=True)
