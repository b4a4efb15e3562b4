# Keeps objects in etcd with optimistic concurrency: a change lost to another is a conflict, never an overwrite.
"""A namespaced object lies under /registry/GROUP/PLURAL/NAMESPACE/NAME; its resourceVersion is etcd's own revision."""
import json
import time
import uuid

import objects
from objects import BY_PLURAL, api_version


class Refused(Exception):
    """An answer other than success: HTTP code, Kubernetes reason, text."""

    def __init__(self, code, reason, message):
        super().__init__(message)
        self.code, self.reason = code, reason


def now():
    """The moment, as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def place(kind, namespace, name=""):
    """The etcd key of an object, or the prefix of all of a kind."""
    parts = ["/registry", kind.group or "core", kind.plural] + ([namespace] if namespace else []) + [name]
    return "/".join(parts).encode()


def decode(kind, entry, revision=None):
    """The object in an etcd entry, with its resourceVersion."""
    thing = json.loads(entry.value)
    thing["metadata"]["resourceVersion"] = str(revision or entry.revision)
    return {"kind": kind.kind, "apiVersion": api_version(kind), **thing}


def encode(thing):
    """What is stored: the object without its resourceVersion, which etcd itself knows."""
    meta = {key: value for key, value in thing["metadata"].items() if key != "resourceVersion"}
    return json.dumps({**thing, "metadata": meta}, separators=(",", ":"), sort_keys=True).encode()


class Registry:
    """The objects in one store."""

    def __init__(self, store):
        self.store = store

    def list(self, kind, namespace, matches):
        """(revision, objects)"""
        revision, entries = self.store.range(place(kind, namespace), prefix=True)
        return revision, [thing for thing in (decode(kind, entry) for entry in entries) if matches(thing)]

    def entry(self, kind, namespace, name, stale=False):
        """The stored entry of one object; `stale`: as this etcd member knows it, whether or not there is a newer one."""
        _, entries = self.store.range(place(kind, namespace, name), stale=stale)
        if not entries:
            raise Refused(404, "NotFound", f'{kind.plural} "{name}" not found')
        return entries[0]

    def create(self, kind, namespace, thing, dry):
        """Store a new object."""
        meta = thing.get("metadata")
        if isinstance(meta, dict) and not meta.get("name") and isinstance(meta.get("generateName"), str):
            meta["name"] = meta["generateName"] + uuid.uuid4().hex[:5]
        objects.check(kind, namespace, None, thing)
        if kind.namespaced:
            self.entry(BY_PLURAL["", "namespaces"], "", namespace, stale=True)
        meta.update(uid=str(uuid.uuid4()), creationTimestamp=now())
        if kind.plural == "namespaces":
            thing.setdefault("status", {"phase": "Active"})
        revision = 0 if dry else self.store.create(place(kind, namespace, meta["name"]), encode(thing))
        if revision is None:
            raise Refused(409, "AlreadyExists", f'{kind.plural} "{meta["name"]}" already exists')
        meta["resourceVersion"] = str(revision)
        return thing

    def change(self, kind, namespace, name, edit, dry, once):
        """Replace an object by edit(object); tries again on a conflict unless `once` or the edit names a version."""
        for attempt in range(5):
            # A lease has one writer, who renews it all the time: what is known of it is rarely wrong, and seen to be by the store.
            entry = self.entry(kind, namespace, name, stale=attempt == 0 and kind.plural == "leases")
            old = decode(kind, entry)
            new = edit(decode(kind, entry))
            objects.check(kind, namespace, name, new)
            wanted = new["metadata"].get("resourceVersion") or str(entry.revision)
            if wanted != str(entry.revision):
                break
            new["metadata"].update({key: old["metadata"].get(key) for key in ("uid", "creationTimestamp")})
            if encode(new) == encode(old) or dry:
                return {**new, "metadata": {**new["metadata"], "resourceVersion": str(entry.revision)}}
            revision = self.store.update(place(kind, namespace, name), encode(new), entry.revision)
            if revision is not None:
                new["metadata"]["resourceVersion"] = str(revision)
                return new
            if once:
                break
        raise Refused(409, "Conflict", f'{kind.plural} "{name}" has been modified; apply your changes to the latest version')

    def delete(self, kind, namespace, name, conditions, dry):
        """Remove an object, if it still is the one the caller means."""
        for _ in range(5):
            entry = self.entry(kind, namespace, name)
            thing = decode(kind, entry)
            for field in ("uid", "resourceVersion"):
                if conditions.get(field) not in (None, thing["metadata"].get(field)):
                    raise Refused(409, "Conflict", f'{kind.plural} "{name}": {field} is {thing["metadata"].get(field)}')
            if dry or self.store.delete(place(kind, namespace, name), entry.revision) is not None:
                return thing
        raise Refused(409, "Conflict", f'{kind.plural} "{name}" keeps changing')
