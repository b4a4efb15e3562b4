"""Packs the ring's programs as what Kubespray downloads: archives, images, and the variables that point at them.

    pack.py FOLDER ADDRESS BASE NAME=PROGRAMS...

FOLDER gets `files/` (archives and programs), `registry/` (blobs by digest, and tags.json) and `variables.json`; serve.py
serves it at ADDRESS, which is HOST:PORT as the guests see it. BASE is a tar of a small Debian with iptables; PROGRAMS are
the folders that programs.sh prints.
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import sys
import tarfile

PROGRAMS = pathlib.Path(__file__).parent / "programs"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
# One processor for each of Go's programs, as the guests' services have (image/setup.sh).
ENVIRONMENT = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "GOMAXPROCS=1"]

# What the release itself calls these images: Kubespray v2.31.0 for Kubernetes 1.34 and 1.35. CoreDNS is another version than its
# names say, because kubeadm's upgrade refuses a version that its migration does not know.
COREDNS_TAGS = ["v1.12.1", "v1.12.4"]
PAUSE_TAG = "3.10.1"
FLANNEL_CNI_TAG = "v1.7.1-flannel1"

# What flannel's network needs; all plugins together take a guest two minutes to unpack and copy.
CNI_PLUGINS = ["bridge", "host-local", "loopback", "portmap"]

# nerdctl is not built here; Kubespray copies it to each node and asks it for its completion only.
NERDCTL = """#!/bin/sh
# Stands for nerdctl in the ring, which uses crictl.
case $1 in
  completion) exit 0 ;;
  version | --version) echo 'nerdctl version 0.0.0-ring' ;;
  *) echo "nerdctl of the ring: '$1' is not supported" >&2; exit 1 ;;
esac
"""


def version(module, program):
    """The version of a module, without its v, as the go.mod of a set names it."""
    text = (PROGRAMS / program / "go.mod").read_text()
    found = re.search(rf"^(?:require|\t)\s*{re.escape(module)} v(\S+)", text, re.MULTILINE)
    if not found:
        raise SystemExit(f"pack.py: programs/{program}/go.mod does not name a version of {module}")
    return found[1]


def tar(entries):
    """A tar of {name: (bytes or path, mode)}, the same for the same contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folders = {str(parent) for name in entries for parent in pathlib.PurePath(name).parents if str(parent) != "."}
        for folder in sorted(folders):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(info)
        for name, (content, mode) in entries.items():
            data = content if isinstance(content, bytes) else pathlib.Path(content).read_bytes()
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Files:
    """The downloads: each under its name, with its checksum."""

    def __init__(self, folder):
        self.folder = folder / "files"
        self.folder.mkdir()
        self.checksums = {}

    def add(self, name, data):
        (self.folder / name).write_bytes(data)
        self.checksums[name] = "sha256:" + hashlib.sha256(data).hexdigest()

    def copy(self, name, path):
        # A link, where both lie on one file system: they are large.
        try:
            os.link(path, self.folder / name)
        except OSError:
            shutil.copy(path, self.folder / name)
        with open(path, "rb") as file:
            self.checksums[name] = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

    def archive(self, name, entries):
        self.add(name, gzip.compress(tar(entries), 1, mtime=0))


class Registry:
    """The images, as a registry answers: blobs by digest, tags by name."""

    def __init__(self, folder):
        self.folder = folder / "registry"
        self.folder.mkdir()
        self.tags = {}

    def blob(self, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        (self.folder / digest.replace(":", "-")).write_bytes(data)
        return {"digest": digest, "size": len(data)}

    def layer(self, content):
        """A layer of a tar: what the manifest says of it, and its digest unpacked."""
        packed = self.blob(gzip.compress(content, 1, mtime=0))
        return {"mediaType": LAYER, **packed}, "sha256:" + hashlib.sha256(content).hexdigest()

    def image(self, name, tags, layers, **config):
        settings = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ENVIRONMENT, "WorkingDir": "/", **config},
            "rootfs": {"type": "layers", "diff_ids": [unpacked for _, unpacked in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **self.blob(json.dumps(settings).encode())},
            "layers": [packed for packed, _ in layers],
        }
        digest = self.blob(json.dumps(manifest).encode())["digest"]
        for tag in tags:
            self.tags[f"{name}:{tag}"] = digest
        (self.folder / "tags.json").write_text(json.dumps(self.tags, indent=1))


