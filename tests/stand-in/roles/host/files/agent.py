# The stand-in's node agent: registers its node through the control plane's address and keeps its lease alive.
"""Usage: agent.py CONFIG.json with the keys kubeconfig, node, address, version, labels, taints, control_plane, network (namespace/name of the
config map without which the node is not Ready; empty: none is needed)."""
import json
import os
import platform
import signal
import sys
import time

from kube import Client, Failed

PERIOD = 10
MASTER = "node-role.kubernetes.io/master"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def stamp(fraction=False):
    """The moment, as Kubernetes writes it."""
    moment = time.time()
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return text + (f".{int(moment % 1 * 1e6):06d}Z" if fraction else "Z")


def os_image():
    """PRETTY_NAME of os-release."""
    try:
        with open("/etc/os-release", encoding="utf-8") as file:
            fields = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        return fields.get("PRETTY_NAME", "Linux").strip('"')
    except OSError:
        return "Linux"


def memory():
    """MemTotal as a quantity."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        return next(line.split()[1] for line in file if line.startswith("MemTotal:")) + "Ki"


CPUS, MEMORY = str(os.cpu_count()), memory()  # looked at once, as the kubelet does: more of either shows after a restart


def taint(text):
    """`key=value:Effect` or `key:Effect` as the API has it."""
    left, _, effect = text.rpartition(":")
    key, _, value = left.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


def labels(config):
    """What the kubelet and kubeadm put on a node, and what the inventory wants."""
    name = {"kubernetes.io/hostname": config["node"], "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    minor = int(config["version"].lstrip("v").split(".")[1])
    if config["control_plane"]:
        name["node-role.kubernetes.io/control-plane"] = ""
        if minor < 24:
            name[MASTER] = ""
    return {**name, **config["labels"]}


def boot_id():
    """By which the kernel names the machine's present boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip()


def has_network(client, config):
    """Whether the network plugin's daemons have come here: they come wherever it is set up."""
    if config.get("network"):
        namespace, _, name = config["network"].partition("/")
        try:
            client.request("GET", f"/api/v1/namespaces/{namespace}/configmaps/{name}")
        except Failed as error:
            if error.code != 404:
                raise
            return False
    return True


def ready_condition(old, network):
    """The condition Ready; its transition time stays while it stays what it is."""
    have = next((item for item in old.get("conditions") or [] if item.get("type") == "Ready"), {})
    value, reason, message = ("True", "KubeletReady", "kubelet is posting ready status") if network else (
        "False", "KubeletNotReady", "container runtime network not ready: cni plugin not initialized")
    since = have.get("lastTransitionTime") if have.get("status") == value else stamp()
    return {"type": "Ready", "status": value, "reason": reason, "message": message, "lastTransitionTime": since, "lastHeartbeatTime": since}


def status(config, old, network):
    """The node's status."""
    resources = {"cpu": CPUS, "memory": MEMORY, "pods": "110"}
    return {
        "capacity": resources, "allocatable": resources,
        "addresses": [{"type": "InternalIP", "address": config["address"]}, {"type": "Hostname", "address": config["node"]}],
        "conditions": [ready_condition(old, network)],
        "nodeInfo": {"kubeletVersion": config["version"], "kubeProxyVersion": config["version"], "osImage": os_image(),
                     "kernelVersion": platform.release(), "containerRuntimeVersion": "stand-in://1", "architecture": "amd64",
                     "operatingSystem": "linux", "bootID": boot_id()},
    }


def reapply(client, config, path, node):
    """Set the configured labels and taints again, and drop the role that this version no longer has: the playbooks' work."""
    minor = int(config["version"].lstrip("v").split(".")[1])
    old_role = config["control_plane"] and minor >= 24
    have = node.get("spec", {}).get("taints") or []
    kept = [item for item in have if not (old_role and minor >= 25 and item.get("key") == MASTER)]
    there = {(item.get("key"), item.get("effect")) for item in kept}
    taints = kept + [item for item in map(taint, config["taints"]) if (item["key"], item["effect"]) not in there]
    change = {"metadata": {"labels": {**labels(config), **({MASTER: None} if old_role else {})}}}
    if taints != have:  # a list is replaced whole, so nobody may have changed it meanwhile
        change["metadata"]["resourceVersion"] = node["metadata"]["resourceVersion"]
        change["spec"] = {"taints": taints}
    return client.patch(path, change)


def register(client, config, starting, network=True):
    """Have the node's status right. At the start the node is made if need be, with its labels and taints; later they are others'
    business. Like the kubelet, this brings back no node that is deleted while we run."""
    path = f"/api/v1/nodes/{config['node']}"
    try:
        # As the kubelet asks at first: any version will do.
        node = client.request("GET", path + "?resourceVersion=0")
    except Failed as error:
        if error.code != 404 or not starting:
            raise
        # A control plane is marked as one by kubeadm, or the playbooks, later.
        own = {name: value for name, value in labels(config).items() if not name.startswith("node-role.kubernetes.io/")}
        node = {"kind": "Node", "apiVersion": "v1", "metadata": {"name": config["node"], "labels": own},
                "spec": {"taints": [taint(text) for text in config["taints"]]}, "status": status(config, {}, network)}
        client.request("POST", "/api/v1/nodes", node)
        return
    wanted = status(config, node.get("status") or {}, network)
    if wanted != node.get("status"):
        client.patch(path + "/status", {"status": wanted})


def renew(client, config):
    """Tell the control plane that we live."""
    spec = {"holderIdentity": config["node"], "leaseDurationSeconds": 40, "renewTime": stamp(fraction=True)}
    try:
        client.patch(f"{LEASES}/{config['node']}", {"spec": spec})
    except Failed as error:
        if error.code != 404:
            raise
        meta = {"name": config["node"], "namespace": "kube-node-lease"}
        client.request("POST", LEASES, {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": meta, "spec": spec})


def main():
    """Until SIGTERM: renew and register every `PERIOD` seconds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with open(sys.argv[1], encoding="utf-8") as file:
        config = json.load(file)
    client, starting, network, trouble = Client(config["kubeconfig"]), True, False, ""
    while True:
        try:
            network = network or has_network(client, config)
            register(client, config, starting, network)
            renew(client, config)
            starting, pause = False, PERIOD if network else 1
            if trouble:
                print("the control plane answers again", flush=True)
            trouble = ""
        except Failed as error:
            pause = 3
            if str(error) != trouble:
                trouble = str(error)
                print(trouble, file=sys.stderr, flush=True)
        time.sleep(pause)


if __name__ == "__main__":
    main()
