"""A cluster under test: its file, the product's commands, kubectl, and clients that note how long they went unanswered."""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import signal
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse

NAME = "real"
NETWORK = "192.168.120"
BALANCER = f"{NETWORK}.100"
# Of Kubespray.
RELEASE = (pathlib.Path(__file__).parent / "release").read_text().strip()
# Emulated machines on a busy machine: generous, yet an end.
APPLY_SECONDS = 10 * 3600
SETTLE_SECONDS = 1200
# For a run that was asked to end.
END_SECONDS = 60
# For an API server that starts beside others on the same processors.
READY = "40m"


class Failed(Exception):
    """What a step expected and did not see."""


def say(text):
    """A line with the time."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def wait_for(what, seconds, look):
    """Looks until there is nothing left to say against it; fails with the last words after the deadline."""
    end = time.monotonic() + seconds
    while last := look():
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {seconds} s; last: {last}")
        time.sleep(3)


class Cluster:
    """The cluster, and the program that makes it."""

    def __init__(self, program, home, variables, kubernetes):
        self.program = program
        self.home = pathlib.Path(home)
        self.file = {
            "hosts": [{"name": "localhost", "connection": {"type": "local"}}],
            "cluster": {
                "name": NAME,
                "network": {"mode": "nat", "cidr": f"{NETWORK}.0/24"},
                "nodeTemplate": {"os": {"distro": "debian12"}, "updateOnBoot": False},
                "nodes": {
                    "loadBalancer": {
                        "default": {"cpu": 1, "ram": 1, "mainDiskSize": 8},
                        "instances": [{"id": 1, "ip": BALANCER}],
                        "forwardPorts": [{"name": "web", "port": 80, "targetPort": 30080, "target": "all"}],
                    },
                    "master": {"default": {"cpu": 2, "ram": 3, "mainDiskSize": 16}},
                    "worker": {"default": {"cpu": 1, "ram": 2, "mainDiskSize": 16}},
                },
            },
            "kubernetes": {"version": f"v{kubernetes}", "networkPlugin": "flannel", "kubespray": {"version": RELEASE}},
            "addons": {"kubespray": variables},
        }
        self.masters(1)
        self.workers(1)

    def masters(self, *ids):
        """The masters from now on."""
        self._instances("master", 10, ids)

    def workers(self, *ids, **more):
        """The workers from now on; `more` is what all of them have besides."""
        self._instances("worker", 20, ids, **more)

    def _instances(self, role, first, ids, **more):
        instances = [{"id": number, "ip": f"{NETWORK}.{first + number}", **more} for number in ids]
        self.file["cluster"]["nodes"][role]["instances"] = instances

    def nodes(self):
        """The nodes that the file wants."""
        roles = self.file["cluster"]["nodes"]
        return [f"{NAME}-{role}-{one['id']}" for role in ["master", "worker"] for one in roles[role]["instances"]]

    def written(self):
        """Writes the file (JSON is YAML) and returns its path."""
        path = self.home / "real.yaml"
        path.write_text(json.dumps(self.file, indent=1))
        return str(path)

    # The product.

    def command(self, *arguments):
        """The program with arguments, giving way to the machines that share its processors."""
        return ["nice", "-n", "5", self.program, *arguments]

    def run(self, *arguments, code=0):
        """Runs the program to its end, which is this exit code, or any; returns what it printed."""
        say("$ kubitect " + " ".join(arguments))
        began = time.monotonic()
        # In a session of its own: a second signal ends it at once, so ctrl-C reaches it by way of this program only.
        run = subprocess.Popen(
            self.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            printed, _ = run.communicate(timeout=APPLY_SECONDS)
        except BaseException:
            # It ends what it began, Ansible too, which a kill would leave behind.
            run.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.communicate(timeout=END_SECONDS)
            run.kill()
            raise
        print(printed, end="", flush=True)
        say(f"[exit {run.returncode} after {time.monotonic() - began:.0f} s]")
        if code not in (None, run.returncode):
            raise Failed(f"kubitect {arguments[0]} ended with {run.returncode}, not with {code}")
        return printed

    def apply(self, code=0):
        """Applies the file as it stands now."""
        return self.run(*self.applying(), code=code)

    def applying(self):
        """The arguments that apply the file as it stands now."""
        return ["apply", "--config", self.written(), "--auto-approve", "--ready-timeout", READY]

    def apply_killed(self, mark, seconds):
        """Applies, and kills the program with SIGKILL so many seconds after a line with the mark."""
        say(f"$ kubitect apply  # killed {seconds} s after `{mark}`")
        command = self.command(*self.applying(), "--verbose")
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        # Ends a run that never comes to the mark.
        timer = threading.Timer(APPLY_SECONDS, run.kill)
        timer.start()
        try:
            for line in run.stderr:
                print(line, end="", flush=True)
                if mark in line:
                    time.sleep(seconds)
                    run.kill()
                    break
        finally:
            timer.cancel()
            run.kill()
            run.stderr.close()
            ended = run.wait()
        if ended != -signal.SIGKILL:
            raise Failed(f"the run ended with {ended} before `{mark}` was seen")
        say("[killed]")

    def finished(self):
        """The plan is empty, exactly the nodes of the file are Ready in its version, and `status` is content."""
        plan = self.run("plan", "--config", self.written())
        if plan != f"{NAME}: no change\n":
            raise Failed(f"the plan is not empty: {plan}")
        version = self.file["kubernetes"]["version"]
        wanted = sorted(f"{node} True {version}" for node in self.nodes())

        def look():
            found = self.kubectl("get", "nodes", "--output", "json", check=False)
            if not found:
                return "no answer"
            seen = sorted(
                f"{node['metadata']['name']} {condition['status']} {node['status']['nodeInfo']['kubeletVersion']}"
                for node in json.loads(found)["items"]
                for condition in node["status"]["conditions"]
                if condition["type"] == "Ready"
            )
            return "" if seen == wanted else f"{seen}, not {wanted}"

        wait_for("the nodes are as wanted", SETTLE_SECONDS, look)
        wait_for("the system's pods run", SETTLE_SECONDS, self.unready)
        # A balancer takes a node for dead until three checks succeed.
        wait_for("`status` is content", SETTLE_SECONDS, self.problems)

    def problems(self):
        """What `status` complains of."""
        status = json.loads(self.run("status", "--cluster", NAME, "--output", "json", code=None))
        return "" if status["verdict"] == "healthy" else f"{status['verdict']}: {' '.join(status['problems'])}"

    def unready(self):
        """The system's pods that are not Ready."""
        found = self.kubectl("get", "pods", "--namespace", "kube-system", "--output", "json", check=False)
        if not found:
            return "no answer"
        bad = []
        for pod in json.loads(found)["items"]:
            conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
            if conditions.get("Ready") != "True":
                bad.append(pod["metadata"]["name"])
        return " ".join(bad)

    # Kubernetes, through the balancer.

    def kubeconfig(self):
        """The file that `apply` fetched."""
        return self.home / "clusters" / NAME / "config/admin.conf"

    def kubectl(self, *arguments, given=None, check=True):
        """What kubectl prints; nothing if it fails and need not succeed."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig()), "--request-timeout=60s", *arguments],
            input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, check=False,
        )  # fmt: skip
        if done.returncode:
            if check:
                raise Failed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
            return ""
        return done.stdout

    def create(self, objects):
        """Applies these objects."""
        self.kubectl("apply", "--filename", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


class Asker:
    """Asks again and again, on new connections, and notes the longest time without an answer."""

    def __init__(self, name, ask, pause=1.0):
        self.name, self.ask, self.pause = name, ask, pause
        self.longest, self.ended, self.answers = 0.0, 0.0, 0
        self.began = time.monotonic()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        unanswered = None
        while not self.stopped.wait(self.pause):
            now = time.monotonic()
            unanswered = unanswered or now
            try:
                self.ask()
            except (OSError, http.client.HTTPException, Failed) as error:
                say(f"{self.name}: no answer: {error}")
                continue
            finally:
                gap = time.monotonic() - unanswered
                if gap > self.longest:
                    self.longest, self.ended = gap, time.monotonic() - self.began
            self.answers += 1
            unanswered = None

    def stop(self):
        """Ends, and says how it went."""
        self.stopped.set()
        self.thread.join(60)
        say(f"{self.name}: {self.answers} answers, longest time without one {self.longest:.1f} s, until second {self.ended:.0f}")
        return self.longest


class Api:
    """A client of the API: reads, and writes what it counts."""

    def __init__(self, cluster):
        config = json.loads(cluster.kubectl("config", "view", "--raw", "--output", "json"))
        place, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server = urllib.parse.urlsplit(place["server"])
        self.context = ssl.create_default_context(cadata=base64.b64decode(place["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as pair:
            for part in ["client-certificate-data", "client-key-data"]:
                pair.write(base64.b64decode(user[part]) + b"\n")
            pair.flush()
            self.context.load_cert_chain(pair.name)
        self.run = f"{os.getpid()}-{time.time_ns() % 10**9}"
        self.count = 0
        self.written = []

    def _ask(self, method, path, body=None):
        connection = http.client.HTTPSConnection(self.server.hostname, self.server.port, timeout=10, context=self.context)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status >= 300:
                raise Failed(f"{answer.status} {content[:200]!r}")
            return content
        finally:
            connection.close()

    def read(self):
        """Reads one object."""
        self._ask("GET", "/api/v1/namespaces/default")

    def write(self):
        """Writes one more object: never a name twice, for what went unanswered may have been written."""
        self.count += 1
        name = f"ring-{self.run}-{self.count}"
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"ring": "written"}}}
        self._ask("POST", "/api/v1/namespaces/default/configmaps", json.dumps(body))
        self.written.append(name)

    def lost(self):
        """What was written and is gone, once the API answers."""
        found = set()

        def look():
            try:
                content = self._ask("GET", "/api/v1/namespaces/default/configmaps?labelSelector=ring%3Dwritten")
            except (OSError, http.client.HTTPException, Failed) as error:
                return str(error)
            found.update(item["metadata"]["name"] for item in json.loads(content)["items"])
            return ""

        wait_for("the API lists what was written", SETTLE_SECONDS, look)
        return [name for name in self.written if name not in found]


def ask_web():
    """Asks the Service through the balancer's forwarded port; returns the pod that answered."""
    connection = http.client.HTTPConnection(BALANCER, 80, timeout=10)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        content = answer.read().decode().strip()
        if answer.status != 200:
            raise Failed(f"{answer.status} {content[:200]}")
        return content
    finally:
        connection.close()
