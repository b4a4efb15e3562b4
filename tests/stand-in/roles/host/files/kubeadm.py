# The phases of kubeadm that are called on a control plane that runs: the API server's manifest, and what others join with.
"""Usage: kubeadm.py init phase (control-plane apiserver | upload-config kubeadm) --config FILE. As kubeadm it takes etcd's members from the
file and nothing else; the manifest is acted on at once, where a kubelet would see it within seconds."""
import os
import subprocess
import sys
import tempfile
import time

from kube import Client, Failed

MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
ADMIN = "/etc/kubernetes/admin.conf"
MAP = "/api/v1/namespaces/kube-system/configmaps"
LISTED = "    - --etcd-servers="


def endpoints(text):
    """The items below `endpoints:`."""
    found, below = [], False
    for line in text.splitlines():
        item = line.strip()
        if below and item.startswith("- "):
            found.append(item[2:].strip("\"'"))
        else:
            below = item == "endpoints:"
    return found


def replace(path, text):
    """Write a file whole."""
    handle, aside = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".kubeadm-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(aside, 0o600)
    os.rename(aside, path)


def restart():
    """What the kubelet does when a manifest has changed."""
    subprocess.run(["systemctl", "restart", "--no-block", "kube-apiserver"], check=True, timeout=60)


def apiserver(members):
    """Write the manifest with these members."""
    with open(MANIFEST, encoding="utf-8") as file:
        old = file.read()
    lines = [LISTED + ",".join(members) if line.startswith(LISTED) else line for line in old.splitlines()]
    new = "\n".join(lines) + "\n"
    if new != old:
        replace(MANIFEST, new)
        restart()


def upload(members, seconds=60):
    """Keep the members where those that join read them."""
    items = "".join(f"    - {member}\n" for member in members)
    text = f"apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\netcd:\n  external:\n    caFile: /etc/ssl/etcd/ssl/ca.pem\n    endpoints:\n{items}"
    new = {"metadata": {"name": "kubeadm-config"}, "data": {"ClusterConfiguration": text}}
    deadline = time.monotonic() + seconds
    client = Client(ADMIN)
    while True:
        try:
            try:
                old = client.request("GET", f"{MAP}/kubeadm-config")
            except Failed as error:
                if error.code != 404:
                    raise
                client.request("POST", MAP, new)
            else:
                client.request("PUT", f"{MAP}/kubeadm-config", {**old, "data": new["data"]})
            return client.close()
        except Failed as error:
            if error.code not in (0, 409, 500, 503) or time.monotonic() > deadline:
                sys.exit(f"error: {error}")
        time.sleep(1)


def main(argv):
    """See the top of the file."""
    phases = {"control-plane apiserver": apiserver, "upload-config kubeadm": upload}
    phase = phases.get(" ".join(argv[2:4]))
    if argv[:2] != ["init", "phase"] or phase is None or argv[4:5] != ["--config"] or len(argv) != 6:
        sys.exit(f"error: the stand-in's kubeadm has no {' '.join(argv)}")
    with open(argv[5], encoding="utf-8") as file:
        members = endpoints(file.read())
    if not members:
        sys.exit(f"error: {argv[5]} names no etcd endpoints")
    phase(members)


if __name__ == "__main__":
    main(sys.argv[1:])
