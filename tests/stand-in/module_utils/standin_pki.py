# Certificate authorities and certificates, made with the openssl program.
"""Keys are on the curve P-256: quick to make on slow machines. Certificates begin a day early, for clocks that differ."""
import base64
import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
import time

from ansible.module_utils.standin import Trouble, put, read, run

DAY = 86400
LOCK = "/run/lock/kube-standin-pki"
AUTHORITIES = {"kubernetes": ("/etc/kubernetes/ssl/ca.crt", "/etc/kubernetes/ssl/ca.key", "root"),
               "etcd": ("/etc/ssl/etcd/ssl/ca.pem", "/etc/ssl/etcd/ssl/ca-key.pem", "etcd")}
CONFIG = """[ca]
default_ca = this
[this]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
organizationName = optional
[req]
distinguished_name = name
prompt = no
[name]
{name}
[extensions]
{extensions}
"""


def digest(text):
    """A short name for a content."""
    return hashlib.sha256(text if isinstance(text, bytes) else text.encode()).hexdigest()


def _stamp(moment):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(moment))


def _sign(cn, org, extensions, days, authority=None):
    """A new key and its certificate, signed by `authority` (certificate and key paths) or by itself: (cert, key, end)."""
    for value in (cn, org or ""):
        if not value.isprintable() or any(sign in value for sign in "\\#$\"'"):
            raise Trouble(f"{value!r} cannot stand in a certificate")
    end = time.time() + days * DAY
    with tempfile.TemporaryDirectory() as folder:
        name = ([f"O = {org}"] if org else []) + [f"CN = {cn}"]
        files = {name: os.path.join(folder, name) for name in ("index.txt", "config", "key", "request", "cert")}
        put(files["index.txt"], "")
        put(files["config"], CONFIG.format(folder=folder, name="\n".join(name), extensions="\n".join(extensions)))
        run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", files["key"]])
        run(["openssl", "req", "-new", "-config", files["config"], "-key", files["key"], "-out", files["request"]])
        signer = ["-cert", authority[0], "-keyfile", authority[1]] if authority else ["-selfsign", "-keyfile", files["key"]]
        run(["openssl", "ca", "-batch", "-notext", "-config", files["config"], "-extensions", "extensions", "-in", files["request"],
             "-out", files["cert"], "-startdate", _stamp(time.time() - DAY), "-enddate", _stamp(end), *signer])
        return read(files["cert"]).decode(), read(files["key"]).decode(), int(end)


@contextlib.contextmanager
def _alone():
    """One at a time on this machine: several hosts ask their first control plane at once."""
    with open(LOCK, "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _authority(which):
    """The paths of an authority's certificate and key; made when there is none."""
    cert, key, owner = AUTHORITIES[which]
    if not read(cert) or not read(key):
        made = _sign(f"{which}-ca", None, ["basicConstraints = critical, CA:TRUE", "keyUsage = critical, keyCertSign, cRLSign, digitalSignature",
                                           "subjectKeyIdentifier = hash"], 3650)
        put(key, made[1], "0600")
        put(cert, made[0], "0644", owner)  # last: nothing is signed by an authority without it
    return cert, key


def digests():
    """{authority: digest of its certificate} for those whose key lies here."""
    return {which: digest(read(cert)) for which, (cert, key, _) in AUTHORITIES.items() if read(cert) and read(key)}


KUBECONFIG = """apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {ca}
    server: {server}
  name: {cluster}
contexts:
- context:
    cluster: {cluster}
    user: {user}
  name: {user}@{cluster}
current-context: {user}@{cluster}
kind: Config
preferences: {{}}
users:
- name: {user}
  user:
    client-certificate-data: {cert}
    client-key-data: {key}
"""


def _kubeconfig(spec, ca, cert, key):
    """A kubeconfig with everything embedded, as kubeadm writes it."""
    data = {name: base64.b64encode(text.encode()).decode() for name, text in (("ca", ca), ("cert", cert), ("key", key))}
    return KUBECONFIG.format(server=spec["server"], cluster=spec["cluster"], user=spec["user"], **data)


def issue(specs, have):
    """({path: {content, mode, owner}}, {name: {digest, until, paths}}) for the specs that `have` does not cover.

    A spec has name, ca, owner and either `copy` (true: the authority itself, key included; false: its certificate),
    or cn, org, sans, usage and either cert and key (paths) or kubeconfig, server, cluster and user."""
    files, notes = {}, {}
    with _alone():
        for spec in specs:
            authority = _authority(spec["ca"])
            ca, owner = read(authority[0]).decode(), spec.get("owner", "root")
            mark = digest(json.dumps([spec, digest(ca)], sort_keys=True))
            old = have.get(spec["name"], {})
            if old.get("digest") == mark and old.get("until", 0) > time.time() + 30 * DAY:
                continue
            end = int(time.time()) + 3650 * DAY
            if "copy" in spec:
                made = {AUTHORITIES[spec["ca"]][0]: {"content": ca, "mode": "0644", "owner": owner}}
                if spec["copy"]:
                    made[AUTHORITIES[spec["ca"]][1]] = {"content": read(authority[1]).decode(), "mode": "0600"}
            else:
                usage = ["basicConstraints = critical, CA:FALSE", "keyUsage = critical, digitalSignature", f"extendedKeyUsage = {spec['usage']}"]
                sans = [f"subjectAltName = {', '.join(spec['sans'])}"] if spec.get("sans") else []
                cert, key, end = _sign(spec["cn"], spec.get("org"), usage + sans, 365, authority)
                if "kubeconfig" in spec:
                    made = {spec["kubeconfig"]: {"content": _kubeconfig(spec, ca, cert, key), "mode": "0600"}}
                else:
                    made = {spec["cert"]: {"content": cert, "mode": "0644", "owner": owner},
                            spec["key"]: {"content": key, "mode": "0600", "owner": owner}}
            files.update(made)
            notes[spec["name"]] = {"digest": mark, "until": end, "paths": sorted(made)}
    return files, notes
