#!/usr/bin/python
# Run on a control plane: what the playbooks do to nodes through the API.
"""Options: state (ready, marked, cordoned, uncordoned, drained, absent), nodes (names), version (ready: the one they must run), seconds,
kubeconfig, mark (marked, that is Ready with its labels and taints: node, labels, taints, version, control_plane as its agent has them)."""
import sys

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import PROGRAMS, Trouble, wait

sys.path.insert(0, PROGRAMS)


def ready(client, names, version):
    """None when all nodes are Ready at that version, else which are not and why."""
    from kube import Failed
    try:
        items = client.request("GET", "/api/v1/nodes")["items"]
    except Failed as error:
        return str(error)
    found = {node["metadata"]["name"]: node for node in items}
    missing = []
    for name in names:
        status = found.get(name, {}).get("status") or {}
        states = [item["status"] for item in status.get("conditions") or [] if item.get("type") == "Ready"]
        runs = (status.get("nodeInfo") or {}).get("kubeletVersion")
        if name not in found:
            missing.append(f"{name} has not joined")
        elif states != ["True"]:
            missing.append(f"{name} is not Ready")
        elif version and runs != version:
            missing.append(f"{name} runs {runs}, not {version}")
    return "; ".join(missing) or None


def change(client, name, state, seconds):
    """Bring one node to `state`; whether anything had to be done."""
    from kube import Failed
    path = f"/api/v1/nodes/{name}"
    try:
        node = client.request("GET", path)
    except Failed as error:
        if error.code == 404 and state == "absent":
            return False
        raise
    if state == "absent":
        client.request("DELETE", path)
        try:
            client.request("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")
        except Failed as error:
            if error.code != 404:
                raise
        return True
    shut = bool(node.get("spec", {}).get("unschedulable"))
    changed = shut != (state != "uncordoned")
    if changed:
        client.patch(path, {"spec": {"unschedulable": None if shut else True}})
    return drain(client, name, seconds) or changed if state == "drained" else changed


def mark(client, config):
    """Set a node's labels and taints; whether they were others."""
    from agent import reapply
    path = f"/api/v1/nodes/{config['node']}"
    node = client.request("GET", path)
    return reapply(client, config, path, node)["metadata"]["resourceVersion"] != node["metadata"]["resourceVersion"]


def drain(client, name, seconds):
    """Evict the node's pods but those of daemon sets; whether there were any."""
    from kube import Failed
    evicted = False

    def left():
        nonlocal evicted
        pods = client.request("GET", f"/api/v1/pods?fieldSelector=spec.nodeName={name}")["items"]
        refused = []
        for pod in pods:
            meta = pod["metadata"]
            if any(owner.get("kind") == "DaemonSet" for owner in meta.get("ownerReferences") or []):
                continue
            evicted = True
            try:
                client.request("POST", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction",
                               {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": meta["name"], "namespace": meta["namespace"]}})
            except Failed as error:
                if error.code != 404:
                    refused.append(f"pod {meta['namespace']}/{meta['name']}: {error}")
        return "; ".join(refused) or None

    wait(f"draining {name}", seconds, left)
    return evicted


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={
        "state": {"choices": ["ready", "marked", "cordoned", "uncordoned", "drained", "absent"], "required": True},
        "nodes": {"type": "list", "elements": "str", "required": True}, "version": {"type": "str", "default": ""}, "mark": {"type": "dict", "default": {}},
        "seconds": {"type": "int", "default": 240}, "kubeconfig": {"type": "str", "default": "/etc/kubernetes/admin.conf"}})
    want = module.params
    from kube import Client, Failed
    try:
        client = Client(want["kubeconfig"])
        if want["state"] == "ready":
            wait("the nodes", want["seconds"], lambda: ready(client, want["nodes"], want["version"]))
            module.exit_json(changed=False)
        if want["state"] == "marked":
            wait("the nodes", want["seconds"], lambda: ready(client, want["nodes"], want["version"]))
            module.exit_json(changed=mark(client, want["mark"]))
        changed = [name for name in want["nodes"] if change(client, name, want["state"], want["seconds"])]
    except (Trouble, Failed, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), nodes=changed)


if __name__ == "__main__":
    main()
