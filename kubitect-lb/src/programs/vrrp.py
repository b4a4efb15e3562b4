# Says how keepalived on this machine is: `STATE HAS HEARS`. STATE is keepalived's own word (MASTER, BACKUP, FAULT, INIT), CHANGING if it
# did not stay the same, or UNKNOWN where keepalived does not tell it; HAS is 1 if this machine has the address; HEARS is the address
# of the balancer that a BACKUP hears, or `-`. Arguments: for how many seconds at most it may take until it runs and is MASTER or
# BACKUP, for how many it is then watched, the virtual address, and the file with keepalived's process. Ends with 0, or with 1 and
# what is wrong.
import os
import re
import signal
import stat
import subprocess
import sys
import time

patience, watch, address, pid_file = sys.argv[1:]
# Where keepalived writes what it knows when it gets SIGUSR1, the same in all its releases from 2.0 on.
DUMP = "tmp/keepalived.data"
INSTANCE = re.compile(
    r"^ VRRP Instance = kube_api\n(?:   .*\n)*?   State = (\w+)\n"
    r"(?:   Master router = (\S+)\n   Master priority = ([0-9]+)\n|(?!   Master router))"
    r"(?=   \S)",
    re.MULTILINE,
)
SETTLED = ("MASTER", "BACKUP")


class NotRunning(Exception):
    pass


def process():
    try:
        with open(pid_file) as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/comm") as file:
            name = file.read().strip()
    except (OSError, ValueError) as error:
        raise NotRunning(f"keepalived does not run: {error}")
    if name != "keepalived":
        raise NotRunning(f"keepalived does not run: process {pid} in {pid_file} is {name}")
    return pid


def takes_signals(pid):
    # The signal would end a process that is not prepared for it yet.
    with open(f"/proc/{pid}/status") as file:
        masks = [line.split()[1] for line in file if line.startswith(("SigBlk", "SigCgt", "SigIgn"))]
    return any(int(mask, 16) >> (signal.SIGUSR1 - 1) & 1 for mask in masks)


def dumped(pid, since):
    # In its own file system: its unit may give it a /tmp of its own. Others may have put something else there.
    dump = os.open(f"/proc/{pid}/root/{DUMP}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(dump, errors="replace") as file:
        about = os.fstat(dump)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != 0 or about.st_mtime_ns < since:
            return None
        return INSTANCE.search(file.read(1 << 22))


def state():
    pid = process()
    # The clock of files goes in steps.
    since = time.time_ns() - 20_000_000
    end, due = time.monotonic() + 3, 0
    while time.monotonic() < end:
        # Again each second: its child that knows the state ignores it at first.
        if time.monotonic() >= due:
            try:
                if not takes_signals(pid):
                    return "INIT", "-"
                os.kill(pid, signal.SIGUSR1)
            except (ProcessLookupError, FileNotFoundError) as error:
                raise NotRunning(f"keepalived does not run: {error}")
            due = time.monotonic() + 1
        time.sleep(0.05)
        try:
            found = dumped(pid, since)
        except OSError:
            continue
        if found:
            heard = found[2] if int(found[3] or 0) else None
            return found[1], heard or "-"
    return "UNKNOWN", "-"


def has():
    argv = ["ip", "-o", "-4", "addr", "show"]
    listed = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True).stdout
    return any(word.split("/")[0] == address for word in listed.split())


def look():
    return (*state(), has())


def first_look():
    """What is seen first of what is waited for; in the end, whatever is seen."""
    deadline = time.monotonic() + float(patience)
    while True:
        try:
            seen = look()
            if seen[0] in SETTLED or time.monotonic() >= deadline:
                return seen
        except NotRunning:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.5)


try:
    last = first = first_look()
    end = time.monotonic() + float(watch)
    while last == first and first[0] in (*SETTLED, "UNKNOWN") and time.monotonic() < end:
        time.sleep(1)
        last = look()
except NotRunning as why:
    sys.exit(str(why))
changed = (first[0], first[2]) != (last[0], last[2])
print("CHANGING" if changed else last[0], int(last[2]), last[1])
