"""What the ring runs in the cluster: a Service of two pods, and pods on all nodes that reach one another."""

import json

from cluster import SETTLE_SECONDS, Failed, say, wait_for

REGISTRY = "192.168.120.1:5000"
PROBE = f"{REGISTRY}/probe:1"
# Masters' taint alone: who tolerates every taint tolerates a cordon, and goes back to the node that is drained.
ON_MASTERS = [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}]


def probe_pod(labels, **more):
    """What a pod of the probe is."""
    container = {"name": "probe", "image": PROBE, "ports": [{"containerPort": 8080}]}
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}, "timeoutSeconds": 10}
    return {"metadata": {"labels": labels}, "spec": {"containers": [container], "tolerations": ON_MASTERS, **more}}


def service(name, labels, **more):
    """A Service of such pods."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080, **more}], **({"type": "NodePort"} if more else {})},
    }


def deployment(name, labels, replicas, **more):
    """Pods of the probe that are made again elsewhere."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": probe_pod(labels, **more)},
    }


def web(cluster):
    """A Service of two pods, on two nodes where there are two, that the balancer forwards to."""
    labels = {"app": "web"}
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}}
    apart = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}}
    cluster.create(
        [
            deployment("web", labels, 2, affinity=apart),
            service("web", labels, nodePort=30080),
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": {"name": "web"},
                "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
            },
        ]
    )
    two_pods_serve(cluster)


def two_pods_serve(cluster):
    """The Service has its two pods."""
    wait_for("two pods serve", SETTLE_SECONDS, lambda: "" if len(web_pods(cluster)) == 2 else f"{web_pods(cluster)}")


def web_pods(cluster):
    """Where the Service's pods are: {pod: node} of those that are Ready."""
    found = cluster.kubectl("get", "pods", "--selector", "app=web", "--output", "json", check=False)
    return {
        pod["metadata"]["name"]: pod["spec"]["nodeName"]
        for pod in json.loads(found or '{"items": []}')["items"]
        if "deletionTimestamp" not in pod["metadata"]
        and any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
    }


def pods_reach_one_another(cluster):
    """A pod on each node asks the others' through their Services, by DNS name."""
    nodes = cluster.nodes()
    if len(nodes) < 2:
        raise Failed("this needs two nodes")
    objects = []
    for node in nodes:
        labels = {"probe": node}
        objects += [deployment(f"probe-{node}", labels, 1, nodeName=node), service(f"probe-{node}", labels)]
    cluster.create(objects)
    for node in nodes:
        for other in [other for other in nodes if other != node]:

            def ask(node=node, other=other):
                answer = cluster.kubectl(
                    "exec", f"deployment/probe-{node}", "--", "/probe", "ask", f"http://probe-{other}.default.svc.cluster.local/", check=False
                ).strip()
                return "" if answer.startswith(f"probe-{other}-") else f"answer {answer!r}"

            wait_for(f"a pod on {node} reaches one on {other}", SETTLE_SECONDS, ask)
            say(f"a pod on {node} reached one on {other} through its Service, by DNS name")
    for node in nodes:
        cluster.kubectl("delete", "deployment,service", f"probe-{node}", "--wait=false")