def kubernetes(files, registry, base, folder, released):
    """One Kubernetes version: three programs as files, four as images."""
    for program in ["kubeadm", "kubelet", "kubectl"]:
        files.copy(f"{program}-{released}", folder / program)
    for program in ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"]:
        own = registry.layer(tar({f"usr/local/bin/{program}": (folder / program, 0o755)}))
        layers = [base, own] if program == "kube-proxy" else [own]
        registry.image(program, [f"v{released}"], layers, Entrypoint=[f"/usr/local/bin/{program}"])


def pack(folder, address, base_tar, sets):
    """Makes all of it in an empty folder."""
    files, registry = Files(folder), Registry(folder)
    base = registry.layer(pathlib.Path(base_tar).read_bytes())
    released = {}
    for name in [name for name in sets if name.startswith("kubernetes-")]:
        released[name] = version("k8s.io/kubernetes", name)
        kubernetes(files, registry, base, sets[name], released[name])

    etcd = version("go.etcd.io/etcd/server/v3", "etcd")
    programs = {"etcd": "server", "etcdctl": "etcdctl", "etcdutl": "etcdutl"}
    files.archive(
        "etcd.tar.gz",
        {f"etcd-v{etcd}-linux-amd64/{to}": (sets["etcd"] / of, 0o755) for to, of in programs.items()},
    )
    files.archive("containerd.tar.gz", {f"bin/{path.name}": (path, 0o755) for path in sorted(sets["containerd"].iterdir())})
    files.archive("cni.tgz", {name: (sets["cni-plugins"] / name, 0o755) for name in CNI_PLUGINS})
    files.archive("crictl.tar.gz", {"crictl": (sets["cri-tools"] / "crictl", 0o755)})
    files.archive("nerdctl.tar.gz", {"nerdctl": (NERDCTL.encode(), 0o755)})
    files.copy("runc", sets["runc"] / "runc")

    small = sets["small"]
    registry.image("pause", [PAUSE_TAG], [registry.layer(tar({"pause": (small / "pause", 0o755)}))], Entrypoint=["/pause"])
    registry.image(
        "probe", ["1"], [registry.layer(tar({"probe": (small / "probe", 0o755)}))], Entrypoint=["/probe"], Cmd=["serve"]
    )
    coredns = registry.layer(tar({"coredns": (sets["coredns"] / "coredns", 0o755)}))
    registry.image("coredns/coredns", COREDNS_TAGS, [coredns], Entrypoint=["/coredns"])
    flannel = version("github.com/flannel-io/flannel", "flannel")
    flanneld = registry.layer(tar({"opt/bin/flanneld": (sets["flannel"] / "flannel", 0o755)}))
    registry.image("flannel/flannel", [f"v{flannel}"], [base, flanneld], Entrypoint=["/opt/bin/flanneld"])
    plugin = registry.layer(tar({"flannel": (sets["cni-flannel"] / "flannel", 0o755)}))
    registry.image("flannel/flannel-cni-plugin", [FLANNEL_CNI_TAG], [base, plugin], Entrypoint=["/bin/true"])

    if "metrics-server" in sets:
        program = registry.layer(tar({"metrics-server": (sets["metrics-server"] / "metrics-server", 0o755)}))
        tag = "v" + version("sigs.k8s.io/metrics-server", "metrics-server")
        registry.image("metrics-server/metrics-server", [tag], [program], Entrypoint=["/metrics-server"])
    given = variables(address, files.checksums, released.values())
    given.update(
        etcd_version=etcd,
        crictl_version=version("sigs.k8s.io/cri-tools", "cri-tools"),
        containerd_version=version("github.com/containerd/containerd/v2", "containerd"),
        runc_version=version("github.com/opencontainers/runc", "runc"),
        cni_version=version("github.com/containernetworking/plugins", "cni-plugins"),
        flannel_version=flannel,
        metrics_server_version=version("sigs.k8s.io/metrics-server", "metrics-server"),
    )
    (folder / "variables.json").write_text(json.dumps(given, indent=1, sort_keys=True))


