# The phases of kubeadm that are called on a control plane that runs: the API server's manifest, and what others join with.
"""Usage: kubeadm.py reset --force [--skip-phases=PHASES] [--cri-socket=URL]
          kubeadm.py init phase (control-plane apiserver | upload-config kubeadm) --config FILE
          kubeadm.py init phase mark-control-plane --config=FILE

`begin` is what the playbooks call in the place of `init` and `join`. As kubeadm it takes etcd's members from the
file and nothing else; the manifest is acted on at once, where a kubelet would see it within seconds."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time

MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
ADMIN = "/etc/kubernetes/admin.conf"
MAP = "/api/v1/namespaces/kube-system/configmaps"
LISTED = "    - --etcd-servers="
CONFIG = "/var/lib/kubelet/config.yaml"
STATE = "/var/lib/kube-standin"
# What a test writes to have `init` or `join` fail once after its first file.
FAILS_ONCE = f"{STATE}/kubeadm-fails-once"
# `kubeadm reset` removes these; the authority stays here, because every control plane of the stand-in has the same.
REMOVED = [CONFIG, MANIFEST, "/etc/kubernetes/admin.conf", "/etc/kubernetes/kubelet.conf", "/etc/kubernetes/apiserver.json",
           f"{STATE}/installed.json", f"{STATE}/kubelet.started", f"{STATE}/kube-apiserver.started"]


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
    from kube import Client, Failed
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


def begin(control_plane, root=""):
    """Whether `init` or `join` has to run. On a control plane it is not repeated, however far it came: what it writes first is
    the sign that it ran. Workers go by what their kubelet logs in with, and are let in again."""
    ran = os.path.exists(root + CONFIG)
    if ran and control_plane:
        return False
    if control_plane and not os.path.exists(root + MANIFEST):
        write(root + MANIFEST, "")
    write(root + CONFIG, "")
    if os.path.exists(root + FAILS_ONCE):
        os.unlink(root + FAILS_ONCE)
        raise RuntimeError("kubeadm: timed out waiting for the condition, as a test asks")
    return True


def write(path, text):
    """A file and its folder."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def reset(arguments, root="", run=subprocess.run):
    """Stops the node's services and removes what `init` and `join` leave. etcd's data go, too, unless that phase is left out: no
    manifest of etcd lies here, and kubeadm takes the usual folder for its own then."""
    for name in ("kubelet", "kube-apiserver"):
        run(["systemctl", "disable", "--now", "--quiet", name], check=False)
    for path in REMOVED:
        if os.path.exists(root + path):
            os.unlink(root + path)
    skipped = [value for item in arguments if item.startswith("--skip-phases=") for value in item.partition("=")[2].split(",")]
    if "remove-etcd-member" not in skipped:
        for path in glob.glob(root + "/var/lib/etcd/*"):
            shutil.rmtree(path)


def mark(settings):
    """Gives this master's node the label and the taints that it is to have."""
    from kube import Client
    with open(settings, encoding="utf-8") as file:
        fields = dict(line.strip().split(": ", 1) for line in file if ": " in line)
    client = Client("/etc/kubernetes/admin.conf")
    path = f"/api/v1/nodes/{fields['name']}"
    node = client.request("GET", path)
    have = node.get("spec", {}).get("taints") or []
    wanted = [{"key": text.rpartition(":")[0], "effect": text.rpartition(":")[2]} for text in fields["taints"].strip("[]").split(", ") if text]
    there = {(item.get("key"), item.get("effect")) for item in have}
    taints = have + [item for item in wanted if (item["key"], item["effect"]) not in there]
    client.patch(path, {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}, "resourceVersion": node["metadata"]["resourceVersion"]},
                        "spec": {"taints": taints}})


def main(argv):
    """See the top of the file."""
    if argv[:2] == ["reset", "--force"]:
        return reset(argv[2:])
    if argv[:3] == ["init", "phase", "mark-control-plane"]:
        return mark(argv[-1].partition("=")[2] or argv[-1])
    phases = {"control-plane apiserver": apiserver, "upload-config kubeadm": upload}
    phase = phases.get(" ".join(argv[2:4]))
    if argv[:2] != ["init", "phase"] or phase is None or argv[4:5] != ["--config"] or len(argv) != 6:
        sys.exit(f"error: the stand-in's kubeadm has no {' '.join(argv)}")
    with open(argv[5], encoding="utf-8") as file:
        members = endpoints(file.read())
    if not members:
        sys.exit(f"error: {argv[5]} names no etcd endpoints")
    return phase(members)


if __name__ == "__main__":
    main(sys.argv[1:])
