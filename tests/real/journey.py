"""The ring's journeys: a list of steps each, a table at the end.

    journey.py life|masters|replace|exchange|kills|plays [--from STEP] [--only STEP] [--list]

Runs inside the lab; tests/real.sh prepares it and says in its environment where all lies: RING_HOME, RING_PROGRAM, RING_SERVED.
A step is a change of the file, what is done with it, and what must be true then. Of steps that are skipped only the change
is made, so that a cluster that an earlier run left (`--keep`) is taken up.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable

from cluster import NAME, SETTLE_SECONDS, Api, Asker, Cluster, Failed, ask_web, say, wait_for
from pack import version
from plays import PAIRS, ended_where_a_network_lacks, of_release
from pods import REGISTRY, pods_reach_one_another, two_pods_serve, web

# The two ends of the upgrade.
FIRST, SECOND = (version("k8s.io/kubernetes", f"kubernetes-{minor}") for minor in ["1.34", "1.35"])


@dataclasses.dataclass
class Step:
    """One step. `change` is made even where the step is skipped."""

    name: str
    change: Callable = lambda cluster: None
    act: Callable = Cluster.apply
    # What it returns stands in the table.
    check: Callable = lambda cluster: None
    # Whether a client asks the API and the Service all along.
    asked: bool = True
    # Whether the plan is empty afterwards.
    lasting: bool = True


# What steps look at.


def virsh(*arguments, check=True):
    """What virsh prints."""
    return subprocess.run(["virsh", *arguments], stdout=subprocess.PIPE, text=True, check=check, timeout=120).stdout


def gone(node):
    """Nothing of a node is left: machine, node object, its trace in the network plugin, pods."""

    def check(cluster):
        if node in virsh("list", "--all", "--name").split():
            raise Failed(f"the machine {node} is still there")
        if node in cluster.kubectl("get", "nodes", "--output", "name"):
            raise Failed(f"the node object {node} is still there")
        wait_for(
            f"no pod is bound to {node}",
            SETTLE_SECONDS,
            lambda: cluster.kubectl("get", "pods", "--all-namespaces", "--field-selector", f"spec.nodeName={node}", "--output", "name"),
        )

    return check


def has_memory(node, gib):
    """A machine and its node have so much memory."""

    def check(cluster):
        if f"Max memory:     {gib << 20} KiB" not in virsh("dominfo", node):
            raise Failed(virsh("dominfo", node))
        seen = cluster.kubectl("get", "node", node, "--output", "jsonpath={.status.capacity.memory}")
        # What a kernel keeps for itself is not counted.
        if int(seen.removesuffix("Ki")) < (gib << 20) * 0.88:
            raise Failed(f"the node has {seen}")

    return check


def serves(cluster, wanted):
    """Each master's API server is of this version, and so is what nodes run."""
    for master in cluster.file["cluster"]["nodes"]["master"]["instances"]:
        answer = cluster.kubectl("--server", f"https://{master['ip']}:6443", "get", "--raw", "/version")
        if json.loads(answer)["gitVersion"] != f"v{wanted}":
            raise Failed(f"{master['ip']}: {answer}")


def etcd_members(cluster):
    """There are as many API servers as masters, and every one is given exactly the masters as etcd's members."""
    masters = [one["ip"] for one in cluster.file["cluster"]["nodes"]["master"]["instances"]]
    wanted = {f"https://{ip}:2379" for ip in masters}

    def look():
        found = cluster.kubectl(
            "get", "pods", "--namespace", "kube-system", "--selector", "component=kube-apiserver", "--output", "json", check=False
        )
        if not found:
            return "no answer"
        given = {pod["metadata"]["name"]: members(pod) for pod in json.loads(found)["items"]}
        return "" if len(given) == len(masters) and all(one == wanted for one in given.values()) else f"{given}"

    # What the API shows of a static pod follows its manifest a while later: its kubelet asks the very server that restarts.
    wait_for(f"every API server is given {sorted(wanted)}", SETTLE_SECONDS, look)
    say(f"every API server is given {len(masters)} members")


def members(pod):
    """The members of etcd that a pod of an API server is given."""
    arguments = pod["spec"]["containers"][0]["command"]
    return set(next(one.partition("=")[2] for one in arguments if one.startswith("--etcd-servers=")).split(","))


# Steps of several journeys.


def set_variable(name, value):
    """Changes one of Kubespray's variables."""
    return lambda cluster: cluster.file["addons"]["kubespray"].update({name: value})


