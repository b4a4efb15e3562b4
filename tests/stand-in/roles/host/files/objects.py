# What the API knows of Kubernetes objects: which kinds there are, patches, selectors.
"""Pure functions over plain dicts; nothing here reads, writes or waits."""
import copy
import re
from collections import namedtuple

Kind = namedtuple("Kind", "group version plural kind namespaced short")

KINDS = [
    Kind("", "v1", "nodes", "Node", False, ["no"]),
    Kind("", "v1", "namespaces", "Namespace", False, ["ns"]),
    Kind("", "v1", "configmaps", "ConfigMap", True, ["cm"]),
    Kind("", "v1", "secrets", "Secret", True, []),
    Kind("", "v1", "pods", "Pod", True, ["po"]),
    Kind("", "v1", "services", "Service", True, ["svc"]),
    Kind("", "v1", "serviceaccounts", "ServiceAccount", True, ["sa"]),
    Kind("", "v1", "events", "Event", True, ["ev"]),
    Kind("apps", "v1", "deployments", "Deployment", True, ["deploy"]),
    Kind("apps", "v1", "daemonsets", "DaemonSet", True, ["ds"]),
    Kind("apps", "v1", "replicasets", "ReplicaSet", True, ["rs"]),
    Kind("apps", "v1", "statefulsets", "StatefulSet", True, ["sts"]),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ["pdb"]),
    Kind("coordination.k8s.io", "v1", "leases", "Lease", True, []),
]
BY_PLURAL = {(kind.group, kind.plural): kind for kind in KINDS}
GROUPS = sorted({kind.group for kind in KINDS if kind.group})
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]

# Lists that a strategic merge patch merges by a key; all others are replaced whole, as Kubernetes does.
MERGE_KEYS = {"conditions": "type", "addresses": "type", "containers": "name", "volumes": "name"}


class Invalid(Exception):
    """The request's content cannot be used; the text says why."""


def api_version(kind):
    """`v1` or `group/v1`."""
    return f"{kind.group}/{kind.version}" if kind.group else kind.version


def discovery(group):
    """The APIResourceList of one group."""
    resources = []
    for kind in (kind for kind in KINDS if kind.group == group):
        entry = {"name": kind.plural, "singularName": kind.kind.lower(), "namespaced": kind.namespaced, "kind": kind.kind,
                 "verbs": VERBS, "shortNames": kind.short}
        resources += [entry, {**entry, "name": kind.plural + "/status", "verbs": ["get", "patch", "update"], "shortNames": []}]
        if kind.plural == "pods":
            resources.append({"name": "pods/eviction", "singularName": "", "namespaced": True, "group": "policy", "version": "v1",
                              "kind": "Eviction", "verbs": ["create"]})
    version = f"{group}/v1" if group else "v1"
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def check(kind, namespace, name, thing):
    """Refuse an object that does not fit the place it is sent to; completes kind and apiVersion."""
    if not isinstance(thing, dict) or not isinstance(thing.setdefault("metadata", {}), dict):
        raise Invalid("the body is not an object with metadata")
    if thing.setdefault("kind", kind.kind) != kind.kind or thing.setdefault("apiVersion", api_version(kind)) != api_version(kind):
        raise Invalid(f"the body is a {thing.get('apiVersion')} {thing.get('kind')}, the path is for {api_version(kind)} {kind.kind}")
    meta = thing["metadata"]
    if name is not None and meta.setdefault("name", name) != name:
        raise Invalid(f"the body is named {meta['name']!r}, the path {name!r}")
    if not isinstance(meta.get("name"), str) or not NAME.fullmatch(meta["name"]):
        raise Invalid(f"metadata.name {meta.get('name')!r}: lower-case letters, digits, '-' and '.', ends alphanumeric")
    if kind.namespaced and meta.setdefault("namespace", namespace) != namespace:
        raise Invalid(f"the body is in namespace {meta['namespace']!r}, the path in {namespace!r}")
    for field in ("labels", "annotations"):
        values = meta.get(field) or {}
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise Invalid(f"metadata.{field} must map names to strings")


