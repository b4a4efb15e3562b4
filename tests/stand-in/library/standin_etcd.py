#!/usr/bin/python
# Has this host's etcd member run: starts it with the others of a new cluster, joins an existing one, or removes a member.
"""Options: state (new, kept, joined, restarted, removed, gone), name, ip, members ({name: ip} of the inventory), unit, env (common settings).

new: no member of the inventory has ever been in a formed cluster; kept: this host has data (if they are of a member that etcd does not
list, it is added all the same, and does not start, as with Kubespray); joined: others are formed and this host has no data; restarted: with the
inventory's members in its settings, and because each run issues certificates anew; removed: take `name` out of the cluster, through any member that answers;
gone: it must have left already."""
import json
import sys

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.standin import PROGRAMS, STATE, Trouble, journal, put, read, service, wait

ENV = "/etc/etcd.env"
CERTS = "/etc/ssl/etcd/ssl"


def endpoint(ip, name):
    """A client of one member, with this host's own certificate."""
    sys.path.insert(0, PROGRAMS)
    from etcd import Etcd
    return Etcd(f"https://{ip}:2379", {"ca": f"{CERTS}/ca.pem", "cert": f"{CERTS}/admin-{name}.pem", "key": f"{CERTS}/admin-{name}-key.pem"})


def healthy(client):
    """None when a linearizable read succeeds, else why not."""
    try:
        client.range(b"/registry/health")
        return None
    except Exception as error:
        return str(error)


def first_healthy(members, host):
    """A client of any member that has a quorum behind it."""
    reasons = []
    for ip in members.values():
        client = endpoint(ip, host)
        reason = healthy(client)
        if reason is None:
            return client
        reasons.append(reason)
    raise Trouble("no etcd member of the inventory answers with a quorum; nothing was changed. " + "; ".join(reasons))


def listed(client):
    """The cluster's members."""
    return client.call("/v3/cluster/member/list", {}, 10).get("members", [])


def peer(ip):
    """A member's peer URL."""
    return f"https://{ip}:2380"


def join(want, host):
    """Add this host to the cluster; its ETCD_INITIAL_CLUSTER. Like Kubespray, which looks only whether the address is listed, it does
    not get past a predecessor that was not removed; and like etcd it adds nothing while a member does not answer."""
    client = first_healthy({name: ip for name, ip in want["members"].items() if name != want["name"]}, host)
    members = listed(client)
    for member in members:
        same = peer(want["ip"]) in member["peerURLs"]
        if same and not member.get("clientURLs"):
            break  # it has never run: an earlier run was interrupted before its start
        if same or member.get("name") == want["name"]:
            raise Trouble(f"the member {member.get('name')} of {want['ip']} is in etcd, but this host has lost its data: it must be removed first")
    else:
        for member in members:
            ip = member["peerURLs"][0].rpartition(":")[0].rpartition("/")[2]
            reason = healthy(endpoint(ip, host))
            if reason is not None:
                raise Trouble(f"unhealthy cluster: {member.get('name') or ip}: {reason}; no member is added")
        client.call("/v3/cluster/member/add", {"peerURLs": [peer(want["ip"])]}, 10, once=True)
    return ",".join(f"{member.get('name') or want['name']}={member['peerURLs'][0]}" for member in listed(client))


def forgotten(want, host):
    """Whether this host's data are of a member that etcd no longer lists."""
    if healthy(endpoint(want["ip"], host)) is None:
        return False
    try:
        client = first_healthy({name: ip for name, ip in want["members"].items() if name != want["name"]}, host)
    except Trouble:
        return False
    return all(peer(want["ip"]) not in member["peerURLs"] for member in listed(client))


def settings(want, host):
    """The content of etcd.env."""
    initial = {}
    if want["state"] == "kept" and forgotten(want, host):
        want["state"] = "joined"
    if want["state"] == "restarted":
        initial = {"ETCD_INITIAL_CLUSTER_STATE": "existing", "ETCD_INITIAL_CLUSTER": ",".join(f"{name}={peer(ip)}" for name, ip in want["members"].items())}
    if want["state"] == "kept":  # how it once began no longer matters, and must not cause a restart
        lines = read(ENV).decode().splitlines()
        initial = dict(line.split("=", 1) for line in lines if line.startswith("ETCD_INITIAL_CLUSTER"))
    if not initial:
        joined = want["state"] == "joined"
        cluster = join(want, host) if joined else ",".join(f"{name}={peer(ip)}" for name, ip in want["members"].items())
        initial = {"ETCD_INITIAL_CLUSTER_STATE": "existing" if joined else "new", "ETCD_INITIAL_CLUSTER": cluster}
    return "".join(f"{key}={value}\n" for key, value in {**want["env"], **initial}.items())


def remove(want, host):
    """Whether a member had to be removed."""
    others = {name: ip for name, ip in want["members"].items() if name != want["name"]}
    client = first_healthy(others, host)
    gone = [member for member in listed(client) if member.get("name") == want["name"] or peer(want["ip"]) in member["peerURLs"]]
    for member in gone:
        client.call("/v3/cluster/member/remove", {"ID": member["ID"]}, 10, once=True)
    return bool(gone)


def still_there(want, host):
    """Fail if the member has not left."""
    client = first_healthy(want["members"], host)
    if any(peer(want["ip"]) in member["peerURLs"] for member in listed(client)):
        raise Trouble(f"{want['name']} is not in the group etcd, but a member of etcd at {want['ip']}; it would be left behind there")


def main():
    """See the top of the file."""
    module = AnsibleModule(argument_spec={
        "state": {"choices": ["new", "kept", "joined", "restarted", "removed", "gone"], "required": True}, "name": {"type": "str", "required": True},
        "ip": {"type": "str", "required": True}, "members": {"type": "dict", "required": True}, "host": {"type": "str", "required": True},
        "unit": {"type": "str", "default": ""}, "env": {"type": "dict", "default": {}}, "seconds": {"type": "int", "default": 240}})
    want = module.params
    host = want["host"]
    try:
        if want["state"] == "removed":
            module.exit_json(changed=remove(want, host))
        if want["state"] == "gone":
            still_there(want, host)
            module.exit_json(changed=False)
        files = {ENV: {"content": settings(want, host), "mode": "0640", "owner": "etcd"}}
        if want["state"] == "restarted":
            put(f"{STATE}/etcd.started", "", "0600")
        certs = [f"{CERTS}/{name}" for name in ("ca.pem", f"member-{host}.pem", f"member-{host}-key.pem")]
        changed = service("etcd", want["unit"], files, certs)
        own = endpoint(want["ip"], host)
        try:
            wait("etcd", want["seconds"], lambda: healthy(own))
        except Trouble as error:
            raise Trouble(f"{error}\n{journal('etcd')}") from error
        put(f"{STATE}/etcd-formed", json.dumps({"name": want["name"]}) + "\n")
    except Trouble as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
