# A running HAProxy with the rendered file in front of three API servers, in a network namespace of its own.
# Arguments: the rendered file, its runtime socket, the folder of the product's programs, a certificate with its key.
# Prints one JSON object of what was seen, times in seconds.
import http.client
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

CONFIG, RUNTIME, PROGRAMS, CERTIFICATE = sys.argv[1:5]
BALANCER = "192.168.113.100"
MASTERS = ["192.168.113.10", "192.168.113.11", "192.168.113.12"]
# While one of these files exists, readiness or each connection takes a while, as under load.
SLOW, SLOW_TLS = f"{PROGRAMS}/slow", f"{PROGRAMS}/slow-tls"
# While this one exists, an API server says that it is not ready, and that everything is forbidden, as one that has just started.
STARTING = f"{PROGRAMS}/starting"
CLIENT_TLS = ssl._create_unverified_context()


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True)


def address(verb, ip):
    run("ip", "address", verb, f"{ip}/{24 if ip == BALANCER else 32}", "dev", "lan0")


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/readyz" and os.path.exists(SLOW):
            time.sleep(5)
        body = self.server.server_address[0].encode()
        starting = os.path.exists(STARTING)
        self.send_response((500 if self.path == "/readyz" else 403) if starting else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    # The balancer listens to the same port of every address.
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def finish_request(self, request, client):
        if os.path.exists(SLOW_TLS):
            time.sleep(4)
        super().finish_request(TLS.wrap_socket(request, server_side=True), client)

    def handle_error(self, *_):
        pass


def serve(ip):
    child = os.fork()
    if child:
        return child
    Server((ip, 6443), Api).serve_forever()


def connect(timeout=20):
    return http.client.HTTPSConnection(BALANCER, 6443, timeout=timeout, context=CLIENT_TLS)


def ask(connection):
    connection.request("GET", "/version")
    response = connection.getresponse()
    return response.read().decode() if response.status == 200 else f"{response.status} {response.reason}"


# One new connection: who answered, or nothing, and after how long.
def request():
    begun = time.monotonic()
    connection = connect()
    try:
        who = ask(connection)
    except (OSError, http.client.HTTPException):
        who = None
    finally:
        connection.close()
    return who, round(time.monotonic() - begun, 2)


# New connections for a while: the longest time that one took, the longest time from answer to answer, and how many got
# no answer.
def requests(seconds):
    last = time.monotonic()
    end, longest, gap, unanswered, seen = last + seconds, 0, 0, 0, set()
    while time.monotonic() < end:
        who, took = request()
        longest, unanswered = max(longest, took), unanswered + (who is None)
        seen.add(who)
        if who is not None:
            gap, last = max(gap, time.monotonic() - last), time.monotonic()
        time.sleep(0.1)
    return {"longest": longest, "gap": round(gap, 2), "unanswered": unanswered, "by": sorted(filter(None, seen))}


def established_with(ip):
    for _ in range(50):
        connection = connect(60)
        if ask(connection) == ip:
            return connection
        connection.close()
    raise AssertionError(f"no connection reached {ip}")


# Notes after how long the other side ends a quiet connection.
def watch(connection, noted):
    begun = time.monotonic()

    def wait():
        try:
            connection.sock.recv(1)
        except OSError:
            pass
        noted["cut"] = round(time.monotonic() - begun, 2)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def runtime(command):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(RUNTIME)
        s.sendall(command.encode() + b"\n")
        return b"".join(iter(lambda: s.recv(4096), b"")).decode()


# Waits until so many masters, by a backend's checks, are `UP` or `DOWN`.
def wait_until(state, count, backend="kube_api"):
    end = time.monotonic() + 40
    while sum(line.startswith(f"{backend},local-") and f",{state}," in line for line in runtime("show stat").splitlines()) < count:
        assert time.monotonic() < end, runtime("show stat")
        time.sleep(0.2)


def probe(digest):
    argv = [sys.executable, "-I", "-c", open(f"{PROGRAMS}/probe.py").read(), "5", digest, "8404", "6443"]
    return subprocess.run(argv, capture_output=True, text=True)


def set_state(state, server, backend="kube_api"):
    argv = [sys.executable, "-I", "-c", open(f"{PROGRAMS}/set_state.py").read(), RUNTIME, state, server, backend]
    return subprocess.run(argv, capture_output=True, text=True)


TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
TLS.load_cert_chain(CERTIFICATE)

run("ip", "link", "set", "lo", "up")
# What leaves by lan0 for an address that is not here ends in lan1, unanswered.
run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
for name in ["lan0", "lan1"]:
    run("ip", "link", "set", name, "up", "arp", "off")
for ip in [BALANCER, *MASTERS]:
    address("add", ip)
processes = {ip: serve(ip) for ip in MASTERS}
haproxy = subprocess.Popen(["haproxy", "-W", "-f", CONFIG], stdout=subprocess.DEVNULL)
seen = {}
try:
    digest = next(line.split()[-1] for line in open(CONFIG) if "show-desc" in line)
    right, wrong = probe(digest), probe("0" * 16)
    seen["probe"] = [right.returncode, wrong.returncode, wrong.stderr.strip()]
    wait_until("UP", 3)
    seen["healthy"] = requests(3)

    noted = {}
    open(SLOW, "w").close()
    quiet = established_with(MASTERS[0])
    watch(quiet, noted)
    seen["slow"] = {**requests(24), "down": runtime("show stat").count(",DOWN,"), "cut": noted.get("cut")}
    os.remove(SLOW)
    quiet.close()
    # Wait for the last late answer: otherwise the power off would be noticed only at the end of that check.
    requests(6)

    # Even the handshake is late: all fail their checks, and there is nobody else.
    open(SLOW_TLS, "w").close()
    wait_until("DOWN", 3)
    seen["very slow"] = requests(12)
    os.remove(SLOW_TLS)
    wait_until("UP", 3)

    # They say themselves that they are not ready; the patient checks are made every 15 s.
    open(STARTING, "w").close()
    wait_until("DOWN", 3)
    wait_until("DOWN", 3, "kube_api:patient")
    who, took = request()
    seen["not ready"] = {"by": who, "longest": took}
    os.remove(STARTING)
    wait_until("UP", 3)

    # Power off: no packet is answered any more. The others have more connections, so new ones try the dead one first.
    others = [established_with(ip) for ip in MASTERS[1:] * 2]
    noted = {}
    watcher = watch(established_with(MASTERS[0]), noted)
    address("del", MASTERS[0])
    seen["power off"] = requests(14)
    watcher.join(30)
    seen["power off"].update(noted)
    address("add", MASTERS[0])
    for connection in others:
        connection.close()
    wait_until("UP", 3)

    # The API server's process dies: connections are refused.
    os.kill(processes[MASTERS[1]], signal.SIGKILL)
    os.waitpid(processes[MASTERS[1]], 0)
    seen["process killed"] = requests(3)
    processes[MASTERS[1]] = serve(MASTERS[1])
    wait_until("UP", 3)

    drained = set_state("drain", "local-k8s-cluster-master-1")
    seen["drained"] = {"said": drained.stderr, **requests(3)}
    set_state("ready", "local-k8s-cluster-master-1")
    seen["unknown server"] = set_state("drain", "no-such").stderr.strip()

    # As systemd does it.
    kept = established_with(MASTERS[2])
    worker = runtime("show info").split("Pid: ")[1].split()[0]
    haproxy.send_signal(signal.SIGUSR2)
    seen["reload"] = requests(3)
    seen["reload"]["new worker"] = runtime("show info").split("Pid: ")[1].split()[0] != worker
    seen["reload"]["kept"] = ask(kept) == MASTERS[2]

    for ip in MASTERS:
        os.kill(processes[ip], signal.SIGKILL)
        os.waitpid(processes[ip], 0)
        del processes[ip]
    time.sleep(10)
    who, took = request()
    seen["none left"] = {"by": who, "longest": took}
finally:
    haproxy.terminate()
    haproxy.wait(10)
    for process in processes.values():
        os.kill(process, signal.SIGKILL)
print(json.dumps(seen))