def change(*changes):
    """Several changes in one."""

    def all_of(cluster):
        for one in changes:
            one(cluster)

    return all_of


def masters(*ids):
    """The masters from now on."""
    return lambda cluster: cluster.masters(*ids)


def workers(*ids, **more):
    """The workers from now on."""
    return lambda cluster: cluster.workers(*ids, **more)


def kubernetes(wanted):
    """Kubernetes' version from now on."""
    return lambda cluster: cluster.file["kubernetes"].update(version=f"v{wanted}")


def destroy(cluster):
    """Removes it all; nothing is left."""
    cluster.run("destroy", "--cluster", NAME, "--auto-approve")
    left = [virsh(*words).split() for words in [("list", "--all", "--name"), ("net-list", "--all", "--name"), ("pool-list", "--all", "--name")]]
    if any(left):
        raise Failed(f"libvirt still holds {left}")


CREATE = Step("create", check=web, asked=False)
DESTROY = Step("destroy", act=destroy, asked=False, lasting=False)


def fails(cluster):
    """Applies a file whose playbook can't succeed."""
    cluster.apply(code=1)


def lose(node):
    """A machine is gone with its disk, and the file is applied."""

    def act(cluster):
        virsh("destroy", node)
        virsh("vol-delete", f"{node}-main-disk", "--pool", f"{NAME}-main-resource-pool")
        cluster.run("status", "--cluster", NAME, code=5)
        cluster.apply()

    return act


def killed(mark, seconds=0):
    """The run is killed so many seconds after it begins a task."""
    return lambda cluster: cluster.apply_killed(mark, seconds)


def continued(*kills):
    """A run for each of these kills, and one more that comes to its end."""

    def act(cluster):
        for kill in kills:
            kill(cluster)
        cluster.apply()

    return act


def life():
    """One cluster from its creation to its end."""
    second = f"{NAME}-worker-2"
    missing = f"http://{REGISTRY}/files/missing"
    return [
        CREATE,
        Step("pods-reach-one-another", act=pods_reach_one_another),
        # A playbook that fails half-way; mended, the same change goes on.
        Step("a-worker-cannot-join", change(workers(1, 2), set_variable("crictl_download_url", missing)), act=fails, lasting=False),
        Step(
            "mended-it-joins",
            set_variable("crictl_download_url", f"http://{REGISTRY}/files/crictl.tar.gz"),
            check=pods_reach_one_another,
        ),
        Step("it-leaves", workers(1), check=change(gone(second), two_pods_serve)),
        Step("a-worker-gets-more-memory", workers(1, ram=3), check=has_memory(f"{NAME}-worker-1", 3)),
        Step("an-addon-is-switched-on", set_variable("metrics_server_enabled", True), check=metrics),
        Step("kubernetes-is-upgraded", kubernetes(SECOND), check=lambda cluster: serves(cluster, SECOND)),
        DESTROY,
    ]


def metrics(cluster):
    """The addon answers."""
    wait_for("metrics of nodes", SETTLE_SECONDS, lambda: "" if cluster.kubectl("top", "nodes", check=False) else "none yet")


def small_masters(cluster):
    """Masters of 2 GiB and one processor: up to six stand side by side."""
    cluster.file["cluster"]["nodes"]["master"]["default"].update(cpu=1, ram=2)
    # kubeadm wants two; and where Kubespray's 600m are kept for the system, no API server is let onto one.
    cluster.file["addons"]["kubespray"].update(
        kubeadm_ignore_preflight_errors=["NumCPU"], kube_cpu_reserved="50m", system_cpu_reserved="50m"
    )


def masters_journey():
    """Masters come, one is lost, and they go."""
    return [
        Step("create", small_masters, check=web, asked=False),
        Step("masters-become-three", masters(1, 2, 3), check=etcd_members),
        Step("one-is-lost-with-its-disk", act=lose(f"{NAME}-master-2"), check=etcd_members),
        # The first one of the inventory, and the one that was lost.
        Step(
            "masters-become-one",
            masters(3),
            check=change(etcd_members, *(gone(f"{NAME}-master-{number}") for number in [1, 2])),
        ),
        DESTROY,
    ]


CREATE_WITH_THREE = Step("create-with-three", change(small_masters, masters(1, 2, 3)), check=change(web, etcd_members), asked=False)


def replace():
    """The first of three masters is replaced by a new one."""
    return [
        CREATE_WITH_THREE,
        Step("the-first-is-replaced", masters(2, 3, 4), check=change(etcd_members, gone(f"{NAME}-master-1"))),
        DESTROY,
    ]