def variables(address, checksums, kubernetes_versions):
    """Kubespray's variables, for both ends of an upgrade."""
    url = f"http://{address}/files"
    given = {
        # By Kubernetes' version: Kubespray's own tables are its roles' variables, which an inventory can't replace.
        "ring_checksums": {
            version: {name: checksums[f"{name}-{version}"] for name in ["kubeadm", "kubelet", "kubectl"]}
            for version in kubernetes_versions
        },
        "containerd_registries_mirrors": [
            {
                "prefix": address,
                "server": f"http://{address}",
                "mirrors": [{"host": f"http://{address}", "capabilities": ["pull", "resolve"], "skip_verify": True}],
            }
        ],
        # nerdctl is not to be had; no image of nginx, of the node's cache or of the autoscaler, either.
        "image_command_tool": "crictl",
        "kube_proxy_mode": "iptables",
        "enable_nodelocaldns": False,
        "enable_dns_autoscaler": False,
        "loadbalancer_apiserver_localhost": False,
        # CoreDNS would forward to itself.
        "resolvconf_mode": "none",
        "upstream_dns_servers": [address.rpartition(":")[0]],
        **PATIENCE,
    }
    for repository in ["kube", "docker", "quay", "github"]:
        given[f"{repository}_image_repo"] = address
    for program in ["kubeadm", "kubelet", "kubectl"]:
        given[f"{program}_download_url"] = f"{url}/{program}-{{{{ kube_version }}}}"
        given[f"{program}_binary_checksum"] = f"{{{{ ring_checksums[kube_version]['{program}'] }}}}"
    for name, kind, file in [
        ("etcd", "binary", "etcd.tar.gz"),
        ("cni", "binary", "cni.tgz"),
        ("crictl", "binary", "crictl.tar.gz"),
        ("runc", "binary", "runc"),
        ("containerd", "archive", "containerd.tar.gz"),
        ("nerdctl", "archive", "nerdctl.tar.gz"),
    ]:
        given[f"{name}_download_url"] = f"{url}/{file}"
        given[f"{name}_{kind}_checksum"] = checksums[file]
    return given


# For emulated machines, several of which share a processor.
PATIENCE = {
    "kubeadm_init_timeout": "1800s",
    "kubeadm_join_timeout": "1200s",
    "discovery_timeout": "10m0s",
    "control_plane_health_retries": 300,
    "control_plane_node_become_ready_tries": 60,
    "etcd_retries": 30,
    # In milliseconds.
    "etcd_heartbeat_interval": "1000",
    "etcd_election_timeout": "10000",
    "kube_controller_manager_leader_elect_lease_duration": "120s",
    "kube_controller_manager_leader_elect_renew_deadline": "90s",
    "kube_scheduler_leader_elect_lease_duration": "120s",
    "kube_scheduler_leader_elect_renew_deadline": "90s",
    "kube_controller_node_monitor_grace_period": "160s",
    "pkg_install_timeout": 1800,
    "download_retries": 4,
    # What an idle control plane does every second or two costs most of an emulated machine: it does it less often, and with keys that
    # are cheap to sign with.
    "kube_asymmetric_encryption_algorithm": "ECDSA-P256",
    "kube_kubeadm_controller_extra_args": {"leader-elect-retry-period": "20s"},
    "kube_scheduler_leader_elect_extra_opts": {"retryPeriod": "20s"},
    # etcd says to each of 60 watches of an API server that nothing has happened.
    "etcd_experimental_watch_progress_notify_interval": "60s",
    # Else four lines, of a kilobyte each, for each of its slow requests, and here most are slow.
    "etcd_log_level": "error",
    "kubelet_status_update_frequency": "20s",
    "kubelet_custom_flags": ["--housekeeping-interval=60s"],
    "kubeadm_patches": [
        {
            "target": name,
            "patch": {
                "spec": {
                    "containers": [
                        {
                            "name": name,
                            "readinessProbe": {"periodSeconds": 10},
                            # kubeadm's 4 minutes are too few for an API server that starts where three masters share two processors: the
                            # kubelet killed it, and it began anew.
                            "startupProbe": {"failureThreshold": 120},
                        }
                    ]
                }
            },
        }
        for name in ["kube-apiserver", "kube-scheduler"]
    ],
}


def main():
    """Packs as the arguments say."""
    folder, address, base, *sets = sys.argv[1:]
    sets = {name: pathlib.Path(path) for name, path in (item.split("=", 1) for item in sets)}
    pack(pathlib.Path(folder), address, base, sets)


if __name__ == "__main__":
    main()
