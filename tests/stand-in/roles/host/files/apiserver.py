# The stand-in's API server: the part of the Kubernetes API that balancers and clients ask, over TLS, kept in etcd.
"""Usage: apiserver.py CONFIG.json [--etcd-servers=URL,URL] with the keys bind, port, version, etcd_tls (or null), cert, key, client_ca,
and manifest: where the list of etcd's members stands if it is not given. It uses those members and no others.

Clients are known by their certificates (CN the user, O the groups); without one only health and version answer.
Standard library only."""
import json
import os
import signal
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import objects
import protobuf
from etcd import AnyEtcd, Compacted, NoStore
from lifecycle import watch_over_nodes
from objects import BY_PLURAL, Invalid, api_version
from registry import Refused, Registry, decode, place
from tables import table

OPEN_PATHS = {"readyz", "livez", "healthz", "version"}
MAX_BODY = 3 << 20
HANDSHAKE, IDLE, MAX_WATCH = 10, 90, 300
NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"]


class Handler(BaseHTTPRequestHandler):
    """One client connection."""

    protocol_version = "HTTP/1.1"
    server_version = "kube-stand-in"
    sys_version = ""
    timeout = IDLE
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_GET(self):
        """Every method ends here."""
        try:
            try:
                self.dispatch()
            except NoStore as error:
                raise Refused(503, "ServiceUnavailable", str(error)) from error
            except Invalid as error:
                raise Refused(422, "Invalid", str(error)) from error
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise Refused(400, "BadRequest", f"the request does not have the expected form: {error}") from error
        except Refused as error:
            self.answer(error.code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                                     "message": str(error), "reason": error.reason, "code": error.code})
        except (TimeoutError, ConnectionError, ssl.SSLError):
            self.close_connection = True  # the client has gone

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET

    def dispatch(self):
        """Find out what is asked, by whom, and whether they may; then answer."""
        url = urlsplit(self.path)
        self.query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        body = self.body()
        path = [unquote(part) for part in url.path.split("/") if part]
        first = path[0] if path else ""
        user, groups = self.who()
        if first not in OPEN_PATHS and not user:
            raise Refused(403, "Forbidden", f'user "system:anonymous" may not reach "{url.path}"')
        if first in ("readyz", "livez", "healthz"):
            return self.health(ready=first != "livez")
        if first == "version":
            major, minor = self.server.version.lstrip("v").split(".")[:2]
            return self.answer(200, {"major": major, "minor": minor, "gitVersion": self.server.version, "platform": "linux/amd64"})
        if first == "api" and len(path) > 1 and path[1] == "v1":
            return self.resource("", path[2:], user, groups, body)
        if first == "apis" and len(path) > 2 and path[1] in objects.GROUPS and path[2] == "v1":
            return self.resource(path[1], path[3:], user, groups, body)
        return self.index(path)

    def index(self, path):
        """The lists by which clients find their way."""
        groups = [{"name": group, "versions": [version], "preferredVersion": version} for group in objects.GROUPS
                  for version in [{"groupVersion": f"{group}/v1", "version": "v1"}]]
        if path == ["api"]:
            return self.answer(200, {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
        if path == ["apis"]:
            return self.answer(200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        if len(path) == 2 and path[0] == "apis" and path[1] in objects.GROUPS:
            return self.answer(200, {"kind": "APIGroup", "apiVersion": "v1", **groups[objects.GROUPS.index(path[1])]})
        raise Refused(404, "NotFound", "the server could not find the requested resource")

    def health(self, ready):
        """`ok`; where asked for readiness only if etcd answers a linearizable read in time."""
        if ready:
            try:
                self.server.registry.store.range(b"/registry/health", timeout=2.0)
            except NoStore as error:
                return self.answer(500, f"[-]etcd failed: {error}\n".encode(), "text/plain")
        return self.answer(200, b"ok", "text/plain")

    def resource(self, group, rest, user, groups, body):
        """A path below a group's version: [namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]."""
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        if not rest:
            return self.answer(200, objects.discovery(group))
        kind = BY_PLURAL.get((group, rest[0]))
        name, part = (rest[1:] + ["", ""])[:2]
        known = part in ("", "status") or (kind and kind.plural == "pods" and part == "eviction")
        if not kind or len(rest) > 3 or not known or bool(namespace) > kind.namespaced or (name and kind.namespaced and not namespace):
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        self.authorize(user, groups, kind, namespace, name, part)
        verb = getattr(self, f"on_{self.command.lower()}", None)
        misplaced = bool(name) != (part == "eviction") if self.command == "POST" else self.command in ("PUT", "PATCH") and not name
        if verb is None or misplaced or (part == "eviction" and self.command != "POST"):
            raise Refused(405, "MethodNotAllowed", f"{self.command} is not offered here")
        verb(kind, namespace, name, part, body)

    def authorize(self, user, groups, kind, namespace, name, part):
        """Masters may all, nodes read and write what is theirs; all others nothing."""
        if "system:masters" in groups:
            return
        me = user[len("system:node:"):] if user.startswith("system:node:") and "system:nodes" in groups else None
        reads = self.command in ("GET", "HEAD") and kind.plural != "secrets"
        own = name == me or (self.command == "POST" and not name)
        writes = self.command != "DELETE" and own and (kind.plural == "nodes" or (kind.plural, namespace) == ("leases", "kube-node-lease"))
        if me is None or not (reads or writes):
            raise Refused(403, "Forbidden", f'user "{user}" may not {self.command} {kind.plural} "{name}"')

    def on_get(self, kind, namespace, name, part, _):
        """One object, a list, or a watch."""
        registry = self.server.registry
        if name:
            any_version = self.query.get("resourceVersion") == "0"
            return self.show(kind, decode(kind, registry.entry(kind, namespace, name, stale=any_version)))
        matches = objects.selector(self.query.get("labelSelector", ""), self.query.get("fieldSelector", ""))
        if self.query.get("watch") in ("true", "1"):
            return self.watch(kind, namespace, matches)
        revision, things = registry.list(kind, namespace, matches)
        if self.as_table():
            return self.answer(200, table(kind.plural, things, revision, self.query.get("includeObject", "Metadata")))
        return self.answer(200, {"kind": kind.kind + "List", "apiVersion": api_version(kind),
                                 "metadata": {"resourceVersion": str(revision)}, "items": things})

    on_head = on_get

    def on_post(self, kind, namespace, name, part, body):
        """Create; or evict a pod, unless a budget protects it."""
        if part == "eviction":
            self.spare(decode(kind, self.server.registry.entry(kind, namespace, name)), namespace)
            self.server.registry.delete(kind, namespace, name, {}, self.dry())
            return self.answer(201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
        if kind.namespaced and not namespace:
            raise Refused(405, "MethodNotAllowed", "a namespace is needed")
        return self.show(kind, self.server.registry.create(kind, namespace, self.json(body), self.dry()), 201)

    def spare(self, pod, namespace):
        """Refuse the eviction of a pod that a disruption budget protects, as Kubernetes words it."""
        _, budgets = self.server.registry.list(BY_PLURAL["policy", "poddisruptionbudgets"], namespace, lambda _: True)
        if objects.protected(pod, budgets):
            raise Refused(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.")

    def on_put(self, kind, namespace, name, part, body):
        """Replace an object, or its status."""
        new = self.json(body)
        self.show(kind, self.server.registry.change(kind, namespace, name, lambda old: self.part(old, new, part), self.dry(), True))

    def on_patch(self, kind, namespace, name, part, body):
        """Change an object, or its status, by one of three kinds of patch."""
        flavour, patch = self.headers.get("Content-Type", "").split(";")[0].strip(), self.json(body)
        if flavour == "application/json-patch+json":
            def edit(old):
                return objects.json_patch(old, patch)
        elif flavour in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
            def edit(old):
                return objects.merge(old, patch, "strategic" in flavour)
        else:
            raise Refused(415, "UnsupportedMediaType", f"patches of type {flavour!r} are not understood")
        self.show(kind, self.server.registry.change(kind, namespace, name, lambda old: self.part(old, edit(old), part), self.dry(), False))

    def on_delete(self, kind, namespace, name, part, body):
        """Remove one object (collections are not offered)."""
        if not name or part:
            raise Refused(405, "MethodNotAllowed", "only single objects can be deleted")
        options = self.json(body) if body else {}
        gone = self.server.registry.delete(kind, namespace, name, options.get("preconditions") or {}, self.dry(options))
        self.answer(200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                          "details": {"name": name, "group": kind.group, "kind": kind.plural, "uid": gone["metadata"].get("uid")}})

    @staticmethod
    def part(old, new, part):
        """A write to /status changes only status; one to the object leaves a status that it does not bring."""
        if part == "status":
            return {**old, "status": new.get("status", {})}
        return {**({"status": old["status"]} if "status" in old else {}), **new} if isinstance(new, dict) else new

    def dry(self, options=None):
        """Whether nothing is to be stored."""
        return "All" in (self.query.get("dryRun"), *((options or {}).get("dryRun") or []))

    def watch(self, kind, namespace, matches):
        """Stream changes as JSON lines, from the version the client knows or from all there is; bounded in time."""
        registry, start = self.server.registry, self.query.get("resourceVersion", "")
        seconds = min(float(self.query.get("timeoutSeconds") or MAX_WATCH), MAX_WATCH)
        if self.query.get("sendInitialEvents"):
            raise Refused(422, "Invalid", "sendInitialEvents is not offered; list, then watch")
        initial = []
        if start in ("", "0"):
            start, initial = registry.list(kind, namespace, matches)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        header = True
        try:
            for thing in initial:
                header = self.event("ADDED", kind, thing, header)
            for entry, before, revision in registry.store.watch(place(kind, namespace), int(start) + 1, seconds):
                new = entry and decode(kind, entry)
                old = before and decode(kind, before, revision)
                was, is_now = bool(old and matches(old)), bool(new and matches(new))
                if was or is_now:
                    header = self.event(("MODIFIED" if was else "ADDED") if is_now else "DELETED", kind, new if is_now else old, header)
        except (Compacted, NoStore) as error:
            code = 410 if isinstance(error, Compacted) else 503
            self.line({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                                                   "code": code, "reason": "Expired" if code == 410 else "ServiceUnavailable",
                                                   "message": str(error)}})
        self.wfile.write(b"0\r\n\r\n")

    def event(self, change, kind, thing, header):
        """One watch event; only the first Table carries the columns."""
        if self.as_table():
            thing = table(kind.plural, [thing], thing["metadata"]["resourceVersion"], self.query.get("includeObject", "Metadata"), header)
        self.line({"type": change, "object": thing})
        return False

    def line(self, content):
        """One chunk of a stream."""
        data = json.dumps(content).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def as_table(self):
        """Whether the client prefers a Table."""
        return "as=Table" in self.headers.get("Accept", "").split(",")[0]

    def show(self, kind, thing, code=200):
        """Answer with one object."""
        if self.as_table():
            thing = table(kind.plural, [thing], thing["metadata"].get("resourceVersion", ""), self.query.get("includeObject", "Metadata"))
        self.answer(code, thing)

    def body(self):
        """The request's body, read whole so that the connection stays usable."""
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_BODY or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            raise Refused(413, "RequestEntityTooLarge", f"a body needs a Content-Length of at most {MAX_BODY}")
        return self.rfile.read(length)

    def json(self, body):
        """The body as JSON, or what newer clients send instead."""
        if self.headers.get("Content-Type", "").startswith("application/vnd.kubernetes.protobuf"):
            return protobuf.decode(body)
        try:
            content = json.loads(body)
        except ValueError as error:
            raise Refused(400, "BadRequest", f"the body is not JSON: {error}") from error
        if not isinstance(content, dict) and self.command != "PATCH":
            raise Invalid("the body is not an object")
        return content

    def who(self):
        """User and groups of the client's certificate; ("", []) without one."""
        certificate = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        pairs = [pair for rdn in (certificate or {}).get("subject", ()) for pair in rdn]
        return (next((value for key, value in pairs if key == "commonName"), ""),
                [value for key, value in pairs if key == "organizationName"])

    def answer(self, code, content, kind="application/json"):
        """Send one whole response."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class Server(ThreadingHTTPServer):
    """Accepts connections; the TLS handshake happens in the connection's own thread, so that no prober can hold up others."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, config, members):
        self.version = config["version"]
        self.registry = Registry(AnyEtcd(members, config.get("etcd_tls")))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.load_cert_chain(config["cert"], config["key"])
        self.context.load_verify_locations(config["client_ca"])
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.address_family = socket.AF_INET6 if ":" in config["bind"] else socket.AF_INET
        super().__init__((config["bind"], int(config["port"])), Handler)

    def finish_request(self, request, client_address):
        request.settimeout(HANDSHAKE)
        try:
            secure = self.context.wrap_socket(request, server_side=True)
        except (OSError, ValueError):
            return  # a prober that hung up, or no TLS at all
        try:
            self.RequestHandlerClass(secure, client_address, self)
        finally:
            secure.close()

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)


def first_objects(registry, stop):
    """Make the namespaces every cluster has, as soon as etcd lets us."""
    kind = BY_PLURAL["", "namespaces"]
    missing = list(NAMESPACES)
    while missing and not stop.is_set():
        try:
            registry.create(kind, "", {"metadata": {"name": missing[0]}}, False)
        except NoStore:
            stop.wait(1)
            continue
        except Refused as error:
            if error.reason != "AlreadyExists":
                raise
        missing.pop(0)


LISTED = "--etcd-servers="


def listed(arguments):
    """The members in `--etcd-servers=URL,URL`."""
    given = [argument.strip()[len(LISTED):] for argument in arguments if argument.strip().startswith(LISTED)]
    return given[0].split(",") if given else []


def main():
    """Serve until SIGTERM."""
    with open(sys.argv[1], encoding="utf-8") as file:
        config = json.load(file)
    members = listed(sys.argv[2:])
    if not members:
        # As the container runs: under its own name, and with the members among its arguments, where whoever looks finds them.
        with open(config["manifest"], encoding="utf-8") as file:
            members = listed(line.strip().removeprefix("- ") for line in file)
        if not members:
            sys.exit(f"{config['manifest']} lists no members of etcd")
        os.execv("/usr/bin/python3", ["kube-apiserver", "-B", __file__, sys.argv[1], LISTED + ",".join(members)])
    server = Server(config, members)
    stop = threading.Event()
    for work in (first_objects, watch_over_nodes):
        threading.Thread(target=work, args=(server.registry, stop), daemon=True).start()

    def end(*_):
        stop.set()
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server.serve_forever(poll_interval=0.2)
    os._exit(0)  # threads of watching clients must not hold the process


if __name__ == "__main__":
    main()