def exchange():
    """All masters are exchanged in one file. That the only one is exchanged is a step of `kills`."""
    return [
        CREATE_WITH_THREE,
        Step("all-three-are-exchanged", masters(4, 5, 6), check=etcd_members),
        DESTROY,
    ]


def kills():
    """Runs are killed where it hurts, and the same command is given again: also where that run is killed, too."""
    return [
        Step("in-the-etcd-role", workers(), killed("Ensure etcd is running"), asked=False, lasting=False),
        Step("in-kubeadm-init", act=killed("Initialize first control plane node (1st try)", 20), asked=False, lasting=False),
        Step(
            "before-the-network-plugin",
            act=continued(killed("Create kubeadm token for joining nodes")),
            asked=False,
            check=web,
        ),
        Step("in-a-workers-join", workers(1), act=continued(killed("Join to cluster if needed", 5)), check=two_pods_serve),
        # It takes the first one's place.
        Step(
            "in-a-second-masters-join",
            masters(2),
            act=continued(killed("Joining control plane node to the cluster", 10)),
            check=change(etcd_members, gone(f"{NAME}-master-1")),
        ),
        Step(
            "while-an-upgraded-node-is-drained",
            kubernetes(SECOND),
            # By Kubitect; and when the playbook comes to its own drain, which has nothing left to do.
            act=continued(killed(f"move the pods of {NAME}-master-2"), killed("pre-upgrade : Drain node")),
            check=lambda cluster: serves(cluster, SECOND),
        ),
        DESTROY,
    ]


def plays():
    """A creation by each of several releases, on new machines, as far as one comes without a network."""
    return [
        Step(tag, of_release(tag, kubernetes), act=fails, check=ended_where_a_network_lacks, asked=False, lasting=False)
        for tag, kubernetes in PAIRS
    ]


JOURNEYS = {
    "life": life,
    "masters": masters_journey,
    "replace": replace,
    "exchange": exchange,
    "kills": kills,
    "plays": plays,
}


def carry_out(cluster, step):
    """Does a step, with clients that ask meanwhile; returns what the table says of it, the longest gaps among it."""
    askers = []
    if step.asked:
        api = Api(cluster)
        askers = [Asker("API, reading", api.read, 2), Asker("API, writing", api.write, 4), Asker("Service", ask_web, 2)]
    try:
        step.act(cluster)
    finally:
        gaps = [(asker.name, asker.stop()) for asker in askers]
    if step.lasting:
        cluster.finished()
    found = step.check(cluster) or ""
    if askers and (lost := api.lost()):
        raise Failed(f"written and lost: {lost}")
    if gaps:
        found += "gaps: " + ", ".join(f"{name} {gap:.1f} s" for name, gap in gaps)
    return found


def run(cluster, steps, first, only):
    """Runs the steps until one fails; prints the table; returns whether all went well."""
    rows, skipping, well = [], first is not None, True
    for step in steps:
        step.change(cluster)
        skipping = skipping and step.name != first
        if skipping or only not in (None, step.name):
            continue
        say(f"--- {step.name}")
        began = time.monotonic()
        found = ""
        try:
            found = carry_out(cluster, step)
        # Whatever it is, ctrl-C too, the table is printed.
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            well = False
        rows.append(f"step {step.name} {'ok' if well else 'failed'} {time.monotonic() - began:.0f}   {found}".rstrip())
        say(rows[-1])
        if not well:
            break
    print("\n" + "\n".join(rows), flush=True)
    return well


def main():
    """Runs the journey that the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("journey", choices=JOURNEYS)
    parser.add_argument("--from", dest="first")
    parser.add_argument("--only")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    steps = JOURNEYS[arguments.journey]()
    names = [step.name for step in steps]
    if arguments.list:
        print("\n".join(names))
        return 0
    for name in [arguments.first, arguments.only]:
        if name not in (None, *names):
            parser.error(f"{arguments.journey} has no step {name!r}: {', '.join(names)}")
    # As an exception, so that the program that runs is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    served = os.environ["RING_SERVED"]
    variables = json.loads((pathlib.Path(served) / "variables.json").read_text()) if served else {}
    cluster = Cluster(os.environ["RING_PROGRAM"], os.environ["RING_HOME"], variables, FIRST)
    return 0 if run(cluster, steps, arguments.first, arguments.only) else 1


if __name__ == "__main__":
    sys.exit(main())
