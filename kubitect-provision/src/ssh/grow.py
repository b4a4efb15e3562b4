# Lets the system on this machine use what was hot-plugged. Arguments: `cpus` (processors), `main` (the main disk has grown), or the
# serial numbers of data disks that have grown. It may run again. A data disk without a mounted file system is not changed.
import glob
import json
import os
import subprocess
import sys


def grow_root():
    # As cloud-init does at the first boot: grow the last partition, then its file system.
    for module in ("growpart", "resizefs"):
        subprocess.run(["cloud-init", "single", "--name", module, "--frequency", "always"], check=True)


def online_processors():
    for path in glob.glob("/sys/devices/system/cpu/cpu[0-9]*/online"):
        with open(path, encoding="ascii") as state:
            if state.read().strip() == "1":
                continue
        with open(path, "w", encoding="ascii") as state:
            state.write("1")


def grow_data(serial):
    device = os.path.realpath(f"/dev/disk/by-id/virtio-{serial}")
    columns = ["lsblk", "--json", "--nodeps", "--output", "FSTYPE,MOUNTPOINT", device]
    disk = json.loads(subprocess.run(columns, check=True, capture_output=True).stdout)["blockdevices"][0]
    kind, mount = disk["fstype"] or "", disk["mountpoint"]
    if kind.startswith("ext") and mount:
        subprocess.run(["resize2fs", device], check=True)
    elif kind == "xfs" and mount:
        subprocess.run(["xfs_growfs", mount], check=True)


for what in sys.argv[1:]:
    if what == "cpus":
        online_processors()
    elif what == "main":
        grow_root()
    else:
        grow_data(what)
