"""The first plays of other releases than the ring's: a creation by the product, which ends where a task wants a network.

Guests reach none, and nothing is served to them: what the release downloads first is where it ends. Until then all is
real: clone, requirements, inventory, variables, and the release's own tasks on machines.
"""

import calendar
import json
import pathlib
import re
import time

from cluster import NAME, Failed, say

# Kubespray's releases, each with a Kubernetes that it sets up.
PAIRS = [line.split() for line in (pathlib.Path(__file__).parent / "first-plays").read_text().splitlines()]

KINDS = ["PLAY", "TASK|RUNNING HANDLER"]


def of_release(tag, kubernetes):
    """The file asks for this release, with the defaults of the multi-master example."""

    def change(cluster):
        site = json.loads((cluster.home / "site.yaml").read_text())
        # An image of the file's own: a release that cannot set up the distro of this name is warned of, not refused.
        cluster.file["cluster"]["nodeTemplate"]["os"] = {"distro": "debian12", **site["images"]["debian12"]}
        cluster.file["kubernetes"] = {"version": kubernetes, "networkPlugin": "calico", "kubespray": {"version": tag}}

    return change


def ended_where_a_network_lacks(cluster):
    """The creation came to a download and failed there; what the person sees then; and all is removed. Returns the figures."""
    found = figures(newest(cluster.home / "clusters" / NAME / "logs", "*-cluster.log"))
    say(found)
    if "ownload" not in found.rpartition("failed at ")[2]:
        raise Failed(f"it ended before a download: {found}")
    cluster.run("plan", "--config", cluster.written(), code=4)
    # There is no API yet to ask.
    cluster.run("status", "--cluster", NAME, code=1)
    cluster.run("destroy", "--cluster", NAME, "--auto-approve")
    return found


def newest(folder, pattern):
    """The newest log, whose name begins with its time."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise Failed(f"{folder}: no {pattern}: the playbook was never run")
    return found[-1]


def figures(log):
    """What a playbook did, in a line: plays, tasks, results by kind, seconds, and where it failed."""
    text = log.read_text()
    plays, tasks = ([title.strip() for title in re.findall(rf"^(?:{kind}) \[(.*)\] \*+$", text, re.MULTILINE)] for kind in KINDS)
    counts = dict.fromkeys(["ok", "changed", "ignored", "failed"], 0)
    for kind, count in re.findall(rf"\b({'|'.join(counts)})=(\d+)", text.rpartition("PLAY RECAP")[2]):
        counts[kind] += int(count)
    began = calendar.timegm(time.strptime(log.name.partition("-")[0], "%Y%m%dT%H%M%SZ"))
    results = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return (
        f"{len(plays)} plays, {len(tasks)} tasks, {log.stat().st_mtime - began:.0f} s; results: {results}; "
        f"play {plays[-1]!r} failed at {tasks[-1]!r}"
    )
