# Two running keepaliveds with the rendered files, each in a network and mount namespace of its own, joined by a cable.
# Arguments: a folder with NAME.conf of each, the product's program that asks keepalived, the virtual address, and of each
# NAME=ADDRESS. Prints one JSON object: what the program says of each while things happen.
import json
import os
import subprocess
import sys
import time

FOLDER, PROGRAM, VIP, *MACHINES = sys.argv[1:]
MACHINES = dict(own.split("=") for own in MACHINES)
ONE, TWO = MACHINES
DEADLINE = 60
children = []

# What HAProxy answers to keepalived's check.
HEALTH = """
import http.server
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 8404), Health).serve_forever()
"""

# A process that is named keepalived, with something else where keepalived's dump is to be, or deaf to the first signal.
STAND_IN = """
import os, signal, sys
dump, signals = "/tmp/keepalived.data", 0
def told(*_):
    global signals
    signals += 1
    if sys.argv[1] == "deaf" and signals > 1:
        with open(dump, "w") as file:
            file.write(" VRRP Instance = kube_api\\n   State = BACKUP\\n   Master router = 10.9.0.9\\n   Master priority = 9\\n   End\\n")
signal.signal(signal.SIGUSR1, told)
if sys.argv[1] == "fifo":
    os.mkfifo(dump)
with open("/proc/self/comm", "w") as file:
    file.write("keepalived")
with open("/run/keepalived.pid", "w") as file:
    file.write(str(os.getpid()))
while True:
    signal.pause()
"""


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True)


def child(name, *argv):
    own = subprocess.Popen(["ip", "netns", "exec", name, *argv], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children.append(own)
    return own


def keepalived(name, late=""):
    # /tmp and /run are its own, as on a machine of its own.
    start = f"mount -t tmpfs none /run && cp '{FOLDER}/{name}.conf' /run/conf && mount -t tmpfs none /tmp && {late} " \
            "exec keepalived --dont-fork --log-console --use-file /run/conf"
    return child(name, "unshare", "--mount", "sh", "-c", start)


def stand_in(name, kind):
    start = 'mount -t tmpfs none /tmp && mount -t tmpfs none /run && exec python3 -I -c "$0" "$1"'
    return child(name, "unshare", "--mount", "sh", "-c", start, STAND_IN, kind)


def inside(name):
    return ["ip", "netns", "exec", name, "nsenter", "-t", str(running[name].pid), "-m"]


def until_there(name, path):
    end = time.monotonic() + DEADLINE
    while subprocess.run([*inside(name), "test", "-s", path]).returncode:
        assert time.monotonic() < end, f"{name} has no {path}"
        time.sleep(0.05)


def ask(name, patience, watched):
    argv = [*inside(name), "python3", "-I", "-c", PROGRAM, patience, watched, VIP, "/run/keepalived.pid"]
    try:
        output = subprocess.run(argv, capture_output=True, text=True, timeout=2 * DEADLINE)
    except subprocess.TimeoutExpired:
        return "failed: no answer"
    return output.stdout.strip() if output.returncode == 0 else f"failed: {output.stderr.strip()}"


def until(wanted):
    """What the program says once it says what is wanted of all that run, or in the end."""
    end = time.monotonic() + DEADLINE
    while True:
        said = [ask(name, "0", "0") for name in running]
        if wanted(*said) or time.monotonic() > end:
            return said
        time.sleep(0.2)


def cable(cut):
    """Has the frames to the other one go to nobody, or to it."""
    for name, other in ((ONE, TWO), (TWO, ONE)):
        link = "02:00:00:00:00:99" if cut else links[other]
        run("ip", "-n", name, "neighbour", "replace", MACHINES[other], "lladdr", link, "dev", "eth0", "nud", "permanent")


try:
    os.makedirs("/run/netns", exist_ok=True)
    run("mount", "-t", "tmpfs", "none", "/run/netns")
    for name in MACHINES:
        run("ip", "netns", "add", name)
    run("ip", "link", "add", "eth0", "netns", ONE, "type", "veth", "peer", "name", "eth0", "netns", TWO)
    links = {}
    for name, address in MACHINES.items():
        for link in ("lo", "eth0"):
            run("ip", "-n", name, "link", "set", link, "up")
        run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        links[name] = json.loads(run("ip", "-n", name, "-j", "link", "show", "eth0").stdout)[0]["address"]
    seen = {}
    health = {name: child(name, "python3", "-I", "-c", HEALTH) for name in MACHINES}
    for kind, patience in (("deaf", str(DEADLINE)), ("fifo", "0")):
        running = {ONE: stand_in(ONE, kind)}
        until_there(ONE, "/run/keepalived.pid")
        seen[kind] = ask(ONE, patience, "0")
        running[ONE].kill()
    # Who is there first has the address; it may be asked before it is there.
    running = {ONE: keepalived(ONE, late="sleep 2;")}
    until_there(ONE, "/run/conf")
    seen["early"] = ask(ONE, str(DEADLINE), "0")
    seen["alone"] = until(lambda one: one == "MASTER 1 -")
    running[TWO] = keepalived(TWO)
    backup = f"BACKUP 0 {MACHINES[ONE]}"
    seen["started"] = until(lambda one, two: (one, two) == ("MASTER 1 -", backup))
    seen["watched"] = [ask(name, "5", "5") for name in MACHINES]
    health[TWO].kill()
    seen["check fails"] = until(lambda _, two: two.startswith("FAULT"))
    seen["in vain"] = ask(TWO, "1", "5")
    health[TWO] = child(TWO, "python3", "-I", "-c", HEALTH)
    seen["check passes"] = until(lambda _, two: two == backup)
    cable(cut=True)
    # It takes the address within 4 s, however it looked at first.
    seen["changing"] = ask(TWO, "0", "10")
    seen["cut"] = until(lambda one, two: (one, two) == ("MASTER 1 -", "MASTER 1 -"))
    cable(cut=False)
    seen["joined"] = until(lambda *both: sorted(own.split()[0] for own in both) == ["BACKUP", "MASTER"])
    running[TWO].terminate()
    running[TWO].wait()
    running[TWO] = health[TWO]
    seen["stopped"] = ask(TWO, "0", "0")
    print(json.dumps(seen))
finally:
    for own in reversed(children):
        own.terminate()
    for own in children:
        own.wait()