def merge(target, patch, strategic=False):
    """RFC 7386, or the part of strategic merge that clients use on the kinds above."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    if strategic and patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    for key, value in patch.items():
        if strategic and key.startswith("$"):
            continue  # element orders and retained keys do not matter for what is kept here
        if value is None:
            result.pop(key, None)
        elif strategic and key in MERGE_KEYS and isinstance(value, list):
            result[key] = _merge_list(result.get(key) or [], value, MERGE_KEYS[key])
        else:
            result[key] = merge(result.get(key), value, strategic)
    return result


def _merge_list(target, patch, key):
    result = list(target)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise Invalid(f"an element of the patch has no {key!r}")
        place = next((index for index, old in enumerate(result) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            result = [old for old in result if old.get(key) != item[key]]
        elif place is None:
            result.append(merge({}, item, True))
        else:
            result[place] = merge(result[place], item, True)
    return result


def json_patch(target, operations):
    """RFC 6902: add, remove, replace, test."""
    if not isinstance(operations, list):
        raise Invalid("a JSON patch is a list of operations")
    result = copy.deepcopy(target)
    for operation in operations:
        if not isinstance(operation, dict) or operation.get("op") not in ("add", "remove", "replace", "test"):
            raise Invalid(f"JSON patch operation {operation!r} is none of add, remove, replace, test")
        steps = [step.replace("~1", "/").replace("~0", "~") for step in str(operation.get("path", "")).split("/")[1:]]
        if not steps:
            raise Invalid("a JSON patch needs a path below the object")
        try:
            place = result
            for step in steps[:-1]:
                place = place[int(step)] if isinstance(place, list) else place[step]
            _json_step(place, steps[-1], operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise Invalid(f"JSON patch path {operation.get('path')!r} is not there") from error
    return result


def _json_step(place, last, operation):
    in_list = isinstance(place, list)
    if operation["op"] == "add" and in_list:
        place.insert(len(place) if last == "-" else int(last), operation["value"])
        return
    last = int(last) if in_list else last
    if operation["op"] == "add":
        place[last] = operation["value"]
        return
    old = place[last]
    if operation["op"] == "test" and old != operation.get("value"):
        raise Invalid(f"JSON patch test failed at {operation['path']!r}")
    if operation["op"] == "remove":
        del place[last]
    if operation["op"] == "replace":
        place[last] = operation["value"]


def selector(labels, fields):
    """A predicate over objects from the two query parameters (either may be empty)."""
    tests = [_label_test(term.strip()) for term in re.split(r",(?![^(]*\))", labels) if term.strip()] if labels else []
    tests += [_field_test(term) for term in fields.split(",") if term] if fields else []
    return lambda thing: all(test(thing) for test in tests)


def _label_test(term):
    def labels(thing):
        return thing["metadata"].get("labels") or {}

    found = re.fullmatch(r"(\S+)\s+(in|notin)\s*\(([^)]*)\)", term)
    if found:
        key, verb, values = found[1], found[2], {value.strip() for value in found[3].split(",")}
        return lambda thing: (labels(thing).get(key) in values) == (verb == "in")
    for sign, equal in (("!=", False), ("==", True), ("=", True)):
        if sign in term:
            key, value = (part.strip() for part in term.split(sign, 1))
            return lambda thing: (labels(thing).get(key) == value) == equal
    if term.startswith("!"):
        return lambda thing: term[1:].strip() not in labels(thing)
    return lambda thing: term in labels(thing)


def _field_test(term):
    found = re.fullmatch(r"([A-Za-z.]+)(!=|==|=)(.*)", term)
    if not found:
        raise Invalid(f"field selector {term!r} is not PATH=VALUE")

    def value(thing):
        for step in found[1].split("."):
            thing = (thing or {}).get(step)
        return "" if thing is None else str(thing)

    return lambda thing: (value(thing) == found[3]) == (found[2] != "!=")


def protected(pod, budgets):
    """The name of the first budget that lets this pod not be disrupted, or None. The stand-in counts no pods: a budget that allows
    no disruption (maxUnavailable 0, or minAvailable 100%) protects all that it selects."""
    labels = pod["metadata"].get("labels") or {}
    for budget in budgets:
        spec = budget.get("spec") or {}
        wanted = (spec.get("selector") or {}).get("matchLabels") or {}
        strict = spec.get("maxUnavailable") in (0, "0%") or spec.get("minAvailable") == "100%"
        if strict and all(labels.get(key) == value for key, value in wanted.items()):
            return budget["metadata"]["name"]
    return None


def condition(node, name):
    """The condition of that type, or an empty dict."""
    return next((item for item in (node.get("status") or {}).get("conditions") or [] if item.get("type") == name), {})
