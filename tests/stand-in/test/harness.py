# Real etcd members and API servers on loopback, for the tests; each is ended by its own process.
"""`Etcds(n)` is a cluster of n members, `ApiServer` a server on one of them with a fresh set of certificates."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import types

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PROGRAMS = os.path.join(ROOT, "roles/host/files")
sys.path.insert(0, PROGRAMS)


def module_utils():
    """The folder module_utils under the name that Ansible gives it, without Ansible."""
    package = types.ModuleType("ansible")
    utils = types.ModuleType("ansible.module_utils")
    utils.__path__ = [os.path.join(ROOT, "module_utils")]
    package.module_utils = utils
    sys.modules.setdefault("ansible", package)
    sys.modules.setdefault("ansible.module_utils", utils)
    from ansible.module_utils import standin_pki
    return standin_pki


def free_ports(count):
    """Ports that nothing listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def until(what, seconds, probe):
    """Wait for `probe` to be true; an error that says what was waited for otherwise."""
    deadline = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


class Process:
    """A child that is ended for certain: at the end of a test, or with this process."""

    def __init__(self, argv, log, begun=True):
        self.argv, self.log, self.child = argv, log, None
        if begun:
            self.start()

    def start(self):
        """Start it, or start it again."""
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self, how=signal.SIGTERM):
        """End it and wait."""
        if self.child and self.child.poll() is None:
            self.child.send_signal(how)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait(10)


class Etcds:
    """A cluster of etcd members on loopback, each at an address of its own, in a folder of its own."""

    def __init__(self, count, secure=False, running=None):
        self.folder = tempfile.mkdtemp(prefix="stand-in-test-")
        self.tls = self.certify(count) if secure else None
        ports = free_ports(2 * count)
        self.clients, self.peers = ports[:count], ports[count:]
        cluster = ",".join(f"m{i}={self.peer(i)}" for i in range(count))
        self.members = [Process(self.argv(i, cluster), f"{self.folder}/m{i}.log", running is None or i < running) for i in range(count)]

    def argv(self, index, cluster):
        """What a member is started with."""
        tls = [f"--{option}={value}" for option, value in {
            "cert-file": self.tls["cert"], "key-file": self.tls["key"], "trusted-ca-file": self.tls["ca"], "client-cert-auth": "true"}.items()] if self.tls else []
        return ["etcd", "--name", f"m{index}", "--data-dir", f"{self.folder}/m{index}", "--initial-cluster", cluster,
                "--listen-peer-urls", self.peer(index), "--initial-advertise-peer-urls", self.peer(index),
                "--listen-client-urls", self.url(index), "--advertise-client-urls", self.url(index), "--log-level", "error",
                "--heartbeat-interval", "50", "--election-timeout", "500", *tls]

    def certify(self, count):
        """One certificate for all members and clients; its paths."""
        paths = {"ca": f"{self.folder}/ca.crt", "cert": f"{self.folder}/etcd.pem", "key": f"{self.folder}/etcd-key.pem"}
        Certificates(self.folder).make({"name": "etcd", "cn": "etcd", "usage": "serverAuth, clientAuth", "cert": paths["cert"], "key": paths["key"],
                                        "sans": [f"IP:{self.address(index)}" for index in range(count)]}, {"name": "ca", "copy": False})
        return paths

    @staticmethod
    def address(index):
        """A member's own address."""
        return f"127.0.0.{index + 1}"

    def peer(self, index):
        """The URL of a member for the others."""
        return f"http://{self.address(index)}:{self.peers[index]}"

    def url(self, index):
        """The client URL of a member."""
        return f"{'https' if self.tls else 'http'}://{self.address(index)}:{self.clients[index]}"

    def end(self):
        """Stop all members and remove the folder."""
        for member in self.members:
            member.stop(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


class Certificates:
    """An authority in a folder, by the same code that the guests run."""

    def __init__(self, folder):
        self.pki = module_utils()
        self.pki.AUTHORITIES["kubernetes"] = (f"{folder}/ca.crt", f"{folder}/ca.key", "root")
        self.pki.LOCK = f"{folder}/lock"
        self.folder = folder

    def make(self, *specs):
        """Issue and keep."""
        files, _ = self.pki.issue([{"ca": "kubernetes", **spec} for spec in specs], {})
        for path, file in files.items():
            self.pki.put(path, file["content"], file.get("mode", "0644"))

    def kubeconfig(self, cn, org, port):
        """A kubeconfig for a user, for the server on that port; its path."""
        path = f"{self.folder}/{cn.replace(':', '-')}-{port}.conf"
        self.make({"name": path, "cn": cn, "org": org, "usage": "clientAuth", "kubeconfig": path, "cluster": "test", "user": cn,
                   "server": f"https://127.0.0.1:{port}"})
        return path


class ApiServer(Process):
    """An API server that lists these etcd members."""

    def __init__(self, folder, certificates, *members, version="v1.23.7", tls=None):
        self.port = free_ports(1)[0]
        base = f"{folder}/api-{self.port}"
        certificates.make({"name": base, "cn": "kube-apiserver", "usage": "serverAuth", "sans": ["IP:127.0.0.1", "DNS:localhost"],
                           "cert": f"{base}.crt", "key": f"{base}.key"})
        with open(f"{base}.json", "w", encoding="utf-8") as file:
            json.dump({"bind": "127.0.0.1", "port": self.port, "version": version, "etcd_tls": tls, "cert": f"{base}.crt", "key": f"{base}.key",
                       "client_ca": f"{folder}/ca.crt"}, file)
        self.base = [sys.executable, "-B", f"{PROGRAMS}/apiserver.py", f"{base}.json"]
        super().__init__([*self.base, f"--etcd-servers={','.join(members)}"], f"{base}.log")

    def use(self, members):
        """Restart it with other members, as a kubelet does when the manifest changes."""
        self.stop()
        self.argv = [*self.base, f"--etcd-servers={','.join(members)}"]
        self.start()
