# Renders objects as the Table that `kubectl get` prints.
"""Pure functions over plain dicts; the columns are those of Kubernetes for the kinds people look at."""
import calendar
import time

from objects import condition

ROLE = "node-role.kubernetes.io/"


def age(stamp):
    """How long ago a creationTimestamp was, as kubectl writes it."""
    try:
        seconds = max(0, int(time.time() - calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ"))))
    except (TypeError, ValueError):
        return "<unknown>"
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 600:
        minutes, rest = divmod(seconds, 60)
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if seconds < 3 * 3600:
        return f"{seconds // 60}m"
    if seconds < 48 * 3600:
        return f"{seconds // 3600}h"
    return f"{seconds // 86400}d"


def _address(node, kind):
    found = [item.get("address") for item in node.get("status", {}).get("addresses") or [] if item.get("type") == kind]
    return found[0] if found else "<none>"


def _node(node):
    ready = condition(node, "Ready").get("status")
    status = {"True": "Ready", None: "Unknown"}.get(ready, "NotReady")
    if node.get("spec", {}).get("unschedulable"):
        status += ",SchedulingDisabled"
    labels = node["metadata"].get("labels") or {}
    roles = ",".join(sorted(key[len(ROLE):] for key in labels if key.startswith(ROLE) and key != ROLE))
    info = node.get("status", {}).get("nodeInfo") or {}
    return [status, roles or "<none>", age(node["metadata"].get("creationTimestamp")), info.get("kubeletVersion", ""),
            _address(node, "InternalIP"), _address(node, "ExternalIP"), info.get("osImage", "<unknown>"),
            info.get("kernelVersion", "<unknown>"), info.get("containerRuntimeVersion", "<unknown>")]


def _age_only(thing):
    return [age(thing["metadata"].get("creationTimestamp"))]


def _data(thing):
    return [len(thing.get("data") or {}), *_age_only(thing)]


def _pod(pod):
    status = pod.get("status") or {}
    return [status.get("phase", "Pending"), *_age_only(pod), (pod.get("spec") or {}).get("nodeName") or "<none>"]


# plural -> columns after the name ("+" marks those of `-o wide`), and what fills them
TABLES = {
    "nodes": (["Status", "Roles", "Age", "Version", "+Internal-IP", "+External-IP", "+OS-Image", "+Kernel-Version",
               "+Container-Runtime"], _node),
    "namespaces": (["Status", "Age"], lambda thing: [(thing.get("status") or {}).get("phase", "Active"), *_age_only(thing)]),
    "configmaps": (["Data", "Age"], _data),
    "secrets": (["Type", "Data", "Age"], lambda thing: [thing.get("type", "Opaque"), *_data(thing)]),
    "pods": (["Status", "Age", "+Node"], _pod),
    "leases": (["Holder", "Age"], lambda thing: [(thing.get("spec") or {}).get("holderIdentity", ""), *_age_only(thing)]),
}


def table(plural, things, revision, include="Metadata", header=True):
    """A meta.k8s.io/v1 Table of `things`; `include` is the includeObject query parameter."""
    columns, fill = TABLES.get(plural, (["Age"], _age_only))
    definitions = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    for column in columns:
        kind = "integer" if column == "Data" else "string"
        definitions.append({"name": column.lstrip("+"), "type": kind, "format": "", "description": "",
                            "priority": int(column.startswith("+"))})
    rows = []
    for thing in things:
        row = {"cells": [thing["metadata"]["name"], *fill(thing)]}
        if include == "Metadata":
            row["object"] = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": thing["metadata"]}
        elif include == "Object":
            row["object"] = thing
        rows.append(row)
    return {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": str(revision)},
            "columnDefinitions": definitions if header else [], "rows": rows}
