# Speaks to etcd 3.4 through its JSON gateway, to one member or to any of several: read, compare-and-swap, watch.
"""Keys and values are bytes; a revision is an int. Every call is bounded by a timeout, and every failure is a `NoStore`."""
import base64
import http.client
import json
import queue
import select
import ssl
import time
from urllib.parse import urlsplit


class NoStore(Exception):
    """etcd cannot answer: it is down, too slow, or without a quorum."""


class Compacted(Exception):
    """A watch asked for a revision that etcd no longer has."""


def _b64(data):
    return base64.b64encode(data).decode()


def _end(prefix):
    """The first key behind all keys that start with `prefix` (no prefix of ours ends in 0xff)."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


class Entry:
    """One stored key: `revision` is that of its last change, `created` that of its first."""

    def __init__(self, kv):
        self.key = base64.b64decode(kv["key"])
        self.value = base64.b64decode(kv.get("value", ""))
        self.revision = int(kv.get("mod_revision", 0))
        self.created = int(kv.get("create_revision", 0))


class Etcd:
    """One endpoint. `tls` is None for plain http (tests on loopback) or a dict of ca, cert and key paths."""

    READ, WRITE = 3.0, 4.0

    def __init__(self, url, tls=None):
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        self.context = None
        if tls:
            self.context = ssl.create_default_context(cafile=tls["ca"])
            self.context.load_cert_chain(tls["cert"], tls["key"])
        self.idle = queue.LifoQueue(maxsize=8)

    def range(self, key, prefix=False, timeout=READ, stale=False):
        """(revision of the store, entries). Fails without a quorum, unless what this member knows will do (`stale`)."""
        body = {"key": _b64(key), "serializable": stale}
        if prefix:
            body["range_end"] = _b64(_end(key))
        answer = self.call("/v3/kv/range", body, timeout)
        return int(answer["header"]["revision"]), [Entry(kv) for kv in answer.get("kvs", [])]

    def create(self, key, value):
        """Store a key that must not exist yet; its revision, or None when it does."""
        return self._swap(key, "CREATE", {"create_revision": "0"}, {"request_put": {"key": _b64(key), "value": _b64(value)}})

    def update(self, key, value, revision):
        """Replace a key last changed at `revision`; the new revision, or None when it has changed since."""
        return self._swap(key, "MOD", {"mod_revision": str(revision)}, {"request_put": {"key": _b64(key), "value": _b64(value)}})

    def delete(self, key, revision):
        """Remove a key last changed at `revision`; the revision of the removal, or None when it has changed since."""
        return self._swap(key, "MOD", {"mod_revision": str(revision)}, {"request_delete_range": {"key": _b64(key)}})

    def watch(self, prefix, start, seconds):
        """Yield (entry or None if deleted, previous entry or None) for each change from revision `start` on, for `seconds`."""
        deadline = time.monotonic() + seconds
        connection = self._connect(self.READ)
        try:
            request = {"key": _b64(prefix), "range_end": _b64(_end(prefix)), "start_revision": str(start), "prev_kv": True}
            connection.request("POST", "/v3/watch", json.dumps({"create_request": request}))
            connection.sock.settimeout(seconds)
            response = connection.getresponse()
            while time.monotonic() < deadline:
                line = response.readline()
                if not line:
                    return
                result = json.loads(line).get("result", {})
                if result.get("canceled"):
                    raise Compacted(result.get("cancel_reason", "the revision is gone"))
                for event in result.get("events", []):
                    previous = Entry(event["prev_kv"]) if event.get("prev_kv") else None
                    yield (None if event.get("type") == "DELETE" else Entry(event["kv"])), previous, int(event["kv"]["mod_revision"])
                if connection.sock:
                    connection.sock.settimeout(max(0.1, deadline - time.monotonic()))
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoStore(f"watching etcd at {self.host}:{self.port}: {error}") from error
        finally:
            connection.close()

    def _swap(self, key, target, value, operation):
        compare = {"key": _b64(key), "target": target, "result": "EQUAL", **value}
        # Sent once, never again on a guess that the first did not arrive.
        try:
            answer = self.call("/v3/kv/txn", {"compare": [compare], "success": [operation]}, self.WRITE, once=True)
        except NoStore as error:
            raise NoStore(f"{error}; the change may or may not have been made") from error
        return int(answer["header"]["revision"]) if answer.get("succeeded") else None

    def _connect(self, timeout):
        if self.context:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.context)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def call(self, path, body, timeout, once=False):
        """POST to the gateway, over a kept connection if there is one."""
        deadline = time.monotonic() + timeout
        while True:
            connection, reused = self._take(timeout)
            try:
                connection.timeout = max(0.1, deadline - time.monotonic())
                if connection.sock:
                    connection.sock.settimeout(connection.timeout)
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
                response = connection.getresponse()
                status, data = response.status, response.read()
            except TimeoutError as error:
                connection.close()
                raise NoStore(f"etcd at {self.host}:{self.port} gave no answer within {timeout:g} s (no quorum?)") from error
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if reused and not once and time.monotonic() < deadline:
                    continue  # an idle connection that etcd closed just now
                raise NoStore(f"etcd at {self.host}:{self.port} is not reached: {error}") from error
            break
        try:
            answer = json.loads(data)
        except ValueError:
            answer = {"message": data[:200].decode(errors="replace")}
        if status != 200:
            connection.close()
            raise NoStore(f"etcd at {self.host}:{self.port}: {answer.get('message') or answer.get('error') or status}")
        if self.idle.full():
            connection.close()
        else:
            self.idle.put(connection)
        return answer

    def _take(self, timeout):
        """(connection, whether it was used before): one that etcd has closed meanwhile can be read from, and is not taken."""
        while not self.idle.empty():
            try:
                connection = self.idle.get_nowait()
            except queue.Empty:
                break
            if connection.sock and not select.select([connection.sock], [], [], 0)[0]:
                return connection, True
            connection.close()
        return self._connect(timeout), False


class AnyEtcd:
    """The members that an API server lists: one of them is asked until it fails, then the next. Those that it does not list do not
    exist for it."""

    def __init__(self, urls, tls=None):
        self.members = [Etcd(url, tls) for url in urls]
        self.at = 0

    def _ask(self, ask, again):
        for left in reversed(range(len(self.members))):
            at = self.at
            try:
                return ask(self.members[at])
            except NoStore:
                self.at = (at + 1) % len(self.members)
                if not again or not left:
                    raise
        raise NoStore("no etcd member is listed")

    def range(self, *args, **kwargs):
        """As `Etcd.range`; a read that fails is asked of the next member."""
        return self._ask(lambda member: member.range(*args, **kwargs), True)

    def create(self, *args):
        """As `Etcd.create`. What changes something is sent once; the next change goes to the next member."""
        return self._ask(lambda member: member.create(*args), False)

    def update(self, *args):
        """As `Etcd.update`."""
        return self._ask(lambda member: member.update(*args), False)

    def delete(self, *args):
        """As `Etcd.delete`."""
        return self._ask(lambda member: member.delete(*args), False)

    def watch(self, *args):
        """As `Etcd.watch`; a client that lost it begins a new one, at the next member."""
        try:
            yield from self.members[self.at].watch(*args)
        except NoStore:
            self.at = (self.at + 1) % len(self.members)
            raise
